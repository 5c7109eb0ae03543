/* chronovisor detect: alarms from what is written, in a recording or while it is made. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/detect_run.h"

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    {"--space", "NAME", "only this space (default: all)"},
    {"--model", "FILE", "the model that judges accesses (see chronovisor-train)"},
    {"--watch", "LIST", "alarm on blocks of this list too: SHA-256 hashes, in any format that search --hashes takes"},
    {"--yara", "RULES", "alarm on written blocks that these YARA rules (text) match too"},
    {"--from", "TIME", "from this instant on (default: all of it; with --follow: now)"},
    {"--to", "TIME", "up to this instant"},
    {"--follow", NULL, "go on with what is recorded from now on, until ended (INT, TERM)"},
    {"--on-alarm", "log|hold", "hold: let no more writes through to the disks until 'chronovisor release' (default: log)"},
    {"--ecs", "FILE", "also append each alarm as an Elastic Common Schema document"},
    {"--syslog", NULL, "also send each alarm to syslog"},
    {"--webhook", "URL", "also POST each alarm to this http or https URL"},
    {"--exec", "COMMAND", "also run this shell command for each alarm, with the alarm on its standard input"},
    {"--no-files", NULL, "do not look up which files were touched"},
    {0},
};

/* File scope because handlers take no argument. */
static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
    (void)signal;
    stop = 1;
}

static bool read_range(const struct cli_args *args, const struct chv_store *store, struct detect_options *o)
{
    const char *from = cli_value(args, "--from");
    struct chv_store_info info;
    if (o->follow && cli_value(args, "--to")) {
        cli_failf(args, "--follow has no end: leave --to out");
        return false;
    }
    if (!cli_instant(args, "--to", store, &o->last_seq)) return false;
    chv_store_info(store, &info);
    o->first_seq = o->follow ? info.last_seq + 1 : 1;
    if (!from) return true;
    struct instant instant;
    struct chv_err err;
    int r = instant_parse(from, clock_now_ns(), &instant, &err);
    if (r == 0 && instant.kind == INSTANT_SEQ) {
        o->first_seq = instant.value;
    } else if (r == 0) {
        r = chv_store_seq_at(store, instant.value ? instant.value - 1 : 0, &o->first_seq, &err);
        o->first_seq++;
    }
    if (r < 0) cli_fail(args, &err);
    if (r == 0 && !o->follow && o->first_seq > o->last_seq && info.last_seq > 0) {
        cli_failf(args, "--from %s is after what there is to look at (up to seq:%" PRIu64 ")", from, o->last_seq);
        return false;
    }
    return r == 0;
}

static void summary(const struct detect_options *o, const struct detect_result *r)
{
    fprintf(stderr, "chronovisor detect: %" PRIu64 " events, %" PRIu64 " alarm%s", r->events, r->alarms,
            r->alarms == 1 ? "" : "s");
    if (o->model) fprintf(stderr, "; %" PRIu64 " seconds judged, highest score %.3f", r->rows, r->highest);
    if (o->model && model_mode(o->model) == MODEL_PAIRED && (r->reads == 0) != (r->changes == 0))
        fprintf(stderr, "; the log has no %s, and the model was made for both: it may err", r->reads ? "changes" : "reads");
    if (r->again) fprintf(stderr, "; %" PRIu64 " more hits within a minute of an alarm about the same", r->again);
    if (o->yara_path) fprintf(stderr, "; %" PRIu64 " blocks scanned", r->yara.blocks);
    if (r->yara.timeouts || r->yara.unreadable)
        fprintf(stderr, ", %" PRIu64 " scans took too long, %" PRIu64 " blocks could not be read", r->yara.timeouts,
                r->yara.unreadable);
    fputc('\n', stderr);
}

static int detect(const struct cli_args *args, struct chv_store *store, struct detect_options *o)
{
    struct alarm_out_options out_options = {
        .ecs = cli_value(args, "--ecs"),
        .syslog = cli_flag(args, "--syslog"),
        .webhook = cli_value(args, "--webhook"),
        .exec = cli_value(args, "--exec"),
    };
    struct alarm_out *out = NULL;
    struct detect_result result;
    struct chv_err err;
    const struct sigaction action = {.sa_handler = on_signal};
    if (alarm_out_open(&out_options, &out, &err) < 0) return cli_fail(args, &err);
    o->stop = &stop;
    if (o->follow) {
        sigaction(SIGINT, &action, NULL);
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGHUP, &action, NULL);
    }
    int r = detect_run(store, o, out, &result, &err);
    alarm_out_close(out);
    if (r < 0) return cli_fail(args, &err);
    summary(o, &result);
    return o->follow || result.alarms > 0 ? CLI_OK : CLI_NOTHING;
}

static int load_and_run(const struct cli_args *args, struct chv_store *store)
{
    struct detect_options o = {.follow = cli_flag(args, "--follow"), .no_files = cli_flag(args, "--no-files"),
                               .watch_path = cli_value(args, "--watch"), .yara_path = cli_value(args, "--yara")};
    const char *model_path = cli_value(args, "--model"), *on_alarm = cli_value(args, "--on-alarm");
    struct model *model = NULL;
    struct watch_list *watch = NULL;
    struct chv_err err;
    uint64_t ignored = 0;
    if (!model_path && !o.watch_path && !o.yara_path)
        return cli_failf(args, "nothing to judge by: give --model FILE, --watch LIST or --yara RULES");
    if (on_alarm && strcmp(on_alarm, "log") != 0 && strcmp(on_alarm, "hold") != 0)
        return cli_failf(args, "--on-alarm '%.40s' is neither log nor hold", on_alarm);
    o.hold = on_alarm && strcmp(on_alarm, "hold") == 0;
    if (cli_value(args, "--space")) {
        const struct chv_space *space = cli_space(args, store);
        if (!space) return CLI_ERROR;
        o.space = space->id;
    }
    if (!read_range(args, store, &o)) return CLI_ERROR;
    int r = model_path ? model_load(model_path, &model, &err) : 0;
    if (r == 0 && o.watch_path)
        r = watch_list_load(o.watch_path, chv_store_block_bytes(store), &watch, &ignored, &err);
    o.model = model;
    o.watch = watch;
    if (o.watch && ignored)
        fprintf(stderr, "chronovisor detect: %s: %" PRIu64 " entries have no SHA-256 of a whole block and match nothing\n",
                cli_value(args, "--watch"), ignored);
    int code = r < 0 ? cli_fail(args, &err) : detect(args, store, &o);
    watch_list_free(watch);
    model_free(model);
    return code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_detect, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    struct chv_store *store = NULL;
    if (args.count > 0)
        cli_failf(&args, "unexpected argument '%.60s'", args.positional[0]);
    else if ((store = cli_store_open(&args)))
        code = load_and_run(&args, store);
    chv_store_close(store);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_detect = {
    .name = "detect",
    .group = "Detect",
    .synopsis = "[--model FILE] [--watch LIST] [--yara RULES] [--follow | --from TIME --to TIME] [OPTION…]",
    .summary = "raise alarms about ransomware and known-bad content",
    .example = "chronovisor detect --store evidence --model detector.model --follow --syslog",
    .options = options,
    .run = run,
};
