#include "cli/search_print.h"

#include "cli/files_at.h"

#include <stdlib.h>

#define RUNS_SHOWN 256 /* pieces in a JSON answer */
#define NAMING_NS (UINT64_C(60) * 1000000000)

static const char *from_word(uint8_t op)
{
    return op == CHV_OP_WRITE ? "written" : op == CHV_OP_BASELINE ? "before recording" : "found";
}

static const char *to_word(uint8_t op)
{
    switch (op) {
    case CHV_OP_ZERO: return "zeroed";
    case CHV_OP_TRIM: return "trimmed";
    case CHV_OP_GAP: return "not recorded";
    default: return "overwritten";
    }
}

static const char *order_word(const struct search_candidate *c)
{
    return c->pieces == 1 ? "in order" : c->ascending ? "pieces in order" : "scattered";
}

static double fraction(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0;
}

static bool standing(const struct search_span *s, uint64_t seq)
{
    return s->from_seq_last <= seq && seq < s->to_seq;
}

static void print_not_counted(const struct search_result *r)
{
    const char *lead = "; not counted: ";
    for (int k = BLOCK_PROBATIVE + 1; k < BLOCK_KINDS; k++) {
        if (!r->kinds[k]) continue;
        printf("%s%llu %s", lead, (unsigned long long)r->kinds[k], block_kind_name((enum block_kind)k));
        lead = ", ";
    }
}

void search_print_subject(const struct search_print *p, const struct search_result *r)
{
    if (p->json) return;
    printf("%s: ", p->subject);
    if (p->sampled)
        printf("%llu of %llu blocks drawn (--seed %llu), %llu probative", (unsigned long long)r->blocks,
               (unsigned long long)p->blocks, (unsigned long long)p->seed, (unsigned long long)r->kinds[0]);
    else
        printf("%llu block%s looked up, %llu probative", (unsigned long long)r->blocks, r->blocks == 1 ? "" : "s",
               (unsigned long long)r->kinds[BLOCK_PROBATIVE]);
    print_not_counted(r);
    printf("; %llu seen\n", (unsigned long long)r->found);
    if (r->capped)
        printf("  note: %llu block%s seen more often than is looked at; some placements may be missing\n",
               (unsigned long long)r->capped, r->capped == 1 ? " was" : "s were");
    if (r->tolerance_ns)
        printf("  note: very many pieces: times are rounded to %g s to keep memory bounded\n",
               (double)r->tolerance_ns / 1e9);
    if (r->pieces_dropped)
        printf("  note: the %llu smallest pieces were left out to bound the work\n",
               (unsigned long long)r->pieces_dropped);
}

/* A fraction is never rounded up to 100 %. */
static void percent_text(uint64_t part, uint64_t whole, char *buf, size_t bytes)
{
    double f = 100 * fraction(part, whole);
    if (part < whole && f > 99.9) f = 99.9;
    snprintf(buf, bytes, part == whole || f < 0.05 ? "%.0f %%" : "%.1f %%", f);
}

static const char *until_text(uint64_t ns, uint8_t op, char buf[CLOCK_TEXT_BYTES + 32])
{
    char time[CLOCK_TEXT_BYTES];
    if (ns == SEARCH_STILL) return "still there";
    snprintf(buf, CLOCK_TEXT_BYTES + 32, "%s %s", clock_format(ns, time), to_word(op));
    return buf;
}

static void print_steps(const struct search_candidate *c)
{
    if (c->step_count < 2 || (c->step_count == 2 && c->steps[1].blocks == 0)) return;
    size_t shown = c->step_count > 8 ? 8 : c->step_count;
    printf("      over time:");
    for (size_t i = 0; i < shown; i++) {
        /* the first ones and the last one */
        const struct search_step *s = &c->steps[i + 1 == shown ? c->step_count - 1 : i];
        char time[CLOCK_TEXT_BYTES], percent[32];
        percent_text(s->blocks, c->total, percent, sizeof percent);
        printf("%s %s from %s", i == 0 ? "" : i + 1 == shown && shown < c->step_count ? " …" : ",", percent,
               clock_format(s->time_ns, time));
    }
    printf("\n");
}

/* Names cost a walk over all metadata of a file system each; an answer shall not wait for hundreds of them. */
static char *name_of(struct search_print *p, const struct search_candidate *c)
{
    if (!p->names) return NULL;
    if (p->naming_ns > NAMING_NS) {
        p->names_left_out++;
        return NULL;
    }
    uint64_t begun = clock_now_ns();
    char *name = search_name(p->store, c);
    uint64_t now = clock_now_ns();
    p->naming_ns += now > begun ? now - begun : 0;
    return name;
}

static void print_human(struct search_print *p, const struct search_candidate *c, size_t rank)
{
    const struct chv_space *space = chv_store_space_by_id(p->store, c->space);
    char time[CLOCK_TEXT_BYTES], until[CLOCK_TEXT_BYTES + 32], percent[32];
    percent_text(c->best, c->total, percent, sizeof percent);
    printf("  %2zu  %-7s %llu/%llu  %s  LBA %llu-%llu  %s", rank, percent, (unsigned long long)c->best,
           (unsigned long long)c->total, space ? space->name : "?", (unsigned long long)c->first_sector,
           (unsigned long long)c->end_sector - 1, order_word(c));
    if (c->pieces > 1) printf(" (%zu)", c->pieces);
    if (c->phase) printf("  file from sector %u", c->phase);
    printf("\n      from %s %s, until %s\n", clock_format(c->from_ns, time), from_word(c->from_op),
           until_text(c->to_ns, c->to_op, until));
    print_steps(c);
    if (c->weak) printf("      weak: rests on blocks that many files share\n");
    if (c->weak_at_best) printf("      and %llu non-probative blocks in place\n", (unsigned long long)c->weak_at_best);
    char *name = name_of(p, c);
    if (name) {
        printf("      file then: ");
        files_print_text(stdout, name);
        printf("\n");
    }
    free(name);
}

static void json_time(const char *key, uint64_t ns)
{
    char time[CLOCK_TEXT_BYTES];
    if (ns == SEARCH_STILL) printf(",\"%s\":null", key);
    else printf(",\"%s\":\"%s\"", key, clock_format(ns, time));
}

static void json_runs(const struct search_print *p, const struct search_candidate *c)
{
    uint64_t unit = chv_store_block_bytes(p->store) / CHV_SECTOR_BYTES;
    size_t shown = 0, left_out = 0;
    printf(",\"runs\":[");
    for (size_t i = 0; i < c->span_count;) {
        const struct search_span *s = &c->spans[i++];
        if (!standing(s, c->best_seq)) continue;
        uint64_t blocks = s->blocks;
        /* spans that differ in time only are one run at this instant */
        for (; i < c->span_count; i++) {
            const struct search_span *n = &c->spans[i];
            if (!standing(n, c->best_seq)) continue;
            if (n->file_sector != s->file_sector + blocks * unit || n->sector != s->sector + blocks * unit) break;
            blocks += n->blocks;
        }
        if (shown == RUNS_SHOWN) {
            left_out++;
            continue;
        }
        printf("%s{\"file_offset\":%llu,\"lba\":%llu,\"sectors\":%llu}", shown++ ? "," : "",
               (unsigned long long)s->file_sector * CHV_SECTOR_BYTES, (unsigned long long)s->sector,
               (unsigned long long)blocks * unit);
    }
    printf("],\"runs_left_out\":%zu", left_out);
}

static void json_steps(const struct search_candidate *c)
{
    printf(",\"over_time\":[");
    for (size_t i = 0; i < c->step_count; i++) {
        char time[CLOCK_TEXT_BYTES];
        printf("%s{\"time\":\"%s\",\"blocks\":%llu}", i ? "," : "", clock_format(c->steps[i].time_ns, time),
               (unsigned long long)c->steps[i].blocks);
    }
    printf("],\"over_time_thinned\":%s", c->steps_thinned ? "true" : "false");
}

static void json_subject(const struct search_print *p, const struct search_result *r)
{
    printf(",\"blocks_looked_up\":%llu,\"blocks_seen\":%llu,\"not_counted\":{", (unsigned long long)r->blocks,
           (unsigned long long)r->found);
    bool first = true;
    for (int k = BLOCK_PROBATIVE + 1; k < BLOCK_KINDS; k++) {
        if (!r->kinds[k]) continue;
        printf("%s\"%s\":%llu", first ? "" : ",", block_kind_name((enum block_kind)k), (unsigned long long)r->kinds[k]);
        first = false;
    }
    printf("},\"blocks_capped\":%llu,\"tolerance_ns\":%llu,\"pieces_left_out\":%llu", (unsigned long long)r->capped,
           (unsigned long long)r->tolerance_ns, (unsigned long long)r->pieces_dropped);
    if (p->sampled)
        printf(",\"sample\":{\"population\":%llu,\"drawn\":%llu,\"seed\":%llu}", (unsigned long long)p->blocks,
               (unsigned long long)r->blocks, (unsigned long long)p->seed);
}

static void print_json(struct search_print *p, const struct search_result *r, const struct search_candidate *c,
                       size_t rank)
{
    const struct chv_space *space = chv_store_space_by_id(p->store, c->space);
    printf("{\"file\":");
    cli_json_string(stdout, p->subject);
    printf(",\"rank\":%zu,\"space\":", rank);
    cli_json_string(stdout, space ? space->name : "");
    printf(",\"lba\":%llu,\"end_lba\":%llu,\"fraction\":%.6f,\"blocks\":%llu,\"probative_blocks\":%llu,\"weak\":%s",
           (unsigned long long)c->first_sector, (unsigned long long)c->end_sector, fraction(c->best, c->total),
           (unsigned long long)c->best, (unsigned long long)c->total, c->weak ? "true" : "false");
    printf(",\"non_probative_in_place\":%llu,\"order\":\"%s\",\"pieces\":%zu,\"file_phase_sectors\":%u",
           (unsigned long long)c->weak_at_best, order_word(c), c->pieces, c->phase);
    json_time("from", c->from_ns);
    printf(",\"from_how\":\"%s\"", from_word(c->from_op));
    json_time("until", c->to_ns);
    if (c->to_ns == SEARCH_STILL) printf(",\"until_how\":null");
    else printf(",\"until_how\":\"%s\"", to_word(c->to_op));
    json_time("best_from", c->best_from_ns);
    json_time("best_until", c->best_to_ns);
    printf(",\"best_seq\":%llu", (unsigned long long)c->best_seq);
    json_steps(c);
    json_runs(p, c);
    char *name = name_of(p, c);
    printf(",\"name\":");
    if (name) cli_json_string(stdout, name);
    else printf("null");
    free(name);
    json_subject(p, r);
    printf("}\n");
}

void search_print_candidates(struct search_print *p, const struct search_result *r)
{
    for (size_t i = 0; i < r->candidate_count && i < p->limit; i++) {
        if (p->json) print_json(p, r, &r->candidates[i], i + 1);
        else print_human(p, &r->candidates[i], i + 1);
    }
    if (!p->json && r->candidate_count > p->limit)
        printf("  … and %zu more; --limit shows them\n", r->candidate_count - (size_t)p->limit);
}

void search_print_legend(const struct search_print *p)
{
    if (p->names_left_out)
        printf("note: %llu names were not looked up because the first ones took long; --limit or --at shows fewer candidates\n",
               (unsigned long long)p->names_left_out);
    printf("\npercentage: of the probative blocks, at the instant when most were there; LBA in 512-byte sectors; times UTC\n"
           "from: the first block arrived (written), was met (found), or had been there (before recording)\n"
           "until: the last block went; pieces in order, scattered: a fragmented copy\n");
}
