/* A second look at which processes there are: the table by which the kernel finds a process by its number. Who is only unlinked from the list
 * of all tasks still has a number, since without one nobody could send it a signal or look at it in /proc. */
#include <errno.h>
#include <stdlib.h>

#include "sensor/memory/linux_impl.h"

/* Documentation/core-api/xarray.rst and lib/xarray.c of Linux: an entry whose low bits are 10 is a node. */
enum { XA_SLOTS = 64, XA_DEPTH_MAX = 12, TYPE_PROCESS = 1 /* PIDTYPE_TGID, since 4.19 */ };
#define XA_NODES_MAX 131072u /* twice what 4 million numbers need */

struct table {
    struct linux_kernel *k;
    uint32_t xa_slots, pid_tasks, task_links;
    uint32_t nodes;
    linux_number_fn *fn;
    void *arg;
    bool broken;
};

static bool offset_of(const struct linux_kernel *k, const char *type, const char *path, uint32_t bytes, uint32_t *offset)
{
    struct btf_field f;
    if (btf_field(k->btf, type, path, &f) < 0 || f.bytes < bytes || f.offset >= 65536) return false;
    *offset = f.offset;
    return true;
}

static int visit_pid(struct table *t, uint64_t pid)
{
    uint64_t link;
    if (!linux_is_pointer(t->k, pid) || !linux_u64(t->k, pid + t->pid_tasks + TYPE_PROCESS * 8, &link)) {
        t->broken = true;
        return 0;
    }
    return linux_is_pointer(t->k, link) ? t->fn(t->arg, link - t->task_links - TYPE_PROCESS * 16) : 0; /* else a thread's number */
}

static int visit(struct table *t, uint64_t entry, int depth)
{
    uint64_t slots[XA_SLOTS];
    if ((entry & 3) == 0) return entry ? visit_pid(t, entry) : 0;
    if ((entry & 3) != 2 || entry < 4096) return 0; /* reserved, or in between */
    if (depth == XA_DEPTH_MAX || t->nodes++ == XA_NODES_MAX || walk_read(&t->k->walk, (entry & ~UINT64_C(3)) + t->xa_slots, slots, sizeof slots) < 0) {
        t->broken = true;
        return 0;
    }
    int r = 0;
    for (unsigned i = 0; i < XA_SLOTS && r == 0; i++) r = visit(t, slots[i], depth + 1);
    return r;
}

int linux_numbers(struct linux_kernel *k, linux_number_fn *fn, void *arg)
{
    struct table t = {.k = k, .fn = fn, .arg = arg};
    struct btf_field slots;
    uint32_t thread_pid, numbers, ns, root;
    uint64_t pid, namespace, head;
    if (btf_field(k->btf, "xa_node", "slots", &slots) < 0 || slots.count != XA_SLOTS || slots.offset >= 65536 ||
        !offset_of(k, "task_struct", "thread_pid", 8, &thread_pid) || !offset_of(k, "task_struct", "pid_links", 16, &t.task_links) ||
        !offset_of(k, "pid", "numbers", 0, &numbers) || !offset_of(k, "pid", "tasks", 8, &t.pid_tasks) ||
        !offset_of(k, "upid", "ns", 8, &ns) || !offset_of(k, "pid_namespace", "idr.idr_rt.xa_head", 8, &root))
        return -ENOENT;
    t.xa_slots = slots.offset;
    /* The first task's number is of the first namespace, in which every process has one. */
    if (!linux_u64(k, k->init_task + thread_pid, &pid) || !linux_is_pointer(k, pid) || !linux_u64(k, pid + numbers + ns, &namespace) ||
        !linux_is_pointer(k, namespace) || !linux_u64(k, namespace + root, &head))
        return -ENOENT;
    int r = visit(&t, head, 0);
    return r < 0 ? r : t.broken ? 1 : 0;
}
