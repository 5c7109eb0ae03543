#include <errno.h>
#include <stddef.h>

#include "sensor/memory/linux_impl.h"

struct wanted {
    size_t where; /* in struct linux_offsets */
    const char *type, *field;
    uint32_t bytes; /* what it must at least be */
    bool optional;
};

#define F(member) offsetof(struct linux_offsets, member)

/* Kernels differ in a few: maple trees came with 6.1, the list of mappings went. */
static const struct wanted table[] = {
    {F(task_comm), "task_struct", "comm", 16, false},
    {F(task_pid), "task_struct", "pid", 4, false},
    {F(task_tgid), "task_struct", "tgid", 4, false},
    {F(task_tasks), "task_struct", "tasks", 16, false},
    {F(task_real_parent), "task_struct", "real_parent", 8, false},
    {F(task_mm), "task_struct", "mm", 8, false},
    {F(task_cred), "task_struct", "cred", 8, true},
    {F(task_start), "task_struct", "start_time", 8, true},
    {F(task_stack), "task_struct", "stack", 8, true},
    {F(task_fsbase), "task_struct", "thread.fsbase", 8, true},
    {F(cred_uid), "cred", "uid", 4, true},
    {F(mm_pgd), "mm_struct", "pgd", 8, false},
    {F(mm_tree), "mm_struct", "mm_mt.ma_root", 8, true},
    {F(mm_list), "mm_struct", "mmap", 8, true},
    {F(mm_arg_start), "mm_struct", "arg_start", 8, false},
    {F(mm_arg_end), "mm_struct", "arg_end", 8, false},
    {F(mm_vdso), "mm_struct", "context.vdso", 8, true},
    {F(mm_brk), "mm_struct", "brk", 8, true},
    {F(mm_start_brk), "mm_struct", "start_brk", 8, true},
    {F(mm_start_stack), "mm_struct", "start_stack", 8, true},
    {F(mm_auxv), "mm_struct", "saved_auxv", 16, true},
    {F(vma_start), "vm_area_struct", "vm_start", 8, false},
    {F(vma_end), "vm_area_struct", "vm_end", 8, false},
    {F(vma_flags), "vm_area_struct", "vm_flags", 8, false},
    {F(vma_file), "vm_area_struct", "vm_file", 8, false},
    {F(vma_pgoff), "vm_area_struct", "vm_pgoff", 8, false},
    {F(vma_next), "vm_area_struct", "vm_next", 8, true},
    {F(file_dentry), "file", "f_path.dentry", 8, false},
    {F(file_mnt), "file", "f_path.mnt", 8, false},
    {F(dentry_name), "dentry", "d_name.name", 8, false},
    {F(dentry_length), "dentry", "d_name.len", 4, false},
    {F(dentry_parent), "dentry", "d_parent", 8, false},
    {F(dentry_inode), "dentry", "d_inode", 8, false},
    {F(dentry_hash), "dentry", "d_hash.pprev", 8, false},
    {F(inode_nlink), "inode", "i_nlink", 4, false},
    {F(inode_number), "inode", "i_ino", 8, true},
    {F(inode_size), "inode", "i_size", 8, true},
    {F(inode_sb), "inode", "i_sb", 8, true},
    {F(sb_type), "super_block", "s_type", 8, true},
    {F(sb_id), "super_block", "s_id", 32, true},
    {F(sb_uuid), "super_block", "s_uuid", 16, true},
    {F(fs_name), "file_system_type", "name", 8, true},
    {F(mnt_root), "vfsmount", "mnt_root", 8, false},
    {F(mount_mnt), "mount", "mnt", 8, false},
    {F(mount_parent), "mount", "mnt_parent", 8, false},
    {F(mount_mountpoint), "mount", "mnt_mountpoint", 8, false},
    {F(r64_pivot), "maple_range_64", "pivot", 8, true},
    {F(r64_slot), "maple_range_64", "slot", 8, true},
    {F(a64_pivot), "maple_arange_64", "pivot", 8, true},
    {F(a64_slot), "maple_arange_64", "slot", 8, true},
};

static void set(struct linux_offsets *at, size_t where, uint32_t value)
{
    *(uint32_t *)(void *)((char *)at + where) = value;
}

int linux_offsets_fill(const struct btf *btf, struct linux_offsets *at, struct chv_err *err)
{
    struct btf_field f;
    for (size_t i = 0; i < sizeof *at / sizeof(uint32_t); i++) set(at, i * sizeof(uint32_t), LINUX_NONE);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const struct wanted *w = &table[i];
        /* An offset is added to a pointer and read at; the largest struct here is far below this. */
        if (btf_field(btf, w->type, w->field, &f) == 0 && f.bytes >= w->bytes && f.offset < 65536)
            set(at, w->where, f.offset);
        else if (!w->optional)
            return chv_err_set(err, ENOENT, "the kernel's type information has no %s.%s", w->type, w->field);
    }
    if (at->r64_slot != LINUX_NONE && btf_field(btf, "maple_range_64", "slot", &f) == 0) at->r64_slots = f.count;
    if (at->a64_slot != LINUX_NONE && btf_field(btf, "maple_arange_64", "slot", &f) == 0) at->a64_slots = f.count;
    if (at->mm_auxv != LINUX_NONE && btf_field(btf, "mm_struct", "saved_auxv", &f) == 0) at->mm_auxv_bytes = f.bytes;
    bool tree = at->mm_tree != LINUX_NONE && at->r64_pivot != LINUX_NONE && at->a64_pivot != LINUX_NONE &&
                at->r64_slots <= 64 && at->a64_slots <= 64 && at->r64_slots > 0 && at->a64_slots > 0;
    if (!tree) at->mm_tree = LINUX_NONE;
    if (!tree && (at->mm_list == LINUX_NONE || at->vma_next == LINUX_NONE))
        return chv_err_set(err, ENOENT, "the kernel's type information has no mappings of mm_struct that are known");
    return 0;
}
