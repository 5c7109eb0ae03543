/* Random operations on a recorded disk against two models: the device's own content after every
 * operation, and the rule of docs/format.md evaluated on plain lists read back from the log.
 * Views at every seq, diffs, restores, rewinds and their undoing. */
#include <errno.h>
#include <fcntl.h>

#include "tests/timeline/world.h"
#include "timeline/diff.h"
#include "timeline/restore.h"
#include "timeline/rewind.h"

enum { OPERATIONS = 120, VERSIONS_MAX = 8192, CONTENTS_MAX = 4096 };

struct content {
    uint8_t hash[CHV_HASH_BYTES];
    uint8_t bytes[4096];
};

struct instant_image {
    uint64_t seq;
    uint8_t *image;
};

struct model {
    struct world w;
    struct content *contents;
    size_t content_count;
    struct instant_image images[OPERATIONS + 1];
    size_t image_count;
    struct chv_event versions[VERSIONS_MAX]; /* in order of seq */
    size_t version_count;
};

enum known { UNKNOWN, KNOWN };

static void learn(struct model *m, const uint8_t *bytes)
{
    uint8_t hash[1][CHV_HASH_BYTES];
    uint16_t entropy;
    chv_digest_blocks(bytes, m->w.block_bytes, 1, hash, &entropy);
    for (size_t i = 0; i < m->content_count; i++)
        if (memcmp(m->contents[i].hash, hash[0], CHV_HASH_BYTES) == 0) return;
    CHECK(m->content_count < CONTENTS_MAX);
    struct content *c = &m->contents[m->content_count++];
    memcpy(c->hash, hash[0], CHV_HASH_BYTES);
    memcpy(c->bytes, bytes, m->w.block_bytes);
}

static void snapshot(struct model *m, uint64_t seq)
{
    uint8_t *image = malloc(m->w.blocks * m->w.block_bytes);
    CHECK(image);
    world_device(&m->w, image);
    for (uint64_t b = 0; b < m->w.blocks; b++) learn(m, image + b * m->w.block_bytes);
    m->images[m->image_count++] = (struct instant_image){seq, image};
}

static void one_operation(struct model *m)
{
    struct world *w = &m->w;
    uint64_t *random = &w->random, seq;
    uint64_t sectors = (w->size_bytes + 511) / 512;
    static uint8_t data[16 * 4096];
    world_random_fill(w, data, sizeof data);
    uint64_t first = unit_random(random) % w->blocks, count = 1 + unit_random(random) % 6;
    if (count > w->blocks - first) count = w->blocks - first;
    unsigned kind = (unsigned)(unit_random(random) % 20);
    if (kind < 12) {
        uint64_t lba = unit_random(random) % sectors;
        uint32_t n = 1 + (uint32_t)(unit_random(random) % (3 * w->block_bytes / 512));
        if (n > sectors - lba) n = (uint32_t)(sectors - lba);
        seq = world_write(w, lba, n, data);
    } else if (kind < 15) {
        seq = world_zero(w, first, count, kind & 1 ? CHV_OP_TRIM : CHV_OP_ZERO);
    } else if (kind < 17) { /* write again what is there */
        uint8_t image[6 * 4096] = {0};
        CHECK(pread(w->fd, image, count * w->block_bytes, (off_t)(first * w->block_bytes)) > 0);
        uint64_t end =
            (first + count) * w->block_bytes / 512 < sectors ? (first + count) * w->block_bytes / 512 : sectors;
        seq = world_write(w, first * w->block_bytes / 512, (uint32_t)(end - first * w->block_bytes / 512), image);
    } else if (kind == 17) {
        seq =
            world_lost_write(w, first, count, unit_random(random) % 4 ? CHV_GAP_QUEUE_FULL : CHV_GAP_UNOBSERVED, data);
    } else if (kind == 18) {
        seq = world_find(w, first, count);
    } else {
        world_stop_recording(w);
        world_start_recording(w);
        seq = world_last_seq(w);
    }
    snapshot(m, seq);
}

static void read_versions(struct model *m, const struct chv_store *store)
{
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    struct chv_store_info info;
    struct chv_err err;
    size_t count;
    int r;
    chv_store_info(store, &info);
    m->version_count = 0;
    CHECK_OK(chv_cursor_open(store, 1, info.last_seq, &cursor, &err), err);
    while ((r = chv_cursor_next(cursor, &batch, &count, &err)) > 0)
        for (size_t i = 0; i < count; i++) {
            if (!chv_op_is_version(batch[i].op) || batch[i].space != m->w.space) continue;
            CHECK(m->version_count < VERSIONS_MAX);
            m->versions[m->version_count++] = batch[i];
        }
    CHECK_OK(r, err);
    chv_cursor_close(cursor);
}

static bool covers(const struct model *m, const struct chv_event *e, uint64_t block)
{
    uint64_t from = chv_event_lba(e) * 512 / m->w.block_bytes;
    uint64_t to = (chv_event_lba(e) + e->sectors) * 512 + m->w.block_bytes - 1;
    return block >= from && block < to / m->w.block_bytes;
}

static enum known by_hash(const struct model *m, const uint8_t *hash, uint8_t *out)
{
    for (size_t i = 0; i < m->content_count; i++) {
        if (memcmp(m->contents[i].hash, hash, CHV_HASH_BYTES) != 0) continue;
        memcpy(out, m->contents[i].bytes, m->w.block_bytes);
        return KNOWN;
    }
    fprintf(stderr, "a hash in the log that no block ever had\n");
    exit(1);
}

/* docs/format.md, "What block B of space S held as of seq Q". *version: the event's seq or 0. */
static enum known rule(const struct model *m, uint64_t block, uint64_t seq, uint8_t *out, uint64_t *version)
{
    const struct chv_event *before = NULL, *after = NULL;
    bool gap_later = false;
    for (size_t i = 0; i < m->version_count; i++) {
        const struct chv_event *e = &m->versions[i];
        if (e->seq > seq && e->op == CHV_OP_GAP && e->hash[0] == CHV_GAP_UNOBSERVED) gap_later = true;
        if (!covers(m, e, block)) continue;
        if (e->seq <= seq)
            before = e;
        else if (!after)
            after = e;
    }
    memset(out, 0, m->w.block_bytes);
    *version = before ? before->seq : 0;
    if (before && before->op == CHV_OP_GAP) return UNKNOWN;
    if (before) return chv_op_has_content(before->op) ? by_hash(m, before->hash, out) : KNOWN;
    if (after) return after->op == CHV_OP_BASELINE ? by_hash(m, after->hash, out) : UNKNOWN;
    if (gap_later) return UNKNOWN;
    memcpy(out, m->images[0].image + block * m->w.block_bytes, m->w.block_bytes); /* the device; it never changed */
    return KNOWN;
}

/* The image and what of it is known, as of seq. */
static uint64_t whole_rule(const struct model *m, uint64_t seq, uint8_t *image, enum known *known, uint64_t *versions)
{
    uint64_t unknown = 0, version;
    for (uint64_t b = 0; b < m->w.blocks; b++) {
        known[b] = rule(m, b, seq, image + b * m->w.block_bytes, versions ? &versions[b] : &version);
        unknown += known[b] == UNKNOWN;
    }
    return unknown;
}

static void check_view(struct model *m, struct chv_store *store, uint64_t seq, const uint8_t *image,
                       const enum known *known)
{
    struct chv_view *view;
    struct chv_err err;
    CHECK_OK(chv_view_open(store, chv_store_space(store, 0), seq, NULL, &view, &err), err);
    uint64_t size = chv_view_size_bytes(view);
    uint8_t *buf = malloc(size);
    CHECK(buf);
    for (int i = 0; i < 8; i++) {
        uint64_t from = unit_random(&m->w.random) % size, n = 1 + unit_random(&m->w.random) % (size - from);
        if (i == 0) from = 0, n = size;
        if (i > 3 && n > m->w.block_bytes * 2) n = m->w.block_bytes * 2;
        bool all_known = true;
        for (uint64_t b = from / m->w.block_bytes; b * m->w.block_bytes < from + n; b++)
            all_known = all_known && known[b] == KNOWN;
        int r = chv_view_pread(view, buf, n, from, &err);
        if (r != (all_known ? 0 : -EIO)) fprintf(stderr, "seq:%llu: %d %s\n", (unsigned long long)seq, r, err.text);
        CHECK(r == (all_known ? 0 : -EIO));
        if (r == 0 && memcmp(buf, image + from, n) != 0) {
            fprintf(stderr, "the view of seq:%llu differs in +%llu %llu\n", (unsigned long long)seq,
                    (unsigned long long)from, (unsigned long long)n);
            exit(1);
        }
    }
    free(buf);
    chv_view_close(view);
}

static void check_views(struct model *m, struct chv_store *store)
{
    size_t bytes = m->w.blocks * m->w.block_bytes;
    uint8_t *image = malloc(bytes);
    enum known *known = calloc(m->w.blocks, sizeof *known);
    struct chv_store_info info;
    CHECK(image && known);
    chv_store_info(store, &info);
    for (uint64_t seq = m->images[0].seq; seq <= info.last_seq; seq++) {
        whole_rule(m, seq, image, known, NULL);
        check_view(m, store, seq, image, known);
    }
    /* Where an operation ended, what is known is what was really there. */
    for (size_t i = 0; i < m->image_count; i++) {
        whole_rule(m, m->images[i].seq, image, known, NULL);
        for (uint64_t b = 0; b < m->w.blocks; b++)
            CHECK(known[b] == UNKNOWN || memcmp(image + b * m->w.block_bytes, m->images[i].image + b * m->w.block_bytes,
                                                m->w.block_bytes) == 0);
    }
    free(image);
    free(known);
}

/* Bytes in pieces of 4096 that are not all zeros: what a sparse file has to hold at most. */
static uint64_t not_zero(const uint8_t *image, uint64_t size)
{
    static const uint8_t zeros[4096];
    uint64_t sum = 0;
    for (uint64_t at = 0; at < size; at += 4096) {
        uint64_t n = size - at < 4096 ? size - at : 4096;
        if (memcmp(image + at, zeros, n) != 0) sum += n;
    }
    return sum;
}

static void check_restore(struct model *m, struct chv_store *store, uint64_t seq)
{
    size_t bytes = m->w.blocks * m->w.block_bytes;
    uint8_t *image = malloc(bytes), *got = malloc(bytes);
    enum known *known = calloc(m->w.blocks, sizeof *known);
    struct chv_view *view;
    struct chv_err err;
    CHECK(image && known && got);
    bool complete = whole_rule(m, seq, image, known, NULL) == 0;
    CHECK_OK(chv_view_open(store, chv_store_space(store, 0), seq, NULL, &view, &err), err);
    for (int stream = 0; stream < 2; stream++) {
        FILE *f = tmpfile();
        CHECK(f);
        struct restore_result result;
        const struct restore_options options = {.stream = stream, .workers = 3};
        int r = restore_write(view, fileno(f), &options, &result, &err);
        CHECK(r == (complete ? 0 : -EIO));
        if (complete) {
            uint64_t size = chv_view_size_bytes(view);
            CHECK(result.size_bytes == size && lseek(fileno(f), 0, SEEK_END) == (off_t)size);
            CHECK(pread(fileno(f), got, size, 0) == (ssize_t)size && memcmp(got, image, size) == 0);
            CHECK(stream ? result.data_bytes == size : result.data_bytes <= not_zero(image, size));
        }
        fclose(f);
    }
    chv_view_close(view);
    free(image);
    free(got);
    free(known);
}

struct diff_check {
    const struct model *m;
    uint8_t *kinds; /* by block: 1 + enum diff_kind */
    uint64_t next_block;
};

static int take_extent(void *arg, const struct diff_extent *e)
{
    struct diff_check *check = arg;
    CHECK(e->blocks > 0 && e->first_block >= check->next_block);
    CHECK(e->offset == e->first_block * check->m->w.block_bytes);
    check->next_block = e->first_block + e->blocks;
    for (uint64_t b = e->first_block; b < check->next_block; b++) check->kinds[b] = (uint8_t)(1 + e->kind);
    return 0;
}

static void check_diff(struct model *m, const struct chv_store *store, uint64_t from, uint64_t to)
{
    size_t bytes = m->w.blocks * m->w.block_bytes;
    uint8_t *a = malloc(bytes), *b = malloc(bytes);
    enum known *known_a = calloc(m->w.blocks, sizeof *known_a), *known_b = calloc(m->w.blocks, sizeof *known_b);
    uint64_t *versions_a = calloc(m->w.blocks, sizeof *versions_a),
             *versions_b = calloc(m->w.blocks, sizeof *versions_b);
    struct diff_check check = {.m = m, .kinds = calloc(m->w.blocks, 1)};
    struct diff_totals totals;
    struct chv_err err;
    CHECK(a && b && known_a && known_b && versions_a && versions_b && check.kinds);
    whole_rule(m, from, a, known_a, versions_a);
    whole_rule(m, to, b, known_b, versions_b);
    CHECK_OK(diff_run(store, chv_store_space(store, 0), from, to, take_extent, &check, &totals, &err), err);
    uint64_t changed = 0, unknown = 0, rewritten = 0;
    static const uint8_t zeros[4096];
    for (uint64_t i = 0; i < m->w.blocks; i++) {
        const uint8_t *now = b + i * m->w.block_bytes;
        bool equal = memcmp(a + i * m->w.block_bytes, now, m->w.block_bytes) == 0;
        uint8_t want = 0;
        if (versions_a[i] == versions_b[i] && known_a[i] == known_b[i])
            want = 0; /* nothing happened */
        else if (known_a[i] == UNKNOWN || known_b[i] == UNKNOWN)
            want = 1 + DIFF_UNKNOWN, unknown++;
        else if (equal)
            rewritten += versions_a[i] != versions_b[i];
        else
            want = memcmp(now, zeros, m->w.block_bytes) ? 1 + DIFF_DATA : 1 + DIFF_ZERO, changed++;
        if (check.kinds[i] != want)
            fprintf(stderr, "diff seq:%llu seq:%llu block %llu: %u, not %u\n", (unsigned long long)from,
                    (unsigned long long)to, (unsigned long long)i, check.kinds[i], want);
        CHECK(check.kinds[i] == want);
    }
    CHECK(totals.changed_blocks == changed && totals.unknown_blocks == unknown);
    /* Before the first version a baseline is its content: those blocks may count as rewritten, never less. */
    CHECK(totals.rewritten_blocks >= rewritten);
    free(a), free(b), free(known_a), free(known_b), free(versions_a), free(versions_b), free(check.kinds);
}

static void do_rewind(struct model *m, struct chv_store *store, uint64_t seq, struct rewind *rewind)
{
    struct chv_err err;
    struct rewind_plan plan;
    *rewind = (struct rewind){.store = store, .space_id = m->w.space, .seq = seq, .device = m->w.fd};
    world_start_recording(&m->w);
    rewind->recorder = m->w.recorder;
    CHECK_OK(chv_store_refresh(store, &err), err);
    CHECK_OK(rewind_plan(store, chv_store_space(store, 0), seq, &plan, &err), err);
    CHECK_OK(rewind_verify(rewind, &err), err);
    CHECK_OK(rewind_write(rewind, &err), err);
    if (rewind->found_blocks == 0) CHECK(rewind->written_blocks == plan.blocks);
    world_stop_recording(&m->w);
    CHECK_OK(chv_store_refresh(store, &err), err);
}

static void check_device(struct model *m, const uint8_t *want, const enum known *known, const uint8_t *otherwise)
{
    uint8_t *image = malloc(m->w.blocks * m->w.block_bytes);
    CHECK(image);
    world_device(&m->w, image);
    for (uint64_t b = 0; b < m->w.blocks; b++) {
        uint64_t at = b * m->w.block_bytes;
        CHECK(memcmp(image + at, (known[b] == KNOWN ? want : otherwise) + at, m->w.block_bytes) == 0);
    }
    free(image);
}

static void check_rewind(struct model *m, struct chv_store *store, uint64_t seq)
{
    size_t bytes = m->w.blocks * m->w.block_bytes;
    uint8_t *before = malloc(bytes), *want = malloc(bytes);
    enum known *known = calloc(m->w.blocks, sizeof *known);
    struct rewind rewind, again;
    CHECK(before && want && known);
    whole_rule(m, seq, want, known, NULL);
    /* Somebody changed a block behind the recording's back: it must not be lost. */
    uint64_t tampered = unit_random(&m->w.random) % m->w.blocks, version;
    uint8_t block[4096];
    bool tamper = rule(m, tampered, UINT64_MAX, block, &version) == KNOWN && version != 0 && known[tampered] == KNOWN &&
                  tampered + 1 < m->w.blocks;
    if (tamper) {
        world_random_fill(&m->w, block, m->w.block_bytes);
        CHECK(pwrite(m->w.fd, block, m->w.block_bytes, (off_t)(tampered * m->w.block_bytes)) == m->w.block_bytes);
        learn(m, block);
    }
    world_device(&m->w, before);
    do_rewind(m, store, seq, &rewind);
    CHECK(rewind.found_blocks >= tamper);
    check_device(m, want, known, before);
    /* The writes were lost: run again. */
    CHECK(pwrite(m->w.fd, before, m->w.size_bytes, 0) == (ssize_t)m->w.size_bytes);
    do_rewind(m, store, seq, &again);
    check_device(m, want, known, before);
    do_rewind(m, store, seq, &again);
    CHECK(again.written_blocks == 0 && again.found_blocks == 0);
    /* The view of now is the view of then. */
    read_versions(m, store);
    uint8_t *now = malloc(bytes);
    enum known *known_now = calloc(m->w.blocks, sizeof *known_now);
    struct chv_store_info info;
    chv_store_info(store, &info);
    CHECK(now && known_now);
    whole_rule(m, info.last_seq, now, known_now, NULL);
    for (uint64_t b = 0; b < m->w.blocks; b++)
        if (known[b] == KNOWN)
            CHECK(known_now[b] == KNOWN &&
                  memcmp(now + b * m->w.block_bytes, want + b * m->w.block_bytes, m->w.block_bytes) == 0);
    do_rewind(m, store, rewind.undo_seq, &again);
    for (uint64_t b = 0; b < m->w.blocks; b++) known[b] = KNOWN;
    check_device(m, before, known, before);
    read_versions(m, store);
    free(before), free(want), free(known), free(now), free(known_now);
}

static void run(uint32_t block_bytes, uint64_t seed)
{
    struct model *m = calloc(1, sizeof *m);
    CHECK(m && (m->contents = calloc(CONTENTS_MAX, sizeof *m->contents)));
    uint64_t random = seed ^ block_bytes;
    uint64_t size = 40 * block_bytes + unit_random(&random) % (2 * block_bytes);
    world_init(&m->w, block_bytes, size, CHV_REST_SOURCE, seed);
    snapshot(m, world_last_seq(&m->w));
    for (int i = 0; i < OPERATIONS; i++) one_operation(m);
    world_stop_recording(&m->w);

    struct chv_store *store;
    struct chv_err err;
    CHECK_OK(chv_store_open(m->w.store_dir, &store, &err), err);
    read_versions(m, store);
    check_views(m, store);
    for (int i = 0; i < 6; i++) {
        uint64_t a = m->images[unit_random(&m->w.random) % m->image_count].seq;
        uint64_t b = m->images[unit_random(&m->w.random) % m->image_count].seq;
        check_restore(m, store, a);
        check_diff(m, store, a < b ? a : b, a < b ? b : a);
    }
    for (int i = 0; i < 4; i++) check_rewind(m, store, m->images[unit_random(&m->w.random) % m->image_count].seq);
    chv_store_close(store);
    world_fini(&m->w);
    for (size_t i = 0; i < m->image_count; i++) free(m->images[i].image);
    free(m->contents);
    free(m);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    run(4096, seed);
    run(512, seed);
    return 0;
}
