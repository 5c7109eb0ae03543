#include <stdlib.h>
#include <string.h>

#include "sensor/memory/linux_impl.h"

enum { NAME_BYTES = 256, STEPS_MAX = 1024 };

struct path {
    char text[LINUX_PATH_BYTES];
    size_t begin; /* it grows to the front */
};

static bool prepend(struct path *p, const char *name, size_t length)
{
    if (length + 1 > p->begin) return false;
    p->begin -= length;
    memcpy(p->text + p->begin, name, length);
    p->text[--p->begin] = '/';
    return true;
}

/* A dentry's name; its length is the guest's word and is bounded. */
static size_t read_name(struct linux_kernel *k, uint64_t dentry, char name[NAME_BYTES])
{
    uint64_t text;
    uint32_t length;
    if (!linux_u32(k, dentry + k->at.dentry_length, &length) || !linux_u64(k, dentry + k->at.dentry_name, &text) || length == 0 ||
        length >= NAME_BYTES || walk_read(&k->walk, text, name, length) < 0)
        return 0;
    name[length] = 0;
    return strlen(name);
}

static void read_state(struct linux_kernel *k, uint64_t dentry, bool is_root, bool *deleted)
{
    uint64_t inode, hashed;
    uint32_t links;
    bool unlinked = linux_u64(k, dentry + k->at.dentry_inode, &inode) && linux_is_pointer(k, inode) &&
                    linux_u32(k, inode + k->at.inode_nlink, &links) && links == 0;
    bool unhashed = linux_u64(k, dentry + k->at.dentry_hash, &hashed) && hashed == 0 && !is_root;
    *deleted = unlinked || unhashed;
}

/* From the file up to the root of its mount, over to where that is mounted, and so on, as the kernel's prepend_path does. */
static bool climb(struct linux_kernel *k, uint64_t dentry, uint64_t mnt, struct path *p)
{
    char name[NAME_BYTES];
    for (int step = 0; step < STEPS_MAX; step++) {
        uint64_t parent, root, above;
        if (!linux_u64(k, dentry + k->at.dentry_parent, &parent) || !linux_u64(k, mnt + k->at.mnt_root, &root)) return false;
        if (dentry == root || dentry == parent) {
            uint64_t mount = mnt - k->at.mount_mnt;
            if (!linux_u64(k, mount + k->at.mount_parent, &above)) return false;
            if (above == mount || !linux_is_pointer(k, above)) return true; /* the top */
            if (!linux_u64(k, mount + k->at.mount_mountpoint, &dentry)) return false;
            mnt = above + k->at.mount_mnt;
            continue;
        }
        size_t length = read_name(k, dentry, name);
        if (length == 0 || !prepend(p, name, length)) return false;
        dentry = parent;
    }
    return false;
}

char *linux_path(struct linux_kernel *k, uint64_t file, bool *deleted, bool *memfd)
{
    uint64_t dentry, mnt, parent;
    char name[NAME_BYTES];
    *deleted = *memfd = false;
    if (!linux_is_pointer(k, file) || !linux_u64(k, file + k->at.file_dentry, &dentry) || !linux_u64(k, file + k->at.file_mnt, &mnt) ||
        !linux_is_pointer(k, dentry) || !linux_u64(k, dentry + k->at.dentry_parent, &parent))
        return NULL;
    struct path *p = malloc(sizeof *p);
    if (!p) return NULL;
    p->begin = sizeof p->text - 1;
    p->text[p->begin] = 0;
    size_t length = read_name(k, dentry, name);
    bool is_root = parent == dentry;
    read_state(k, dentry, is_root, deleted);
    if (is_root && length > 0 && strcmp(name, "/") != 0) { /* files that never had a place: memfd, shared memory */
        *memfd = strncmp(name, "memfd:", 6) == 0;
        prepend(p, name, length);
    } else if (!climb(k, dentry, mnt, p)) {
        prepend(p, "?", 1); /* what is above is not known */
    }
    char *text = strdup(p->begin == sizeof p->text - 1 ? "/" : p->text + p->begin);
    free(p);
    return text;
}
