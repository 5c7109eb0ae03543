/* A back-end that is killed under load, again and again: whoever comes next does what was under way, so that every
 * request of the guest is answered once and none is lost, with split and with packed rings. */
#include <linux/virtio_blk.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "sensor/vhost_user/server.h"
#include "tests/sensor/rig.h"
#include "tests/vhost_user/front.h"

#define QUEUES 2u
#define SLOTS 40u
#define OWN 16u /* blocks of a slot */
#define BLOCK 4096u
#define KILLS 8

struct pending {
    bool busy;
    uint32_t type;
    uint64_t block;
    uint64_t version;
};

struct guest {
    struct rig rig;
    struct front front;
    char sock[300];
    pid_t server;
    uint64_t seed, done, versions;
    bool uring;
    uint64_t holds[QUEUES * SLOTS * OWN]; /* version of each block */
    struct pending pending[QUEUES][SLOTS];
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fill(uint8_t *to, uint64_t block, uint64_t version)
{
    for (uint32_t at = 0; at < BLOCK; at += 8) {
        uint64_t word = version == 0 ? 0 : (block << 40) + (version << 10) + at / 8;
        memcpy(to + at, &word, 8);
    }
}

static int begin_server(struct guest *g)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    CHECK(strlen(g->sock) < sizeof addr.sun_path);
    memcpy(addr.sun_path, g->sock, strlen(g->sock));
    unlink(g->sock);
    fflush(NULL);
    g->server = fork();
    CHECK(g->server >= 0);
    if (g->server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        struct session_options options = rig_options(&g->rig);
        struct chv_err err;
        options.record_reads = false;
        options.uring = g->uring;
        int r = vhost_server_run(&options, g->sock, &err);
        if (r < 0) fprintf(stderr, "server: %s\n", err.text);
        _exit(r < 0);
    }
    for (int tries = 0; tries < 3000; tries++) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(fd >= 0);
        if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0) return fd;
        close(fd);
        usleep(10000);
    }
    fprintf(stderr, "the server does not listen\n");
    exit(1);
}

static void submit(struct guest *g, unsigned queue, unsigned slot)
{
    struct pending *p = &g->pending[queue][slot];
    uint64_t dice = unit_random(&g->seed) % 16;
    p->busy = true;
    p->block = (queue * SLOTS + slot) * OWN + unit_random(&g->seed) % OWN;
    p->type = dice < 10 ? VIRTIO_BLK_T_OUT : dice < 15 ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_FLUSH;
    if (p->type == VIRTIO_BLK_T_OUT) {
        p->version = ++g->versions;
        fill(front_data(&g->front, queue, slot), p->block, p->version);
    }
    front_submit(&g->front, queue, slot, p->type, p->block * (BLOCK / 512), p->type == VIRTIO_BLK_T_FLUSH ? 0 : BLOCK);
}

/* Was it answered once, and rightly? */
static void check_answer(struct guest *g, unsigned queue, unsigned slot)
{
    struct pending *p = &g->pending[queue][slot];
    uint8_t want[BLOCK];
    CHECK(p->busy);
    p->busy = false;
    CHECK(front_status(&g->front, queue, slot) == VIRTIO_BLK_S_OK);
    if (p->type == VIRTIO_BLK_T_OUT) g->holds[p->block] = p->version;
    if (p->type == VIRTIO_BLK_T_IN) {
        fill(want, p->block, g->holds[p->block]);
        CHECK(memcmp(want, front_data(&g->front, queue, slot), BLOCK) == 0);
    }
    g->done++;
}

/* Load until then; afterwards, with `last`, until nothing is under way. */
static void load(struct guest *g, double until_s, bool last)
{
    const double limit_s = now_s() + 60;
    unsigned busy = 0;
    do {
        const bool more = now_s() < until_s;
        busy = 0;
        for (unsigned queue = 0; queue < QUEUES; queue++) {
            for (unsigned slot = 0; more && slot < SLOTS; slot++)
                if (!g->pending[queue][slot].busy) submit(g, queue, slot);
            front_kick(&g->front, queue);
            for (int slot; (slot = front_wait(&g->front, queue, 1)) >= 0 && now_s() < limit_s;) {
                CHECK((unsigned)slot < SLOTS);
                check_answer(g, queue, (unsigned)slot);
                if (!more) continue;
                submit(g, queue, (unsigned)slot);
                front_kick(&g->front, queue);
                if (now_s() >= until_s) break;
            }
            for (unsigned slot = 0; slot < SLOTS; slot++) busy += g->pending[queue][slot].busy;
        }
        CHECK(now_s() < limit_s);
    } while (now_s() < until_s || (last && busy));
}

static void check_disk(const struct guest *g)
{
    uint8_t have[BLOCK], want[BLOCK];
    int fd = open(g->rig.disk, O_RDONLY);
    CHECK(fd >= 0);
    for (uint64_t block = 0; block < QUEUES * SLOTS * OWN; block++) {
        fill(want, block, g->holds[block]);
        CHECK(pread(fd, have, BLOCK, (off_t)(block * BLOCK)) == BLOCK && memcmp(have, want, BLOCK) == 0);
    }
    close(fd);
}

static void run(uint64_t seed, bool packed, bool uring)
{
    static struct guest g;
    int status;
    memset(&g, 0, sizeof g);
    g.seed = seed;
    g.uring = uring;
    rig_init(&g.rig);
    rig_disk(&g.rig, QUEUES * SLOTS * OWN * BLOCK, 0, &g.seed);
    snprintf(g.sock, sizeof g.sock, "%s/s", g.rig.dir);
    int fd = begin_server(&g);
    if (packed) front_open_packed(&g.front, fd, QUEUES, BLOCK);
    else front_open(&g.front, fd, QUEUES, BLOCK, ~UINT64_C(0));
    front_track(&g.front);
    for (unsigned queue = 0; queue < QUEUES; queue++) front_start(&g.front, queue);
    uint64_t lost = 0;
    for (int kills = 0; kills < KILLS; kills++) {
        load(&g, now_s() + 0.02 + (double)(unit_random(&g.seed) % 250) / 1000, false);
        CHECK(kill(g.server, SIGKILL) == 0 && waitpid(g.server, &status, 0) == g.server);
        for (unsigned i = 0; i < QUEUES * SLOTS; i++) lost += g.pending[i / SLOTS][i % SLOTS].busy;
        front_again(&g.front, begin_server(&g));
    }
    load(&g, now_s() + 0.2, true);
    for (unsigned queue = 0; queue < QUEUES; queue++) front_stop(&g.front, queue);
    front_close(&g.front);
    CHECK(kill(g.server, SIGTERM) == 0 && waitpid(g.server, &status, 0) == g.server);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    check_disk(&g);
    rig_same(&g.rig, "disk:vda", g.rig.disk);
    CHECK(lost > KILLS); /* else nothing was under way, and nothing is proven */
    printf("%s: %llu requests, %d kills with %llu under way\n", packed ? "packed" : "split", (unsigned long long)g.done,
           KILLS, (unsigned long long)lost);
    rig_fini(&g.rig);
}

int main(int argc, char **argv)
{
    const bool uring = argc > 1 && strcmp(argv[1], "io_uring") == 0;
    uint64_t seed = unit_seed(argc - uring, argv + uring);
    signal(SIGPIPE, SIG_IGN);
    run(seed, false, uring);
    run(seed + 1, true, uring);
    return 0;
}
