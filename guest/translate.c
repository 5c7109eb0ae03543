#include "guest/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Documentation/admin-guide/mm/pagemap.rst: an entry of 64 bits a page. */
#define ENTRY_FRAME ((UINT64_C(1) << 55) - 1)
#define ENTRY_SOFT_DIRTY (UINT64_C(1) << 55)
#define ENTRY_FILE (UINT64_C(1) << 61)
#define ENTRY_SWAPPED (UINT64_C(1) << 62)
#define ENTRY_PRESENT (UINT64_C(1) << 63)

#define MAPS_BYTES_MAX (64u << 20)
#define USER_END (UINT64_C(1) << 56)
/* Programs reserve terabytes that they never touch (sanitizers, Go, JITs): looked at are at most 256 GiB of addresses. */
#define LOOKS_MAX (UINT64_C(1) << 26)
enum { PAGE = CHV_HELPER_PAGE_BYTES, CHUNK = 4096 };

struct work {
    struct answer *answer;
    int pagemap;
    uint64_t looks_left;
    bool hidden; /* the kernel does not show frames: no privilege */
    struct chv_helper_run run; /* not sent yet; .pages 0: none */
    uint64_t entries[CHUNK];
};

static void send_run(struct work *w)
{
    if (w->run.pages > 0) answer_add(w->answer, CHV_HELPER_RUNS, &w->run, sizeof w->run, NULL, 0);
    w->run.pages = 0;
}

static void add_page(struct work *w, uint64_t va, uint64_t frame, uint32_t flags)
{
    struct chv_helper_run *r = &w->run;
    if (r->pages > 0 && r->pages < UINT32_MAX && r->flags == flags && r->va + (uint64_t)r->pages * PAGE == va &&
        (frame == 0 || r->frame + r->pages == frame)) {
        r->pages++;
        return;
    }
    send_run(w);
    *r = (struct chv_helper_run){.va = va, .frame = frame, .pages = 1, .flags = flags};
}

static void add_entry(struct work *w, uint64_t va, uint64_t entry, uint32_t rights)
{
    uint32_t flags = rights | (entry & ENTRY_FILE ? CHV_HELPER_FILE : 0u) | (entry & ENTRY_SOFT_DIRTY ? CHV_HELPER_SOFT_DIRTY : 0u);
    if ((entry & ENTRY_PRESENT) && (entry & ENTRY_FRAME) == 0)
        w->hidden = true;
    else if (entry & ENTRY_PRESENT)
        add_page(w, va, entry & ENTRY_FRAME, flags | CHV_HELPER_PRESENT);
    else if (entry & ENTRY_SWAPPED)
        add_page(w, va, 0, flags | CHV_HELPER_SWAPPED);
}

static void add_unseen(struct work *w, uint64_t va, uint64_t end, uint32_t rights)
{
    w->answer->flags |= CHV_HELPER_TORN;
    send_run(w);
    while (va < end) {
        uint64_t pages = (end - va) / PAGE;
        if (pages > UINT32_MAX) pages = UINT32_MAX;
        w->run = (struct chv_helper_run){.va = va, .pages = (uint32_t)pages, .flags = rights | CHV_HELPER_UNSEEN};
        send_run(w);
        va += pages * PAGE;
    }
}

static void translate_mapping(struct work *w, const struct mapping *m)
{
    uint32_t rights = m->flags & (CHV_HELPER_READ | CHV_HELPER_WRITE | CHV_HELPER_EXEC | CHV_HELPER_SHARED);
    for (uint64_t va = m->start; va < m->end && w->answer->error == 0;) {
        uint64_t left = (m->end - va) / PAGE;
        size_t n = left < CHUNK ? (size_t)left : CHUNK;
        if (w->looks_left < n) {
            add_unseen(w, va, m->end, rights);
            return;
        }
        w->looks_left -= n;
        ssize_t got = pread(w->pagemap, w->entries, n * sizeof *w->entries, (off_t)(va / PAGE * sizeof *w->entries));
        if (got <= 0) { /* unmapped meanwhile, or the process has ended */
            w->answer->flags |= CHV_HELPER_TORN;
            return;
        }
        for (size_t i = 0; i < (size_t)got / sizeof *w->entries; i++) add_entry(w, va + i * PAGE, w->entries[i], rights);
        va += (size_t)got / sizeof *w->entries * PAGE;
        if ((size_t)got < sizeof *w->entries) return;
    }
}

/* Mappings go before pages: who reads the answer knows then what the pages are in. */
static int send_mappings(struct work *w, char *text, size_t *count, struct mapping **out)
{
    size_t room = 0;
    struct mapping *list = NULL, m;
    *count = 0;
    for (char *line = text, *end; *line && w->answer->error == 0; line = end) {
        end = line + strcspn(line, "\n");
        if (*end) *end++ = 0;
        if (!mapping_parse(line, &m) || m.end > USER_END) continue; /* [vsyscall] is the kernel's */
        struct chv_helper_mapping head = {m.start, m.end, m.offset, m.flags, (uint32_t)m.path_bytes};
        answer_add(w->answer, CHV_HELPER_MAPPINGS, &head, sizeof head, m.path, m.path_bytes);
        if (*count == room) {
            room = room ? room * 2 : 256;
            struct mapping *grown = realloc(list, room * sizeof *list);
            if (!grown) {
                free(list);
                return ENOMEM;
            }
            list = grown;
        }
        list[(*count)++] = m;
    }
    *out = list;
    return 0;
}

int translate(struct answer *a, pid_t pid)
{
    char path[64];
    size_t bytes, count = 0;
    struct mapping *list = NULL;
    char *text = procfs_read(pid, "maps", MAPS_BYTES_MAX, &bytes);
    if (!text) return errno == ENOENT ? ESRCH : errno;
    struct work *w = calloc(1, sizeof *w);
    int status = w ? 0 : ENOMEM;
    if (status == 0) {
        snprintf(path, sizeof path, "/proc/%d/pagemap", (int)pid);
        *w = (struct work){.answer = a, .pagemap = open(path, O_RDONLY | O_CLOEXEC), .looks_left = LOOKS_MAX};
        status = w->pagemap < 0 ? errno : send_mappings(w, text, &count, &list);
    }
    for (size_t i = 0; i < count && status == 0; i++) translate_mapping(w, &list[i]);
    if (w && status == 0) {
        send_run(w);
        if (w->hidden) status = EPERM;
    }
    if (w && w->pagemap >= 0) close(w->pagemap);
    free(w);
    free(list);
    free(text);
    return status;
}
