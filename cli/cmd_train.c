/* chronovisor train: learn a model from a published data set. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ransap.h"
#include "detect/evaluate.h"

static const struct cli_option options[] = {
    CLI_OPT_RANSAP,
    CLI_OPT_CORPUS,
    {"--model", "KIND", "rf, svm, knn, gbt or default (gbt)"},
    CLI_OPT_FEATURES,
    CLI_OPT_MODE,
    {"-o", "FILE", "the model file to write"},
    {"--seed", "N", "for everything that is drawn; the same seed and data give the same model (default 1)"},
    CLI_OPT_CLASSES,
    CLI_OPT_ENCRYPTED,
    CLI_OPT_SKIP,
    CLI_OPT_DECISION,
    {"--no-evaluate", NULL, "leave the model's metrics empty: do not learn five times more, each time judged by the runs left out"},
    CLI_OPT_ARTEFACTS,
    {0},
};

/* The command as it was given, for the model's header; without -o FILE, which says nothing of the model. malloc'd. */
static char *command_line(int argc, char **argv)
{
    size_t bytes = 32;
    for (int i = 0; i < argc; i++) bytes += strlen(argv[i]) + 1;
    char *text = malloc(bytes), *at = text;
    if (!text) return NULL;
    at = stpcpy(at, "chronovisor");
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-o") == 0) {
            i++;
            continue;
        }
        *at++ = ' ';
        for (const char *c = argv[i]; *c; c++) *at++ = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
    }
    *at = 0;
    return text;
}

static void progress(size_t done, size_t total)
{
    cli_progress("folds", done, total);
}

/* How good such a model is on runs that it did not learn from, for its header: the whole runs in five folds. malloc'd. */
static int judge(const struct ransap *r, const struct samples *s, enum model_kind kind, uint64_t seed, const struct decision *decision,
                 char **metrics)
{
    struct chv_err err;
    struct evaluation *e = malloc(sizeof *e);
    if (!e) return cli_failf(r->args, "out of memory");
    int code = evaluate(s, kind, SPLIT_RUN, seed, r->skip_ns, decision, progress, e, &err);
    cli_progress_end();
    if (code < 0) {
        free(e);
        return cli_fail(r->args, &err);
    }
    json_t *figures = evaluation_json(s, e, false);
    if (figures) json_object_set_new(figures, "split", json_string(evaluate_split_name(SPLIT_RUN)));
    *metrics = figures ? json_dumps(figures, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(figures);
    evaluation_fini(e);
    free(e);
    return *metrics ? 0 : cli_failf(r->args, "out of memory");
}

static int train_part(struct ransap *r, enum model_mode mode, enum model_kind kind, uint64_t seed, const char *command,
                      struct model **out)
{
    struct samples *s = NULL;
    struct chv_err err;
    char *metrics = NULL;
    int code = ransap_samples(r, mode, true, &s);
    if (code != 0) return code;
    if (!ransap_classes(r, s))
        code = CLI_ERROR;
    else if (samples_train(s, NULL, kind, seed, out, &err) < 0)
        code = cli_fail(r->args, &err);
    if (code == 0) {
        struct decision decision = *model_decision(*out);
        if (!ransap_decision(r->args, &decision)) code = CLI_ERROR;
        else model_set_decision(*out, &decision);
    }
    if (code == 0 && !cli_flag(r->args, "--no-evaluate")) code = judge(r, s, kind, seed, model_decision(*out), &metrics);
    if (code == 0 && model_describe(*out, mode, command, metrics) < 0) code = cli_failf(r->args, "out of memory");
    free(metrics);
    samples_free(s);
    return code;
}

static void print_part(const struct cli_args *args, const char *file, const struct model *m, bool encrypted)
{
    struct model_facts facts;
    model_facts(m, &facts);
    const char *mode = encrypted ? "encrypted" : model_mode(m) == MODEL_READS ? "read" : "paired";
    if (args->json) {
        printf("{\"file\": ");
        cli_json_string(stdout, file);
        printf(", \"kind\": \"%s\", \"mode\": \"%s\", \"rows\": %llu, \"runs\": %llu, \"classes\": %zu}\n",
               model_kind_name(model_kind(m)), mode, (unsigned long long)facts.rows, (unsigned long long)facts.runs, model_class_count(m));
    } else {
        printf("%s: %s for %s %s, learned from %llu rows of %llu runs, %zu classes\n", file, model_kind_name(model_kind(m)), mode,
               encrypted ? "disks" : "streams", (unsigned long long)facts.rows, (unsigned long long)facts.runs, model_class_count(m));
    }
}

static int train(struct ransap *r, const char *file, const char *command)
{
    enum model_kind kind;
    uint64_t seed;
    struct chv_err err;
    struct model *paired = NULL, *reads = NULL;
    if (!ransap_kind(r->args, &kind) || !cli_number(r->args, "--seed", 1, INT32_MAX, &seed)) return CLI_ERROR;
    int code = r->paired ? train_part(r, MODEL_PAIRED, kind, seed, command, &paired) : 0;
    if (code != CLI_ERROR && r->reads) code = train_part(r, MODEL_READS, kind, seed, command, &reads);
    if (code != CLI_ERROR) code = paired || reads ? CLI_OK : cli_failf(r->args, "no run with reads to learn from");
    struct model *m = paired ? paired : reads;
    if (paired && reads) model_attach_reads(paired, reads);
    if (code == CLI_OK && model_save(m, file, &err) < 0) code = cli_fail(r->args, &err);
    if (code == CLI_OK) {
        print_part(r->args, file, m, false);
        if (model_part(m, true) != m) print_part(r->args, file, model_part(m, true), true);
        if (paired && reads) print_part(r->args, file, reads, false);
    }
    if (!(paired && reads)) model_free(reads);
    model_free(paired);
    return code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_train, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    struct ransap r = {0};
    const char *file = cli_value(&args, "-o");
    char *command = command_line(argc, argv);
    if (!command)
        cli_failf(&args, "out of memory");
    else if (!file)
        cli_failf(&args, "where to? add -o FILE");
    else if (ransap_open(&args, &r))
        code = ransap_end(&r, train(&r, file, command));
    ransap_close(&r);
    free(command);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_train = {
    .name = "train",
    .group = "Detect",
    .synopsis = "--ransap DIR [--model KIND] [--features SET] [--mode MODE] -o FILE",
    .summary = "learn to tell ransomware from other programs, from a data set",
    .example = "chronovisor train --ransap RanSAP --model default --features default --mode any -o ransap.model",
    .options = options,
    .run = run,
};
