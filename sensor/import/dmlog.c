#include "sensor/import/dmlog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "abi/event.h"
#include "base/io.h"

#define MAGIC UINT64_C(0x6a736677736872)
#define SECTOR_BYTES_MAX (UINT32_C(8) << 20) /* what QEMU allows */
#define FLAGS_KNOWN (DMLOG_FLUSH | DMLOG_FUA | DMLOG_DISCARD | DMLOG_MARK | DMLOG_METADATA)
#define DEVICE_BYTES_MAX (CHV_LBA_MAX * CHV_SECTOR_BYTES)

struct super {
    uint64_t magic, version, entries;
    uint32_t sector_bytes;
} __attribute__((packed));

struct description {
    uint64_t sector, sectors, flags, data_bytes;
};
#define MARK_TEXT_OFFSET sizeof(struct description) /* a mark's text follows inside the sector */

int dmlog_init(struct dmlog *log, int fd, const char *name, struct chv_err *err)
{
    *log = (struct dmlog){.fd = fd, .name = name};
    off_t end = lseek(fd, 0, SEEK_END);
    if (end < 0) return chv_err_set(err, errno, "%s: %s", name, strerror(errno));
    log->file_bytes = (uint64_t)end;
    struct super super;
    int r = io_pread_full(fd, &super, sizeof super, 0);
    if (r == -ENODATA)
        return chv_err_set(err, EBADMSG, "%s: too short for a dm-log-writes log (%llu bytes)", name,
                           (unsigned long long)log->file_bytes);
    if (r < 0) return chv_err_set(err, -r, "%s: %s", name, strerror(-r));
    if (super.magic != MAGIC)
        return chv_err_set(err, EBADMSG, "%s: not a dm-log-writes log (it begins with %016llx; QEMU writes the header "
                           "at the first flush)", name, (unsigned long long)super.magic);
    if (super.version != 1)
        return chv_err_set(err, EBADMSG, "%s: dm-log-writes version %llu; only version 1 is known", name,
                           (unsigned long long)super.version);
    uint32_t s = super.sector_bytes;
    if (s < CHV_SECTOR_BYTES || s > SECTOR_BYTES_MAX || (s & (s - 1)) != 0)
        return chv_err_set(err, EBADMSG, "%s: a log sector size of %u bytes is not possible", name, s);
    if (log->file_bytes < s || super.entries > log->file_bytes / s - 1)
        return chv_err_set(err, EBADMSG, "%s: cut short: the header counts %llu entries, the file has room for %llu at most",
                           name, (unsigned long long)super.entries,
                           (unsigned long long)(log->file_bytes < s ? 0 : log->file_bytes / s - 1));
    log->sector_bytes = s;
    log->entries = super.entries;
    dmlog_rewind(log);
    return 0;
}

void dmlog_rewind(struct dmlog *log)
{
    log->next_index = 0;
    log->next_offset = log->sector_bytes;
}

static int bad(const struct dmlog *log, struct chv_err *err, const char *what)
{
    return chv_err_set(err, EBADMSG, "%s: entry %llu of %llu (at byte %llu): %s", log->name,
                       (unsigned long long)log->next_index, (unsigned long long)log->entries,
                       (unsigned long long)log->next_offset, what);
}

static void mark_text(char *out, size_t room, const uint8_t *text, size_t bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < bytes && used + 5 < room; i++) {
        if (text[i] >= 0x20 && text[i] < 0x7f && text[i] != '\\')
            out[used++] = (char)text[i];
        else
            used += (size_t)snprintf(out + used, room - used, "\\x%02x", text[i]);
    }
    out[used] = 0;
}

static int read_mark(const struct dmlog *log, const struct description *d, struct dmlog_entry *out, struct chv_err *err)
{
    if (d->sectors != 0 || (d->flags & DMLOG_DISCARD)) return bad(log, err, "a mark that also writes");
    if (d->data_bytes > log->sector_bytes - MARK_TEXT_OFFSET) return bad(log, err, "a mark longer than its sector");
    uint8_t text[DMLOG_MARK_BYTES];
    size_t bytes = d->data_bytes < sizeof text ? (size_t)d->data_bytes : sizeof text;
    if (io_pread_full(log->fd, text, bytes, log->next_offset + MARK_TEXT_OFFSET) < 0)
        return bad(log, err, "cannot be read");
    mark_text(out->mark, sizeof out->mark, text, bytes);
    return 0;
}

int dmlog_next(struct dmlog *log, struct dmlog_entry *out, struct chv_err *err)
{
    if (log->next_index == log->entries) return 0;
    uint64_t sector_bytes = log->sector_bytes;
    if (log->file_bytes - log->next_offset < sector_bytes) return bad(log, err, "the file ends before it; the log was cut short");
    struct description d;
    int r = io_pread_full(log->fd, &d, sizeof d, log->next_offset);
    if (r < 0) return bad(log, err, r == -ENODATA ? "the file became shorter while it was read" : strerror(-r));
    if (d.flags & ~(uint64_t)FLAGS_KNOWN) return bad(log, err, "flags that no version 1 log has; the log is damaged");
    uint64_t device_sectors = DEVICE_BYTES_MAX / sector_bytes;
    if (d.sectors > device_sectors || d.sector > device_sectors - d.sectors)
        return bad(log, err, "an address beyond the largest disk (2^48 sectors); the log is damaged");
    *out = (struct dmlog_entry){
        .index = log->next_index,
        .flags = (uint32_t)d.flags,
        .offset = d.sector * sector_bytes,
        .bytes = d.sectors * sector_bytes,
        .data_offset = log->next_offset + sector_bytes,
    };
    if (d.flags & DMLOG_MARK) {
        r = read_mark(log, &d, out, err);
        if (r < 0) return r;
    }
    uint64_t data_bytes = dmlog_writes(out) ? out->bytes : 0;
    if (data_bytes > log->file_bytes - out->data_offset)
        return bad(log, err, "its data ends beyond the end of the file; the log was cut short");
    log->next_offset = out->data_offset + data_bytes;
    log->next_index++;
    return 1;
}
