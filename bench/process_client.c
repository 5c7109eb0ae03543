/* The small costs of acquiring a process.
 *
 *   process_client translate IMAGE PID   ns for one address translation: page by page in order, and at random addresses
 *   process_client ping SOCK PID         µs for one question to the helper, and ms for the list of a process's pages
 *
 * One JSON object a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "sensor/memory/helper.h"

enum { LOOKS = 4 << 20, PINGS = 2000, LISTS = 5 };

static int fail(const char *text)
{
    fprintf(stderr, "process_client: %s\n", text);
    return 2;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static double look(struct walk *w, const uint64_t *va, size_t count)
{
    struct walk_leaf leaf;
    uint64_t began = clock_monotonic_ns(), tables = w->tables, sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (walk_translate(w, va[i], &leaf) < 0) exit(fail("a page has gone"));
        sum += leaf.pa;
    }
    uint64_t ns = clock_monotonic_ns() - began;
    fprintf(stderr, "%zu looks, %llu tables copied, sum %llx\n", count, (unsigned long long)(w->tables - tables), (unsigned long long)sum);
    return (double)ns / (double)count;
}

static int translate(const char *path, uint32_t pid)
{
    static struct walk w;
    struct physmem *mem;
    struct roots roots;
    struct linux_kernel *k;
    struct linux_task *tasks;
    struct pages pages;
    struct chv_err err;
    size_t count, found = 0, at = 0;
    bool broken;
    if (physmem_open_image(path, &mem, &err) < 0 || roots_find(mem, NULL, NULL, &roots, &err) < 0 || linux_open(mem, &roots, &k, &err) < 0 ||
        linux_tasks(k, &tasks, &count, &broken, &err) < 0)
        return fail(err.text);
    while (found < count && tasks[found].pid != pid) found++;
    if (found == count || !linux_task_walk(k, &tasks[found], &w) || pages_collect(&w, &pages, &err) < 0) return fail("no such process");
    uint64_t *va = calloc(LOOKS, sizeof *va), x = 1;
    size_t total = (size_t)(pages.bytes / 4096);
    if (!va) return fail("memory");
    for (size_t i = 0; i < pages.count; i++)
        for (uint64_t b = 0; b < pages.list[i].bytes && at < LOOKS; b += 4096) va[at++] = pages.list[i].va + b;
    double in_order = look(&w, va, at);
    for (size_t i = at; i < LOOKS; i++) va[i] = va[i % at];
    for (size_t i = LOOKS - 1; i > 0; i--) { /* Fisher and Yates */
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
        size_t j = (size_t)((x >> 33) % (i + 1));
        uint64_t swap = va[i];
        va[i] = va[j];
        va[j] = swap;
    }
    printf("{\"pages\": %zu, \"runs\": %zu, \"in_order_ns\": %.2f, \"random_ns\": %.2f}\n", total, pages.count, in_order, look(&w, va, LOOKS / 4));
    return 0;
}

static int ping(const char *sock, uint32_t pid)
{
    static const struct physmem_range everything = {0, UINT64_C(1) << 40, 0, -1};
    struct helper *h;
    struct physmem *mem;
    struct helper_pages pages = {0};
    struct chv_err err;
    uint64_t ns[PINGS], list[LISTS], bytes = 0;
    size_t runs = 0;
    if (physmem_open_ranges(&everything, 1, &mem, &err) < 0 || helper_connect(sock, &h, &err) < 0) return fail(err.text);
    for (int i = 0; i < PINGS; i++)
        if (helper_ping(h, &ns[i], &err) < 0) return fail(err.text);
    for (int i = 0; i < LISTS; i++) {
        uint64_t began = clock_monotonic_ns();
        if (helper_translate(h, pid, false, mem, &pages, &err) < 0) return fail(err.text);
        list[i] = clock_monotonic_ns() - began;
        bytes = pages.pages.bytes;
        runs = pages.pages.count;
        helper_pages_fini(&pages);
    }
    qsort(ns, PINGS, sizeof *ns, by_value);
    qsort(list, LISTS, sizeof *list, by_value);
    printf("{\"round_trip_us\": %.1f, \"round_trip_p99_us\": %.1f, \"list_ms\": %.2f, \"list_runs\": %zu, \"list_bytes\": %llu}\n",
           (double)ns[PINGS / 2] / 1e3, (double)ns[PINGS * 99 / 100] / 1e3, (double)list[LISTS / 2] / 1e6, runs, (unsigned long long)bytes);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "translate") == 0) return translate(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
    if (argc == 4 && strcmp(argv[1], "ping") == 0) return ping(argv[2], (uint32_t)strtoul(argv[3], NULL, 10));
    return fail("usage: translate IMAGE PID | ping SOCK PID");
}
