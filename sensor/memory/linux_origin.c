#include "sensor/memory/linux_origin.h"

#include <errno.h>
#include <string.h>

#include "sensor/memory/linux_impl.h"

int linux_origin(struct linux_kernel *k, uint64_t file, struct linux_origin *out, struct chv_err *err)
{
    const struct linux_offsets *at = &k->at;
    uint64_t dentry, inode, sb, type, name;
    *out = (struct linux_origin){0};
    if (at->inode_number == LINUX_NONE || at->inode_size == LINUX_NONE || at->inode_sb == LINUX_NONE || at->sb_type == LINUX_NONE ||
        at->sb_uuid == LINUX_NONE || at->sb_id == LINUX_NONE || at->fs_name == LINUX_NONE)
        return chv_err_set(err, ENOENT, "the kernel's type information does not tell files' numbers");
    if (!linux_is_pointer(k, file) || !linux_u64(k, file + at->file_dentry, &dentry) || !linux_is_pointer(k, dentry) ||
        !linux_u64(k, dentry + at->dentry_inode, &inode) || !linux_is_pointer(k, inode) ||
        !linux_u64(k, inode + at->inode_number, &out->inode) || !linux_u64(k, inode + at->inode_size, &out->size_bytes) ||
        !linux_u64(k, inode + at->inode_sb, &sb) || !linux_is_pointer(k, sb))
        return chv_err_set(err, ENOENT, "the kernel's record of the file is not readable");
    if (!linux_u64(k, sb + at->sb_type, &type) || !linux_is_pointer(k, type) || !linux_u64(k, type + at->fs_name, &name) ||
        walk_read_some(&k->walk, name, out->type, sizeof out->type - 1) == 0 ||
        walk_read(&k->walk, sb + at->sb_id, out->device, sizeof out->device - 1) < 0 ||
        walk_read(&k->walk, sb + at->sb_uuid, out->uuid, sizeof out->uuid) < 0)
        return chv_err_set(err, ENOENT, "the kernel's record of the file system is not readable");
    return 0;
}
