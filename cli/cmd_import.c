/* chronovisor import: histories and images from elsewhere become evidence. */
#include <errno.h>
#include <string.h>

#include "base/hex.h"
#include "cli/cli.h"
#include "cli/import_ransap.h"
#include "sensor/import/logwrites.h"
#include "sensor/import/snapshot.h"

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    {"--space", "NAME", "the space it is the content of: disk:NAME"},
    {"--at", "TIME", "snapshot: when the image was the state of the disk"},
    {"--format", "FORMAT", "snapshot: raw or qcow2 (default: qcow2 for a .qcow2, else raw)"},
    {"--start", "TIME", "blklogwrites: time of the first entry (default: the log's file time is the last entry's)"},
    {"--base", "IMG", "blklogwrites: raw image of the disk before the log began (default: zeros)"},
    {"--size", "BYTES", "blklogwrites: size of the disk (default: of the base, else up to the last write)"},
    {"--block-size", "4096|512", "of a store made by this call (default: 4096)"},
    {"--sign", "KEY.pem", "Ed25519 private key that signs the log"},
    {"-o", "FILE", "ransap: table of features (CSV) to write; - is standard output"},
    {"--features", "SET", "ransap: paper, default or read (default: default)"},
    {"--mode", "MODE", "ransap: any, paired (reads and writes) or read (reads only) (default: any)"},
    {"--keep-artefacts", NULL, "ransap: do not drop rows under 512 bytes and reads repeated within a second"},
    {"--report", NULL, "ransap: a line a run, also of those with which nothing was wrong"},
    CLI_OPT_REASON,
    {0},
};

#define RANSAP_ONLY "-o", "--features", "--mode", "--keep-artefacts", "--report"

/* Options that belong to the other noun are refused, not ignored. */
static bool only_for(const struct cli_args *args, const char *noun, const char *const *names)
{
    for (; *names; names++) {
        if (!cli_value(args, *names)) continue;
        cli_failf(args, "%s does not go with '%s'; 'chronovisor import --help' says what does", *names, noun);
        return false;
    }
    return true;
}

static bool parse_time(const struct cli_args *args, const char *name, uint64_t *time_ns)
{
    const char *text = cli_value(args, name);
    struct instant instant;
    struct chv_err err;
    *time_ns = 0;
    if (!text) return true;
    int r = instant_parse(text, clock_now_ns(), &instant, &err);
    if (r == 0 && (instant.kind != INSTANT_TIME || instant.value == 0))
        r = chv_err_set(&err, EINVAL, "'%.60s' is not a time", text);
    if (r < 0) {
        chv_err_prefix(&err, "%s", name);
        cli_fail(args, &err);
        return false;
    }
    *time_ns = instant.value;
    return true;
}

static bool parse_target(const struct cli_args *args, struct import_options *target)
{
    uint64_t block;
    if (!cli_number(args, "--block-size", 0, 4096, &block)) return false;
    *target = (struct import_options){
        .store_dir = cli_store_dir(args),
        .space = cli_value(args, "--space"),
        .block_bytes = (uint32_t)block,
        .signing_key = cli_value(args, "--sign"),
        .progress = cli_progress,
    };
    if (!target->store_dir) return false;
    if (!target->space || !*target->space)
        cli_failf(args, "which disk is it? add --space disk:NAME");
    else if (cli_value(args, "--block-size") && block != 4096 && block != 512)
        cli_failf(args, "--block-size %s: blocks have 4096 or 512 bytes", cli_value(args, "--block-size"));
    else
        return true;
    return false;
}

static void print_json(const char *noun, const char *file, const char *space, const struct import_result *store)
{
    printf("{\"import\": \"%s\", \"file\": ", noun);
    cli_json_string(stdout, file);
    printf(", \"space\": ");
    cli_json_string(stdout, space);
    printf(", \"events\": %llu, \"new_blocks\": %llu, \"last_seq\": %llu", (unsigned long long)store->events,
           (unsigned long long)store->new_blocks, (unsigned long long)store->last_seq);
}

/* --- snapshot ------------------------------------------------------------------------------ */

static int import_snapshot(const struct cli_args *args, const char *path)
{
    static const char *const others[] = {"--start", "--base", "--size", RANSAP_ONLY, NULL};
    struct import_options target;
    struct import_snapshot s;
    struct import_snapshot_result result;
    struct chv_err err;
    uint64_t at;
    char when[CLOCK_TEXT_BYTES];
    const char *format = cli_value(args, "--format");
    if (!only_for(args, "snapshot", others) || !parse_target(args, &target) || !parse_time(args, "--at", &at)) return CLI_ERROR;
    if (!at) return cli_failf(args, "when was %s the state of the disk? add --at TIME", path);
    if (format && strcmp(format, "raw") != 0 && strcmp(format, "qcow2") != 0)
        return cli_failf(args, "--format '%.40s': raw or qcow2", format);
    if (import_snapshot_open(&s, &target, path, format, at, &err) < 0) return cli_fail(args, &err);
    clock_format(at, when);
    int code = import_snapshot_begin(&s, &err) < 0 ? cli_fail(args, &err) : 0;
    if (code == 0)
        code = cli_custody(args, "import snapshot", "%s (%s, %llu bytes) as %s at %s", path, image_format(s.image),
                           (unsigned long long)image_bytes(s.image), target.space, when);
    if (code == 0 && import_snapshot_run(&s, &result, &err) < 0) {
        code = cli_fail(args, &err);
        cli_custody(args, "import failed", "%s: %s", path, err.text);
    }
    import_snapshot_close(&s);
    cli_progress_end();
    if (code) return code;
    if (args->json) {
        print_json("snapshot", path, target.space, &result.store);
        printf(", \"time\": \"%s\", \"blocks\": %llu, \"holes\": %llu, \"zeroed\": %llu}\n", when,
               (unsigned long long)result.blocks, (unsigned long long)result.holes, (unsigned long long)result.zeroed);
    } else {
        printf("%s as of %s: %llu blocks (%llu in holes), %llu events, %llu new contents; seq:%llu\n", target.space, when,
               (unsigned long long)result.blocks, (unsigned long long)result.holes, (unsigned long long)result.store.events,
               (unsigned long long)result.store.new_blocks, (unsigned long long)result.store.last_seq);
    }
    return CLI_OK;
}

/* --- blklogwrites ---------------------------------------------------------------------------- */

/* A mark says something about the log, not about a block: the custody log keeps it. */
#define MARKS_MAX 64
static int keep_marks(const struct cli_args *args, struct import_log *im)
{
    struct dmlog_entry e;
    struct chv_err err;
    uint64_t marks = 0;
    int r = 0, code = 0;
    dmlog_rewind(&im->log);
    while (code == 0 && im->marks > 0 && (r = dmlog_next(&im->log, &e, &err)) > 0) {
        char when[CLOCK_TEXT_BYTES];
        if (!(e.flags & DMLOG_MARK) || ++marks > MARKS_MAX) continue;
        code = cli_custody(args, "import mark", "'%s', entry %llu of %s, %s", e.mark, (unsigned long long)e.index, im->log.name,
                           clock_format(import_log_time(im, e.index), when));
    }
    if (r < 0) code = cli_fail(args, &err);
    if (code == 0 && marks > MARKS_MAX)
        code = cli_custody(args, "import mark", "and %llu marks more in %s", (unsigned long long)(marks - MARKS_MAX), im->log.name);
    return code;
}

static int keep_custody(const struct cli_args *args, struct import_log *im)
{
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES], digest[65];
    int code = cli_custody(args, "import blklogwrites",
                           "%s (%llu entries: %llu writes, %llu discards, %llu flushes, %llu marks; sha256 of its first %llu "
                           "bytes %s) as %s%s%s, times by order from %s to %s",
                           im->log.name, (unsigned long long)im->log.entries, (unsigned long long)im->writes,
                           (unsigned long long)im->discards, (unsigned long long)im->flushes, (unsigned long long)im->marks,
                           (unsigned long long)im->log_bytes, hex_format(im->sha256, 32, digest), im->target.options->space,
                           im->options.base ? " on " : "", im->options.base ? im->options.base : "",
                           clock_format(im->start_ns, from),
                           clock_format(import_log_time(im, im->log.entries ? im->log.entries - 1 : 0), to));
    return code ? code : keep_marks(args, im);
}

static void print_log_result(const struct cli_args *args, const struct import_log *im, const struct import_log_result *result)
{
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES], digest[65];
    clock_format(result->first_time_ns, from);
    clock_format(result->last_time_ns, to);
    uint64_t beyond = im->log.file_bytes - im->log_bytes;
    if (args->json) {
        print_json("blklogwrites", im->log.name, im->target.options->space, &result->store);
        printf(", \"entries\": %llu, \"writes\": %llu, \"discards\": %llu, \"flushes\": %llu, \"marks\": %llu",
               (unsigned long long)im->log.entries, (unsigned long long)im->writes, (unsigned long long)im->discards,
               (unsigned long long)im->flushes, (unsigned long long)im->marks);
        printf(", \"first_time\": \"%s\", \"last_time\": \"%s\", \"bytes_ignored\": %llu, \"sha256\": \"%s\"}\n", from, to,
               (unsigned long long)beyond, hex_format(im->sha256, 32, digest));
        return;
    }
    printf("%s: %llu entries from %s to %s (the log has no clock: times are by order), %llu events, %llu new contents; seq:%llu\n",
           im->target.options->space, (unsigned long long)im->log.entries, from, to, (unsigned long long)result->store.events,
           (unsigned long long)result->store.new_blocks, (unsigned long long)result->store.last_seq);
    if (im->marks) printf("%llu marks are in the custody log\n", (unsigned long long)im->marks);
    if (beyond) printf("%llu bytes behind the last entry that the log counts were ignored\n", (unsigned long long)beyond);
}

static int import_blklogwrites(const struct cli_args *args, const char *path)
{
    static const char *const others[] = {"--at", "--format", RANSAP_ONLY, NULL};
    struct import_options target;
    struct import_log_options log = {.path = path, .base = cli_value(args, "--base")};
    struct import_log im;
    struct import_log_result result;
    struct chv_err err;
    if (!only_for(args, "blklogwrites", others) || !parse_target(args, &target) || !parse_time(args, "--start", &log.start_ns))
        return CLI_ERROR;
    if (!cli_number(args, "--size", 0, UINT64_MAX, &log.size_bytes)) return CLI_ERROR;
    if (cli_value(args, "--size") && log.size_bytes == 0) return cli_failf(args, "--size 0: a disk has at least one sector");
    if (import_log_open(&im, &target, &log, &err) < 0) return cli_fail(args, &err);
    int code = import_log_begin(&im, &err) < 0 ? cli_fail(args, &err) : keep_custody(args, &im);
    if (code == 0 && import_log_run(&im, &result, &err) < 0) {
        code = cli_fail(args, &err);
        cli_custody(args, "import failed", "%s", err.text);
    }
    cli_progress_end();
    if (code == 0) print_log_result(args, &im, &result);
    import_log_close(&im);
    return code;
}

static int import_patterns(const struct cli_args *args, const char *dir)
{
    static const char *const others[] = {"--space", "--at",         "--format", "--start",  "--base",
                                         "--size",  "--block-size", "--sign",   "--reason", NULL};
    return only_for(args, "ransap", others) ? import_ransap(args, dir) : CLI_ERROR;
}

static int run(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct cli_args *args, const char *path);
    } nouns[] = {{"snapshot", import_snapshot}, {"blklogwrites", import_blklogwrites}, {"ransap", import_patterns}};
    struct cli_args args;
    if (!cli_parse(&cmd_import, argc, argv, &args)) return CLI_ERROR;
    const char *noun = args.count > 0 ? args.positional[0] : "";
    size_t i = 0;
    while (i < sizeof nouns / sizeof *nouns && strcmp(noun, nouns[i].name) != 0) i++;
    int code;
    if (args.count > 0 && i == sizeof nouns / sizeof *nouns)
        code = cli_failf(&args, "cannot import '%.40s'; it is 'snapshot IMG', 'blklogwrites FILE' or 'ransap DIR'", noun);
    else if (args.count != 2)
        code = cli_failf(&args, "needs what and one file: 'snapshot IMG', 'blklogwrites FILE' or 'ransap DIR'");
    else
        code = nouns[i].run(&args, args.positional[1]);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_import = {
    .name = "import",
    .group = "Record",
    .synopsis = "snapshot IMG --at TIME | blklogwrites FILE | ransap DIR [OPTION…]",
    .summary = "take in a disk image, a log of writes or access patterns made elsewhere",
    .example = "chronovisor import snapshot disk.qcow2 --at 2026-11-22T10:41:00Z --space disk:vda --store case7",
    .options = options,
    .run = run,
};
