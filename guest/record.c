/* A process into the hypervisor's evidence: where its pages are, by hypercall; then what they were. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest/record.h"

enum { PAGE = CHV_HELPER_PAGE_BYTES, BATCH = 1024, TEXT_TRIES = 5 };
#define SPACE_BYTES (UINT64_C(1) << 47)
#define ENTRY_FRAME ((UINT64_C(1) << 55) - 1)
#define ENTRY_PRESENT (UINT64_C(1) << 63)

static void *grow(void *list, size_t count, size_t *room, size_t each)
{
    if (count < *room) return list;
    *room = *room ? *room * 2 : 256;
    return realloc(list, *room * each);
}

/* What translate finds, one by one. */
static void take(void *arg, uint8_t kind, const void *head, const void *rest, size_t rest_bytes)
{
    struct record_list *l = arg;
    if (l->failed) return;
    if (kind == CHV_HELPER_MAPPINGS) {
        struct record_mapping *list = grow(l->mappings, l->mapping_count, &l->mapping_room, sizeof *list);
        char *path = list ? calloc(1, rest_bytes + 8) : NULL;
        if (list) l->mappings = list;
        l->failed = !path;
        if (!path) return;
        if (rest_bytes) memcpy(path, rest, rest_bytes);
        memcpy(&list[l->mapping_count].m, head, sizeof list->m);
        list[l->mapping_count++].path = path;
    } else if (kind == CHV_HELPER_RUNS) {
        struct chv_helper_run run, *list = grow(l->runs, l->run_count, &l->run_room, sizeof *list);
        l->failed = !list;
        if (!list) return;
        l->runs = list;
        memcpy(&run, head, sizeof run);
        list[l->run_count++] = run;
        *(run.flags & CHV_HELPER_PRESENT ? &l->present_pages : run.flags & CHV_HELPER_SWAPPED ? &l->swapped_pages : &l->unseen_pages) += run.pages;
    }
}

static void list_fini(struct record_list *l)
{
    for (size_t i = 0; i < l->mapping_count; i++) free(l->mappings[i].path);
    free(l->mappings);
    free(l->runs);
    free(l->command);
}

/* 0 or a positive errno. */
static int look(struct record_list *l, pid_t pid)
{
    struct answer *a = calloc(1, sizeof *a);
    struct timespec now;
    if (!a) return ENOMEM;
    clock_gettime(CLOCK_REALTIME, &now);
    l->time_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    a->take = take;
    a->arg = l;
    int status = translate(a, pid);
    l->torn = a->flags & CHV_HELPER_TORN;
    free(a);
    return status ? status : l->failed ? ENOMEM : 0;
}

static const char *why(int status)
{
    return status < 0                          ? "VMMCALL is no instruction here: no hypervisor, or it knows another key"
           : status == CHV_HYPERCALL_AGAIN     ? "the hypervisor has no room: does the collector keep up?"
           : status == CHV_HYPERCALL_NO_SPACE  ? "another process took the place of this one"
                                               : "the hypervisor refuses the request";
}

static int record_pages(const struct hypercall_key *key, const char *space, struct record_list *l)
{
    struct chv_hypercall_run batch[BATCH];
    size_t n = 0;
    int status = hypercall_until(key, CHV_HYPERCALL_BEGIN, space, SPACE_BYTES);
    for (size_t i = 0; i <= l->run_count && status == CHV_HYPERCALL_OK; i++) {
        bool end = i == l->run_count;
        if (!end && l->runs[i].flags & CHV_HELPER_PRESENT && l->runs[i].va < SPACE_BYTES)
            batch[n++] = (struct chv_hypercall_run){l->runs[i].va, l->runs[i].frame, l->runs[i].pages, 0};
        if (n == BATCH || (end && n > 0)) {
            status = hypercall_record(key, space, batch, n, &l->refused_pages);
            n = 0;
        }
    }
    return status;
}

/* Where our own pages are: the text's. False: some are nowhere. */
static bool frames_of(const uint8_t *text, size_t pages, struct chv_hypercall_run *runs)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0;
    for (size_t i = 0; good && i < pages; i++) {
        uint64_t entry;
        good = pread(fd, &entry, sizeof entry, (off_t)(((uintptr_t)text / PAGE + i) * sizeof entry)) == (ssize_t)sizeof entry &&
               entry & ENTRY_PRESENT && entry & ENTRY_FRAME;
        if (good) runs[i] = (struct chv_hypercall_run){i * PAGE, entry & ENTRY_FRAME, 1, 0};
    }
    if (fd >= 0) close(fd);
    return good;
}

/* The hypervisor takes it out of our memory, as any other page; again if the kernel has moved it meanwhile. */
static int record_map(const struct hypercall_key *key, const char *space, const struct record_list *l)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out) record_text(out, l);
    if (!out || fclose(out) != 0) return CHV_HYPERCALL_INVALID;
    size_t pages = bytes / PAGE + 1; /* a zero behind it, always */
    uint8_t *locked = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct chv_hypercall_run *runs = calloc(2 * pages, sizeof *runs);
    int status = locked != MAP_FAILED && runs && mlock(locked, pages * PAGE) == 0 ? CHV_HYPERCALL_OK : CHV_HYPERCALL_INVALID;
    if (status == CHV_HYPERCALL_OK) {
        memset(locked, 0, pages * PAGE); /* also so that each page is one of its own */
        memcpy(locked, text, bytes);
        status = hypercall_until(key, CHV_HYPERCALL_BEGIN, space, pages * PAGE);
    }
    bool same = false;
    for (unsigned i = 0; i < TEXT_TRIES && status == CHV_HYPERCALL_OK && !same; i++) {
        uint64_t refused = 0;
        if (!frames_of(locked, pages, runs)) continue;
        status = hypercall_record(key, space, runs, pages, &refused);
        same = refused == 0 && frames_of(locked, pages, runs + pages) && memcmp(runs, runs + pages, pages * sizeof *runs) == 0;
    }
    free(text);
    free(runs);
    return status == CHV_HYPERCALL_OK && !same ? CHV_HYPERCALL_INVALID : status;
}

static int fail(pid_t pid, const char *what)
{
    fprintf(stderr, "chronovisor-helper: process %d: %s\n", (int)pid, what);
    return 1;
}

int record(pid_t pid, const char *key_path, bool freeze)
{
    char proc[32], map[32], path[64], state;
    struct hypercall_key key;
    struct record_list l = {0}, again = {0};
    struct hold hold = {0};
    snprintf(proc, sizeof proc, "proc:%d", (int)pid);
    snprintf(map, sizeof map, "map:%d", (int)pid);
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!hypercall_key(key_path, &key)) return 1;
    if (!procfs_stat(path, &l.process, &state)) return fail(pid, "there is none");
    l.command = procfs_read(pid, "cmdline", 65536, &l.command_bytes);
    for (size_t i = 0; l.command && i < l.command_bytes; i++)
        if (!l.command[i]) l.command[i] = ' ';
    while (l.command && l.command_bytes && l.command[l.command_bytes - 1] == ' ') l.command_bytes--;
    if (freeze) l.held = hold_take(&hold, pid);
    int error = look(&l, pid), status = error ? CHV_HYPERCALL_OK : record_pages(&key, proc, &l);
    if (!error && status == CHV_HYPERCALL_OK && look(&again, pid) == 0) l.again = &again;
    hold_release(&hold);
    if (!error && status == CHV_HYPERCALL_OK) status = record_map(&key, map, &l);
    if (!error && status == CHV_HYPERCALL_OK) status = hypercall_until(&key, CHV_HYPERCALL_SETTLED, NULL, 0);
    int code = error                           ? fail(pid, strerror(error))
               : status != CHV_HYPERCALL_OK ? fail(pid, why(status))
                                            : 0;
    if (code == 0)
        printf("proc:%d: %llu pages, %llu swapped out, %llu refused%s; durable at the collector\n", (int)pid, (unsigned long long)l.present_pages,
               (unsigned long long)l.swapped_pages, (unsigned long long)l.refused_pages, freeze && !l.held ? "; the process could not be held" : "");
    list_fini(&l);
    list_fini(&again);
    return code;
}
