/* A disk that is full, or fails, at the n-th step for every n: what was acknowledged stays, what was appended is recorded
 * once the disk is well again, and errors say where. */
#include <errno.h>
#include <fcntl.h>

#include "chronovisor/chronovisor.h"
#include "tests/store/fault.h"
#include "tests/store/script.h"
#include "tests/unit.h"

enum { REQUESTS = 70, MORE = 12 };

struct outcome {
    uint64_t appended, acked;
    bool hit;
};

static void check_error(const struct fault *f, int r, const struct chv_err *err)
{
    CHECK(r == -f->code && err->code == f->code);
    CHECK(strlen(err->text) > 10 && !strchr(err->text, '\n') && strstr(err->text, strerror(f->code)));
}

static struct outcome record(const struct script *s, const char *dir, struct fault *f)
{
    struct chv_recorder_options o = {.queue_blocks = 64, .workers = 2, .segment_events = 64, .pack_bytes = 12000,
                                     .clock_ns = 1, .io = &f->io};
    struct chv_recorder *rec;
    struct chv_err err;
    struct outcome out = {0};
    uint16_t ids[SCRIPT_SPACES];
    int r = chv_recorder_open(dir, &o, &rec, &err);
    if (r < 0) {
        check_error(f, r, &err);
        out.hit = true;
        return out;
    }
    r = script_spaces(s, rec, ids, &err);
    while (r == 0 && out.appended < REQUESTS) {
        uint64_t ticket, n = script_append(s, rec, ids, out.appended, out.appended + 7, &ticket, &err);
        out.appended += n;
        if (n < 7) r = -err.code;
        if (r == 0 && out.appended % 3 == 0) {
            r = chv_recorder_wait(rec, ticket, &err);
            if (r == 0) out.acked = out.appended;
        }
    }
    if (r < 0) check_error(f, r, &err);
    int closed = chv_recorder_close(rec, &err);
    if (closed < 0) check_error(f, closed, &err);
    else out.acked = out.appended;
    CHECK(r == 0 || closed == r); /* an error that was said once is said at the end too */
    out.hit = atomic_load(&f->steps) >= f->at;
    return out;
}

static bool one(uint64_t seed, unsigned long at, int code, bool stays)
{
    struct script s = {.seed = seed, .block_bytes = 512};
    char dir[256];
    struct chv_err err;
    struct fault f;
    fault_init(&f);
    f.at = at;
    f.code = code;
    f.stays = stays;
    unit_temp_dir(dir);
    CHECK_OK(chv_store_create(dir, &(struct chv_store_config){.block_bytes = 512}, &err), err);
    struct outcome out = record(&s, dir, &f);
    script_check(&s, dir, NULL, 0, out.acked, out.acked); /* while it is as the fault left it */
    struct chv_recorder *rec;
    struct chv_recorder_options o = {.queue_blocks = 64, .workers = 2, .segment_events = 64, .pack_bytes = 12000, .clock_ns = 1};
    struct script_cut cut = {out.appended, 5000};
    uint16_t ids[SCRIPT_SPACES];
    CHECK_OK(chv_recorder_open(dir, &o, &rec, &err), err);
    CHECK_OK(script_spaces(&s, rec, ids, &err), err);
    CHECK(script_append(&s, rec, ids, 5000, 5000 + MORE, NULL, &err) == MORE);
    CHECK_OK(chv_recorder_close(rec, &err), err);
    script_check(&s, dir, &cut, 1, 5000 + MORE, UINT64_MAX);
    script_check_files(dir, 512);
    unit_remove_tree(dir);
    return out.hit;
}

static struct {
    unsigned long at;
    int code;
    bool stays;
} now;

static void where(void)
{
    if (now.at) fprintf(stderr, "%s at step %lu%s\n", strerror(now.code), now.at, now.stays ? " and after" : "");
}

/* Root may write what is read-only; recorders need not be root. Stays root where others may not reach the temporary folder. */
static void be_somebody(void)
{
    const char *temp = getenv("TMPDIR");
    if (getuid() != 0) return;
    if (seteuid(65534) == 0 && faccessat(AT_FDCWD, temp ? temp : "/tmp", W_OK | X_OK, AT_EACCESS) == 0) {
        if (seteuid(0) == 0 && setgid(65534) == 0 && setuid(65534) == 0) return;
    }
    if (seteuid(0) < 0) perror("seteuid");
    printf("as root\n");
}

int main(int argc, char **argv)
{
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    be_somebody();
    uint64_t seed = unit_seed(argc, argv);
    atexit(where);
    for (int kind = 0; kind < 4; kind++) {
        now.code = kind & 1 ? EIO : ENOSPC;
        now.stays = kind < 2;
        /* Every step at first, where opening is; then strides. */
        now.at = 1;
        while (one(seed, now.at, now.code, now.stays)) now.at += now.at < 24 ? 1 : 1 + unit_random(&seed) % 9;
        printf("%s%s: %lu steps\n", strerror(now.code), now.stays ? ", staying" : "", now.at);
        CHECK(now.at > 40);
    }
    now.at = 0;
    return 0;
}
