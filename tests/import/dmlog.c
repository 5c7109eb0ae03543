/* The dm-log-writes parser: what it takes, and what it refuses with entry number and reason. */
#include "sensor/import/dmlog.h"

#include <errno.h>
#include <sys/mman.h>

#include "tests/unit.h"

struct image {
    uint8_t bytes[64 << 10];
    size_t used;
    uint32_t sector_bytes;
};

static void put64(uint8_t *at, uint64_t v)
{
    for (int i = 0; i < 8; i++) at[i] = (uint8_t)(v >> 8 * i);
}

static void begin(struct image *im, uint32_t sector_bytes, uint64_t entries)
{
    memset(im, 0, sizeof *im);
    im->sector_bytes = sector_bytes;
    put64(im->bytes, 0x6a736677736872);
    put64(im->bytes + 8, 1);
    put64(im->bytes + 16, entries);
    put64(im->bytes + 24, sector_bytes);
    im->used = sector_bytes;
}

/* One entry and room for its data; returns where the data is. */
static uint8_t *entry(struct image *im, uint64_t sector, uint64_t sectors, uint64_t flags, uint64_t data_bytes)
{
    uint8_t *at = im->bytes + im->used;
    put64(at, sector), put64(at + 8, sectors), put64(at + 16, flags), put64(at + 24, data_bytes);
    im->used += im->sector_bytes + (flags & DMLOG_DISCARD ? 0 : sectors * im->sector_bytes);
    CHECK(im->used <= sizeof im->bytes);
    return at + im->sector_bytes;
}

static int open_image(const struct image *im, struct dmlog *log, struct chv_err *err)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    CHECK(fd >= 0 && write(fd, im->bytes, im->used) == (ssize_t)im->used);
    return dmlog_init(log, fd, "x.log", err);
}

static void takes_everything(uint32_t sector_bytes)
{
    static struct image im;
    begin(&im, sector_bytes, 6);
    entry(&im, 3, 2, 0, 0)[0] = 'w';
    entry(&im, 0, 0, DMLOG_FLUSH, 0);
    entry(&im, 8, 1u << 20, DMLOG_DISCARD, 0);
    memcpy(entry(&im, 0, 0, DMLOG_MARK, 9) - im.sector_bytes + 32, "fs\n\xff\\end!", 9);
    entry(&im, 1, 1, DMLOG_FLUSH | DMLOG_FUA | DMLOG_METADATA, 0)[0] = 'f';
    entry(&im, 7, 0, 0, 0);
    struct dmlog log;
    struct dmlog_entry e;
    struct chv_err err;
    CHECK_OK(open_image(&im, &log, &err), err);
    CHECK(log.entries == 6 && log.sector_bytes == sector_bytes);
    for (int round = 0; round < 2; round++) {
        CHECK(dmlog_next(&log, &e, &err) == 1 && e.index == 0 && dmlog_writes(&e));
        CHECK(e.offset == 3ull * sector_bytes && e.bytes == 2ull * sector_bytes && im.bytes[e.data_offset] == 'w');
        CHECK(dmlog_next(&log, &e, &err) == 1 && e.flags == DMLOG_FLUSH && e.bytes == 0 && !dmlog_writes(&e));
        CHECK(dmlog_next(&log, &e, &err) == 1 && e.flags == DMLOG_DISCARD && e.bytes == (uint64_t)sector_bytes << 20);
        CHECK(!dmlog_writes(&e));
        CHECK(dmlog_next(&log, &e, &err) == 1 && e.flags == DMLOG_MARK && strcmp(e.mark, "fs\\x0a\\xff\\x5cend!") == 0);
        CHECK(dmlog_next(&log, &e, &err) == 1 && e.flags == (DMLOG_FLUSH | DMLOG_FUA | DMLOG_METADATA));
        CHECK(im.bytes[e.data_offset] == 'f' && dmlog_writes(&e));
        CHECK(dmlog_next(&log, &e, &err) == 1 && e.index == 5 && !dmlog_writes(&e));
        CHECK(dmlog_next(&log, &e, &err) == 0 && dmlog_next(&log, &e, &err) == 0);
        CHECK(log.next_offset == log.file_bytes);
        dmlog_rewind(&log);
    }
    close(log.fd);
}

/* The log must be refused, with `text` in the reason. */
static void refused(const struct image *im, const char *text)
{
    struct dmlog log;
    struct dmlog_entry e;
    struct chv_err err = {.text = ""};
    int r = open_image(im, &log, &err);
    while (r == 0 && (r = dmlog_next(&log, &e, &err)) > 0) r = 0;
    if (r != -EBADMSG || !strstr(err.text, text) || strncmp(err.text, "x.log: ", 7) != 0 || strchr(err.text, '\n')) {
        fprintf(stderr, "wanted '%s', got %d '%s'\n", text, r, err.text);
        exit(1);
    }
    close(log.fd);
}

static void refuses_damage(void)
{
    static struct image im;
    begin(&im, 512, 1);
    im.used = 20;
    refused(&im, "too short");
    begin(&im, 512, 1);
    im.bytes[0] ^= 1;
    refused(&im, "not a dm-log-writes log");
    begin(&im, 512, 1);
    im.bytes[8] = 2;
    refused(&im, "version 2");
    static const uint32_t sizes[] = {0, 256, 513, 3 << 9, 16 << 20, 0x80000000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        begin(&im, 512, 1);
        put64(im.bytes + 24, sizes[i]);
        refused(&im, "not possible");
    }
    begin(&im, 512, UINT64_MAX);
    entry(&im, 0, 1, 0, 0);
    refused(&im, "cut short: the header counts 18446744073709551615 entries");
    begin(&im, 512, 3);
    entry(&im, 0, 3, 0, 0);
    entry(&im, 0, 0, DMLOG_FLUSH, 0);
    refused(&im, "entry 2 of 3 (at byte 3072): the file ends before it");
    begin(&im, 512, 2);
    entry(&im, 0, 0, DMLOG_FLUSH, 0);
    entry(&im, 0, 4, 0, 0);
    im.used--;
    refused(&im, "entry 1 of 2 (at byte 1024): its data ends beyond");
    begin(&im, 512, 1);
    entry(&im, 0, 1, 1 << 5, 0);
    refused(&im, "entry 0 of 1 (at byte 512): flags");
    begin(&im, 512, 1);
    entry(&im, 0, 1, UINT64_C(1) << 32, 0);
    refused(&im, "flags");
    begin(&im, 512, 1);
    entry(&im, UINT64_C(1) << 48, 1, DMLOG_DISCARD, 0);
    refused(&im, "beyond the largest disk");
    begin(&im, 512, 1);
    entry(&im, UINT64_MAX, UINT64_MAX, DMLOG_DISCARD, 0);
    refused(&im, "beyond the largest disk");
    begin(&im, 4096, 1);
    entry(&im, 1, UINT64_C(1) << 45, DMLOG_DISCARD, 0);
    refused(&im, "beyond the largest disk");
    begin(&im, 512, 1);
    entry(&im, 0, 0, DMLOG_MARK, 481);
    refused(&im, "longer than its sector");
    begin(&im, 512, 1);
    entry(&im, 0, 1, DMLOG_MARK, 3);
    refused(&im, "also writes");
}

int main(void)
{
    takes_everything(512);
    takes_everything(4096);
    refuses_damage();
    return 0;
}
