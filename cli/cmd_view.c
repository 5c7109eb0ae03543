/* chronovisor view: a space as of an instant, served over NBD until interrupted. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/nbdkit.h"
#include "cli/view_server.h"

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    CLI_OPT_SPACE,
    CLI_OPT_AT,
    {"--scratch", NULL, "let clients write, into a layer that is thrown away at the end"},
    {"--socket", "PATH", "listen on this Unix socket (default: a fresh one, printed)"},
    {"--port", "N", "listen on this TCP port of 127.0.0.1 instead; 0 chooses one"},
    {"--run", "COMMAND", "run this shell command with $uri set, then stop serving"},
    CLI_OPT_SOURCE,
    {"--assume-unchanged", NULL, "believe the device where it may have changed while nobody watched"},
    {"--zero-unknown", NULL, "read blocks whose content is not known as zeros"},
    CLI_OPT_REASON,
    {0},
};

static void announce(const struct cli_args *args, const struct view_server *server)
{
    const char *uri = server->nbd.uri, *mode = server->scratch ? "writable scratch" : "read-only";
    char when[CLOCK_TEXT_BYTES];
    clock_format(server->time_ns, when);
    if (args->json) {
        printf("{\"uri\": ");
        cli_json_string(stdout, uri);
        if (server->nbd.socket[0]) {
            printf(", \"socket\": ");
            cli_json_string(stdout, server->nbd.socket);
        }
        printf(", \"space\": ");
        cli_json_string(stdout, server->space);
        printf(", \"seq\": %llu, \"time\": \"%s\", \"size_bytes\": %llu, \"scratch\": %s}\n",
               (unsigned long long)server->seq, when, (unsigned long long)server->size_bytes,
               server->scratch ? "true" : "false");
    } else {
        printf("%s as of seq:%llu (%s), %s, until interrupted\n\n  %s\n\n", server->space,
               (unsigned long long)server->seq, when, mode, uri);
        printf("mount:  mkdir -p disk files; nbdfuse disk/ '%s' &\n        mount -o loop%s disk/nbd files\n", uri,
               server->scratch ? "" : ",ro,noload");
        printf("QEMU:   -drive 'file=%s,format=raw,if=virtio%s'\ncopy:   nbdcopy '%s' image.raw\n", uri,
               server->scratch ? "" : ",snapshot=on", uri);
    }
    fflush(stdout);
}

static int serve(struct cli_args *args)
{
    struct view_server server;
    uint64_t port;
    const char *command = cli_value(args, "--run");
    if (!cli_number(args, "--port", 0, 65535, &port)) return CLI_ERROR;
    bool tcp = cli_value(args, "--port") != NULL;
    if (args->count > 0) return cli_failf(args, "unexpected argument '%.60s'", args->positional[0]);
    if (tcp && cli_value(args, "--socket")) return cli_failf(args, "--socket and --port: choose one");
    bool scratch = cli_flag(args, "--scratch");
    int code = view_server_start(args, tcp ? (int)port : -1, scratch, scratch ? ", with a scratch layer" : "", &server);
    if (code != CLI_OK) return code;
    if (command) {
        code = nbd_server_run(&server.nbd, command);
    } else {
        announce(args, &server);
        code = nbd_server_wait(&server.nbd);
        if (code != 0) code = cli_failf(args, "nbdkit ended with status %d", code);
    }
    view_server_stop(&server);
    return code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_view, argc, argv, &args)) return CLI_ERROR;
    int code = serve(&args);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_view = {
    .name = "view",
    .group = "Look",
    .synopsis = "[--space NAME] [--at TIME] [--scratch] [--socket PATH|--port N] [--run COMMAND]",
    .summary = "serve a disk as it was at an instant over NBD",
    .example = "chronovisor view --store case1 --at 2026-11-22T10:41:00Z --run 'nbdinfo \"$uri\"'",
    .options = options,
    .run = run,
};
