/* chronovisor events: the evidence log as it is, filtered. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "cli/cli.h"
#include "cli/event_text.h"

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    {"--space", "NAME", "only this space"},
    {"--from", "TIME", "from this instant on, itself included"},
    {"--to", "TIME", "up to this instant, itself included"},
    {"--op", "LIST", "only these operations: space,write,read,zero,trim,baseline,found,flush,gap,commit,mark,prune"},
    {"--lba", "FIRST[-LAST]", "only events that touch these sectors of 512 bytes"},
    {"--limit", "N", "end after N events"},
    {0},
};

struct filter {
    uint64_t first_seq, last_seq, limit;
    uint64_t first_lba, last_lba;
    uint32_t ops;   /* bit by operation */
    uint16_t space; /* 0: all */
    bool by_lba;
};

static bool parse_ops(const struct cli_args *args, uint32_t *ops)
{
    const char *text = cli_value(args, "--op");
    *ops = ~0u;
    if (!text) return true;
    *ops = 0;
    for (const char *p = text;; p++) {
        size_t n = strcspn(p, ",");
        uint8_t op = event_op_parse(p, n);
        if (op == 0) {
            cli_failf(args, "--op: no operation '%.*s'; 'chronovisor events --help' lists them", n < 40 ? (int)n : 40,
                      p);
            return false;
        }
        *ops |= 1u << op;
        p += n;
        if (!*p) return true;
    }
}

static bool parse_lba(const struct cli_args *args, struct filter *filter)
{
    const char *text = cli_value(args, "--lba");
    filter->by_lba = text != NULL;
    if (!text) return true;
    char *end;
    filter->first_lba = filter->last_lba = strtoull(text, &end, 10);
    bool good = text[0] >= '0' && text[0] <= '9';
    if (good && *end == '-' && end[1] >= '0' && end[1] <= '9') filter->last_lba = strtoull(end + 1, &end, 10);
    if (good && !*end && filter->first_lba <= filter->last_lba && filter->last_lba <= CHV_LBA_MAX) return true;
    cli_failf(args, "--lba '%.40s' is neither a sector number nor FIRST-LAST", text);
    return false;
}

/* A time begins with the first event that is not before it; seq:N with itself. */
static bool parse_from(const struct cli_args *args, const struct chv_store *store, uint64_t *first_seq)
{
    const char *text = cli_value(args, "--from");
    struct instant instant;
    struct chv_err err;
    *first_seq = 1;
    if (!text) return true;
    int r = instant_parse(text, clock_now_ns(), &instant, &err);
    if (r == 0 && instant.kind == INSTANT_SEQ) {
        *first_seq = instant.value;
    } else if (r == 0 && instant.value > 0) {
        r = chv_store_seq_at(store, instant.value - 1, first_seq, &err);
        ++*first_seq;
    }
    if (r < 0) cli_fail(args, &err);
    return r == 0;
}

static bool parse_filter(const struct cli_args *args, const struct chv_store *store, struct filter *filter)
{
    const struct chv_space *space = NULL;
    memset(filter, 0, sizeof *filter);
    if (cli_value(args, "--space")) {
        if (!(space = cli_space(args, store))) return false;
        filter->space = space->id;
    }
    return parse_from(args, store, &filter->first_seq) && cli_instant(args, "--to", store, &filter->last_seq) &&
           parse_ops(args, &filter->ops) && parse_lba(args, filter) &&
           cli_number(args, "--limit", UINT64_MAX, UINT64_MAX, &filter->limit);
}

static bool has_address(const struct chv_event *e)
{
    return chv_op_is_version(e->op) || e->op == CHV_OP_READ;
}

static bool matches(const struct filter *f, const struct chv_event *e)
{
    if (!(f->ops & 1u << (e->op & 31)) || (f->space && f->space != e->space)) return false;
    if (!f->by_lba) return true;
    uint64_t lba = chv_event_lba(e);
    return has_address(e) && lba <= f->last_lba && e->sectors > 0 && lba + e->sectors - 1 >= f->first_lba;
}

static void space_event_name(const struct chv_event *e, char name[CHV_SPACE_NAME_BYTES + 1])
{
    memcpy(name, e->hash, CHV_SPACE_NAME_BYTES);
    name[CHV_SPACE_NAME_BYTES] = 0;
}

static void print_json(const struct chv_store *store, const struct chv_event *e)
{
    char when[CLOCK_TEXT_BYTES], flags[EVENT_FLAGS_BYTES], hex[2 * CHV_HASH_BYTES + 1];
    const struct chv_space *space = e->space ? chv_store_space_by_id(store, e->space) : NULL;
    printf("{\"seq\": %" PRIu64 ", \"time\": \"%s\", \"time_ns\": %" PRIu64 ", \"op\": \"%s\", \"space_id\": %u",
           e->seq, clock_format(e->time_ns, when), e->time_ns, event_op_name(e->op), e->space);
    if (space) {
        printf(", \"space\": ");
        cli_json_string(stdout, space->name);
    }
    printf(", \"lba\": %" PRIu64 ", \"sectors\": %" PRIu32, chv_event_lba(e), e->sectors);
    if (e->op == CHV_OP_SPACE) {
        char name[CHV_SPACE_NAME_BYTES + 1];
        space_event_name(e, name);
        printf(", \"name\": ");
        cli_json_string(stdout, name);
        printf(", \"rest\": \"%s\"}\n", event_rest_name(e->flags));
        return;
    }
    printf(", \"flags\": \"%s\"", event_flags_text(e, flags));
    if (chv_op_has_content(e->op) || chv_event_unkept(e)) printf(", \"entropy\": %.4f", 8.0 * e->entropy / 65535.0);
    if (e->op == CHV_OP_GAP) {
        struct chv_gap_detail gap;
        memcpy(&gap, e->hash, sizeof gap);
        printf(", \"reason\": \"%s\", \"lost_events\": %" PRIu64 ", \"first_time\": \"%s\"}\n",
               event_gap_reason(gap.reason), gap.events, clock_format(gap.first_time_ns, when));
        return;
    }
    printf(", \"hash\": \"%s\"}\n", hex_format(e->hash, CHV_HASH_BYTES, hex));
}

static void print_row(const struct chv_store *store, const struct chv_event *e)
{
    char when[CLOCK_TEXT_BYTES], flags[EVENT_FLAGS_BYTES], hex[2 * CHV_HASH_BYTES + 1];
    const struct chv_space *space = e->space ? chv_store_space_by_id(store, e->space) : NULL;
    printf("%10" PRIu64 "  %s  %-8s %-12s %12" PRIu64 " %8" PRIu32 "  ", e->seq, clock_format(e->time_ns, when),
           event_op_name(e->op), space ? space->name : "-", chv_event_lba(e), e->sectors);
    if (chv_op_has_content(e->op))
        printf("%4.2f  %.16s  %s", 8.0 * e->entropy / 65535.0, hex_format(e->hash, CHV_HASH_BYTES, hex),
               event_flags_text(e, flags));
    else if (chv_event_unkept(e))
        printf("%4.2f  %s", 8.0 * e->entropy / 65535.0, event_gap_reason(e->hash[0]));
    else if (e->op == CHV_OP_GAP)
        printf("      %s", event_gap_reason(e->hash[0]));
    else
        printf("      %s", event_flags_text(e, flags));
    printf("\n");
}

static int events(const struct cli_args *args, const struct chv_store *store)
{
    struct filter filter;
    struct chv_err err;
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    size_t count;
    uint64_t shown = 0;
    if (!parse_filter(args, store, &filter)) return CLI_ERROR;
    if (filter.first_seq > filter.last_seq || filter.limit == 0) return CLI_NOTHING;
    if (chv_cursor_open(store, filter.first_seq, filter.last_seq, &cursor, &err) < 0) return cli_fail(args, &err);
    int r = 0;
    while (shown < filter.limit && !ferror(stdout) && (r = chv_cursor_next(cursor, &batch, &count, &err)) > 0)
        for (size_t i = 0; i < count && shown < filter.limit; i++) {
            if (!matches(&filter, &batch[i])) continue;
            if (shown++ == 0 && !args->json)
                printf("%10s  %-27s  %-8s %-12s %12s %8s  %-4s  %-16s  %s\n", "SEQ", "TIME", "OP", "SPACE", "LBA",
                       "SECTORS", "BITS", "HASH", "FLAGS");
            (args->json ? print_json : print_row)(store, &batch[i]);
        }
    chv_cursor_close(cursor);
    if (r < 0) return cli_fail(args, &err);
    return shown > 0 ? CLI_OK : CLI_NOTHING;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_events, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    struct chv_store *store = NULL;
    if (args.count > 0)
        cli_failf(&args, "unexpected argument '%.60s'", args.positional[0]);
    else if ((store = cli_store_open(&args)))
        code = events(&args, store);
    chv_store_close(store);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_events = {
    .name = "events",
    .group = "Look",
    .synopsis = "[--space NAME] [--from TIME] [--to TIME] [--op LIST] [--lba FIRST[-LAST]] [--limit N]",
    .summary = "list the events of the evidence log",
    .example = "chronovisor events --store case1 --op write --from -10m --limit 20",
    .options = options,
    .run = run,
};
