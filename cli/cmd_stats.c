/* chronovisor stats: the log counted, one space at a time. One pass, memory by the number of spaces. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/event_text.h"

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    {"--space", "NAME", "only this space"},
    {"--from", "TIME", "count events after this instant"},
    {"--to", "TIME", "count events up to this instant"},
    {0},
};

enum { ENTROPY_BUCKETS = 8, SPACES = 65536 };

struct count {
    uint64_t by_op[CHV_OP_MAX + 1];
    uint64_t written_bytes, read_bytes, zeroed_bytes; /* zeroed: ZERO and TRIM */
    uint64_t new_blocks, duplicate_blocks;
    uint64_t entropy[ENTROPY_BUCKETS]; /* of written blocks, by whole bits a byte */
    uint64_t first_time_ns, last_time_ns;
    uint64_t gap_events;
    uint64_t executed, unkept; /* instruction fetches among the reads; writes of which only the entropy is known */
};

static void add(struct count *c, const struct chv_event *e)
{
    uint64_t bytes = (uint64_t)e->sectors * CHV_SECTOR_BYTES;
    c->by_op[e->op <= CHV_OP_MAX ? e->op : 0]++;
    if (c->first_time_ns == 0) c->first_time_ns = e->time_ns;
    c->last_time_ns = e->time_ns;
    if (e->op == CHV_OP_WRITE || chv_event_unkept(e)) {
        unsigned bucket = (unsigned)e->entropy * ENTROPY_BUCKETS / 65536;
        c->entropy[bucket]++;
        c->written_bytes += bytes;
    }
    if (e->op == CHV_OP_READ) c->read_bytes += bytes;
    c->executed += e->op == CHV_OP_READ && e->flags & CHV_EVENT_EXECUTE;
    if (e->op == CHV_OP_ZERO || e->op == CHV_OP_TRIM) c->zeroed_bytes += bytes;
    if (chv_op_has_content(e->op)) *(e->flags & CHV_EVENT_NEW ? &c->new_blocks : &c->duplicate_blocks) += 1;
    if (chv_event_unkept(e)) {
        c->unkept++;
    } else if (e->op == CHV_OP_GAP) {
        struct chv_gap_detail gap;
        memcpy(&gap, e->hash, sizeof gap);
        c->gap_events += gap.events;
    }
}

static void print_json(const char *name, const struct count *c)
{
    char first[CLOCK_TEXT_BYTES], last[CLOCK_TEXT_BYTES];
    printf("{\"space\": ");
    if (name)
        cli_json_string(stdout, name);
    else
        printf("null");
    printf(", \"first_time\": \"%s\", \"last_time\": \"%s\", \"events\": {", clock_format(c->first_time_ns, first),
           clock_format(c->last_time_ns, last));
    const char *comma = "";
    for (uint8_t op = 1; op <= CHV_OP_MAX; op++)
        if (c->by_op[op]) {
            printf("%s\"%s\": %" PRIu64, comma, event_op_name(op), c->by_op[op]);
            comma = ", ";
        }
    printf("}, \"written_bytes\": %" PRIu64 ", \"read_bytes\": %" PRIu64 ", \"zeroed_bytes\": %" PRIu64
           ", \"new_blocks\": %" PRIu64 ", \"duplicate_blocks\": %" PRIu64 ", \"lost_events\": %" PRIu64
           ", \"executed\": %" PRIu64 ", \"content_not_kept\": %" PRIu64 ", \"written_entropy\": [",
           c->written_bytes, c->read_bytes, c->zeroed_bytes, c->new_blocks, c->duplicate_blocks, c->gap_events, c->executed, c->unkept);
    for (int i = 0; i < ENTROPY_BUCKETS; i++) printf("%s%" PRIu64, i ? ", " : "", c->entropy[i]);
    printf("]}\n");
}

static void print_table(const char *name, const struct count *c)
{
    char first[CLOCK_TEXT_BYTES], last[CLOCK_TEXT_BYTES];
    printf("%s\n  from %s to %s\n  events:", name ? name : "(no space)", clock_format(c->first_time_ns, first),
           clock_format(c->last_time_ns, last));
    for (uint8_t op = 1; op <= CHV_OP_MAX; op++)
        if (c->by_op[op]) printf(" %s %" PRIu64, event_op_name(op), c->by_op[op]);
    printf("\n");
    if (!name) return;
    printf("  written %" PRIu64 " bytes, read %" PRIu64 ", zeroed or discarded %" PRIu64 "\n", c->written_bytes,
           c->read_bytes, c->zeroed_bytes);
    printf("  blocks with content: %" PRIu64 " new, %" PRIu64 " known before\n", c->new_blocks, c->duplicate_blocks);
    if (c->executed) printf("  memory: %" PRIu64 " of the reads fetched instructions\n", c->executed);
    if (c->unkept) printf("  written, and only the entropy kept: %" PRIu64 " blocks\n", c->unkept);
    if (c->gap_events) printf("  NOT recorded: %" PRIu64 " events in gaps\n", c->gap_events);
    uint64_t most = 1;
    for (int i = 0; i < ENTROPY_BUCKETS; i++)
        if (c->entropy[i] > most) most = c->entropy[i];
    if (!c->by_op[CHV_OP_WRITE] && !c->unkept) return;
    printf("  entropy of written blocks, bits a byte:\n");
    for (int i = 0; i < ENTROPY_BUCKETS; i++) {
        printf("    %d-%d %12" PRIu64 " ", i, i + 1, c->entropy[i]);
        for (uint64_t bar = 0; bar < (40 * c->entropy[i] + most - 1) / most; bar++) putchar('#');
        printf("\n");
    }
}

static int count_events(const struct cli_args *args, const struct chv_store *store, uint16_t only, uint64_t from,
                        uint64_t to, struct count **counts)
{
    struct chv_err err;
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    size_t n;
    int r;
    if (from >= to) return CLI_OK;
    if (chv_cursor_open(store, from + 1, to, &cursor, &err) < 0) return cli_fail(args, &err);
    while ((r = chv_cursor_next(cursor, &batch, &n, &err)) > 0) {
        for (size_t i = 0; i < n; i++) {
            uint16_t id = batch[i].space;
            if (only && id != only) continue;
            if (!counts[id] && !(counts[id] = calloc(1, sizeof **counts))) {
                chv_cursor_close(cursor);
                return cli_failf(args, "out of memory");
            }
            add(counts[id], &batch[i]);
        }
        if (n > 0) cli_progress("counting", batch[n - 1].seq - from, to - from);
    }
    cli_progress_end();
    chv_cursor_close(cursor);
    return r < 0 ? cli_fail(args, &err) : CLI_OK;
}

static int stats(const struct cli_args *args, const struct chv_store *store)
{
    const struct chv_space *space = NULL;
    uint64_t from = 0, to;
    if (cli_value(args, "--space") && !(space = cli_space(args, store))) return CLI_ERROR;
    if (cli_value(args, "--from") && !cli_instant(args, "--from", store, &from)) return CLI_ERROR;
    if (!cli_instant(args, "--to", store, &to)) return CLI_ERROR;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are meant */
    struct count **counts = calloc(SPACES, sizeof(struct count *));
    if (!counts) return cli_failf(args, "out of memory");
    bool any = false;
    int code = count_events(args, store, space ? space->id : 0, from, to, counts);
    for (unsigned id = 1; id <= SPACES && code == CLI_OK; id++) {
        uint16_t i = (uint16_t)id; /* what belongs to no space (id 0) comes last */
        if (!counts[i]) continue;
        const struct chv_space *s = i ? chv_store_space_by_id(store, i) : NULL;
        any = true;
        (args->json ? print_json : print_table)(s ? s->name : NULL, counts[i]);
    }
    for (unsigned id = 0; id < SPACES; id++) free(counts[id]);
    free(counts);
    return code == CLI_OK && !any ? CLI_NOTHING : code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_stats, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    struct chv_store *store = NULL;
    if (args.count > 0)
        cli_failf(&args, "unexpected argument '%.60s'", args.positional[0]);
    else if ((store = cli_store_open(&args)))
        code = stats(&args, store);
    chv_store_close(store);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_stats = {
    .name = "stats",
    .group = "Look",
    .synopsis = "[--space NAME] [--from TIME] [--to TIME]",
    .summary = "count what was recorded: operations, bytes, duplicates, entropy",
    .example = "chronovisor stats --store case1 --from -1h",
    .options = options,
    .run = run,
};
