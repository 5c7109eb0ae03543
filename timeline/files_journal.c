/* The journal of ext3/4 as an overlay.
 *
 * A mounted ext4 writes what changed into its journal first, and into place many seconds later. At nearly any
 * instant of a live recording the blocks in place are therefore older than what the guest saw, and older than
 * what it would have found after a power cut. What mounting would replay is looked up here instead: committed
 * transactions map blocks of the file system to their newest copy inside the journal, and nothing is written.
 *
 * Format: the kernel's Documentation/filesystems/ext4/journal.rst (all big-endian). Not done: checksums (a block
 * of another transaction is recognised by its sequence number), fast commits, journals on another device.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "timeline/files_worker.h"

enum { JBD_MAGIC = 0xc03b3998u };
enum { JBD_DESCRIPTOR = 1, JBD_COMMIT = 2, JBD_REVOKE = 5 };
enum { JBD_64BIT = 0x2, JBD_CSUM_V2 = 0x8, JBD_CSUM_V3 = 0x10, JBD_FAST_COMMIT = 0x20 };
enum { TAG_ESCAPED = 1, TAG_SAME_UUID = 2, TAG_LAST = 8 };

#define MAX_JOURNAL_BLOCKS (1u << 22)

struct revoke {
    uint64_t block;
    uint32_t sequence;
};

struct journal {
    struct worker *w;
    const TSK_FS_ATTR *attr;
    const TSK_FS_ATTR_RUN *run; /* the last one used: scanning goes forward */
    uint32_t block_bytes, first, last, features;
    struct overlay_entry *tags;
    size_t tag_count, tag_room, tags_committed;
    struct revoke *revokes;
    size_t revoke_count, revoke_room, revokes_committed;
};

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t le32(const unsigned char *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* Where block `n` of the journal is in the image; false when the journal has no such block. */
static bool journal_place(struct journal *j, uint64_t n, uint64_t *offset)
{
    const TSK_FS_ATTR_RUN *r = j->run && j->run->offset <= n ? j->run : j->attr->nrd.run;
    for (; r; r = r->next)
        if (n >= r->offset && n - r->offset < r->len) break;
    if (!r || r->flags & (TSK_FS_ATTR_RUN_FLAG_SPARSE | TSK_FS_ATTR_RUN_FLAG_FILLER)) return false;
    j->run = r;
    uint64_t block = r->addr + (n - r->offset);
    if (block > j->w->fs->last_block) return false;
    *offset = (uint64_t)j->w->fs->offset + block * j->block_bytes;
    return *offset + j->block_bytes <= j->w->size_bytes;
}

static bool journal_read(struct journal *j, uint64_t n, unsigned char *buf)
{
    uint64_t offset;
    return journal_place(j, n, &offset) && worker_image_read(j->w, offset, buf, j->block_bytes) == 0;
}

static uint64_t next_block(const struct journal *j, uint64_t n, uint64_t steps)
{
    uint64_t size = j->last - j->first;
    return j->first + (n - j->first + steps) % size;
}

static int grow(void **array, size_t count, size_t *room, size_t bytes)
{
    if (count < *room) return 0;
    size_t more = *room ? 2 * *room : 1024;
    void *grown = realloc(*array, more * bytes);
    if (!grown) return -ENOMEM;
    *array = grown;
    *room = more;
    return 0;
}

/* Note the blocks a descriptor announces; returns their number, or -errno. */
static int64_t descriptor(struct journal *j, const unsigned char *buf, uint64_t at, uint32_t sequence)
{
    bool v3 = j->features & JBD_CSUM_V3, v2 = j->features & JBD_CSUM_V2, wide = j->features & JBD_64BIT;
    size_t tag_bytes = v3 ? 16 : 8u + (v2 ? 2u : 0u) + (wide ? 4u : 0u);
    size_t end = j->block_bytes - (v3 || v2 ? 4u : 0u);
    int64_t count = 0;
    for (size_t p = 12; p + tag_bytes <= end; count++) {
        const unsigned char *tag = buf + p;
        uint32_t flags = v3 ? be32(tag + 4) : (uint32_t)tag[6] << 8 | tag[7];
        uint64_t block = be32(tag);
        if (wide) block |= (uint64_t)be32(tag + 8) << 32;
        struct overlay_entry e = {.block = block, .sequence = sequence, .escaped = flags & TAG_ESCAPED};
        if (j->tag_count >= MAX_JOURNAL_BLOCKS) return -EOVERFLOW;
        if (!journal_place(j, next_block(j, at, (uint64_t)count + 1), &e.offset)) return -ENODATA;
        if (grow((void **)&j->tags, j->tag_count, &j->tag_room, sizeof *j->tags) < 0) return -ENOMEM;
        j->tags[j->tag_count++] = e;
        p += tag_bytes + (flags & TAG_SAME_UUID ? 0 : 16);
        if (flags & TAG_LAST) {
            count++;
            break;
        }
    }
    return count;
}

static int revoked(struct journal *j, const unsigned char *buf, uint32_t sequence)
{
    size_t used = be32(buf + 12), each = j->features & JBD_64BIT ? 8 : 4;
    if (used > j->block_bytes) used = j->block_bytes;
    for (size_t p = 16; p + each <= used; p += each) {
        struct revoke r = {.block = each == 8 ? (uint64_t)be32(buf + p) << 32 | be32(buf + p + 4) : be32(buf + p), .sequence = sequence};
        if (j->revoke_count >= MAX_JOURNAL_BLOCKS) return -EOVERFLOW;
        if (grow((void **)&j->revokes, j->revoke_count, &j->revoke_room, sizeof *j->revokes) < 0) return -ENOMEM;
        j->revokes[j->revoke_count++] = r;
    }
    return 0;
}

/* Walk the log from its start until something is not the next part of it. */
static int scan(struct journal *j, uint64_t start, uint32_t sequence)
{
    unsigned char *buf = malloc(j->block_bytes);
    if (!buf) return -ENOMEM;
    uint64_t at = start, blocks = 0, size = j->last - j->first;
    int r = 0;
    while (r == 0 && blocks < size && journal_read(j, at, buf) && be32(buf) == JBD_MAGIC && be32(buf + 8) == sequence) {
        uint64_t steps = 1;
        uint32_t type = be32(buf + 4);
        if (type == JBD_DESCRIPTOR) {
            int64_t n = descriptor(j, buf, at, sequence);
            if (n == -ENODATA) break;
            if (n < 0) r = (int)n;
            steps += n > 0 ? (uint64_t)n : 0;
        } else if (type == JBD_REVOKE) {
            r = revoked(j, buf, sequence);
        } else if (type == JBD_COMMIT) {
            j->tags_committed = j->tag_count;
            j->revokes_committed = j->revoke_count;
            j->w->replayed++;
            sequence++;
        } else {
            break;
        }
        at = next_block(j, at, steps);
        blocks += steps;
    }
    free(buf);
    return r;
}

static int by_block(const void *a, const void *b)
{
    const struct overlay_entry *x = a, *y = b;
    if (x->block != y->block) return x->block < y->block ? -1 : 1;
    /* sequence numbers wrap; within one log they are close together */
    int32_t distance = (int32_t)(x->sequence - y->sequence);
    if (distance != 0) return distance < 0 ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int revoke_by_block(const void *a, const void *b)
{
    const struct revoke *x = a, *y = b;
    if (x->block != y->block) return x->block < y->block ? -1 : 1;
    int32_t distance = (int32_t)(x->sequence - y->sequence);
    return distance < 0 ? -1 : distance > 0;
}

/* A revoked block was freed (and perhaps became data, in place): copies up to that transaction are void. */
static bool is_revoked(const struct journal *j, const struct overlay_entry *e)
{
    size_t low = 0, high = j->revokes_committed;
    while (low < high) { /* after the last revoke of this block */
        size_t middle = (low + high) / 2;
        if (j->revokes[middle].block <= e->block)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && j->revokes[low - 1].block == e->block && (int32_t)(e->sequence - j->revokes[low - 1].sequence) <= 0;
}

/* The newest copy of each block. */
static void overlay_make(struct journal *j)
{
    struct worker *w = j->w;
    if (j->tags_committed > 0) qsort(j->tags, j->tags_committed, sizeof *j->tags, by_block);
    if (j->revokes_committed > 0) qsort(j->revokes, j->revokes_committed, sizeof *j->revokes, revoke_by_block);
    size_t kept = 0;
    for (size_t i = 0; i < j->tags_committed; i++) {
        bool newest = i + 1 == j->tags_committed || j->tags[i + 1].block != j->tags[i].block;
        if (newest && !is_revoked(j, &j->tags[i])) j->tags[kept++] = j->tags[i];
    }
    w->overlay = j->tags;
    w->overlay_count = kept;
    w->overlay_base = (uint64_t)w->fs->offset;
    w->overlay_block_bytes = j->block_bytes;
    j->tags = NULL;
}

static int replay(struct worker *w, TSK_FS_FILE *file, bool *needed)
{
    unsigned char head[1024];
    uint64_t offset;
    struct journal j = {.w = w, .attr = tsk_fs_file_attr_get(file), .block_bytes = w->fs->block_size};
    if (!j.attr || !(j.attr->flags & TSK_FS_ATTR_NONRES) || !journal_place(&j, 0, &offset) ||
        worker_image_read(w, offset, head, sizeof head) < 0 || be32(head) != JBD_MAGIC) {
        tsk_error_reset();
        return 0; /* the file system says there is a journal, and there is none that can be read: as in place */
    }
    uint32_t blocks = be32(head + 16), start = be32(head + 28);
    j.first = be32(head + 20);
    j.last = blocks;
    j.features = be32(head + 4) == 4 ? be32(head + 40) : 0; /* version 1 has no feature fields */
    if (j.features & JBD_FAST_COMMIT) {
        uint32_t fast = be32(head + 84) ? be32(head + 84) : 256;
        j.last = blocks > fast ? blocks - fast : 0;
    }
    if (be32(head + 12) != j.block_bytes || blocks > MAX_JOURNAL_BLOCKS || j.first == 0 || j.last <= j.first || start < j.first ||
        start >= j.last)
        return 0; /* start is 0 when there is nothing to replay */
    int r = scan(&j, start, be32(head + 24));
    if (r == 0 && j.tags_committed > 0) {
        overlay_make(&j);
        *needed = true;
    } else if (r < 0) {
        r = worker_fail(w, -r, "the journal of the file system holds more than can be taken into account; --in-place ignores it");
    }
    free(j.tags);
    free(j.revokes);
    return r;
}

int worker_replay(struct worker *w, bool *needed)
{
    unsigned char super[1024];
    *needed = false;
    w->replayed = 0;
    if ((uint64_t)w->fs->offset + 2048 > w->size_bytes || worker_image_read(w, (uint64_t)w->fs->offset + 1024, super, sizeof super) < 0)
        return 0;
    enum { HAS_JOURNAL = 0x4, NEEDS_RECOVERY = 0x4 };
    uint32_t inode = le32(super + 0xe0);
    if (!(le32(super + 0x5c) & HAS_JOURNAL) || !(le32(super + 0x60) & NEEDS_RECOVERY) || inode == 0) return 0;
    TSK_FS_FILE *file = tsk_fs_file_open_meta(w->fs, NULL, inode);
    if (!file) {
        tsk_error_reset();
        return 0;
    }
    int r = replay(w, file, needed);
    tsk_fs_file_close(file);
    return r;
}
