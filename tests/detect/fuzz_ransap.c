/* Any bytes as a run of a data set: accesses in order, everything else counted or refused with one line.
 *
 * The first byte: 1 artefacts stay, 2 reads only, 4 the beginning is cut, 8 the reads are a zip file. Then the reads, a line
 * "--", the writes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "detect/dataset.h"

#define ROWS_ENOUGH 100000 /* a zip file of nothing but one row again and again */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[200];
static const char *const parts[] = {"dataset", "dataset/original", "dataset/original/win7", "dataset/original/win7/Zip",
                                    "dataset/original/win7/Zip/Zip-1"};
static const char *const files[] = {"ata_read.csv", "ata_read.zip", "ata_write.csv"};

static void path_of(char path[400], const char *file)
{
    snprintf(path, 400, "%s/%s/%s", dir, parts[4], file);
}

static void leave(void)
{
    char path[400];
    for (int i = 0; i < 3; i++) path_of(path, files[i]), unlink(path);
    for (int i = 4; i >= 0; i--) snprintf(path, sizeof path, "%s/%s", dir, parts[i]), rmdir(path);
    rmdir(dir);
}

static void enter(void)
{
    char path[400];
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/chv-fuzz-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(dir)) abort();
    atexit(leave);
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, parts[i]);
        if (mkdir(path, 0700) < 0) abort();
    }
}

static void put(const char *file, const uint8_t *data, size_t size)
{
    char path[400];
    path_of(path, file);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
}

struct seen {
    uint64_t time_ns, count;
};

static int check(void *arg, const struct access *a)
{
    struct seen *s = arg;
    int known = ACCESS_CONTINUED | ACCESS_ENTROPY | ACCESS_OLD_ENTROPY;
    if (a->time_ns < s->time_ns || a->sectors < 1 || a->sectors > 8 || a->lba + a->sectors > UINT64_C(1) << 48) abort();
    if (a->kind > ACCESS_WRITE || a->flags & ~known || (a->kind == ACCESS_READ && a->flags & ~ACCESS_CONTINUED)) abort();
    s->time_ns = a->time_ns;
    return ++s->count >= ROWS_ENOUGH;
}

static void one_line(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!dir[0]) enter();
    if (size == 0) return 0;
    char path[400];
    struct dataset_options options = {
        .keep_artefacts = data[0] & 1, .reads_only = data[0] & 2, .skip_ns = data[0] & 4 ? 1500000000 : 0};
    bool zipped = data[0] & 8;
    const uint8_t *mid = memmem(data + 1, size - 1, "\n--\n", 4);
    size_t reads = mid ? (size_t)(mid + 1 - data - 1) : size - 1;
    path_of(path, files[zipped ? 0 : 1]);
    unlink(path);
    put(files[zipped ? 1 : 0], data + 1, reads);
    if (mid)
        put(files[2], mid + 4, size - (size_t)(mid + 4 - data));
    else
        path_of(path, files[2]), unlink(path);

    struct dataset *d;
    struct chv_err err;
    struct dataset_report report;
    struct seen seen = {0};
    if (dataset_open(dir, &d, &err) < 0) abort();
    int r = dataset_read(d, 0, &options, check, &seen, &report, &err);
    if (r < 0 && r != -EBADMSG) abort();
    if (r < 0) one_line(err.text);
    one_line(report.first_malformed);
    if (report.accesses != seen.count || (report.malformed > 0) != (report.first_malformed[0] != 0)) abort();
    if (r == 0 && options.skip_ns == 0 && report.rows != report.accesses + report.small + report.rereads) abort();
    dataset_close(d);
    return 0;
}
