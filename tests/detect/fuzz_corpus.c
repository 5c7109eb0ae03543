/* Any bytes as the manifest and a table of hits of a corpus: runs that make sense, everything else said in one line each.
 *
 * The manifest, a line "--", the table, which a manifest calls "hits". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "detect/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[200];
static const char *const files[] = {"manifest.json", "hits"};

static void path_of(char path[400], const char *file)
{
    snprintf(path, 400, "%s/%s", dir, file);
}

static void leave(void)
{
    char path[400];
    for (int i = 0; i < 2; i++) path_of(path, files[i]), unlink(path);
    rmdir(dir);
}

static void enter(void)
{
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/chv-fuzz-XXXXXX", base ? base : "/tmp");
    if (!mkdtemp(dir)) abort();
    atexit(leave);
}

static void put(const char *file, const uint8_t *data, size_t size)
{
    char path[400];
    path_of(path, file);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
}

static void one_line(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20) abort();
}

static int take(void *arg, const struct access *a)
{
    (void)arg, (void)a;
    abort(); /* no store is there */
}

static void check_run(const struct dataset *d, size_t index)
{
    const struct dataset_run *run = dataset_run(d, index);
    struct chv_err err;
    struct hits hits;
    if (!run->path[0] || !run->family[0] || !run->condition[0] || !run->store || run->begin_ns >= run->finish_ns) abort();
    if (run->malicious_ns && (!run->ransomware || run->malicious_ns < run->begin_ns || run->malicious_ns > run->finish_ns)) abort();
    if (index > 0 && strcmp(dataset_run(d, index - 1)->path, run->path) >= 0) abort();
    one_line(run->path);
    one_line(run->family);
    int r = dataset_hits(d, run, &hits, &err);
    if (r < 0) one_line(err.text);
    if (r < 0 && hits.list) abort();
    for (size_t i = 1; i < hits.count; i++)
        if (hits.list[i].time_ns < hits.list[i - 1].time_ns || hits.list[i].bytes < hits.list[i - 1].bytes) abort();
    for (size_t i = 0; i < hits.count; i++)
        if (hits_at(&hits, hits.list[i].time_ns)->time_ns != hits.list[i].time_ns ||
            hits_at_bytes(&hits, hits.list[i].bytes)->bytes != hits.list[i].bytes)
            abort();
    hits_fini(&hits);
    if (dataset_read(d, index, NULL, take, NULL, NULL, &err) >= 0) abort();
    one_line(err.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dataset *d;
    struct chv_err err;
    if (!dir[0]) enter();
    const uint8_t *mid = size > 0 ? memmem(data, size, "\n--\n", 4) : NULL;
    put(files[0], data, mid ? (size_t)(mid + 1 - data) : size);
    put(files[1], mid ? mid + 4 : data, mid ? size - (size_t)(mid + 4 - data) : 0);
    int r = dataset_open_corpus(dir, &d, &err);
    if (r < 0) {
        if (r != -EBADMSG && r != -ENOENT) abort();
        one_line(err.text);
        return 0;
    }
    for (size_t i = 0; i < dataset_complaints(d) && dataset_complaint(d, i); i++) one_line(dataset_complaint(d, i));
    for (size_t i = 0; i < dataset_count(d); i++) check_run(d, i);
    dataset_close(d);
    return 0;
}
