#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "sensor/memory/cow.h"
#include "sensor/memory/stream.h"

/* Consecutive bytes of one of the stream's blocks in the copy. */
struct part {
    size_t block;
    uint64_t offset, bytes;
    uint8_t *map;
    uint64_t *seen; /* a bit a page: it came with content, or at all (came) */
    uint64_t *came;
};

struct receiver {
    int fd;
    struct copy *copy;
    const struct ram_layout *ram;
    _Atomic uint64_t *sent;
    size_t count, last; /* last: where the page before went */
    struct part parts[LAYOUT_RANGES_MAX];
};

static ssize_t fill(void *context, uint8_t *to, size_t room)
{
    const struct receiver *v = context;
    ssize_t n;
    do n = recv(v->fd, to, room, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static uint8_t *copy_of(const struct copy *copy, const struct ram_range *range)
{
    for (size_t i = 0; i < copy->count; i++)
        if (copy->pieces[i].map && copy->pieces[i].from.address == range->gpa && copy->pieces[i].from.bytes == range->bytes)
            return copy->pieces[i].map;
    return NULL;
}

/* QEMU names a block as its backend, or by the backend's path. */
static bool is_region(const char *name, const char *region)
{
    static const char path[] = "/objects/";
    return strcmp(name, region) == 0 || (strncmp(name, path, sizeof path - 1) == 0 && strcmp(name + sizeof path - 1, region) == 0);
}

static int block(void *context, size_t number, const char *name, uint64_t bytes, struct chv_err *err)
{
    struct receiver *v = context;
    for (size_t i = 0; i < v->ram->count; i++) {
        const struct ram_range *range = &v->ram->ranges[i];
        if (!is_region(name, range->region)) continue;
        struct part *p = &v->parts[i];
        size_t words = (size_t)(range->bytes / LAYOUT_PAGE_BYTES + 63) / 64;
        if (p->map || range->offset > bytes || range->bytes > bytes - range->offset)
            return chv_err_set(err, EPROTO, "QEMU sends memory '%.60s' twice, or of another size than it says", name);
        *p = (struct part){.block = number, .offset = range->offset, .bytes = range->bytes, .map = copy_of(v->copy, range)};
        p->seen = calloc(words, sizeof *p->seen);
        p->came = calloc(words, sizeof *p->came);
        if (!p->seen || !p->came) return chv_err_set(err, ENOMEM, "out of memory");
        if (!p->map) return chv_err_set(err, EPROTO, "no room was prepared for memory '%.60s'", name);
    }
    return 0;
}

static struct part *find(struct receiver *v, size_t number, uint64_t offset)
{
    for (size_t tried = 0; tried < v->count; tried++) {
        size_t i = (v->last + tried) % v->count;
        struct part *p = &v->parts[i];
        if (!p->map || p->block != number || offset < p->offset || offset - p->offset >= p->bytes) continue;
        v->last = i;
        return p;
    }
    return NULL;
}

/* What is in no range (a device's memory, what a hole for devices hides) is not ours. */
static int page(void *context, size_t number, uint64_t offset, const uint8_t *data, struct chv_err *err)
{
    struct receiver *v = context;
    struct part *p = find(v, number, offset);
    (void)err;
    if (!p) return 0;
    uint64_t at = offset - p->offset, n = at / LAYOUT_PAGE_BYTES, bit = UINT64_C(1) << n % 64;
    p->came[n / 64] |= bit;
    if (data) {
        memcpy(p->map + at, data, LAYOUT_PAGE_BYTES);
        p->seen[n / 64] |= bit;
        atomic_fetch_add_explicit(v->sent, LAYOUT_PAGE_BYTES, memory_order_relaxed);
    } else if (p->seen[n / 64] & bit) { /* else it is a hole of the copy, and stays one */
        memset(p->map + at, 0, LAYOUT_PAGE_BYTES);
    }
    return 0;
}

/* A page that never came would look like zeros. */
static int check(const struct receiver *v, struct chv_err *err)
{
    uint64_t missing = 0;
    for (size_t i = 0; i < v->count; i++) {
        const struct part *p = &v->parts[i];
        if (!p->map) return chv_err_set(err, EPROTO, "QEMU did not send memory '%.60s'", v->ram->ranges[i].region);
        for (uint64_t n = 0; n < p->bytes / LAYOUT_PAGE_BYTES; n++) missing += !(p->came[n / 64] >> n % 64 & 1);
    }
    if (missing == 0) return 0;
    return chv_err_set(err, ENODATA, "QEMU left out %llu pages that the guest says it does not use; --mode paused takes them, too",
                       (unsigned long long)missing);
}

int cow_receive(struct copy *copy, const struct ram_layout *ram, int fd, _Atomic uint64_t *sent, struct chv_err *err)
{
    struct receiver *v = calloc(1, sizeof *v);
    int r = v ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    if (r == 0) {
        *v = (struct receiver){.fd = fd, .copy = copy, .ram = ram, .sent = sent, .count = ram->count};
        struct stream_calls calls = {.fill = fill, .block = block, .page = page, .context = v};
        r = stream_read(&calls, err);
        if (r == 0) r = check(v, err);
    }
    shutdown(fd, SHUT_RDWR); /* after a failure QEMU would wait for ever */
    for (size_t i = 0; v && i < v->count; i++) {
        free(v->parts[i].seen);
        free(v->parts[i].came);
    }
    free(v);
    return r;
}
