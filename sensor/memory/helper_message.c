#include "sensor/memory/helper_message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = CHV_HELPER_PAGE_BYTES };
#define USER_END (walk_user_last(5) + 1)
#define FRAMES_END (UINT64_C(1) << 40) /* 52 bits of physical address */
#define RIGHTS (CHV_HELPER_READ | CHV_HELPER_WRITE | CHV_HELPER_EXEC | CHV_HELPER_SHARED)

/* Room for one more in a malloc'd list. */
static int grow(void **list, size_t count, size_t *room, size_t size)
{
    if (count < *room) return 0;
    size_t more = *room ? *room * 2 : 256;
    void *grown = reallocarray(*list, more, size);
    if (!grown) return -ENOMEM;
    *list = grown;
    *room = more;
    return 0;
}

static int no_memory(struct chv_err *err)
{
    return chv_err_set(err, ENOMEM, "out of memory");
}

static int add_process(struct helper_answer *a, const uint8_t *data, struct chv_err *err)
{
    struct chv_helper_process p;
    memcpy(&p, data, sizeof p);
    if (p.pid == 0 || p.pid > CHV_HELPER_PID_MAX || p.ppid > CHV_HELPER_PID_MAX || a->task_count >= LINUX_TASKS_MAX)
        return chv_err_set(err, EPROTO, "the helper lists a process that cannot be (number %u)", p.pid);
    if (grow((void **)&a->tasks, a->task_count, &a->task_room, sizeof *a->tasks) < 0) return no_memory(err);
    struct linux_task *t = &a->tasks[a->task_count++];
    *t = (struct linux_task){.pid = p.pid, .ppid = p.ppid, .uid = p.uid, .mm = !(p.flags & CHV_HELPER_KERNEL_THREAD)};
    memcpy(t->name, p.name, sizeof t->name - 1);
    return 0;
}

/* Its bytes in the payload, or -EPROTO. */
static int add_mapping(struct helper_answer *a, const uint8_t *data, size_t left, struct chv_err *err)
{
    struct chv_helper_mapping m;
    struct helper_pages *p = &a->pages;
    if (left < sizeof m) return chv_err_set(err, EPROTO, "the helper sent half a mapping");
    memcpy(&m, data, sizeof m);
    size_t path = m.path_bytes, bytes = sizeof m + (path + 7) / 8 * 8;
    uint64_t before = p->vma_count ? p->vmas[p->vma_count - 1].end : 0;
    if (path > CHV_HELPER_PATH_MAX || bytes > left || m.start >= m.end || (m.start | m.end) % PAGE || m.end > USER_END ||
        m.start < before || p->vma_count >= LINUX_VMAS_MAX || p->pages.count > 0 || p->absent_count > 0)
        return chv_err_set(err, EPROTO, "the helper sent a mapping that cannot be (0x%llx)", (unsigned long long)m.start);
    if (grow((void **)&p->vmas, p->vma_count, &a->vma_room, sizeof *p->vmas) < 0) return no_memory(err);
    struct linux_vma *v = &p->vmas[p->vma_count];
    const char *text = (const char *)data + sizeof m;
    *v = (struct linux_vma){.start = m.start, .end = m.end, .flags = m.flags & RIGHTS, .deleted = m.flags & CHV_HELPER_DELETED};
    if (path > 0 && text[0] == '[') { /* as the agentless road has them: not files */
        v->heap = path == 6 && memcmp(text, "[heap]", 6) == 0;
        v->stack = path == 7 && memcmp(text, "[stack]", 7) == 0;
        v->vdso = path == 6 && memcmp(text, "[vdso]", 6) == 0;
    } else if (path > 0) {
        v->path = strndup(text, path);
        if (!v->path) return no_memory(err);
        v->file = 1; /* there is one; where its structure lies is not known */
        v->offset = m.offset;
        v->memfd = strncmp(v->path, "/memfd:", 7) == 0;
    }
    p->vma_count++;
    return (int)bytes;
}

static int add_absent(struct helper_answer *a, const struct chv_helper_run *r, struct chv_err *err)
{
    struct helper_pages *p = &a->pages;
    bool unseen = r->flags & CHV_HELPER_UNSEEN;
    *(unseen ? &p->unseen_pages : &p->swapped_pages) += r->pages;
    struct page_absent *last = p->absent_count ? &p->absent[p->absent_count - 1] : NULL;
    if (last && last->va + last->bytes == r->va && last->unseen == unseen) {
        last->bytes += (uint64_t)r->pages * PAGE;
        return 0;
    }
    if (p->absent_count == HELPER_ABSENT_MAX) {
        p->torn = true;
        return 0;
    }
    if (grow((void **)&p->absent, p->absent_count, &p->absent_room, sizeof *p->absent) < 0) return no_memory(err);
    p->absent[p->absent_count++] = (struct page_absent){r->va, (uint64_t)r->pages * PAGE, unseen};
    return 0;
}

static int add_present(struct helper_answer *a, const struct chv_helper_run *r, struct chv_err *err)
{
    struct helper_pages *p = &a->pages;
    uint64_t pa = r->frame * PAGE, bytes = (uint64_t)r->pages * PAGE;
    if (r->frame >= FRAMES_END || !physmem_is_ram(a->mem, pa, bytes)) {
        p->refused_pages += r->pages;
        return 0;
    }
    if (!pages_fit(&p->pages, a->mem, bytes)) {
        p->pages.truncated = true;
        return 0;
    }
    uint32_t flags = WALK_USER | (r->flags & CHV_HELPER_WRITE ? WALK_WRITE : 0u) | (r->flags & CHV_HELPER_EXEC ? WALK_EXEC : 0u) |
                     (r->flags & CHV_HELPER_SOFT_DIRTY ? WALK_DIRTY : 0u) | (r->flags & CHV_HELPER_FILE ? PAGE_FILE : PAGE_ANONYMOUS);
    return pages_add(&p->pages, &a->run_room, r->va, pa, bytes, flags) < 0 ? no_memory(err) : 0;
}

static int add_run(struct helper_answer *a, const uint8_t *data, struct chv_err *err)
{
    struct chv_helper_run r;
    memcpy(&r, data, sizeof r);
    uint32_t where = r.flags & (CHV_HELPER_PRESENT | CHV_HELPER_SWAPPED | CHV_HELPER_UNSEEN);
    if (r.va % PAGE || r.pages == 0 || r.va < a->last_va || r.va >= USER_END || (uint64_t)r.pages * PAGE > USER_END - r.va ||
        (where != CHV_HELPER_PRESENT && where != CHV_HELPER_SWAPPED && where != CHV_HELPER_UNSEEN))
        return chv_err_set(err, EPROTO, "the helper sent pages that cannot be (at 0x%llx)", (unsigned long long)r.va);
    a->last_va = r.va + (uint64_t)r.pages * PAGE;
    return where == CHV_HELPER_PRESENT ? add_present(a, &r, err) : add_absent(a, &r, err);
}

static int add_end(struct helper_answer *a, const struct chv_helper_frame *f, struct chv_err *err)
{
    if (f->value != a->records && f->status == 0)
        return chv_err_set(err, EPROTO, "the helper says that it sent %llu records, %llu came", (unsigned long long)f->value,
                           (unsigned long long)a->records);
    a->status = f->status < 4096 ? (int)f->status : EPROTO;
    a->pages.held = f->flags & CHV_HELPER_HELD;
    a->pages.torn |= (f->flags & CHV_HELPER_TORN) != 0;
    a->ended = true;
    return 0;
}

static int add_all(struct helper_answer *a, const struct chv_helper_frame *f, const uint8_t *data, size_t size,
                   int (*add)(struct helper_answer *, const uint8_t *, struct chv_err *), struct chv_err *err)
{
    int r = f->bytes % size == 0 ? 0 : chv_err_set(err, EPROTO, "the helper sent half a record");
    for (size_t at = 0; at < f->bytes && r == 0; at += size) {
        r = add(a, data + at, err);
        a->records++;
    }
    return r;
}

int helper_answer_add(struct helper_answer *a, const struct chv_helper_frame *f, const uint8_t *payload, struct chv_err *err)
{
    if (f->id != a->id || f->pid != a->pid || a->ended) return chv_err_set(err, EPROTO, "the helper answered what was not asked");
    if (f->kind == CHV_HELPER_END && f->bytes == 0) return add_end(a, f, err);
    if (f->kind == CHV_HELPER_PROCESSES && a->asked == CHV_HELPER_LIST)
        return add_all(a, f, payload, sizeof(struct chv_helper_process), add_process, err);
    if (f->kind == CHV_HELPER_RUNS && a->asked == CHV_HELPER_PAGES)
        return add_all(a, f, payload, sizeof(struct chv_helper_run), add_run, err);
    if (f->kind == CHV_HELPER_MAPPINGS && a->asked == CHV_HELPER_PAGES) {
        int n = 0;
        for (size_t at = 0; at < f->bytes && n >= 0; at += (size_t)n) {
            n = add_mapping(a, payload + at, f->bytes - at, err);
            a->records++;
            if (n < 0) return n;
        }
        return 0;
    }
    return chv_err_set(err, EPROTO, "the helper sent a frame of kind %u, which was not asked for", f->kind);
}

void helper_pages_fini(struct helper_pages *pages)
{
    linux_vmas_free(pages->vmas, pages->vma_count);
    pages_free(&pages->pages);
    free(pages->absent);
    *pages = (struct helper_pages){0};
}

void helper_answer_fini(struct helper_answer *answer)
{
    helper_pages_fini(&answer->pages);
    free(answer->tasks);
    answer->tasks = NULL;
}
