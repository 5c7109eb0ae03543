/* Where in an image there are file systems. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timeline/files_worker.h"

/* Fewer parsers than The Sleuth Kit has: only those that are tested here face hostile images. In this
 * order, because what begins with a boot sector overwrote an older ext file system, not the reverse. */
static TSK_FS_INFO *fs_at(struct worker *w, uint64_t offset)
{
    static const TSK_FS_TYPE_ENUM types[] = {TSK_FS_TYPE_NTFS_DETECT, TSK_FS_TYPE_FAT_DETECT, TSK_FS_TYPE_EXT_DETECT};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        TSK_FS_INFO *fs = tsk_fs_open_img(&w->img, (TSK_OFF_T)offset, types[i]);
        if (fs && fs->block_size >= 512 && fs->block_size <= 65536) return fs;
        if (fs) tsk_fs_close(fs);
        tsk_error_reset();
    }
    return NULL;
}

struct volume_list {
    struct worker *w;
    struct files_volume *volumes;
    size_t count, with_fs;
    uint32_t logical;
};

#define MAX_VOLUMES 1024u

/* Numbers as Linux gives them where it can: slots of the table from 1, logical partitions from 5. */
static uint32_t partition_number(struct volume_list *list, const TSK_VS_INFO *vs, const TSK_VS_PART_INFO *part)
{
    if (vs->vstype == TSK_VS_TYPE_DOS && part->table_num == 0 && part->slot_num >= 0) return (uint32_t)part->slot_num + 1;
    if (vs->vstype == TSK_VS_TYPE_DOS) return 5 + list->logical++;
    if (vs->vstype == TSK_VS_TYPE_GPT && part->slot_num >= 0) return (uint32_t)part->slot_num + 1;
    return part->addr + 1;
}

static TSK_WALK_RET_ENUM volume_add(TSK_VS_INFO *vs, const TSK_VS_PART_INFO *part, void *arg)
{
    struct volume_list *list = arg;
    uint64_t sector_bytes = vs->block_size, offset, bytes;
    if (list->count >= MAX_VOLUMES) return TSK_WALK_STOP;
    struct files_volume v = {.partition = partition_number(list, vs, part)};
    if (__builtin_mul_overflow((uint64_t)part->start, sector_bytes, &offset) || offset >= list->w->size_bytes ||
        __builtin_mul_overflow((uint64_t)part->len, sector_bytes, &bytes))
        return TSK_WALK_CONT;
    v.offset_bytes = offset;
    v.size_bytes = bytes < list->w->size_bytes - offset ? bytes : list->w->size_bytes - offset;
    snprintf(v.description, sizeof v.description, "%s", part->desc ? part->desc : "");
    TSK_FS_INFO *fs = fs_at(list->w, offset);
    if (fs) {
        snprintf(v.type, sizeof v.type, "%s", tsk_fs_type_toname(fs->ftype));
        list->with_fs++;
        tsk_fs_close(fs);
    }
    list->volumes[list->count++] = v;
    return TSK_WALK_CONT;
}

/* The partitions, or the image itself when it is one file system. */
static int volumes_find(struct worker *w, struct volume_list *list)
{
    *list = (struct volume_list){.w = w, .volumes = calloc(MAX_VOLUMES, sizeof *list->volumes)};
    if (!list->volumes) return worker_fail(w, ENOMEM, "out of memory");
    TSK_VS_INFO *vs = NULL;
    static const TSK_VS_TYPE_ENUM types[] = {TSK_VS_TYPE_GPT, TSK_VS_TYPE_DOS};
    for (size_t i = 0; i < sizeof types / sizeof types[0] && !vs; i++) {
        vs = tsk_vs_open(&w->img, 0, types[i]);
        tsk_error_reset();
    }
    if (vs) {
        tsk_vs_part_walk(vs, 0, vs->part_count - 1, TSK_VS_PART_FLAG_ALLOC, volume_add, list);
        tsk_error_reset();
        tsk_vs_close(vs);
    }
    if (list->with_fs > 0) return 0;
    /* A boot sector can pass for a partition table; then nothing was found behind it. */
    TSK_FS_INFO *fs = fs_at(w, 0);
    if (!fs) return 0;
    struct files_volume v = {.partition = 0, .size_bytes = w->size_bytes};
    snprintf(v.type, sizeof v.type, "%s", tsk_fs_type_toname(fs->ftype));
    tsk_fs_close(fs);
    list->volumes[0] = v;
    list->count = list->with_fs = 1;
    return 0;
}

int worker_volumes(struct worker *w)
{
    struct volume_list list;
    int r = volumes_find(w, &list);
    for (size_t i = 0; r == 0 && i < list.count; i++)
        r = worker_send(w, WIRE_VOLUME, &list.volumes[i], sizeof list.volumes[i], NULL, 0);
    free(list.volumes);
    return r;
}

/* "2 (ext4), 3 (ntfs)" */
static const char *volumes_text(const struct volume_list *list, char *text, size_t bytes)
{
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < list->count && used + 40 < bytes; i++) {
        const struct files_volume *v = &list->volumes[i];
        int n = snprintf(text + used, bytes - used, "%s%u (%s)", used ? ", " : "", v->partition, v->type[0] ? v->type : "unknown");
        if (n > 0) used += (size_t)n;
    }
    return text;
}

static int volume_choose(struct worker *w, const struct volume_list *list, uint32_t partition, size_t *chosen)
{
    char text[256];
    if (list->with_fs == 0 && list->count == 0)
        return worker_fail(w, ENOENT, "no partition table and no file system that can be read here (ext2/3/4, NTFS, FAT, exFAT) was found");
    if (partition == 0 && list->with_fs == 0)
        return worker_fail(w, ENOENT, "no partition holds a file system that can be read here (ext2/3/4, NTFS, FAT, exFAT); there are: %s",
                           volumes_text(list, text, sizeof text));
    if (partition == 0 && list->with_fs > 1)
        return worker_fail(w, ENOTUNIQ, "several partitions: %s; choose one with --partition N", volumes_text(list, text, sizeof text));
    for (size_t i = 0; i < list->count; i++) {
        const struct files_volume *v = &list->volumes[i];
        if (partition == 0 ? !v->type[0] : v->partition != partition) continue;
        if (!v->type[0])
            return worker_fail(w, ENOENT, "partition %u has no file system that can be read here (ext2/3/4, NTFS, FAT, exFAT)", partition);
        *chosen = i;
        return 0;
    }
    if (list->volumes[0].partition == 0)
        return worker_fail(w, ENOENT, "no partition %u: there is no partition table, the space is one file system", partition);
    return worker_fail(w, ENOENT, "no partition %u; there are: %s", partition, volumes_text(list, text, sizeof text));
}

int worker_open(struct worker *w, const struct wire_open *options)
{
    struct volume_list list;
    size_t chosen = 0;
    w->options = *options;
    /* This may be another instant: what was made of the pages holds no more, only the pages themselves. */
    if (w->fs) tsk_fs_close(w->fs);
    w->fs = NULL;
    free(w->overlay);
    w->overlay = NULL;
    w->overlay_count = 0;
    int r = volumes_find(w, &list);
    if (r == 0) r = volume_choose(w, &list, options->partition, &chosen);
    if (r < 0) goto out;
    const struct files_volume *v = &list.volumes[chosen];
    w->fs = fs_at(w, v->offset_bytes);
    if (!w->fs) {
        r = worker_fail_tsk(w, EPROTO, "the file system cannot be opened");
        goto out;
    }
    if (TSK_FS_TYPE_ISEXT(w->fs->ftype) && !options->in_place) {
        bool needed = false;
        r = worker_replay(w, &needed);
        if (r < 0) goto out;
        if (needed) {
            /* What was read until now may be older than the journal. */
            tsk_fs_close(w->fs);
            w->fs = fs_at(w, v->offset_bytes);
            if (!w->fs) {
                r = worker_fail_tsk(w, EPROTO, "the file system cannot be opened after replaying its journal");
                goto out;
            }
        }
    }
    struct files_info info = {
        .partition = v->partition,
        .block_bytes = w->fs->block_size,
        .offset_bytes = v->offset_bytes,
        .size_bytes = (uint64_t)w->fs->block_count * w->fs->block_size,
        .root_inode = w->fs->root_inum,
        .last_inode = w->fs->last_inum,
        .replayed = w->replayed,
    };
    snprintf(info.type, sizeof info.type, "%s", tsk_fs_type_toname(w->fs->ftype));
    r = worker_send(w, WIRE_INFO, &info, sizeof info, NULL, 0);
out:
    free(list.volumes);
    return r;
}
