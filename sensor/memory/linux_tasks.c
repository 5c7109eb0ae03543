#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/linux_impl.h"

#define UNLISTED_MAX 1024u
#define PID_MAX 4194304u

static void read_address_space(struct linux_kernel *k, struct linux_task *t)
{
    uint64_t pgd;
    struct walk_leaf leaf;
    if (t->mm == 0) return;
    if (linux_u64(k, t->mm + k->at.mm_pgd, &pgd) && pgd % PHYSMEM_PAGE_BYTES == 0 && walk_translate(&k->walk, pgd, &leaf) == 0)
        t->cr3 = leaf.pa + (pgd - leaf.va);
    linux_u64(k, t->mm + k->at.mm_arg_start, &t->arg_start);
    linux_u64(k, t->mm + k->at.mm_arg_end, &t->arg_end);
}

/* False: this is no task. */
static bool read_task(struct linux_kernel *k, uint64_t address, struct linux_task *t)
{
    *t = (struct linux_task){.address = address, .uid = UINT32_MAX};
    uint64_t parent, cred;
    if (!linux_u32(k, address + k->at.task_tgid, &t->pid) || !linux_u64(k, address + k->at.task_mm, &t->mm) ||
        walk_read(&k->walk, address + k->at.task_comm, t->name, sizeof t->name - 1) < 0 || t->pid > INT32_MAX)
        return false;
    if (linux_u64(k, address + k->at.task_real_parent, &parent) && linux_is_pointer(k, parent))
        linux_u32(k, parent + k->at.task_tgid, &t->ppid);
    if (k->at.task_cred != LINUX_NONE && k->at.cred_uid != LINUX_NONE && linux_u64(k, address + k->at.task_cred, &cred) &&
        linux_is_pointer(k, cred))
        linux_u32(k, cred + k->at.cred_uid, &t->uid);
    if (k->at.task_start != LINUX_NONE) linux_u64(k, address + k->at.task_start, &t->start_ns);
    if (t->mm != 0 && !linux_is_pointer(k, t->mm)) t->mm = 0;
    read_address_space(k, t);
    return true;
}

struct task_list {
    struct linux_kernel *k;
    struct linux_task *list;
    size_t count, room;
    size_t listed;    /* the first of them: found in the kernel's list */
    uint64_t *known;  /* their addresses, sorted */
};

/* 0, -ENOENT: no task, -E2BIG, -ENOMEM. */
static int add_task(struct task_list *l, uint64_t address)
{
    if (l->count == LINUX_TASKS_MAX) return -E2BIG;
    if (l->count == l->room) {
        size_t room = l->room ? l->room * 2 : 128;
        struct linux_task *grown = realloc(l->list, room * sizeof *grown);
        if (!grown) return -ENOMEM;
        l->list = grown;
        l->room = room;
    }
    if (!read_task(l->k, address, &l->list[l->count])) return -ENOENT;
    l->count++;
    return 0;
}

static int by_address(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* A process that has a number: is it in the list? */
static int add_unlisted(void *arg, uint64_t address)
{
    struct task_list *l = arg;
    if (l->listed && bsearch(&address, l->known, l->listed, sizeof address, by_address)) return 0;
    for (size_t i = l->listed; i < l->count; i++)
        if (l->list[i].address == address) return 0;
    if (l->count - l->listed == UNLISTED_MAX) return -E2BIG;
    int r = add_task(l, address);
    if (r == 0 && (l->list[l->count - 1].pid == 0 || l->list[l->count - 1].pid > PID_MAX)) l->count--;
    return r == -ENOENT ? 0 : r;
}

static int follow_list(struct task_list *l, bool *broken)
{
    struct linux_kernel *k = l->k;
    uint64_t head = k->init_task + k->at.task_tasks, node = head, next, back;
    while (linux_u64(k, node, &next) && next != head) {
        /* Each points back to the one before, so no node can be met twice before the head is: the walk ends. */
        int r = linux_is_pointer(k, next) && linux_u64(k, next + 8, &back) && back == node ? add_task(l, next - k->at.task_tasks) : -ENOENT;
        if (r == -ENOMEM) return r;
        if (r < 0) {
            *broken = true;
            break;
        }
        node = next;
    }
    l->listed = l->count;
    return 0;
}

int linux_tasks(struct linux_kernel *k, struct linux_task **out, size_t *count, bool *broken, struct chv_err *err)
{
    struct task_list l = {.k = k};
    *broken = false;
    int r = follow_list(&l, broken);
    if (r == 0) l.known = calloc(l.listed + 1, sizeof *l.known);
    if (r < 0 || !l.known) {
        free(l.list);
        return chv_err_set(err, ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < l.listed; i++) l.known[i] = l.list[i].address;
    qsort(l.known, l.listed, sizeof *l.known, by_address);
    linux_numbers(k, add_unlisted, &l); /* as far as it goes: the list is what must be there */
    /* Behind a break in the list nobody is hiding. */
    for (size_t i = l.listed; i < l.count; i++) l.list[i].hidden = !*broken;
    free(l.known);
    *out = l.list;
    *count = l.count;
    return 0;
}

bool linux_task_walk(const struct linux_kernel *k, const struct linux_task *task, struct walk *out)
{
    if (task->cr3 == 0) return false;
    struct root root = {.cr3 = task->cr3};
    for (size_t i = 0; i < k->roots->count; i++)
        if (k->roots->list[i].cr3 == task->cr3) root = k->roots->list[i];
    roots_walk(k->roots, k->mem, &root, out);
    return true;
}

size_t linux_command(const struct linux_kernel *k, const struct linux_task *task, char *buf, size_t size)
{
    struct walk *w = malloc(sizeof *w);
    size_t bytes = 0;
    uint64_t last = walk_user_last(k->roots->levels);
    if (w && task->arg_start < task->arg_end && task->arg_end <= last && linux_task_walk(k, task, w)) {
        bytes = task->arg_end - task->arg_start < size ? (size_t)(task->arg_end - task->arg_start) : size;
        if (walk_read(w, task->arg_start, buf, bytes) < 0) bytes = 0;
    }
    free(w);
    return bytes;
}
