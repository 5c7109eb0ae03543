#include "detect/features.h"

#include <stdlib.h>
#include <string.h>

#include "detect/cipher.h"
#include "detect/feature_table.h"
#include "detect/recent.h"
#include "detect/streams.h"
#include "detect/window.h"

#define BLOCK_SECTORS 8u
#define ENTROPY_HIGH 63569u  /* 0.97 */
#define ENTROPY_PLAIN 45874u /* 0.7 */
#define ENTROPY_OLD 58981u   /* 0.9 */
#define ENTROPY_BLANK 1311u  /* 0.02 */
#define ENTROPY_FLAT_MIN 48906u /* 5.97 bits of 8: 64 symbols in 4 KiB, even so many as there are of each by chance */
#define ENTROPY_FLAT_MAX 49316u /* 6.02: and an end of line after 76 */
#define LENGTHS 2048u        /* blocks; longer runs are as long as any other such */
#define LENGTH_MIN 3u        /* blocks; shorter runs are alike by chance */
#define DISCARD_LOOKED 256u  /* blocks of a discard that are looked up: a bound on its cost */

enum { MARK_OVERWRITES = 1, MARK_SCRAMBLES = 2, MARK_SEALED = 4 };

struct features {
    enum feature_set set;
    bool begun;
    uint64_t first_ns, now_ns;
    uint64_t tick_ns; /* when the tick that is being filled began */
    uint64_t busy;    /* the latest tick with an access */
    int side;         /* of the last command; -1: none yet */
    struct feature_row row;
    struct cipher_gate gate;
    struct streams streams[2];
    struct windows windows;
    struct recent recent;
    uint32_t read_length[LENGTHS]; /* when a run of so many blocks was read last, + 1, 2^24 ns; 0: never */
};

struct features *features_new(enum feature_set set)
{
    struct features *f = calloc(1, sizeof *f);

    if (f)
        f->set = set, f->side = -1;
    return f;
}

void features_free(struct features *f)
{
    free(f);
}

size_t features_memory(void)
{
    return sizeof(struct features);
}

static void emit(struct features *f, uint64_t end_ns, feature_row_fn *fn, void *arg)
{
    const struct tick *t = windows_tick(&f->windows);

    windows_close(&f->windows);
    f->row.end_ns = end_ns;
    f->row.read_bytes = t->count[COUNT_BYTES];
    f->row.write_bytes = t->count[COUNT_BYTES_W];
    f->row.active = f->row.read_bytes + f->row.write_bytes >= FEATURES_ACTIVE_BYTES;
    f->row.encrypted = f->gate.encrypted;
    feature_table_row(&f->windows, f->set, f->row.x);
    fn(arg, &f->row);
}

void features_advance(struct features *f, uint64_t now_ns, feature_row_fn *fn, void *arg)
{
    uint64_t ticks;

    if (!f->begun || now_ns <= f->now_ns)
        return;
    f->now_ns = now_ns;
    ticks = (now_ns - f->tick_ns) / FEATURES_TICK_NS;
    while (ticks > 0 && f->windows.now - f->busy < FEATURES_REACH_TICKS) {
        f->tick_ns += FEATURES_TICK_NS;
        emit(f, f->tick_ns, fn, arg);
        windows_next(&f->windows, 1);
        ticks--;
    }
    f->tick_ns += ticks * FEATURES_TICK_NS;
    if (ticks > 0)
        windows_next(&f->windows, ticks);
}

/* So much was done that a second would be too long to wait: the next tick begins now. */
static void fill(struct features *f, feature_row_fn *fn, void *arg)
{
    const uint64_t *count = windows_tick(&f->windows)->count;

    if (count[COUNT_PIECES] + count[COUNT_PIECES_W] < feature_set_fill(f->set))
        return;
    f->tick_ns = f->now_ns;
    emit(f, f->now_ns, fn, arg);
    windows_next(&f->windows, 1);
}

static uint32_t region_bit(uint64_t lba)
{
    return (uint32_t)(((lba >> 11) * UINT64_C(0x9e3779b97f4a7c15)) >> 52);
}

/* A run is over: was it a file that came out as long as it went in? */
static void account_length(struct features *f, struct tick *t, const struct streams *s, unsigned side)
{
    uint64_t blocks = (s->done_sectors + BLOCK_SECTORS - 1) / BLOCK_SECTORS;
    uint32_t now = (uint32_t)((f->now_ns - f->first_ns) >> RECENT_SHIFT) + 1, *read;

    if (blocks < LENGTH_MIN)
        return;
    read = &f->read_length[blocks < LENGTHS ? blocks : LENGTHS - 1];
    if (side == 0)
        *read = now;
    else if (s->done_marks & MARK_SEALED)
        t->count[COUNT_ALIKE] += *read && now - *read < RECENT_REACH;
}

/* Where a piece lies: its run, its command, its region. */
static void account_place(struct features *f, struct tick *t, const struct access *a, unsigned side)
{
    uint64_t *count = t->count, depth, command;
    bool first = !(a->flags & ACCESS_CONTINUED);
    enum stream_kind kind = streams_place(&f->streams[side], a->lba, a->sectors, first, &depth, &command);
    uint32_t bit = region_bit(a->lba);

    count[COUNT_PIECES + side]++;
    count[COUNT_BYTES + side] += (uint64_t)a->sectors * 512;
    count[COUNT_SMALL + side] += a->sectors < BLOCK_SECTORS && !depth;
    count[COUNT_ENDED + side] += a->sectors < BLOCK_SECTORS && depth;
    count[COUNT_DEPTH0 + side] += depth < 32;
    count[COUNT_DEPTH1 + side] += depth >= 32 && depth < 256;
    count[COUNT_DEPTH2 + side] += depth >= 256 && depth < 2048;
    count[COUNT_RUNS + side] += kind >= STREAM_FORWARD;
    if (kind >= STREAM_FORWARD)
        account_length(f, t, &f->streams[side], side);
    count[COUNT_FORWARD + side] += kind == STREAM_FORWARD;
    count[COUNT_BACK + side] += kind == STREAM_BACK;
    if (first) {
        count[COUNT_COMMANDS + side]++;
        count[COUNT_THROUGH + side] += command == 1;
        count[COUNT_HEAD + side] += command == 1 && depth <= BLOCK_SECTORS;
        count[COUNT_OTHER + side] += kind == STREAM_OTHER;
        count[COUNT_SWITCH + side] += f->side >= 0 && f->side != (int)side;
        f->side = (int)side;
    }
    moment_add(&t->lba[side], a->lba);
    t->region[side][bit / 64] |= UINT64_C(1) << (bit % 64);
}

/* What was done to the same block a moment ago. */
static struct recent_age account_past(struct features *f, struct tick *t, const struct access *a, unsigned side)
{
    uint32_t now = (uint32_t)((f->now_ns - f->first_ns) >> RECENT_SHIFT);
    struct recent_age past = recent_touch(&f->recent, a->lba / BLOCK_SECTORS, now, side != 0);

    t->count[COUNT_AGAIN + side] += (side ? past.written : past.read) != 0;
    t->count[COUNT_CROSSED + side] += (side ? past.read : past.written) != 0;
    return past;
}

static void account_content(struct features *f, struct tick *t, const struct access *a, uint32_t read_age)
{
    uint64_t *count = t->count, units_a_second = FEATURES_TICK_NS >> RECENT_SHIFT;

    if (read_age) {
        count[COUNT_QUICK] += read_age <= units_a_second;
        count[COUNT_SLOW] += read_age > 10 * units_a_second;
        count[COUNT_DELAY] += read_age - 1;
        count[COUNT_OVERWRITES] += (uint64_t)streams_mark(&f->streams[1], MARK_OVERWRITES);
    }
    if (a->flags & ACCESS_ENTROPY) {
        count[COUNT_ENTROPY_KNOWN]++;
        count[COUNT_ENTROPY] += a->entropy;
        count[COUNT_HIGH] += a->entropy > ENTROPY_HIGH;
        if (a->entropy > ENTROPY_HIGH) count[COUNT_SEALED] += (uint64_t)streams_mark(&f->streams[1], MARK_SEALED);
        count[COUNT_PLAIN] += a->entropy < ENTROPY_PLAIN;
        count[COUNT_FLAT] += a->entropy >= ENTROPY_FLAT_MIN && a->entropy <= ENTROPY_FLAT_MAX;
        if (read_age) {
            count[COUNT_CROSSED_KNOWN]++;
            count[COUNT_CROSSED_ENTROPY] += a->entropy;
            count[COUNT_CROSSED_HIGH] += a->entropy > ENTROPY_HIGH;
            if (a->entropy > ENTROPY_HIGH)
                count[COUNT_SCRAMBLES] += (uint64_t)streams_mark(&f->streams[1], MARK_SCRAMBLES);
        }
        if (a->flags & ACCESS_OLD_ENTROPY) {
            bool full = a->old_entropy > ENTROPY_BLANK;

            count[COUNT_OLD_KNOWN]++;
            count[COUNT_DESTROYED] += full;
            count[COUNT_SPOILED] += full && a->entropy > ENTROPY_HIGH && a->old_entropy < ENTROPY_OLD;
            count[COUNT_BLANKED] += full && a->entropy <= ENTROPY_BLANK;
            count[COUNT_RISING] += a->entropy > ENTROPY_HIGH && a->old_entropy < ENTROPY_OLD;
            count[COUNT_RISE] += (uint64_t)a->entropy + 65535 - a->old_entropy;
        }
    }
    count[COUNT_DEDUP_KNOWN] += (a->flags & ACCESS_DEDUP) != 0;
    count[COUNT_NOVEL] += (a->flags & ACCESS_DEDUP) && (a->flags & ACCESS_NOVEL);
}

static void account_discard(struct features *f, struct tick *t, const struct access *a)
{
    uint64_t blocks = ((uint64_t)a->sectors + BLOCK_SECTORS - 1) / BLOCK_SECTORS;
    uint32_t now = (uint32_t)((f->now_ns - f->first_ns) >> RECENT_SHIFT);

    t->count[COUNT_DISCARDS] += blocks;
    t->count[COUNT_DISCARDS_FULL] += (a->flags & ACCESS_OLD_ENTROPY) && a->old_entropy > ENTROPY_BLANK;
    for (uint64_t i = 0; i < blocks && i < DISCARD_LOOKED; i++)
        t->count[COUNT_DISCARDS_CROSSED] += recent_look(&f->recent, a->lba / BLOCK_SECTORS + i, now).read != 0;
}

void features_push(struct features *f, const struct access *a, feature_row_fn *fn, void *arg)
{
    struct tick *t;
    struct recent_age past;

    if (f->set == FEATURES_READ && a->kind != ACCESS_READ)
        return;
    if (!f->begun) {
        f->begun = true;
        f->first_ns = f->now_ns = f->tick_ns = a->time_ns;
    }
    features_advance(f, a->time_ns, fn, arg);
    fill(f, fn, arg);
    f->busy = f->windows.now;
    t = windows_tick(&f->windows);
    if (a->kind == ACCESS_DISCARD) {
        account_discard(f, t, a);
        return;
    }
    cipher_gate_push(&f->gate, a);
    account_place(f, t, a, a->kind == ACCESS_WRITE);
    past = account_past(f, t, a, a->kind == ACCESS_WRITE);
    if (a->kind == ACCESS_WRITE) {
        account_content(f, t, a, past.read);
    } else if (a->flags & ACCESS_OLD_ENTROPY) {
        t->count[COUNT_READ_KNOWN]++;
        t->count[COUNT_READ_ENTROPY] += a->old_entropy;
        t->count[COUNT_READ_PLAIN] += a->old_entropy < ENTROPY_PLAIN;
        t->count[COUNT_READ_HIGH] += a->old_entropy > ENTROPY_HIGH;
    }
}

void features_finish(struct features *f, feature_row_fn *fn, void *arg)
{
    enum feature_set set = f->set;

    if (f->begun && f->windows.now - f->busy < FEATURES_REACH_TICKS)
        emit(f, f->tick_ns + FEATURES_TICK_NS, fn, arg);
    memset(f, 0, sizeof *f);
    f->set = set, f->side = -1;
}
