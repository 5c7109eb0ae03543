#include <string.h>

#include "base/hex.h"
#include "cli/cli.h"

static int run(int argc, char **argv);

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    {"--checkpoint", "FILE", "a checkpoint kept elsewhere; the log must still contain it"},
    {"--public-key", "HEX", "Ed25519 key that must have signed (default: the one in store.json)"},
    {"--quick", NULL, "leave out the content of the packs"},
    {0},
};

const struct cli_command cmd_verify = {
    .name = "verify",
    .group = "Keep",
    .synopsis = "[--store DIR] [--checkpoint FILE]",
    .summary = "prove that nothing in the store was changed, cut or lost",
    .example = "chronovisor verify --store evidence --checkpoint safe/checkpoint.txt",
    .options = options,
    .run = run,
};

static void print_fault(void *arg, const char *text)
{
    const struct cli_args *args = arg;
    cli_progress_end();
    if (args->json) {
        printf("{\"fault\": ");
        cli_json_string(stdout, text);
        printf("}\n");
    } else {
        printf("FAULT  %s\n", text);
    }
}

static void show(void *arg, const char *what, uint64_t done, uint64_t total)
{
    cli_progress(what, done, total);
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    struct chv_err err;
    uint8_t key[32];
    if (!cli_parse(&cmd_verify, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    const char *dir = cli_store_dir(&args), *hex = cli_value(&args, "--public-key");
    if (!dir) goto out;
    if (args.count > 0) {
        code = cli_failf(&args, "takes no argument '%.60s'", args.positional[0]);
        goto out;
    }
    if (hex && (strlen(hex) != 64 || hex_parse(hex, key, 32) < 0)) {
        code = cli_failf(&args, "--public-key needs 64 hexadecimal digits");
        goto out;
    }
    struct chv_verify_options verify = {.checkpoint = cli_value(&args, "--checkpoint"), .public_key = hex ? key : NULL,
                                        .quick = cli_flag(&args, "--quick"), .fault = print_fault, .fault_arg = &args,
                                        .progress = show};
    struct chv_verify_result r;
    if (chv_store_verify(dir, &verify, &r, &err) < 0) {
        code = cli_fail(&args, &err);
        goto out;
    }
    cli_progress_end();
    char digest[65];
    hex_format(r.head_digest, 32, digest);
    if (args.json) {
        printf("{\"faults\": %llu, \"segments\": %llu, \"events\": %llu, \"packs\": %llu, \"blocks\": %llu, \"signatures\": %llu, "
               "\"custody_lines\": %llu, \"head_seq\": %llu, \"head_digest\": \"%s\", \"checkpoint_seq\": %llu, \"ignored_bytes\": %llu}\n",
               (unsigned long long)r.faults, (unsigned long long)r.segments, (unsigned long long)r.events,
               (unsigned long long)r.packs, (unsigned long long)r.blocks, (unsigned long long)r.signatures,
               (unsigned long long)r.custody_lines, (unsigned long long)r.head_seq, digest,
               (unsigned long long)r.checkpoint_seq, (unsigned long long)r.ignored_bytes);
    } else {
        printf("log      %llu events in %llu segments, %llu signatures good\n", (unsigned long long)r.events,
               (unsigned long long)r.segments, (unsigned long long)r.signatures);
        printf("packs    %llu blocks in %llu packs%s\n", (unsigned long long)r.blocks, (unsigned long long)r.packs,
               verify.quick ? " (content not read: --quick)" : ", each matches its SHA-256");
        printf("custody  %llu entries\n", (unsigned long long)r.custody_lines);
        if (r.checkpoint_seq) printf("pinned   by a checkpoint at seq:%llu\n", (unsigned long long)r.checkpoint_seq);
        else printf("pinned   by nothing: without a checkpoint a cut-off tail cannot be told ('chronovisor checkpoint')\n");
        if (r.ignored_bytes) printf("note     %llu bytes behind the last commit were never acknowledged\n", (unsigned long long)r.ignored_bytes);
        printf("head     seq:%llu %s\n", (unsigned long long)r.head_seq, digest);
        printf("%s\n", r.faults ? "NOT WHOLE" : "whole");
    }
    code = r.faults ? CLI_NOTHING : CLI_OK;
out:
    cli_args_fini(&args);
    return code;
}
