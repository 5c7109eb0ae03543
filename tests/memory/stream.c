/* QEMU's migration stream into a copy: pages that come again, zeros over content, blocks in two ranges; what is left out or lies. */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sensor/memory/cow.h"
#include "sensor/memory/stream.h"
#include "tests/unit.h"

enum { PAGE = STREAM_PAGE_BYTES, PAGES = 8 };

struct out {
    uint8_t data[64 * PAGE];
    size_t n;
};

static void put(struct out *o, uint64_t value, size_t bytes)
{
    while (bytes-- > 0) o->data[o->n++] = (uint8_t)(value >> 8 * bytes);
}

static void put_text(struct out *o, const char *text)
{
    put(o, strlen(text), 1);
    memcpy(o->data + o->n, text, strlen(text));
    o->n += strlen(text);
}

static void put_page(struct out *o, uint64_t number, const char *block, int fill)
{
    put(o, number * PAGE | (fill ? 0x08u : 0x02u) | (block ? 0 : 0x20u), 8);
    if (block) put_text(o, block);
    if (!fill) put(o, 0, 1);
    if (!fill) return;
    memset(o->data + o->n, fill, PAGE);
    o->n += PAGE;
}

static void put_section(struct out *o, unsigned kind)
{
    put(o, kind, 1);
    put(o, 2, 4);
    if (kind != 1) return;
    put_text(o, "ram");
    put(o, 0, 4);
    put(o, 4, 4);
}

static void put_end(struct out *o)
{
    put(o, 0x10, 8); /* end mark of the RAM, footer of the section */
    put(o, 0x7e, 1);
    put(o, 2, 4);
}

static void put_head(struct out *o)
{
    o->n = 0;
    put(o, 0x5145564d, 4);
    put(o, 3, 4);
    put(o, 7, 1);
    put(o, 3, 4);
    memcpy(o->data + o->n, "q35", 3);
    o->n += 3;
    put_section(o, 1);
    put(o, (PAGES + 2) * PAGE | 0x04, 8);
    put_text(o, "/objects/m");
    put(o, PAGES * PAGE, 8);
    put_text(o, "vga.vram");
    put(o, 2 * PAGE, 8);
    put_end(o);
}

/* Two ranges of the block, the page between them hidden; above is at 4 pages and more. */
static void make_ranges(struct copy *copy, struct ram_layout *ram, int fd)
{
    static struct copy_piece pieces[2];
    *ram = (struct ram_layout){.count = 2, .ranges = {{.gpa = 0, .bytes = 3 * PAGE, .offset = 0, .region = "m"},
                                                      {.gpa = 16 * PAGE, .bytes = 4 * PAGE, .offset = 4 * PAGE, .region = "m"}}};
    for (int i = 0; i < 2; i++) {
        const struct ram_range *r = &ram->ranges[i];
        void *map = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)r->offset);
        CHECK(map != MAP_FAILED);
        pieces[i] = (struct copy_piece){.from = {.address = r->gpa, .bytes = r->bytes}, .fd = fd, .map = map};
    }
    *copy = (struct copy){.count = 2, .pieces = pieces};
}

static int receive(const struct out *o, uint8_t result[PAGES * PAGE], uint64_t *sent_bytes, struct chv_err *err)
{
    struct copy copy;
    struct ram_layout ram;
    _Atomic uint64_t sent = 0;
    int ends[2], fd = memfd_create("copy", MFD_CLOEXEC), bytes = 1 << 20;
    CHECK(fd >= 0 && ftruncate(fd, PAGES * PAGE) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    make_ranges(&copy, &ram, fd);
    size_t n = 0;
    for (ssize_t some; n < o->n && (some = send(ends[1], o->data + n, o->n - n, MSG_DONTWAIT)) > 0;) n += (size_t)some;
    CHECK(n == o->n);
    close(ends[1]);
    int r = cow_receive(&copy, &ram, ends[0], &sent, err);
    close(ends[0]);
    CHECK(pread(fd, result, PAGES * PAGE, 0) == PAGES * PAGE);
    for (size_t i = 0; i < copy.count; i++) munmap(copy.pieces[i].map, copy.pieces[i].from.bytes);
    close(fd);
    *sent_bytes = sent;
    return r;
}

static void good(struct out *o)
{
    put_head(o);
    put_section(o, 2);
    for (unsigned i = 0; i < PAGES; i++) put_page(o, i, i ? NULL : "/objects/m", i == 5 ? 0 : 'a' + (int)i);
    put_page(o, 1, "vga.vram", 'v');
    put_end(o);
    put_section(o, 2);
    put_page(o, 1, "/objects/m", 'Z'); /* again */
    put_page(o, 2, NULL, 0);           /* became zeros */
    put_page(o, 5, NULL, 'Y');         /* were zeros */
    put_end(o);
    put(o, 8, 1); /* a command, SWITCHOVER_START: since QEMU 10.0 */
    put(o, 11, 2);
    put(o, 0, 2);
    put_section(o, 3);
    put_page(o, 6, "/objects/m", 'X');
    put_end(o);
    memcpy(o->data + o->n, "devices, whatever they say", 26);
    o->n += 26;
}

static void last_one_counts(void)
{
    static const char want[PAGES] = {'a', 'Z', 0, 0 /* hidden */, 'e', 'Y', 'X', 'h'};
    struct out *o = calloc(1, sizeof *o);
    uint8_t got[PAGES * PAGE];
    uint64_t sent;
    struct chv_err err;
    good(o);
    CHECK_OK(receive(o, got, &sent, &err), err);
    for (size_t i = 0; i < sizeof got; i++) CHECK(got[i] == (uint8_t)want[i / PAGE]);
    CHECK(sent == 9 * PAGE);
    free(o);
}

static void refused(void)
{
    struct out *o = calloc(1, sizeof *o), *cut = calloc(1, sizeof *cut);
    uint8_t got[PAGES * PAGE];
    uint64_t sent;
    struct chv_err err;
    good(o);
    size_t whole = o->n - 26;
    for (size_t n = 0; n < whole; n += n < 150 ? 1 : 997) { /* ends too early, wherever */
        memcpy(cut, o, sizeof *cut);
        cut->n = n;
        CHECK(receive(cut, got, &sent, &err) == -EPIPE);
    }
    put_head(o); /* a page that never comes */
    put_section(o, 3);
    for (unsigned i = 0; i < PAGES; i++)
        if (i != 4) put_page(o, i, i ? NULL : "/objects/m", 'a');
    put_end(o);
    CHECK(receive(o, got, &sent, &err) == -ENODATA && strstr(err.text, "left out 1 page"));
    put_head(o); /* behind the block's end */
    put_section(o, 2);
    put_page(o, PAGES, "/objects/m", 'a');
    CHECK(receive(o, got, &sent, &err) == -EPROTO);
    put_head(o); /* of no block */
    put_section(o, 2);
    put_page(o, 0, "other", 'a');
    CHECK(receive(o, got, &sent, &err) == -EPROTO);
    put_head(o); /* "the same block as before", and there was none */
    put_section(o, 2);
    put_page(o, 0, NULL, 'a');
    CHECK(receive(o, got, &sent, &err) == -EPROTO);
    put_head(o); /* compressed */
    put_section(o, 2);
    put(o, 0x100, 8);
    CHECK(receive(o, got, &sent, &err) == -EPROTO);
    put_head(o); /* all RAM is announced a second time */
    put_section(o, 1);
    CHECK(receive(o, got, &sent, &err) == -EPROTO);
    free(o);
    free(cut);
}

int main(void)
{
    alarm(60);
    last_one_counts();
    refused();
    return 0;
}
