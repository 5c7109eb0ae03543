#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "store/custody.h"

static int option_index(const struct cli_command *c, const char *name, size_t length)
{
    for (int i = 0; c->options[i].name; i++)
        if (strlen(c->options[i].name) == length && strncmp(c->options[i].name, name, length) == 0) return i;
    return -1;
}

bool cli_parse(const struct cli_command *command, int argc, char **argv, struct cli_args *args)
{
    size_t options = 0;
    while (command->options[options].name) options++;
    *args = (struct cli_args){
        .command = command,
        .positional = calloc((size_t)argc + 1, sizeof(char *)),
        .values = calloc(options + 1, sizeof(char *)),
    };
    if (!args->positional || !args->values) {
        cli_failf(args, "out of memory");
        goto err_free;
    }
    bool only_positionals = false;
    for (int a = 1; a < argc; a++) {
        char *word = argv[a];
        if (only_positionals || word[0] != '-' || !word[1]) {
            args->positional[args->count++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            only_positionals = true;
            continue;
        }
        if (strcmp(word, "--json") == 0) {
            args->json = true;
            continue;
        }
        const char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
        int i = option_index(command, word, equals ? (size_t)(equals - word) : strlen(word));
        if (i < 0) {
            cli_failf(args, "no option '%.60s'; 'chronovisor %s --help' lists them", word, command->name);
            goto err_free;
        }
        if (!command->options[i].arg) {
            if (equals) {
                cli_failf(args, "%s takes no value", command->options[i].name);
                goto err_free;
            }
            args->values[i] = word + strlen(word);
        } else if (equals) {
            args->values[i] = word + (equals - word) + 1;
        } else if (a + 1 < argc) {
            args->values[i] = argv[++a];
        } else {
            cli_failf(args, "%s needs a value (%s)", command->options[i].name, command->options[i].arg);
            goto err_free;
        }
    }
    return true;
err_free:
    cli_args_fini(args);
    return false;
}

void cli_args_fini(struct cli_args *args)
{
    free(args->positional);
    free(args->values);
    args->positional = args->values = NULL;
}

const char *cli_value(const struct cli_args *args, const char *name)
{
    int i = option_index(args->command, name, strlen(name));
    return i < 0 ? NULL : args->values[i];
}

bool cli_flag(const struct cli_args *args, const char *name)
{
    return cli_value(args, name) != NULL;
}

bool cli_number(const struct cli_args *args, const char *name, uint64_t fallback, uint64_t max, uint64_t *out)
{
    const char *text = cli_value(args, name);
    *out = fallback;
    if (!text) return true;
    char *end;
    unsigned long long v = strtoull(text, &end, 10);
    static const char suffixes[] = "KMGT";
    const char *s = *end ? strchr(suffixes, *end) : NULL;
    uint64_t scaled = v;
    bool good = text[0] >= '0' && text[0] <= '9';
    if (good && s) {
        good = !__builtin_mul_overflow((uint64_t)v, UINT64_C(1) << 10 * (s - suffixes + 1), &scaled);
        end++;
    }
    if (!good || *end || scaled > max) {
        cli_failf(args, "%s '%.40s' is not a number from 0 to %llu", name, text, (unsigned long long)max);
        return false;
    }
    *out = scaled;
    return true;
}

int cli_fail(const struct cli_args *args, const struct chv_err *err)
{
    cli_progress_end();
    cli_error_line(args->command->name, err->text);
    return CLI_ERROR;
}

int cli_failf(const struct cli_args *args, const char *fmt, ...)
{
    struct chv_err err;
    va_list list;
    va_start(list, fmt);
    vsnprintf(err.text, sizeof err.text, fmt, list);
    va_end(list);
    return cli_fail(args, &err);
}

const char *cli_store_dir(const struct cli_args *args)
{
    const char *dir = cli_value(args, "--store");
    if (!dir) dir = getenv("CHRONOVISOR_STORE");
    if (!dir || !*dir) {
        cli_failf(args, "no store given; add --store DIR or set CHRONOVISOR_STORE");
        return NULL;
    }
    return dir;
}

struct chv_store *cli_store_open(const struct cli_args *args)
{
    const char *dir = cli_store_dir(args);
    struct chv_store *store = NULL;
    struct chv_err err;
    if (dir && chv_store_open(dir, &store, &err) < 0) cli_fail(args, &err);
    return store;
}

const struct chv_space *cli_space(const struct cli_args *args, const struct chv_store *store)
{
    const struct chv_space *space = NULL;
    struct chv_err err;
    if (chv_store_find_space(store, cli_value(args, "--space"), &space, &err) < 0) cli_fail(args, &err);
    return space;
}

bool cli_instant(const struct cli_args *args, const char *name, const struct chv_store *store, uint64_t *seq)
{
    struct chv_store_info info;
    chv_store_info(store, &info);
    const char *text = cli_value(args, name);
    *seq = info.last_seq;
    if (!text) return true;
    struct instant instant;
    struct chv_err err;
    int r = instant_parse(text, clock_now_ns(), &instant, &err);
    if (r == 0 && instant.kind == INSTANT_SEQ) {
        if (instant.value > info.last_seq)
            r = chv_err_set(&err, EINVAL, "%s %s is after the last recorded event (seq:%llu)", name, text,
                            (unsigned long long)info.last_seq);
        else
            *seq = instant.value;
    } else if (r == 0) {
        r = chv_store_seq_at(store, instant.value, seq, &err);
    }
    if (r == 0 && *seq < info.pruned_before_seq)
        r = chv_err_set(&err, EINVAL, "%s %s is before seq:%llu, and that history was pruned", name, text,
                        (unsigned long long)info.pruned_before_seq);
    if (r < 0) cli_fail(args, &err);
    return r == 0;
}

int cli_custody(const struct cli_args *args, const char *action, const char *detail_fmt, ...)
{
    char detail[1024];
    va_list list;
    va_start(list, detail_fmt);
    vsnprintf(detail, sizeof detail, detail_fmt, list);
    va_end(list);
    struct chv_err err;
    const char *dir = cli_store_dir(args);
    if (!dir) return CLI_ERROR;
    const char *reason = cli_value(args, "--reason");
    if (custody_append(dir, action, detail, reason ? reason : "", &err) < 0) return cli_fail(args, &err);
    return 0;
}
