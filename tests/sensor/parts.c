/* The pieces by themselves: block states against a flat array, ranges under many threads, holes of a file. */
#include <pthread.h>

#include "sensor/capture/blocks.h"
#include "sensor/capture/disk.h"
#include "sensor/capture/ranges.h"
#include "tests/sensor/rig.h"

#define BLOCKS 1000

static void check_blocks(uint64_t *seed)
{
    struct blocks b;
    uint8_t flat[BLOCKS] = {0};
    CHECK(blocks_init(&b, BLOCKS) == 0);
    for (int round = 0; round < 3000; round++) {
        uint64_t first = unit_random(seed) % BLOCKS, end = first + unit_random(seed) % (BLOCKS - first) + 1;
        if (unit_random(seed) % 2) end = first + 1;
        enum block_state state = (enum block_state)(unit_random(seed) % 3);
        blocks_set(&b, first, end, state);
        memset(flat + first, (int)state, end - first);
        uint64_t suspects = 0;
        for (int i = 0; i < BLOCKS; i++) suspects += flat[i] == BLOCK_SUSPECT;
        CHECK(b.suspects == suspects);
        uint64_t at = unit_random(seed) % BLOCKS, stop = at + 1 + unit_random(seed) % (BLOCKS - at), next = at;
        while (next < stop && flat[next] == flat[at]) next++;
        CHECK(blocks_run(&b, at, stop, &state) == next && state == flat[at]);
        CHECK(blocks_get(&b, at) == flat[at]);
    }
    blocks_fini(&b);
}

#define THREADS 8
#define ROUNDS 3000

struct contest {
    struct ranges ranges;
    int owner[BLOCKS]; /* not atomic on purpose: ThreadSanitizer sees a range held twice */
    uint64_t seed[THREADS];
    int failed;
};

static struct contest contest;

static void *contender(void *arg)
{
    uint64_t *seed = arg;
    int me = (int)(seed - contest.seed) + 1;
    for (int round = 0; round < ROUNDS; round++) {
        struct range r;
        uint64_t first = unit_random(seed) % BLOCKS, most = unit_random(seed) % 50 ? 20 : BLOCKS;
        uint64_t end = first + 1 + unit_random(seed) % most;
        if (end > BLOCKS) end = BLOCKS;
        ranges_lock(&contest.ranges, &r, first, end);
        for (uint64_t i = first; i < end; i++) {
            if (contest.owner[i]) contest.failed = 1;
            contest.owner[i] = me;
        }
        if (round % 8 == 0) ranges_defer(&contest.ranges, &r, false);
        for (uint64_t i = first; i < end; i++) {
            if (contest.owner[i] != me) contest.failed = 1;
            contest.owner[i] = 0;
        }
        ranges_unlock(&contest.ranges, &r);
        ranges_wait_deferred(&contest.ranges, first, end);
    }
    return NULL;
}

static void check_ranges(uint64_t *seed)
{
    pthread_t thread[THREADS];
    ranges_init(&contest.ranges);
    for (int i = 0; i < THREADS; i++) {
        contest.seed[i] = unit_random(seed);
        CHECK(pthread_create(&thread[i], NULL, contender, &contest.seed[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(thread[i], NULL);
    CHECK(!contest.failed);
    CHECK(contest.ranges.deferred == 0 && !contest.ranges.wide);
    for (unsigned i = 0; i < RANGE_BUCKETS; i++) CHECK(!contest.ranges.bucket[i]);
    ranges_fini(&contest.ranges);
}

/* A write over one that waits for its evidence does not wait, and readers get the newest. */
static void check_layers(void)
{
    enum { UNIT = 512 };
    static uint8_t old[UNIT], new[UNIT], seen[3 * UNIT];
    struct ranges t;
    struct job *a = calloc(1, sizeof *a + 2 * sizeof a->block[0]), *b = calloc(1, sizeof *b + sizeof b->block[0]);
    struct range wide;
    memset(old, 1, sizeof old);
    memset(new, 2, sizeof new);
    ranges_init(&t);
    CHECK(!ranges_lock_over(&t, &a->range, 10, 12));
    a->block[0] = a->block[1] = old;
    CHECK(ranges_copy_layered(&t, 9, 12, UNIT, seen) == 0); /* not acknowledged yet */
    ranges_defer(&t, &a->range, true);
    CHECK(ranges_copy_layered(&t, 9, 12, UNIT, seen) == 6 && seen[0] == 0 && seen[UNIT] == 1 && seen[2 * UNIT] == 1);
    CHECK(ranges_lock_over(&t, &b->range, 11, 12));
    b->block[0] = new;
    CHECK(ranges_copy_layered(&t, 9, 12, UNIT, seen) == 6 && seen[2 * UNIT] == 1);
    ranges_defer(&t, &b->range, true);
    CHECK(ranges_copy_layered(&t, 9, 12, UNIT, seen) == 6 && seen[UNIT] == 1 && seen[2 * UNIT] == 2);
    ranges_unlock(&t, &a->range);
    CHECK(ranges_copy_layered(&t, 9, 12, UNIT, seen) == 4 && seen[2 * UNIT] == 2);
    ranges_unlock(&t, &b->range);
    CHECK(!ranges_deferred(&t) && ranges_copy_layered(&t, 9, 12, UNIT, seen) == 0);
    ranges_lock(&t, &wide, 0, UINT64_C(1) << 40);
    ranges_defer(&t, &wide, true);
    CHECK(!wide.layered); /* nobody looks for it in a region */
    ranges_unlock(&t, &wide);
    ranges_fini(&t);
    free(a);
    free(b);
}

static void check_disk(uint64_t *seed)
{
    struct rig rig;
    struct disk disk;
    struct chv_err err;
    uint64_t end;
    uint8_t buf[8192];
    rig_init(&rig);
    rig_disk(&rig, 1000001, 65536, seed);
    CHECK_OK(disk_open(rig.disk, &disk, &err), err);
    disk_probe(&disk);
    CHECK(disk.size_bytes == 1000001 && !disk.is_device);
    /* past the end are zeros */
    memset(buf, 1, sizeof buf);
    CHECK(disk_pread(&disk, buf, 4096, 1000001 / 4096 * 4096) == 0 && buf[4095] == 0);
    if (disk.can_seek) {
        CHECK(!disk_hole(&disk, 0, 1000001, &end) && end == 65536);
        CHECK(disk_hole(&disk, 65536, 1000001, &end) && end == 1000001);
    }
    for (int may_punch = 0; may_punch < 2; may_punch++) {
        CHECK(disk_zero(&disk, 5000, 100, may_punch) == 0);
        CHECK(disk_pread(&disk, buf, 8192, 0) == 0);
        for (int i = 100; i < 5100; i++) CHECK(buf[i] == 0);
        CHECK(buf[99] || buf[98] || buf[97]);
        CHECK(buf[5100] || buf[5101] || buf[5102]);
    }
    struct stat st;
    CHECK(stat(rig.disk, &st) == 0 && st.st_size == 1000001);
    disk_close(&disk);
    CHECK(disk_open("/dev/null", &disk, &err) == -ENOTBLK);
    CHECK(disk_open("/nonexistent/disk", &disk, &err) == -ENOENT);
    rig_disk(&rig, 0, 0, seed);
    CHECK(disk_open(rig.disk, &disk, &err) < 0);
    rig_fini(&rig);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    check_blocks(&seed);
    check_ranges(&seed);
    check_layers();
    check_disk(&seed);
    return 0;
}
