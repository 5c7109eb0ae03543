#include "store/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define READ_EVENTS 4096u

static int check_header(const struct segment_header *h, const struct meta *meta, uint64_t number, const char *path,
                        struct chv_err *err)
{
    if (memcmp(h->magic, SEGMENT_MAGIC, 8) != 0)
        return chv_err_set(err, EBADMSG, "%s: not a segment (magic)", path);
    if (h->version != CHV_FORMAT_VERSION || h->header_bytes != sizeof *h)
        return chv_err_set(err, EPROTO, "%s: log format %u; this program reads %u", path, h->version, CHV_FORMAT_VERSION);
    if (memcmp(h->uuid, meta->uuid, 16) != 0)
        return chv_err_set(err, EBADMSG, "%s: belongs to another store", path);
    if (h->number != number || h->first_seq == 0)
        return chv_err_set(err, EBADMSG, "%s: header damaged or file renamed", path);
    return 0;
}

int segment_probe(const struct meta *meta, uint64_t number, struct segment *out, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    struct segment_header header;
    struct segment_footer footer;
    struct stat st;
    meta_segment_path(meta, number, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return chv_err_set(err, errno, "%s: %s", path, strerror(errno));
    static const struct segment_header nothing;
    int r = io_pread_full(fd, &header, sizeof header, 0);
    if (r == 0 && memcmp(&header, &nothing, sizeof header) == 0) r = -ENODATA;
    if (r < 0) {
        r = chv_err_set(err, -r, "%s: %s", path, r == -ENODATA ? "header cut off" : strerror(-r));
        goto out_close;
    }
    r = check_header(&header, meta, number, path, err);
    if (r < 0) goto out_close;
    *out = (struct segment){.number = number, .first_seq = header.first_seq, .carry = header.flags & SEGMENT_CARRY};
    memcpy(out->prev_digest, header.prev_digest, 32);
    if (fstat(fd, &st) < 0) {
        r = chv_err_set(err, errno, "%s: %s", path, strerror(errno));
        goto out_close;
    }
    uint64_t body = (uint64_t)st.st_size - sizeof header;
    if (body < sizeof footer || (body - sizeof footer) % sizeof(struct chv_event) != 0) goto out_close;
    uint64_t events = (body - sizeof footer) / sizeof(struct chv_event);
    r = io_pread_full(fd, &footer, sizeof footer, (uint64_t)st.st_size - sizeof footer);
    if (r < 0) {
        chv_err_set(err, -r, "%s: %s", path, strerror(-r));
        goto out_close;
    }
    if (memcmp(footer.magic, FOOTER_MAGIC, 8) == 0 && footer.events == events && events <= SEGMENT_EVENTS_MAX) {
        out->sealed = true;
        out->events = events;
        out->last_seq = footer.last_seq;
        out->last_time_ns = footer.last_time_ns;
        memcpy(out->digest, footer.digest, 32);
    }
out_close:
    close(fd);
    return r;
}

bool segment_is_stillborn(const struct meta *meta, uint64_t number)
{
    char path[STORE_PATH_BYTES];
    struct stat st;
    meta_segment_path(meta, number, path);
    return stat(path, &st) == 0 && st.st_size <= (off_t)sizeof(struct segment_header);
}

int segment_tail_init(struct segment_tail *tail, int fd)
{
    struct segment_header header;
    int r = io_pread_full(fd, &header, sizeof header, 0);
    if (r < 0) return r;
    *tail = (struct segment_tail){.first_seq = header.first_seq};
    sha256_init(&tail->sha);
    sha256_update(&tail->sha, &header, sizeof header);
    return 0;
}

/* Feed one event; returns 1 at a COMMIT that fits, 0 for any other event, -1 where the durable part has ended. */
static int tail_feed(struct sha256 *sha, const struct chv_event *e, uint64_t expected_seq)
{
    if (e->seq != expected_seq || e->op == 0 || e->op > CHV_OP_MAX) return -1;
    sha256_update(sha, e, offsetof(struct chv_event, hash));
    int commits = e->op == CHV_OP_COMMIT;
    if (commits) {
        uint8_t digest[32];
        sha256_peek(sha, digest);
        if (memcmp(digest, e->hash, 32) != 0) return -1;
    }
    sha256_update(sha, e->hash, sizeof e->hash);
    return commits;
}

int segment_tail_read(struct segment_tail *tail, int fd, struct chv_event **events, size_t *count)
{
    size_t durable = *count, have = *count;
    struct sha256 sha = tail->sha;
    uint64_t next = tail->events;
    for (;;) {
        struct chv_event *grown = realloc(*events, (have + READ_EVENTS) * sizeof **events);
        if (!grown) return -ENOMEM;
        *events = grown;
        ssize_t n = pread(fd, grown + have, READ_EVENTS * sizeof **events, (off_t)segment_event_offset(next));
        if (n < 0) return -errno;
        size_t got = (size_t)n / sizeof **events;
        if (got == 0) break;
        for (size_t i = 0; i < got; i++) {
            const struct chv_event *e = &grown[have + i];
            int fed = tail_feed(&sha, e, tail->first_seq + next);
            if (fed < 0) goto out_end;
            next++;
            if (fed == 0) continue;
            durable = have + i + 1;
            tail->sha = sha;
            tail->events = next;
            tail->pack = e->sectors;
            tail->pack_bytes = chv_event_lba(e);
        }
        have += got;
        if (next > SEGMENT_EVENTS_MAX) break;
    }
out_end:
    *count = durable;
    return 0;
}

int segment_promises(const struct segment_tail *tail, int fd, uint64_t bytes)
{
    struct chv_event chunk[64];
    for (uint64_t at = tail->events; segment_event_offset(at + 1) <= bytes;) {
        uint64_t n = (bytes - segment_event_offset(at)) / sizeof *chunk;
        if (n > 64) n = 64;
        int r = io_pread_full(fd, chunk, n * sizeof *chunk, segment_event_offset(at));
        if (r < 0) return r;
        for (uint64_t i = 0; i < n; i++, at++)
            if (chunk[i].op == CHV_OP_COMMIT && chunk[i].flags & CHV_EVENT_FUA && chunk[i].seq == tail->first_seq + at) return 1;
    }
    return 0;
}

/* --- writing ---------------------------------------------------------------------------- */

static void path_of(const struct segment_writer *w, char path[STORE_PATH_BYTES])
{
    if (w->temp_path)
        snprintf(path, STORE_PATH_BYTES, "%s", w->temp_path);
    else
        meta_segment_path(w->meta, w->number, path);
}

static int fail(const struct segment_writer *w, int r, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    path_of(w, path);
    return chv_err_set(err, -r, "%s: %s", path, strerror(-r));
}

int segment_create(struct segment_writer *w, uint64_t number, uint64_t first_seq, uint32_t flags,
                   const uint8_t prev_digest[32], struct chv_err *err)
{
    char path[STORE_PATH_BYTES], dir[STORE_PATH_BYTES];
    struct segment_header header = {.version = CHV_FORMAT_VERSION, .header_bytes = sizeof header, .number = number,
                                    .first_seq = first_seq, .created_ns = clock_now_ns(), .flags = flags};
    memcpy(header.magic, SEGMENT_MAGIC, 8);
    memcpy(header.uuid, w->meta->uuid, 16);
    memcpy(header.prev_digest, prev_digest, 32);
    w->number = number;
    w->first_seq = first_seq;
    w->events = 0;
    path_of(w, path);
    meta_path(w->meta, "log", dir);
    w->fd = w->io->open(w->io, path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (w->fd < 0) return fail(w, w->fd, err);
    int r = w->io->pwrite(w->io, w->fd, &header, sizeof header, 0);
    if (r == 0) r = w->io->datasync(w->io, w->fd);
    if (r == 0) r = w->io->sync_dir(w->io, dir);
    if (r < 0) {
        w->io->close(w->io, w->fd);
        w->fd = -1;
        return fail(w, r, err);
    }
    sha256_init(&w->sha);
    sha256_update(&w->sha, &header, sizeof header);
    return 0;
}

int segment_resume(struct segment_writer *w, uint64_t number, const struct segment_tail *tail, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    w->number = number;
    w->first_seq = tail->first_seq;
    w->events = tail->events;
    w->sha = tail->sha;
    meta_segment_path(w->meta, number, path);
    w->fd = w->io->open(w->io, path, O_RDWR, 0600);
    if (w->fd < 0) return fail(w, w->fd, err);
    int r = w->io->truncate(w->io, w->fd, segment_event_offset(tail->events));
    if (r == 0) r = w->io->datasync(w->io, w->fd);
    if (r < 0) {
        w->io->close(w->io, w->fd);
        w->fd = -1;
        return fail(w, r, err);
    }
    return 0;
}

int segment_append(struct segment_writer *w, struct chv_event *events, size_t count, struct chv_err *err)
{
    for (size_t i = 0; i < count; i++) {
        sha256_update(&w->sha, &events[i], offsetof(struct chv_event, hash));
        if (events[i].op == CHV_OP_COMMIT && !w->verbatim) sha256_peek(&w->sha, events[i].hash);
        sha256_update(&w->sha, events[i].hash, sizeof events[i].hash);
    }
    int r = w->io->pwrite(w->io, w->fd, events, count * sizeof *events, segment_event_offset(w->events));
    if (r < 0) return fail(w, r, err);
    w->events += count;
    return 0;
}

int segment_seal(struct segment_writer *w, uint64_t last_seq, uint64_t last_time_ns, uint8_t digest[32],
                 struct chv_err *err)
{
    struct segment_footer footer = {.events = w->events, .last_seq = last_seq, .last_time_ns = last_time_ns};
    memcpy(footer.magic, FOOTER_MAGIC, 8);
    sha256_update(&w->sha, &footer, offsetof(struct segment_footer, digest));
    sha256_peek(&w->sha, footer.digest);
    memcpy(digest, footer.digest, 32);
    int r = 0;
    if (w->signer) {
        memcpy(footer.public_key, signer_public_key(w->signer), 32);
        r = signer_sign(w->signer, footer.digest, 32, footer.signature);
    }
    if (r == 0) r = w->io->pwrite(w->io, w->fd, &footer, sizeof footer, segment_event_offset(w->events));
    if (r == 0) r = w->io->datasync(w->io, w->fd);
    if (r == 0 && fchmod(w->fd, 0400) < 0) r = -errno;
    int closed = w->io->close(w->io, w->fd);
    w->fd = -1;
    if (r == 0) r = closed;
    return r < 0 ? fail(w, r, err) : 0;
}
