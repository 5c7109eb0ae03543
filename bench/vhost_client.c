/* vhost_client SOCKET MODE BLOCK DEPTH TOTAL_MIB SEED [same]: load on a vhost-user-blk back-end, from the host, through
 * shared memory and a ring like a guest's: what a guest could reach if its processor cost nothing. MODE: write, read
 * (sequential), randwrite, randread. Writes carry content that differs from block to block, or with "same" is one of as
 * many as there are requests at once; a flush at the end is counted for writes. Prints one JSON object: requests and
 * bytes a second, and latencies in µs. */
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "tests/vhost_user/front.h"

#define LATENCIES_MAX (1u << 22)

struct load {
    struct front front;
    bool write, random, same;
    uint32_t bytes;
    unsigned depth;
    uint64_t requests, sectors, state, next;
    double *latency_us;
    double begun[FRONT_DEPTH_MAX];
};

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static uint64_t draw(struct load *l)
{
    uint64_t x = l->state;
    x ^= x >> 12, x ^= x << 25, x ^= x >> 27;
    l->state = x;
    return x * 2685821657736338717ull;
}

static void submit(struct load *l, unsigned slot)
{
    uint64_t places = l->sectors * 512 / l->bytes;
    uint64_t place = (l->random ? draw(l) : l->next) % places;
    l->next++;
    /* half of the bytes as compressible as a program's, and no block like another */
    if (l->write && !(l->same && l->next > l->depth))
        for (uint32_t at = 0; at < l->bytes; at += 64) {
            uint64_t word = draw(l);
            memcpy(front_data(&l->front, 0, slot) + at, &word, 8);
        }
    l->begun[slot] = now_us();
    front_submit(&l->front, 0, slot, l->write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, place * (l->bytes / 512), l->bytes);
    front_kick(&l->front, 0);
}

static int run(struct load *l)
{
    uint64_t started = 0, ended = 0;
    while (started < l->depth && started < l->requests) submit(l, (unsigned)started++);
    while (ended < l->requests) {
        int slot = front_wait(&l->front, 0, 60000);
        if (slot < 0 || front_status(&l->front, 0, (unsigned)slot) != VIRTIO_BLK_S_OK) {
            fprintf(stderr, "vhost_client: request %llu %s\n", (unsigned long long)ended,
                    slot < 0 ? "is not answered" : "failed");
            return 1;
        }
        if (ended < LATENCIES_MAX) l->latency_us[ended] = now_us() - l->begun[slot];
        ended++;
        if (started < l->requests) started++, submit(l, (unsigned)slot);
    }
    return l->write ? front_do(&l->front, 0, VIRTIO_BLK_T_FLUSH, 0, 0) != VIRTIO_BLK_S_OK : 0;
}

static int ascending(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

static double seconds_of(const struct timeval *t)
{
    return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    if (argc < 7 || argc > 8) {
        fprintf(stderr,
                "usage: vhost_client SOCKET write|read|randwrite|randread BLOCK-BYTES DEPTH TOTAL-MIB SEED [same]\n");
        return 2;
    }
    static struct load l;
    l.random = strncmp(argv[2], "rand", 4) == 0;
    l.write = strstr(argv[2], "write") != NULL;
    l.bytes = (uint32_t)atoi(argv[3]);
    l.depth = (unsigned)atoi(argv[4]);
    l.same = argc == 8 && strcmp(argv[7], "same") == 0;
    l.state = strtoull(argv[6], NULL, 10) * 2654435761u + 88172645463325252ull;
    if (l.bytes < 512 || l.bytes % 512 || l.depth == 0 || l.depth > FRONT_DEPTH_MAX) {
        fprintf(stderr, "vhost_client: blocks of whole sectors, depths up to %u\n", FRONT_DEPTH_MAX);
        return 2;
    }
    l.requests = strtoull(argv[5], NULL, 10) * (1 << 20) / l.bytes;
    l.latency_us = malloc(sizeof(double) * LATENCIES_MAX);
    if (!l.latency_us) return 2;
    front_open(&l.front, front_connect(argv[1]), 1, l.bytes, ~UINT64_C(0));
    l.sectors = front_capacity(&l.front);
    front_start(&l.front, 0);
    double begun = now_us();
    if (run(&l) != 0) return 1;
    double seconds = (now_us() - begun) / 1e6;
    uint64_t kept = l.requests < LATENCIES_MAX ? l.requests : LATENCIES_MAX;
    qsort(l.latency_us, kept, sizeof *l.latency_us, ascending);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const struct {
        const char *name;
        uint64_t thousandth;
    } points[] = {{"p50_us", 500}, {"p90_us", 900}, {"p99_us", 990}, {"p999_us", 999}};
    printf("{\"iops\": %.1f, \"mb_s\": %.2f, \"seconds\": %.3f, \"bytes\": %llu, ", (double)l.requests / seconds,
           (double)l.requests * l.bytes / 1e6 / seconds, seconds, (unsigned long long)(l.requests * l.bytes));
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        printf("\"%s\": %.1f, ", points[i].name, kept ? l.latency_us[kept * points[i].thousandth / 1000] : 0);
    printf("\"client_cpu_s\": %.3f}\n", seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime));
    front_stop(&l.front, 0);
    front_close(&l.front);
    free(l.latency_us);
    return 0;
}
