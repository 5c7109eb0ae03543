/* chronovisor rewind: put the recorded device itself back to an instant. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/cli.h"
#include "store/held.h"
#include "timeline/device.h"
#include "timeline/rewind.h"

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    CLI_OPT_SPACE,
    {"--to", "TIME", "the instant to go back to"},
    {"--dry-run", NULL, "say what would be written, from the log alone, and change nothing"},
    {"--assume-unchanged", NULL, "go on although the device may have changed while nobody watched"},
    {"--skip-unknown", NULL, "leave blocks as they are whose content at the instant is not known"},
    CLI_OPT_SOURCE,
    CLI_OPT_REASON,
    {0},
};

/* A signal only asks; the batch under way is finished first. File scope because handlers take no argument. */
static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
    (void)signal;
    stop = 1;
}

static void progress(void *arg, const char *what, uint64_t done, uint64_t total)
{
    (void)arg;
    cli_progress(what, done, total);
}

static int refuse_unknown(const struct cli_args *args, const struct chv_store *store, const struct chv_space *space,
                          const struct rewind_plan *plan)
{
    if (plan->unknown_blocks == 0 || cli_flag(args, "--skip-unknown")) return CLI_OK;
    uint64_t sectors = chv_store_block_bytes(store) / CHV_SECTOR_BYTES;
    return cli_failf(args,
                     "%" PRIu64 " blocks of %s are not known as of that instant, the first at LBA %" PRIu64
                     "; nothing was changed; --skip-unknown leaves them as they are",
                     plan->unknown_blocks, space->name, plan->first_unknown * sectors);
}

/* Recorders lock the device whole; QEMU locks bytes of an image that it uses. */
static int refuse_in_use(const struct cli_args *args, int device, const char *name)
{
    if (flock(device, LOCK_EX | LOCK_NB) < 0)
        return cli_failf(args, "%s is in use by another recorder; stop it first", name);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 200};
    if (fcntl(device, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK) return CLI_OK;
    return cli_failf(args, "%s is in use by another program (a running QEMU?); stop it first", name);
}

/* What was changed behind the recording's back cannot be found where nothing was ever recorded. */
static int refuse_changed(const struct cli_args *args, const struct chv_space *space, int device, const char *name,
                          struct mark *mark, bool *known)
{
    const char *why = device_differs(cli_store_dir(args), space, device, mark, known);
    if (!why || cli_value(args, "--source") || cli_flag(args, "--assume-unchanged")) return CLI_OK;
    return cli_failf(args,
                     "%s is not what recording left: %s; 'chronovisor record --resync' records what is there now, "
                     "--assume-unchanged goes on regardless",
                     name, why);
}

/* Until the device is what the log says, the next recorder has to compare the two from `seq` on. A disk that the
 * store does not remember, or that was in doubt already, stays so. */
static int mark_device(const struct cli_args *args, const struct rewind *rewind, struct mark *mark, bool settled)
{
    struct chv_err err;
    const struct mark *one = mark;
    off_t end = lseek(rewind->device, 0, SEEK_END);
    mark->clean = settled;
    mark->seq = rewind->undo_seq;
    mark->time_ns = clock_now_ns();
    mark_boot(mark->boot);
    if (end >= 0) disk_stamp_fd(rewind->device, (uint64_t)end, &mark->stamp);
    return mark_save(cli_store_dir(args), &one, 1, &err) < 0 ? cli_fail(args, &err) : CLI_OK;
}

static int verify_and_write(const struct cli_args *args, struct rewind *rewind, struct mark *mark, bool known)
{
    struct chv_err err;
    if (rewind_verify(rewind, &err) < 0) return cli_fail(args, &err);
    bool was_clean = known && mark->clean;
    if (known && !was_clean) { /* what had to be compared before still has to be, and the change is ours */
        const struct mark *one = mark;
        mark->time_ns = clock_now_ns();
        if (mark_save(cli_store_dir(args), &one, 1, &err) < 0) return cli_fail(args, &err);
    }
    if (was_clean && mark_device(args, rewind, mark, false) != CLI_OK) return CLI_ERROR;
    int r = rewind_write(rewind, &err);
    int code = r < 0 ? cli_fail(args, &err) : CLI_OK;
    /* After an interruption every batch that the log has is on the device too. */
    if (was_clean && (r == 0 || r == -EINTR) && mark_device(args, rewind, mark, true) != CLI_OK) code = CLI_ERROR;
    return code;
}

static void report_plan(const struct cli_args *args, const struct chv_space *space, uint64_t seq,
                        const struct rewind_plan *plan)
{
    if (args->json) {
        printf("{\"dry_run\": true, \"space\": ");
        cli_json_string(stdout, space->name);
        printf(", \"seq\": %" PRIu64 ", \"blocks\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"unknown_blocks\": %" PRIu64
               "}\n",
               seq, plan->blocks, plan->bytes, plan->unknown_blocks);
        return;
    }
    printf("would write %" PRIu64 " blocks (%" PRIu64 " bytes) to put %s back to seq:%" PRIu64, plan->blocks,
           plan->bytes, space->name, seq);
    if (plan->unknown_blocks) printf("; %" PRIu64 " blocks are not known as of then", plan->unknown_blocks);
    printf("\n");
}

static void report(const struct cli_args *args, const char *space, const struct rewind *rewind,
                   const struct rewind_plan *plan)
{
    cli_progress_end();
    if (args->json) {
        printf("{\"space\": ");
        cli_json_string(stdout, space);
        printf(", \"seq\": %" PRIu64 ", \"checked_blocks\": %" PRIu64 ", \"found_blocks\": %" PRIu64
               ", \"written_blocks\": %" PRIu64 ", \"written_bytes\": %" PRIu64 ", \"skipped_unknown_blocks\": %" PRIu64
               ", \"undo\": \"seq:%" PRIu64 "\"}\n",
               rewind->seq, rewind->checked_blocks, rewind->found_blocks, rewind->written_blocks, rewind->written_bytes,
               plan->unknown_blocks, rewind->undo_seq);
        return;
    }
    if (rewind->found_blocks)
        printf("%" PRIu64 " blocks of the device were not what the log ends with; what they held was recorded first\n",
               rewind->found_blocks);
    if (plan->unknown_blocks)
        printf("%" PRIu64 " blocks are not known as of then and were left as they are\n", plan->unknown_blocks);
    printf("%s is back at seq:%" PRIu64 ": %" PRIu64 " blocks (%" PRIu64 " bytes) written\n", space, rewind->seq,
           rewind->written_blocks, rewind->written_bytes);
    printf("to undo: chronovisor rewind --store %s --space %s --to seq:%" PRIu64 "\n", cli_store_dir(args), space,
           rewind->undo_seq);
}

/* An alarm may hold the disk (store/held.h): that is over when the disk the alarm was about is back. */
static int release_hold(const struct cli_args *args, const char *space)
{
    struct chv_err err;
    char *text = NULL;
    int r = held_read(cli_store_dir(args), &text, &err);
    json_t *why = r > 0 ? json_loads(text, 0, NULL) : NULL;
    const char *about = json_string_value(json_object_get(why, "space"));
    bool other = about && strcmp(about, space) != 0;
    json_decref(why);
    free(text);
    if (r > 0) r = other ? 0 : held_clear(cli_store_dir(args), &err);
    if (r < 0) return cli_fail(args, &err);
    if (r > 0 && !args->json) printf("the hold of an alarm is released\n");
    return CLI_OK;
}

/* With the recorder held and the store refreshed: nobody else writes events any more. */
static int rewind_locked(struct cli_args *args, struct rewind *rewind, const struct chv_space *space)
{
    struct chv_err err;
    struct rewind_plan plan;
    char name[CHV_SPACE_NAME_BYTES + 1];
    snprintf(name, sizeof name, "%s", space->name); /* a refresh ends the space */
    if (rewind_plan(rewind->store, space, rewind->seq, &plan, &err) < 0) return cli_fail(args, &err);
    int code = refuse_unknown(args, rewind->store, space, &plan);
    if (code != CLI_OK) return code;
    const char *source = cli_value(args, "--source");
    rewind->device = device_open(space, source, O_RDWR, &err);
    if (rewind->device < 0) return cli_fail(args, &err);
    struct mark mark;
    bool known;
    code = refuse_in_use(args, rewind->device, source ? source : space->source);
    if (code == CLI_OK)
        code = refuse_changed(args, space, rewind->device, source ? source : space->source, &mark, &known);
    if (code == CLI_OK)
        code = cli_custody(args, "rewind", "%s on %s to seq:%" PRIu64 ", %" PRIu64 " blocks by the log", name,
                           source ? source : space->source, rewind->seq, plan.blocks);
    if (code == CLI_OK) code = verify_and_write(args, rewind, &mark, known);
    close(rewind->device);
    if (code == CLI_OK) report(args, name, rewind, &plan);
    return code == CLI_OK ? release_hold(args, name) : code;
}

static int rewind_now(struct cli_args *args, struct rewind *rewind)
{
    struct chv_err err;
    int r = chv_recorder_open(cli_store_dir(args), NULL, &rewind->recorder, &err);
    if (r == -EBUSY)
        return cli_failf(args, "the store is being recorded into; stop the recorder (and the guest) first");
    if (r < 0) return cli_fail(args, &err);
    int code = CLI_ERROR;
    /* Opening the recorder may have recovered events that were not in the log before. */
    if (chv_store_refresh(rewind->store, &err) < 0)
        cli_fail(args, &err);
    else
        code = rewind_locked(args, rewind, chv_store_space_by_id(rewind->store, rewind->space_id));
    if (chv_recorder_close(rewind->recorder, &err) < 0 && code == CLI_OK) code = cli_fail(args, &err);
    return code;
}

static int rewind_space(struct cli_args *args, struct chv_store *store)
{
    struct rewind rewind = {.store = store, .progress = progress, .stop = &stop, .device = -1};
    const struct chv_space *space = cli_space(args, store);
    if (!space || !cli_instant(args, "--to", store, &rewind.seq)) return CLI_ERROR;
    rewind.space_id = space->id;
    if (!cli_flag(args, "--dry-run")) return rewind_now(args, &rewind);
    struct chv_err err;
    struct rewind_plan plan;
    if (rewind_plan(store, space, rewind.seq, &plan, &err) < 0) return cli_fail(args, &err);
    report_plan(args, space, rewind.seq, &plan);
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_rewind, argc, argv, &args)) return CLI_ERROR;
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    int code = CLI_ERROR;
    struct chv_store *store = NULL;
    if (args.count > 0)
        cli_failf(&args, "unexpected argument '%.60s'", args.positional[0]);
    else if (!cli_value(&args, "--to"))
        cli_failf(&args, "no instant given; add --to TIME");
    else if ((store = cli_store_open(&args)))
        code = rewind_space(&args, store);
    chv_store_close(store);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_rewind = {
    .name = "rewind",
    .group = "Put back",
    .synopsis = "[--space NAME] --to TIME [--dry-run] [--skip-unknown] [--assume-unchanged]",
    .summary = "put the recorded disk itself back to an instant, undoably",
    .example = "chronovisor rewind --store case1 --space disk:vda --to 2026-11-22T10:41:00Z --reason 'ransomware'",
    .options = options,
    .run = run,
};
