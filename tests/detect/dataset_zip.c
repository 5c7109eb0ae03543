/* Tables inside zip files, as the large ones are published; and zip files that are none. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <sys/stat.h>

#include "detect/dataset.h"
#include "tests/unit.h"

#define ROWS 20000

static char dir[256], run[512];

static void zip(const char *file, const char *member, const char *text, size_t bytes)
{
    char path[600];
    struct archive *a = archive_write_new();
    struct archive_entry *e = archive_entry_new();
    snprintf(path, sizeof path, "%s/%s", run, file);
    CHECK(a && e && archive_write_set_format_zip(a) == ARCHIVE_OK && archive_write_open_filename(a, path) == ARCHIVE_OK);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0644);
    archive_entry_set_pathname(e, "original/readme.txt");
    archive_entry_set_size(e, 2);
    CHECK(archive_write_header(a, e) == ARCHIVE_OK && archive_write_data(a, "hi", 2) == 2);
    archive_entry_set_pathname(e, member);
    archive_entry_set_size(e, (int64_t)bytes);
    CHECK(archive_write_header(a, e) == ARCHIVE_OK && archive_write_data(a, text, bytes) == (la_ssize_t)bytes);
    CHECK(archive_write_close(a) == ARCHIVE_OK);
    archive_entry_free(e);
    archive_write_free(a);
}

static int count(void *arg, const struct access *a)
{
    uint64_t *n = arg;
    CHECK(a->lba == *n * 8);
    ++*n;
    return 0;
}

static int read_all(uint64_t *n, struct chv_err *err)
{
    struct dataset *d;
    CHECK_OK(dataset_open(dir, &d, err), *err);
    CHECK(dataset_count(d) == 1 && dataset_run(d, 0)->has_reads && !dataset_run(d, 0)->has_writes);
    *n = 0;
    int r = dataset_read(d, 0, NULL, count, n, NULL, err);
    dataset_close(d);
    return r;
}

int main(void)
{
    struct chv_err err;
    uint64_t n;
    char path[600];
    unit_temp_dir(dir);
    snprintf(run, sizeof run, "%s/dataset/original/win7/Zip/Zip-1", dir);
    for (char *p = run + strlen(dir) + 1; (p = strchr(p, '/')); *p++ = '/') {
        *p = 0;
        CHECK(mkdir(run, 0777) == 0);
    }
    CHECK(mkdir(run, 0777) == 0);
    char *text = malloc(ROWS * 40), *at = text;
    CHECK(text);
    for (int i = 0; i < ROWS; i++) at += sprintf(at, "%d,%d,%d,4096\n", 1000 + i / 100, i % 100 * 1000, i * 8);

    zip("ata_read.zip", "original/win7/Zip/Zip-1/ata_read.csv", text, (size_t)(at - text));
    CHECK_OK(read_all(&n, &err), err);
    CHECK(n == ROWS);
    /* the text beside it is preferred: it is what somebody unpacked */
    snprintf(path, sizeof path, "%s/ata_read.csv", run);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs("1,0,0,4096\n", f) > 0 && fclose(f) == 0);
    CHECK_OK(read_all(&n, &err), err);
    CHECK(n == 1 && unlink(path) == 0);

    /* cut short: what is missing is an error, wherever the cut is */
    snprintf(path, sizeof path, "%s/ata_read.zip", run);
    struct stat st;
    CHECK(stat(path, &st) == 0);
    for (int i = 7; i >= 0; i--) {
        CHECK(truncate(path, st.st_size * i / 8) == 0);
        CHECK(read_all(&n, &err) == -EBADMSG && n < ROWS && !strchr(err.text, '\n'));
        CHECK(strstr(err.text, "ata_read.zip: "));
    }
    /* other content than its checksum says */
    zip("ata_read.zip", "ata_read.csv", text, (size_t)(at - text));
    f = fopen(path, "r+b");
    CHECK(f && fseek(f, st.st_size / 2, SEEK_SET) == 0 && fputc('!', f) != EOF && fputc('?', f) != EOF && fclose(f) == 0);
    CHECK(read_all(&n, &err) < 0);
    zip("ata_read.zip", "ata_write.csv", text, (size_t)(at - text));
    CHECK(read_all(&n, &err) == -EBADMSG && strstr(err.text, "there is no ata_read.csv in this zip file"));
    CHECK(unlink(path) == 0);
    zip("ata_read.csv.zip", "ata_read.csv", text, (size_t)(at - text));
    CHECK_OK(read_all(&n, &err), err);
    CHECK(n == ROWS);
    free(text);
    unit_remove_tree(dir);
    return 0;
}
