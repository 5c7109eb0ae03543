/* Starting and stopping: a disk that changed meanwhile, a host that went down, gaps, odd sizes, several disks. */
#include "tests/sensor/rig.h"

#define DISK_BYTES (256 * 4096 + 100)

static void poke(const char *path, uint64_t block, int byte)
{
    uint8_t buf[4096];
    memset(buf, byte, sizeof buf);
    int fd = open(path, O_WRONLY);
    CHECK(fd >= 0 && pwrite(fd, buf, sizeof buf, (off_t)(block * 4096)) == 4096);
    close(fd);
}

static void write_block(struct capture *c, uint64_t block, int byte)
{
    uint8_t buf[4096];
    struct chv_err err;
    memset(buf, byte, sizeof buf);
    CHECK_OK(capture_write(c, buf, sizeof buf, block * 4096, false, &err), err);
}

static struct session *start(const struct session_options *o)
{
    struct session *s;
    struct chv_err err;
    CHECK_OK(session_open(o, &s, &err), err);
    return s;
}

static void stop(struct session *s)
{
    struct chv_err err;
    CHECK_OK(session_close(s, NULL, 0, &err), err);
}

static uint64_t head(const struct rig *rig)
{
    struct chv_store *store;
    struct chv_store_info info;
    struct chv_err err;
    CHECK_OK(chv_store_open(rig->store, &store, &err), err);
    chv_store_info(store, &info);
    chv_store_close(store);
    return info.last_seq;
}

/* What one block was as of seq; state UNKNOWN allowed. */
static enum chv_state state_at(const struct rig *rig, uint64_t block, uint64_t seq)
{
    struct chv_store *store;
    struct chv_extent e;
    struct chv_err err;
    CHECK_OK(chv_store_open(rig->store, &store, &err), err);
    CHECK_OK(chv_store_block_at(store, 1, block, seq, &e, &err), err);
    chv_store_close(store);
    return e.state;
}

/* Rewrite a string in disks.json. */
static void edit_mark(const struct rig *rig, const char *from, const char *to)
{
    char command[1200];
    snprintf(command, sizeof command, "sed -i 's/%s/%s/' %s/disks.json", from, to, rig->store);
    CHECK(system(command) == 0);
}

static void changed_while_away(uint64_t *seed)
{
    struct rig rig;
    struct session *s;
    struct chv_err err;
    rig_init(&rig);
    rig_disk(&rig, DISK_BYTES, DISK_BYTES, seed);
    struct session_options o = rig_options(&rig);
    s = start(&o);
    for (int b = 0; b < 20; b++) write_block(&s->captures[0], (uint64_t)b, 'a' + b);
    CHECK(session_check(&o, &err) == 0 || err.code == ESTALE); /* a running one is not checked by this */
    stop(s);
    CHECK(session_check(&o, &err) == 0);
    stop(start(&o)); /* nothing happened in between: no fuss */
    uint64_t clean = head(&rig);
    CHECK(state_at(&rig, 100, clean) == CHV_STATE_SOURCE);

    poke(rig.disk, 5, 'X');   /* one with versions */
    poke(rig.disk, 100, 'Y'); /* one without */
    CHECK(session_check(&o, &err) == -ESTALE && strstr(err.text, "--resync"));
    CHECK(session_open(&o, &s, &err) == -ESTALE);
    CHECK(head(&rig) == clean); /* refusing wrote nothing */
    o.resync = true;
    stop(start(&o));
    o.resync = false;
    rig_same(&rig, "disk:vda", rig.disk);
    CHECK(state_at(&rig, 5, clean) == CHV_STATE_DATA);     /* what it was then is known */
    CHECK(state_at(&rig, 100, clean) == CHV_STATE_UNKNOWN); /* and here it is not any more */
    CHECK(state_at(&rig, 6, head(&rig)) == CHV_STATE_DATA); /* unchanged, and still known */
    stop(start(&o));
    /* another file in its place; another size; no memory of it */
    CHECK(truncate(rig.disk, DISK_BYTES + 4096) == 0);
    CHECK(session_open(&o, &s, &err) == -ESTALE && strstr(err.text, "size"));
    o.resync = true;
    stop(start(&o));
    rig_same(&rig, "disk:vda", rig.disk);
    o.resync = false;
    char marks[400];
    snprintf(marks, sizeof marks, "%s/disks.json", rig.store);
    CHECK(unlink(marks) == 0);
    CHECK(session_open(&o, &s, &err) == -ESTALE);
    rig_fini(&rig);
}

/* Power loss: what was not flushed may be on the disk or not, whatever the log says. */
static void host_went_down(uint64_t *seed, uint64_t fill)
{
    struct rig rig;
    rig_init(&rig);
    rig_disk(&rig, DISK_BYTES, fill, seed);
    struct session_options o = rig_options(&rig);
    struct session *s = start(&o);
    for (int b = 0; b < 20; b++) write_block(&s->captures[0], (uint64_t)b, 'a' + b);
    stop(s);
    edit_mark(&rig, "\"clean\": true", "\"clean\": false");
    edit_mark(&rig, "\"boot\": \"........", "\"boot\": \"00000000");
    poke(rig.disk, 3, 'X');
    if (fill == 0) poke(rig.disk, 200, 'Y'); /* blank: every block is known, this one as zeros */
    stop(start(&o));
    rig_same(&rig, "disk:vda", rig.disk);
    uint8_t byte;
    int fd = open(rig.disk, O_RDONLY);
    CHECK(fd >= 0 && pread(fd, &byte, 1, 3 * 4096) == 1 && byte == 'X'); /* the disk is left alone */
    close(fd);
    rig_fini(&rig);
}

/* Killed (same boot): an older recorded content is brought up to date, a foreign one is left and recorded. */
static void recorder_was_killed(uint64_t *seed)
{
    struct rig rig;
    rig_init(&rig);
    rig_disk(&rig, DISK_BYTES, DISK_BYTES, seed);
    uint8_t old[4096], now[4096];
    int fd = open(rig.disk, O_RDWR);
    CHECK(fd >= 0 && pread(fd, old, 4096, 7 * 4096) == 4096);
    struct session_options o = rig_options(&rig);
    struct session *s = start(&o);
    for (int b = 0; b < 20; b++) write_block(&s->captures[0], (uint64_t)b, 'a' + b);
    stop(s);
    edit_mark(&rig, "\"clean\": true", "\"clean\": false");
    edit_mark(&rig, "\"seq\": [0-9]*", "\"seq\": 1");
    CHECK(pwrite(fd, old, 4096, 7 * 4096) == 4096); /* as if the deferred write had not been done */
    poke(rig.disk, 8, 'Z');
    stop(start(&o));
    rig_same(&rig, "disk:vda", rig.disk);
    CHECK(pread(fd, now, 4096, 7 * 4096) == 4096 && now[0] == 'a' + 7 && now[4095] == 'a' + 7);
    CHECK(pread(fd, now, 4096, 8 * 4096) == 4096 && now[0] == 'Z');
    close(fd);
    rig_fini(&rig);
}

static void no_baseline(uint64_t *seed)
{
    struct rig rig;
    rig_init(&rig);
    rig_disk(&rig, DISK_BYTES, DISK_BYTES, seed);
    struct session_options o = rig_options(&rig);
    o.baseline = SESSION_NONE;
    struct session *s = start(&o);
    write_block(&s->captures[0], 9, 'n');
    stop(s);
    CHECK(state_at(&rig, 9, head(&rig)) == CHV_STATE_DATA);
    CHECK(state_at(&rig, 9, 1) == CHV_STATE_UNKNOWN && state_at(&rig, 10, 1) == CHV_STATE_UNKNOWN);
    rig_fini(&rig);
}

/* A queue far too small, and gaps allowed: gaps are recorded, what they covered is looked at again, and in the end
 * the view is the disk. What was there before is either known or said to be unknown, never wrong. */
static void gaps(uint64_t *seed)
{
    struct rig rig;
    struct chv_err err;
    struct chv_recorder_stats stats;
    uint64_t bytes = 64 << 20;
    rig_init(&rig);
    rig_disk(&rig, bytes, bytes, seed);
    struct session_options o = rig_options(&rig);
    o.queue_blocks = 64;
    o.gap_when_behind = true;
    struct session *s = start(&o);
    struct capture *c = &s->captures[0];
    uint8_t *buf = malloc(1 << 20);
    CHECK(buf);
    for (int i = 0; i < 200; i++) {
        for (int k = 0; k < 1 << 20; k += 8) {
            uint64_t v = unit_random(seed);
            memcpy(buf + k, &v, 8);
        }
        CHECK_OK(capture_write(c, buf, 1 << 18, unit_random(seed) % 255 * (1 << 18), false, &err), err);
    }
    chv_recorder_stats(s->rec, &stats);
    CHECK(stats.gaps > 0);
    for (int i = 0; i < 300; i++) { /* the healing takes a tick or two of the clock */
        CHECK_OK(capture_flush(c, &err), err);
        if (i >= 15 && __atomic_load_n(&c->blocks.suspects, __ATOMIC_RELAXED) == 0) break;
        usleep(100000);
    }
    CHECK(__atomic_load_n(&c->blocks.suspects, __ATOMIC_RELAXED) == 0);
    stop(s);
    free(buf);
    rig_same(&rig, "disk:vda", rig.disk);
    rig_fini(&rig);
}

static void two_disks(uint64_t *seed)
{
    struct rig rig;
    struct chv_err err;
    struct session *s, *other;
    char second[400];
    rig_init(&rig);
    rig_disk(&rig, DISK_BYTES, 0, seed);
    snprintf(second, sizeof second, "%s/second.img", rig.dir);
    CHECK(rename(rig.disk, second) == 0);
    rig_disk(&rig, DISK_BYTES * 2, DISK_BYTES, seed);
    struct session_options o = rig_options(&rig);
    o.disks = 2;
    o.disk[1].path = second;
    strcpy(o.disk[1].space, "disk:vdb");
    s = start(&o);
    CHECK(session_export(s, "vdb") == &s->captures[1] && session_export(s, "") == &s->captures[0]);
    CHECK(!session_export(s, "vdc"));
    write_block(&s->captures[0], 1, 'p');
    write_block(&s->captures[1], 1, 'q');
    CHECK(session_open(&o, &other, &err) == -EBUSY);
    struct session_options elsewhere = o;
    char store[400];
    snprintf(store, sizeof store, "%s/other", rig.dir);
    elsewhere.store_dir = store;
    CHECK(session_open(&elsewhere, &other, &err) == -EBUSY); /* the disks are taken, too */
    stop(s);
    rig_same(&rig, "disk:vda", rig.disk);
    rig_same(&rig, "disk:vdb", second);
    rig_fini(&rig);
}

int main(int argc, char **argv)
{
    uint64_t seed = unit_seed(argc, argv);
    changed_while_away(&seed);
    host_went_down(&seed, DISK_BYTES);
    host_went_down(&seed, 0);
    recorder_was_killed(&seed);
    no_baseline(&seed);
    two_disks(&seed);
    gaps(&seed);
    return 0;
}
