/* Random files at random addresses and times, in several copies, fragmented, overwritten bit by bit, trimmed and
 * put back; the search must report exactly the lifetimes that a plain array of the same history gives. */
#include "chronovisor/recorder.h"
#include "search/internal.h"
#include "tests/unit.h"

enum { BLOCK = 4096, SPACES = 2, BLOCKS = 400, FILES = 10, FILE_MAX = 30, STEPS = 500, HISTORY = 40000 };
#define T0 (UINT64_C(1800000000) * 1000000000)
#define SECOND UINT64_C(1000000000)

/* Content is a number: file f, block i is 1 + f * FILE_MAX + i; 0 is zeros; above NOISE is noise. */
#define NOISE 100000u

struct life {
    int space, block;
    uint32_t content;
    uint64_t from, to; /* ns; to 0: still */
};

struct placement { /* a whole copy was put here then */
    int file, space, block;
    uint64_t time;
    bool in_pieces;
};

struct world {
    uint64_t seed, now;
    struct chv_recorder *recorder;
    uint16_t ids[SPACES];
    int file_blocks[FILES];
    uint32_t current[SPACES][BLOCKS];
    bool touched[SPACES][BLOCKS];
    int live[SPACES][BLOCKS]; /* index of the open life */
    struct life lives[HISTORY];
    int life_count;
    struct placement placements[STEPS];
    int placement_count;
    uint32_t noise;
};

static void fill(uint32_t content, uint8_t *buf)
{
    uint64_t state = content * UINT64_C(0x9e3779b97f4a7c15) + 1;
    if (content == 0) memset(buf, 0, BLOCK);
    else
        for (int i = 0; i < BLOCK; i += 8) {
            uint64_t x = unit_random(&state);
            memcpy(buf + i, &x, 8);
        }
}

static void append(struct world *w, const struct chv_record *record)
{
    struct chv_err err;
    CHECK_OK(chv_recorder_append(w->recorder, record, 1, NULL, &err), err);
}

static void model_set(struct world *w, int space, int block, uint32_t content)
{
    if (w->touched[space][block] && w->current[space][block] == content) return;
    if (w->touched[space][block]) w->lives[w->live[space][block]].to = w->now;
    CHECK(w->life_count < HISTORY);
    w->lives[w->life_count] = (struct life){space, block, content, w->now, 0};
    w->live[space][block] = w->life_count++;
    w->current[space][block] = content;
    w->touched[space][block] = true;
}

/* One request of `count` blocks. Untouched blocks had an earlier content: sometimes it is saved first. */
static void write_blocks(struct world *w, int space, int block, const uint32_t *contents, int count)
{
    static uint8_t buf[FILE_MAX * BLOCK];
    for (int i = 0; i < count; i++) {
        if (w->touched[space][block + i] || unit_random(&w->seed) % 2) continue;
        /* a file's block that stood here before recording began, or noise */
        uint32_t old = unit_random(&w->seed) % 3 ? ++w->noise : 1 + (uint32_t)(unit_random(&w->seed) % (FILES * FILE_MAX));
        fill(old, buf);
        append(w, &(struct chv_record){.space = w->ids[space], .op = CHV_OP_BASELINE, .sectors = 8,
                                       .lba = 8 * (uint64_t)(block + i), .time_ns = w->now, .data = buf});
        uint64_t now = w->now;
        w->now = T0; /* true for all earlier time: since the space began */
        model_set(w, space, block + i, old);
        w->now = now;
    }
    for (int i = 0; i < count; i++) {
        fill(contents[i], buf + i * BLOCK);
        model_set(w, space, block + i, contents[i]);
    }
    append(w, &(struct chv_record){.space = w->ids[space], .op = CHV_OP_WRITE, .sectors = 8 * (uint32_t)count,
                                   .lba = 8 * (uint64_t)block, .time_ns = w->now, .data = buf});
}

/* The last files are placed at most once. */
static int placed_file(struct world *w)
{
    for (;;) {
        int file = (int)(unit_random(&w->seed) % FILES), before = 0;
        for (int k = 0; k < w->placement_count; k++) before += w->placements[k].file == file;
        if (file < FILES / 2 || before == 0) return file;
    }
}

static void place(struct world *w)
{
    int file = placed_file(w), n = w->file_blocks[file];
    int space = (int)(unit_random(&w->seed) % SPACES), pieces = unit_random(&w->seed) % 3 ? 1 : 2;
    uint32_t contents[FILE_MAX];
    for (int i = 0; i < n; i++) contents[i] = 1 + (uint32_t)(file * FILE_MAX + i);
    int cut = pieces == 1 || n < 2 ? n : 1 + (int)(unit_random(&w->seed) % (unsigned)(n - 1));
    int at = (int)(unit_random(&w->seed) % (unsigned)(BLOCKS / 2 - cut));
    write_blocks(w, space, at, contents, cut);
    if (cut < n) {
        int other = BLOCKS / 2 + (int)(unit_random(&w->seed) % (unsigned)(BLOCKS / 2 - (n - cut)));
        write_blocks(w, space, other, contents + cut, n - cut);
    }
    w->placements[w->placement_count++] = (struct placement){file, space, at, w->now, cut < n};
}

static void disturb(struct world *w)
{
    int space = (int)(unit_random(&w->seed) % SPACES), n = 1 + (int)(unit_random(&w->seed) % 20);
    int at = (int)(unit_random(&w->seed) % (unsigned)(BLOCKS - n));
    uint32_t contents[FILE_MAX];
    switch (unit_random(&w->seed) % 3) {
    case 0:
        for (int i = 0; i < n; i++) contents[i] = ++w->noise;
        write_blocks(w, space, at, contents, n);
        break;
    case 1: /* the same again: no end of a sighting */
        for (int i = 0; i < n; i++) contents[i] = w->touched[space][at + i] ? w->current[space][at + i] : ++w->noise;
        write_blocks(w, space, at, contents, n);
        break;
    default:
        append(w, &(struct chv_record){.space = w->ids[space], .op = CHV_OP_TRIM, .sectors = 8 * (uint32_t)n,
                                       .lba = 8 * (uint64_t)at, .time_ns = w->now});
        for (int i = 0; i < n; i++) model_set(w, space, at + i, 0);
    }
}

static bool same_life(const struct life *l, const struct search_span *s, uint64_t i, const struct world *w)
{
    return w->ids[l->space] == s->space && (uint64_t)l->block * 8 == s->sector + 8 * i && l->from == s->from_ns &&
           (l->to ? l->to : SEARCH_STILL) == s->to_ns;
}

/* Every block of every candidate is a lifetime of that content, and every lifetime is in one candidate. */
static void check_lives(const struct world *w, int file, const struct search_result *r)
{
    size_t in_model = 0, in_answer = 0;
    for (int k = 0; k < w->life_count; k++) {
        const struct life *l = &w->lives[k];
        if (l->content == 0 || l->content > NOISE || (int)(l->content - 1) / FILE_MAX != file) continue;
        if ((int)(l->content - 1) % FILE_MAX >= w->file_blocks[file]) continue;
        in_model++;
        int found = 0;
        for (size_t c = 0; c < r->candidate_count; c++)
            for (size_t p = 0; p < r->candidates[c].span_count; p++) {
                const struct search_span *s = &r->candidates[c].spans[p];
                uint64_t want = 8 * ((l->content - 1) % FILE_MAX);
                if (want < s->file_sector || want >= s->file_sector + 8 * s->blocks) continue;
                found += same_life(l, s, (want - s->file_sector) / 8, w);
            }
        if (found != 1)
            fprintf(stderr, "file %d content %u space %d block %d from %llu to %llu: %d times\n", file, l->content, l->space,
                    l->block, (unsigned long long)(l->from - T0), (unsigned long long)(l->to ? l->to - T0 : 0), found);
        CHECK(found == 1);
    }
    for (size_t c = 0; c < r->candidate_count; c++)
        for (size_t p = 0; p < r->candidates[c].span_count; p++) in_answer += r->candidates[c].spans[p].blocks;
    CHECK(in_answer == in_model);
    CHECK(r->sightings == in_model);
}

static uint64_t count_at(const struct search_candidate *c, uint64_t time)
{
    uint64_t n = 0;
    for (size_t p = 0; p < c->span_count; p++)
        if (c->spans[p].from_ns <= time && time < c->spans[p].to_ns) n += c->spans[p].blocks;
    return n;
}

/* The best instant is the best there was, the steps are the counts at their times, no part is there twice. */
static void check_counts(const struct world *w, int file, const struct search_result *r)
{
    for (size_t k = 0; k < r->candidate_count; k++) {
        const struct search_candidate *c = &r->candidates[k];
        uint64_t best = 0;
        for (uint64_t t = T0; t <= w->now; t += SECOND) {
            uint64_t n = count_at(c, t);
            if (n > best) best = n;
        }
        CHECK(c->best == best && c->total == (uint64_t)w->file_blocks[file] && best <= c->total);
        for (size_t i = 0; i < c->step_count; i++) CHECK(c->steps[i].blocks == count_at(c, c->steps[i].time_ns));
        CHECK(count_at(c, c->best_from_ns) == best);
        if (k > 0) CHECK(r->candidates[k - 1].best >= c->best);
    }
}

/* A copy that was placed whole is one candidate, whole at that time. */
static void check_placements(const struct world *w, int file, const struct search_result *r)
{
    int copies = 0;
    for (int k = 0; k < w->placement_count; k++) copies += w->placements[k].file == file;
    for (int k = 0; k < w->placement_count; k++) {
        const struct placement *p = &w->placements[k];
        /* the pieces of several copies may be confused with each other; a copy in one piece, or the only one, not */
        if (p->file != file || (p->in_pieces && copies > 1)) continue;
        int whole = 0;
        for (size_t c = 0; c < r->candidate_count; c++) {
            const struct search_candidate *a = &r->candidates[c];
            bool here = p->in_pieces;
            for (size_t i = 0; i < a->span_count; i++)
                here |= a->space == w->ids[p->space] &&
                        a->spans[i].sector - a->spans[i].file_sector == 8 * (uint64_t)p->block &&
                        a->spans[i].from_ns <= p->time && p->time < a->spans[i].to_ns;
            whole += here && count_at(a, p->time) == a->total;
        }
        CHECK(whole == 1);
    }
}

static void check_file(struct world *w, struct chv_store *store, int file, const struct search_options *options)
{
    struct chv_err err;
    struct search *s = search_new(store, options);
    struct search_block blocks[FILE_MAX];
    uint8_t buf[BLOCK];
    uint16_t entropy;
    CHECK(s);
    int n = w->file_blocks[file], half = n / 2;
    for (int i = 0; i < n; i++) {
        fill(1 + (uint32_t)(file * FILE_MAX + i), buf);
        blocks[i] = (struct search_block){.sector = 8 * (uint64_t)i, .kind = (uint8_t)block_kind(buf, BLOCK)};
        chv_digest_blocks(buf, BLOCK, 1, &blocks[i].hash, &entropy);
        CHECK(blocks[i].kind == BLOCK_PROBATIVE);
    }
    CHECK_OK(search_batch(s, blocks, (size_t)half, &err), err);
    CHECK_OK(search_batch(s, blocks + half, (size_t)(n - half), &err), err);
    const struct search_result *r;
    CHECK_OK(search_finish(s, &r, &err), err);
    CHECK(r->kinds[BLOCK_PROBATIVE] == (uint64_t)n && r->tolerance_ns == 0 && r->pieces_dropped == 0 && r->capped == 0);
    if (!options->space && !options->from_seq && !options->to_seq) {
        check_lives(w, file, r);
        check_counts(w, file, r);
        check_placements(w, file, r);
    } else { /* restricted: exactly the lifetimes that meet the range */
        size_t want = 0, got = 0;
        struct chv_event from = {0}, to = {0};
        if (options->from_seq) CHECK_OK(chv_store_event(store, options->from_seq, &from, &err), err);
        CHECK_OK(chv_store_event(store, options->to_seq, &to, &err), err);
        for (int k = 0; k < w->life_count; k++) {
            const struct life *l = &w->lives[k];
            if (l->content == 0 || l->content > NOISE || (int)(l->content - 1) / FILE_MAX != file ||
                (int)(l->content - 1) % FILE_MAX >= n || (options->space && w->ids[l->space] != options->space))
                continue;
            want += l->from <= to.time_ns && (!l->to || l->to > from.time_ns);
        }
        for (size_t c = 0; c < r->candidate_count; c++)
            for (size_t p = 0; p < r->candidates[c].span_count; p++) got += r->candidates[c].spans[p].blocks;
        CHECK(want == got);
    }
    search_free(s);
}

/* The last event at this time: a range that ends within one instant would be harder to state than to search. */
static uint64_t seq_at(struct chv_store *store, uint64_t time)
{
    struct chv_err err;
    uint64_t seq;
    CHECK_OK(chv_store_seq_at(store, time, &seq, &err), err);
    return seq;
}

int main(int argc, char **argv)
{
    static struct world w;
    char dir[256], path[300];
    struct chv_err err;
    w.seed = unit_seed(argc, argv);
    w.noise = NOISE;
    w.now = T0;
    snprintf(path, sizeof path, "%s/store", unit_temp_dir(dir));
    CHECK_OK(chv_store_create(path, &(struct chv_store_config){.block_bytes = BLOCK}, &err), err);
    CHECK_OK(chv_recorder_open(path, NULL, &w.recorder, &err), err);
    /* the clock of the spaces: their own events carry the time of day, so the model learns it from the store */
    for (int i = 0; i < SPACES; i++) {
        snprintf(path, sizeof path, "disk:%d", i);
        CHECK_OK(chv_recorder_space(w.recorder, path, BLOCKS * BLOCK, CHV_REST_UNKNOWN, NULL, &w.ids[i], &err), err);
    }
    for (int f = 0; f < FILES; f++) w.file_blocks[f] = 1 + (int)(unit_random(&w.seed) % FILE_MAX);
    for (int step = 0; step < STEPS; step++) {
        w.now += SECOND;
        if (unit_random(&w.seed) % 4 == 0) place(&w);
        else disturb(&w);
    }
    CHECK_OK(chv_recorder_close(w.recorder, &err), err);

    struct chv_store *store;
    snprintf(path, sizeof path, "%s/store", dir);
    CHECK_OK(chv_store_open(path, &store, &err), err);
    for (int k = 0; k < w.life_count; k++)
        if (w.lives[k].from == T0) w.lives[k].from = chv_store_space_by_id(store, w.ids[w.lives[k].space])->first_time_ns;
    for (int f = 0; f < FILES; f++) {
        check_file(&w, store, f, &(struct search_options){0});
        check_file(&w, store, f, &(struct search_options){.space = w.ids[1], .to_seq = seq_at(store, UINT64_MAX)});
        uint64_t a = seq_at(store, T0 + unit_random(&w.seed) % (STEPS * SECOND));
        uint64_t b = seq_at(store, T0 + unit_random(&w.seed) % (STEPS * SECOND));
        if (a > b) {
            uint64_t swap = a;
            a = b;
            b = swap;
        }
        check_file(&w, store, f, &(struct search_options){.from_seq = a, .to_seq = b});
        check_file(&w, store, f, &(struct search_options){.from_seq = b, .to_seq = b});
    }
    chv_store_close(store);
    unit_remove_tree(dir);
    return 0;
}
