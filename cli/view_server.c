#include "cli/view_server.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int cli_view_open(const struct cli_args *args, struct chv_store **store, struct chv_view **view,
                  const struct chv_space **space)
{
    struct chv_err err;
    uint64_t seq;
    *view = NULL;
    if (!(*store = cli_store_open(args))) return CLI_ERROR;
    const struct chv_view_options options = {
        .source = cli_value(args, "--source"),
        .assume_unchanged = cli_flag(args, "--assume-unchanged"),
        .zero_unknown = cli_flag(args, "--zero-unknown"),
    };
    int code = CLI_ERROR;
    if ((*space = cli_space(args, *store)) && cli_instant_in(args, "--at", *store, *space, &seq))
        code = chv_view_open(*store, *space, seq, &options, view, &err) < 0 ? cli_fail(args, &err) : CLI_OK;
    if (code != CLI_OK) {
        chv_store_close(*store);
        *store = NULL;
    }
    return code;
}

struct words {
    const char *list[12];
    char text[8][PATH_MAX + 32];
    int count, texts;
};

__attribute__((format(printf, 2, 3))) static void add(struct words *words, const char *fmt, ...)
{
    va_list list;
    va_start(list, fmt);
    vsnprintf(words->text[words->texts], sizeof words->text[0], fmt, list);
    va_end(list);
    words->list[words->count++] = words->text[words->texts++];
}

/* What nbdkit is told: the filter, the plugin and its parameters. */
static int plugin_words(const struct cli_args *args, const struct view_server *server, struct words *words,
                        struct chv_err *err)
{
    char plugin[PATH_MAX];
    int r = nbd_plugin_path("timeline", "chronovisor-view", plugin, sizeof plugin, err);
    if (r < 0) return r;
    if (server->scratch) words->list[words->count++] = "--filter=cow";
    add(words, "%s", plugin);
    add(words, "store=%s", cli_store_dir(args));
    add(words, "space=%s", server->space);
    add(words, "seq=%llu", (unsigned long long)server->seq);
    const char *source = cli_value(args, "--source");
    if (source) add(words, "source=%s", source);
    if (cli_flag(args, "--assume-unchanged")) words->list[words->count++] = "assume-unchanged=true";
    if (cli_flag(args, "--zero-unknown")) words->list[words->count++] = "zero-unknown=true";
    return 0;
}

int view_server_start(const struct cli_args *args, int port, bool scratch, const char *purpose,
                      struct view_server *server)
{
    struct chv_store *store;
    struct chv_view *view;
    const struct chv_space *space;
    struct chv_event event = {0};
    memset(server, 0, sizeof *server);
    int code = cli_view_open(args, &store, &view, &space);
    if (code != CLI_OK) return code;
    server->scratch = scratch;
    server->seq = chv_view_seq(view);
    server->size_bytes = chv_view_size_bytes(view);
    if (chv_store_event(store, server->seq, &event, NULL) == 0) server->time_ns = event.time_ns;
    snprintf(server->space, sizeof server->space, "%s", space->name);
    chv_view_close(view);
    chv_store_close(store);

    struct chv_err err;
    struct words *words = calloc(1, sizeof *words);
    if (!words) return cli_failf(args, "out of memory");
    const struct nbd_server_options options = {
        .socket = cli_value(args, "--socket"), .port = port, .arguments = words->list};
    if (plugin_words(args, server, words, &err) < 0)
        code = cli_fail(args, &err);
    else
        code = cli_custody(args, args->command->name, "%s as of seq:%llu%s", server->space,
                           (unsigned long long)server->seq, purpose);
    if (code == CLI_OK && nbd_server_start(&server->nbd, &options, &err) < 0) code = cli_fail(args, &err);
    free(words);
    return code;
}

void view_server_stop(struct view_server *server)
{
    nbd_server_stop(&server->nbd);
}
