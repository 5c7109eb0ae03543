/* Shared by the files that make up linux.h. */
#ifndef CHV_SENSOR_MEMORY_LINUX_IMPL_H
#define CHV_SENSOR_MEMORY_LINUX_IMPL_H

#include "sensor/memory/linux.h"

/* Offsets of fields in bytes; LINUX_NONE where this kernel has no such field and can do without. */
#define LINUX_NONE UINT32_MAX
struct linux_offsets {
    uint32_t task_comm, task_pid, task_tgid, task_tasks, task_real_parent, task_mm, task_cred, cred_uid;
    uint32_t task_stack, task_fsbase, task_start;
    uint32_t mm_pgd, mm_tree, mm_list, mm_arg_start, mm_arg_end, mm_vdso, mm_brk, mm_start_brk, mm_start_stack, mm_auxv;
    uint32_t mm_auxv_bytes;
    uint32_t vma_start, vma_end, vma_flags, vma_file, vma_pgoff, vma_next;
    uint32_t file_dentry, file_mnt, dentry_name, dentry_length, dentry_parent, dentry_inode, dentry_hash, inode_nlink;
    uint32_t inode_number, inode_size, inode_sb, sb_type, sb_id, sb_uuid, fs_name; /* linux_origin.c */
    uint32_t mnt_root, mount_mnt, mount_parent, mount_mountpoint;
    uint32_t r64_pivot, r64_slot, r64_slots, a64_pivot, a64_slot, a64_slots;
};

struct linux_run { /* of the kernel's image, mapped in one piece */
    uint64_t va, bytes;
};
#define LINUX_RUNS_MAX 4096u

struct linux_kernel {
    struct physmem *mem;       /* borrowed */
    const struct roots *roots; /* borrowed */
    struct btf *btf;
    struct linux_offsets at;
    uint64_t init_task;
    char banner[256];
    size_t run_count;
    struct linux_run runs[LINUX_RUNS_MAX];
    struct walk walk; /* the kernel's half */
};

/* Fill the offsets from the types; ENOENT with the field that is missing. */
int linux_offsets_fill(const struct btf *btf, struct linux_offsets *at, struct chv_err *err);

/* A place in the kernel's image where `needle` is; non-zero stops the search, which returns it. */
typedef int linux_hit_fn(struct linux_kernel *k, uint64_t va, void *arg);
int linux_scan(struct linux_kernel *k, const void *needle, size_t bytes, linux_hit_fn *fn, void *arg);

/* Each process that has a number in the first namespace: the address of its task_struct, unchecked. Non-zero stops, and is returned if
 * negative. 1: the table could not be followed everywhere. -ENOENT: this kernel's types have no such table. */
typedef int linux_number_fn(void *arg, uint64_t task);
int linux_numbers(struct linux_kernel *k, linux_number_fn *fn, void *arg);

/* Read a field of the kernel's; false when it is not there. */
bool linux_u64(struct linux_kernel *k, uint64_t va, uint64_t *out);
bool linux_u32(struct linux_kernel *k, uint64_t va, uint32_t *out);
static inline bool linux_is_pointer(const struct linux_kernel *k, uint64_t va)
{
    return va >= walk_kernel_first(k->roots->levels) && va < UINT64_MAX - 65536 && va % 4 == 0;
}

/* The path of a struct file as the guest's namespace has it; the result is malloc'd, NULL: unreadable or no memory. */
char *linux_path(struct linux_kernel *k, uint64_t file, bool *deleted, bool *memfd);

#endif
