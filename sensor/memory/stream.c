#include "sensor/memory/stream.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_BYTES (1u << 20)
#define STREAM_MAGIC 0x5145564du
#define STREAM_VERSION 3u
#define RAM_VERSION 4u
#define MACHINE_NAME_MAX 256u

enum { SECTION_START = 1, SECTION_PART = 2, SECTION_END = 3, CONFIGURATION = 7, COMMAND = 8, FOOTER = 0x7e };
enum { SWITCHOVER_START = 11 }; /* since QEMU 10.0: the guest stands still from here */
enum { RAM_ZERO = 0x02, RAM_MEM_SIZE = 0x04, RAM_PAGE = 0x08, RAM_EOS = 0x10, RAM_CONTINUE = 0x20, RAM_FLAGS = 0xfff };

struct stream {
    const struct stream_calls *calls;
    struct chv_err *err;
    uint8_t *data; /* BUFFER_BYTES */
    size_t begin, end;
    uint32_t ram_section;
    size_t blocks, current; /* current: of the page before; blocks: none yet */
    struct {
        char name[STREAM_NAME_BYTES];
        uint64_t bytes;
    } block[STREAM_BLOCKS_MAX];
};

static int wrong(struct stream *s, const char *what)
{
    return chv_err_set(s->err, EPROTO, "QEMU's migration stream: %s", what);
}

/* The next n bytes (at most BUFFER_BYTES), to be used before the next call; NULL: an error is set. */
static const uint8_t *take(struct stream *s, size_t n)
{
    if (s->end - s->begin < n && s->begin > 0) {
        memmove(s->data, s->data + s->begin, s->end - s->begin);
        s->end -= s->begin;
        s->begin = 0;
    }
    while (s->end - s->begin < n) {
        ssize_t got = s->calls->fill(s->calls->context, s->data + s->end, BUFFER_BYTES - s->end);
        if (got == 0) chv_err_set(s->err, EPIPE, "QEMU's migration stream ended before all memory was sent");
        if (got < 0) chv_err_set(s->err, (int)-got, "QEMU's migration stream: %s", strerror((int)-got));
        if (got <= 0) return NULL;
        s->end += (size_t)got;
    }
    const uint8_t *at = s->data + s->begin;
    s->begin += n;
    return at;
}

static int number(struct stream *s, size_t bytes, uint64_t *out)
{
    const uint8_t *at = take(s, bytes);
    *out = 0;
    if (!at) return -s->err->code;
    for (size_t i = 0; i < bytes; i++) *out = *out << 8 | at[i];
    return 0;
}

/* A length of one byte and as many of text, none of them NUL. */
static int text(struct stream *s, char out[STREAM_NAME_BYTES])
{
    uint64_t n;
    int r = number(s, 1, &n);
    const uint8_t *at = r == 0 ? take(s, n) : NULL;
    if (!at) return -s->err->code;
    memcpy(out, at, n);
    out[n] = 0;
    return n == 0 || strlen(out) != n ? wrong(s, "a name that is none") : 0;
}

static int header(struct stream *s)
{
    uint64_t magic, version;
    int r = number(s, 4, &magic);
    if (r == 0) r = number(s, 4, &version);
    if (r == 0 && (magic != STREAM_MAGIC || version != STREAM_VERSION)) r = wrong(s, "not of version 3");
    return r;
}

static int configuration(struct stream *s)
{
    uint64_t n;
    int r = number(s, 4, &n);
    if (r == 0 && n > MACHINE_NAME_MAX) r = wrong(s, "the machine's name is too long");
    return r == 0 && !take(s, n) ? -s->err->code : r;
}

/* --- RAM ----------------------------------------------------------------------------------------- */

static int list_blocks(struct stream *s, uint64_t total)
{
    uint64_t sum = 0;
    int r = 0;
    while (r == 0 && sum < total) {
        if (s->blocks == STREAM_BLOCKS_MAX) return wrong(s, "more than 256 blocks of RAM");
        uint64_t *bytes = &s->block[s->blocks].bytes;
        r = text(s, s->block[s->blocks].name);
        if (r == 0) r = number(s, 8, bytes);
        if (r < 0) return r;
        if (*bytes == 0 || *bytes % STREAM_PAGE_BYTES || *bytes > total - sum) return wrong(s, "a block of RAM of a size that cannot be");
        sum += *bytes;
        r = s->calls->block(s->calls->context, s->blocks, s->block[s->blocks].name, *bytes, s->err);
        s->blocks++;
    }
    s->current = s->blocks;
    return r;
}

static int find_block(struct stream *s)
{
    char name[STREAM_NAME_BYTES];
    int r = text(s, name);
    if (r < 0) return r;
    for (s->current = 0; s->current < s->blocks; s->current++)
        if (strcmp(s->block[s->current].name, name) == 0) return 0;
    return wrong(s, "a page of RAM that was not announced");
}

static int page(struct stream *s, uint64_t offset, unsigned flags)
{
    uint64_t fill;
    const uint8_t *data = NULL;
    int r = 0;
    if (!(flags & RAM_CONTINUE)) r = find_block(s);
    if (r < 0) return r;
    if (s->current == s->blocks || offset >= s->block[s->current].bytes) return wrong(s, "a page outside of its block");
    if ((flags & (RAM_ZERO | RAM_PAGE)) == RAM_ZERO) {
        r = number(s, 1, &fill);
        if (r == 0 && fill != 0) r = wrong(s, "a page of one byte that is not zero");
    } else if ((flags & (RAM_ZERO | RAM_PAGE)) == RAM_PAGE) {
        data = take(s, STREAM_PAGE_BYTES);
        if (!data) r = -s->err->code;
    } else {
        r = wrong(s, "a page that is sent in a way that is not known");
    }
    return r < 0 ? r : s->calls->page(s->calls->context, s->current, offset, data, s->err);
}

/* What a section of RAM holds, up to its end mark. */
static int ram(struct stream *s, bool setup)
{
    for (bool first = true;; first = false) {
        uint64_t word;
        int r = number(s, 8, &word);
        if (r < 0) return r;
        unsigned flags = (unsigned)(word & RAM_FLAGS);
        uint64_t rest = word & ~(uint64_t)RAM_FLAGS;
        if (flags == RAM_EOS && !(first && setup)) return 0;
        if ((flags == RAM_MEM_SIZE) != (first && setup)) return wrong(s, "RAM is announced twice, or not at all");
        if (flags & ~(unsigned)(RAM_MEM_SIZE | RAM_ZERO | RAM_PAGE | RAM_CONTINUE)) return wrong(s, "RAM is sent in a way that is not known");
        r = flags == RAM_MEM_SIZE ? list_blocks(s, rest) : page(s, rest, flags);
        if (r < 0) return r;
    }
}

/* --- sections -------------------------------------------------------------------------------------- */

static int footer(struct stream *s)
{
    uint64_t mark, id;
    int r = number(s, 1, &mark);
    if (r == 0) r = number(s, 4, &id);
    return r == 0 && (mark != FOOTER || id != s->ram_section) ? wrong(s, "a section of RAM does not end as it should") : r;
}

static int section_start(struct stream *s)
{
    char name[STREAM_NAME_BYTES];
    uint64_t id, instance, version;
    int r = number(s, 4, &id);
    if (r == 0) r = text(s, name);
    if (r == 0) r = number(s, 4, &instance);
    if (r == 0) r = number(s, 4, &version);
    if (r < 0) return r;
    if (strcmp(name, "ram") != 0)
        return chv_err_set(s->err, ENOTSUP, "QEMU's migration stream: '%.60s' comes with the memory, and is not known here", name);
    if (s->blocks > 0 || version != RAM_VERSION) return wrong(s, "RAM twice, or of a version that is not known");
    s->ram_section = (uint32_t)id;
    r = ram(s, true);
    return r < 0 ? r : footer(s);
}

static int section_more(struct stream *s)
{
    uint64_t id;
    int r = number(s, 4, &id);
    if (r == 0 && (s->blocks == 0 || id != s->ram_section)) r = wrong(s, "a section that nobody began");
    if (r == 0) r = ram(s, false);
    return r < 0 ? r : footer(s);
}

static int command(struct stream *s)
{
    uint64_t code, bytes = 0;
    int r = number(s, 2, &code);
    if (r == 0) r = number(s, 2, &bytes);
    return r == 0 && (code != SWITCHOVER_START || bytes != 0) ? wrong(s, "a command that is not known") : r;
}

/* The state of devices: not ours, but QEMU is not done before somebody has read it. */
static int pass_over(struct stream *s)
{
    ssize_t n;
    uint64_t sum = 0;
    while ((n = s->calls->fill(s->calls->context, s->data, BUFFER_BYTES)) > 0)
        if ((sum += (uint64_t)n) > STREAM_REST_MAX) return wrong(s, "it does not end");
    return n < 0 ? chv_err_set(s->err, (int)-n, "QEMU's migration stream: %s", strerror((int)-n)) : 0;
}

static int sections(struct stream *s)
{
    uint64_t kind;
    int r = header(s);
    while (r == 0 && (r = number(s, 1, &kind)) == 0) {
        switch (kind) {
        case CONFIGURATION: r = configuration(s); break;
        case COMMAND: r = command(s); break;
        case SECTION_START: r = section_start(s); break;
        case SECTION_PART: r = section_more(s); break;
        case SECTION_END: return (r = section_more(s)) < 0 ? r : pass_over(s);
        default: r = wrong(s, "a section that is not known, before all memory was sent");
        }
    }
    return r;
}

int stream_read(const struct stream_calls *calls, struct chv_err *err)
{
    struct chv_err ignored;
    struct stream *s = calloc(1, sizeof *s);
    if (!s || !(s->data = malloc(BUFFER_BYTES))) {
        free(s);
        return chv_err_set(err, ENOMEM, "out of memory");
    }
    s->calls = calls;
    s->err = err ? err : &ignored;
    int r = sections(s);
    free(s->data);
    free(s);
    return r;
}
