/* Made-up data sets: every trap of the published ones, and hostile ones. */
#include "detect/dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit.h"

#define NS UINT64_C(1000000000)
#define RUN "/dataset/original/win7/Cerber/Cerber-1"

static char dir[256];

static void put(const char *path, const void *bytes, size_t n)
{
    char full[1024];
    snprintf(full, sizeof full, "%s%s", dir, path);
    for (char *p = full + strlen(dir) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        CHECK(mkdir(full, 0777) == 0 || errno == EEXIST);
        *p = '/';
    }
    FILE *f = fopen(full, "wb");
    CHECK(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

static void put_text(const char *path, const char *text)
{
    put(path, text, strlen(text));
}

static void clean(void)
{
    char full[512];
    snprintf(full, sizeof full, "%s/dataset", dir);
    unit_remove_tree(full);
}

struct seen {
    struct access a[64];
    size_t count;
    int stop_at; /* return this at the third access */
};

static int keep(void *arg, const struct access *a)
{
    struct seen *s = arg;
    CHECK(s->count == 0 || s->count > 64 || a->time_ns >= s->a[s->count - 1].time_ns);
    CHECK(a->sectors >= 1 && a->sectors <= 8);
    if (s->count < 64) s->a[s->count] = *a;
    s->count++;
    return s->count == 3 ? s->stop_at : 0;
}

/* Read the only run. */
static int read_run(const struct dataset_options *options, struct seen *seen, struct dataset_report *report, struct chv_err *err)
{
    struct dataset *d;
    CHECK_OK(dataset_open(dir, &d, err), *err);
    CHECK(dataset_count(d) == 1 && dataset_run(d, 1) == NULL);
    *seen = (struct seen){.stop_at = seen->stop_at};
    int r = dataset_read(d, 0, options, keep, seen, report, err);
    dataset_close(d);
    return r;
}

static struct seen read_tables(const char *reads, const char *writes, const struct dataset_options *options,
                               struct dataset_report *report)
{
    struct chv_err err;
    struct seen seen = {0};
    clean();
    if (reads) put_text(RUN "/ata_read.csv", reads);
    if (writes) put_text(RUN "/ata_write.csv", writes);
    CHECK_OK(read_run(options, &seen, report, &err), err);
    CHECK(report->accesses == seen.count && (report->malformed > 0) == (report->first_malformed[0] != 0));
    return seen;
}

/* Sorted as text within a second; ticks are 2^-30 s; reads and writes meet in order of time. */
static void test_order(void)
{
    struct dataset_report r;
    struct seen s = read_tables("100,1000000000,800,4096\n100,536870912,80,4096\n100,7,8,512\n"
                                "101,1000,16,4096\n101,1000,9,1024\n101,999,24,4096\r\n",
                                "100,536870913,160,4096,0.5,0\n102,0,168,4096,1.0,0\n", NULL, &r);
    static const uint64_t lbas[] = {8, 80, 160, 800, 24, 9, 16, 168};
    CHECK(s.count == 8 && r.rows == 8 && r.malformed == 0 && r.unsorted == 3);
    for (size_t i = 0; i < 8; i++) CHECK(s.a[i].lba == lbas[i]);
    CHECK(s.a[0].time_ns == 0 && s.a[0].sectors == 1 && s.a[5].sectors == 2);
    CHECK(s.a[1].time_ns == NS / 2 - 6); /* from tick 7, 6.5 ns, rounded down */
    CHECK(s.a[2].kind == ACCESS_WRITE && s.a[2].flags == ACCESS_ENTROPY && s.a[2].entropy == 32768);
    CHECK(s.a[7].time_ns == 2 * NS - 6 && s.a[7].entropy == 65535);
}

/* Contiguous and within 20 µs: one command, also over the end of a second, and with pieces of another in between. */
static void test_commands(void)
{
    struct dataset_report r;
    struct seen s = read_tables("5,1073741823,0,4096\n6,1000,8,4096\n6,2000,16,4096\n6,3000,32,4096\n6,50000,40,4096\n",
                                "6,1500,100,4096,0,0\n6,1600,108,512,0,0\n", NULL, &r);
    static const bool continued[] = {false, true, false, true, true, false, false};
    CHECK(s.count == 7);
    for (size_t i = 0; i < 7; i++) CHECK((s.a[i].flags & ACCESS_CONTINUED) == continued[i]);
}

/* Polling and rows that are no sectors are dropped, unless they are asked for. */
static void test_artefacts(void)
{
    static const char reads[] = "1,0,0,4096\n1,67108864,0,4096\n1,134217728,0,4096\n1,500000000,2048,8\n1,600000000,64,4096\n"
                                "2,67108864,0,4096\n3,67108864,0,4096\n3,67108865,64,4096\n";
    struct dataset_report r;
    struct dataset_options all = {.keep_artefacts = true};
    struct seen s = read_tables(reads, "1,0,0,4096,0,0\n1,1,0,4096,0,0\n", NULL, &r);
    /* kept: the first read of 0, that of 64, that of 0 a second after the one before, that of 64 two seconds later */
    CHECK(r.small == 1 && r.rereads == 3 && s.count == 6 && r.rows == 10);
    CHECK(s.a[0].kind == ACCESS_READ && s.a[1].kind == ACCESS_WRITE && s.a[2].kind == ACCESS_WRITE); /* writes always stay */
    s = read_tables(reads, NULL, &all, &r);
    CHECK(r.small == 0 && r.rereads == 0 && s.count == 8 && s.a[3].sectors == 1);
}

static void test_old_entropy(void)
{
    struct dataset_report r;
    struct seen s = read_tables(NULL,
                                "1,0,8,4096,0.25,0\n2,0,8,4096,1,0\n3,0,8,512,0,0\n4,0,8,4096,0,0\n"
                                "5,0,12,4096,-0.0,0\n6,0,12,4096,8.204554909105497E-4,0\n7,0,16,4096,1e-05,0\n",
                                NULL, &r);
    CHECK(s.count == 7 && r.malformed == 0);
    static const bool old[] = {false, true, false, false, false, true, false};
    for (size_t i = 0; i < 7; i++) CHECK(!!(s.a[i].flags & ACCESS_OLD_ENTROPY) == old[i] && s.a[i].flags & ACCESS_ENTROPY);
    CHECK(s.a[1].old_entropy == 16384 && s.a[4].entropy == 0 && s.a[5].entropy == 54 && s.a[6].entropy == 1);
}

static void test_options(void)
{
    static const char reads[] = "10,0,0,4096\n12,0,8,4096\n12,1,16,4096\n", writes[] = "9,0,0,4096,0.5,0\n12,2,0,4096,0.5,0\n";
    struct dataset_report r;
    struct dataset_options skip = {.skip_ns = 2 * NS}, only = {.reads_only = true};
    struct seen s = read_tables(reads, writes, &skip, &r);
    CHECK(s.count == 3 && s.a[0].time_ns == 3 * NS && !(s.a[2].flags & ACCESS_OLD_ENTROPY)); /* as if not seen */
    s = read_tables(reads, writes, &only, &r);
    CHECK(s.count == 3 && s.a[0].time_ns == 0 && s.a[1].time_ns == 2 * NS && r.rows == 3);
    struct chv_err err;
    s.stop_at = 7;
    CHECK(read_run(NULL, &s, NULL, &err) == 7 && s.count == 3);
}

/* Each line alone between two good ones: dropped, counted, named. */
static void test_malformed(void)
{
    static const struct {
        const char *line, *reason;
    } reads[] = {
        {"", "an empty line"},
        {"seconds,ticks,lba,size", "seconds 'seconds' is no number"},
        {"1,2,3", "3 columns"},
        {"1,2,3,4096,5", "5 columns"},
        {"1,2,3,4096,5,6,7,8", "7 columns or more"},
        {"1,,3,4096", "ticks '' is no number"},
        {"-1,2,3,4096", "seconds '-1' is no number"},
        {"1.5,2,3,4096", "seconds '1.5' is no number"},
        {"99999999999999999999999999,2,3,4096", "seconds '999999999999999999999999' is above"},
        {"1,1073741824,3,4096", "ticks '1073741824' is above"},
        {"1,2,281474976710656,4096", "lba '281474976710656' is above"},
        {"1,2,3,4097", "bytes '4097' is above 4096"},
        {"1,2,3,0", "an access of no bytes"},
        {"1,2,3,0x10", "bytes '0x10' is no number"},
        {"1,2,3,4096 ", "bytes '4096 ' is no number"},
        {"0,2,3,4096", "second 0 after second 1: back in time"},
        {"86402,2,3,4096", "second 86402 after second 1: more than a day later"},
        {"1,\x1b[31m,\xff,4096", "ticks '?[31m' is no number"},
    };
    static const struct {
        const char *line, *reason;
    } writes[] = {
        {"1,2,3,4096", "4 columns; there should be 6"},      {"1,2,3,4096,,0", "entropy '' is no number"},
        {"1,2,3,4096,nan,0", "entropy 'nan' is no number"},  {"1,2,3,4096,inf,0", "entropy 'inf' is no number"},
        {"1,2,3,4096,-0.5,0", "entropy -0.5 is not between"}, {"1,2,3,4096,1.01,0", "entropy 1.01 is not between"},
        {"1,2,3,4096,1e999,0", "entropy 1e999 is not"},      {"1,2,3,4096,0x1p-1,0", "entropy '0x1p-1' is no number"},
        {"1,2,3,4096,1-1,0", "entropy '1-1' is no number"},  {"1,2,3,4096,0.5.5,0", "entropy '0.5.5' is no number"},
    };
    char text[512];
    struct dataset_report r;
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        snprintf(text, sizeof text, "1,1,0,4096\n%s\n1,3,8,4096\n", reads[i].line);
        struct seen s = read_tables(text, NULL, NULL, &r);
        if (s.count != 2 || r.malformed != 1 || r.rows != 2 || !strstr(r.first_malformed, reads[i].reason) ||
            !strstr(r.first_malformed, "Cerber-1/ata_read.csv:2: ")) {
            fprintf(stderr, "'%s' gave '%s'\n", reads[i].line, r.first_malformed);
            exit(1);
        }
    }
    for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
        snprintf(text, sizeof text, "1,1,0,4096,0,0\n%s\n%s\n1,3,8,4096,0,0", writes[i].line, writes[i].line);
        struct seen s = read_tables(NULL, text, NULL, &r);
        if (s.count != 2 || r.malformed != 2 || !strstr(r.first_malformed, writes[i].reason)) {
            fprintf(stderr, "'%s' gave '%s'\n", writes[i].line, r.first_malformed);
            exit(1);
        }
    }
    memset(text, '1', 300);
    strcpy(text + 300, "\n1,3,8,4096\n");
    struct seen s = read_tables(text, NULL, NULL, &r);
    CHECK(s.count == 1 && strstr(r.first_malformed, ":1: a line of 300 bytes"));
}

/* What is no table at all is refused, whatever it is. */
static void test_no_table(void)
{
    struct chv_err err;
    struct seen seen = {0};
    struct dataset_report r;
    char *junk = malloc(1 << 20);
    CHECK(junk);
    uint64_t seed = 1;
    for (size_t i = 0; i < 1 << 20; i++) junk[i] = (char)unit_random(&seed);
    static const char few[] = "one\ntwo\n", nul[] = "1,2,3,4096\0\n1,3,8,4096\n";
    clean();
    put(RUN "/ata_read.csv", junk, 1 << 20);
    CHECK(read_run(NULL, &seen, &r, &err) == -EBADMSG && strstr(err.text, "no table") && !strchr(err.text, '\n'));
    CHECK(r.malformed == 100); /* it did not read on */
    put_text(RUN "/ata_read.csv", few);
    CHECK(read_run(NULL, &seen, &r, &err) == -EBADMSG && r.malformed == 2);
    memset(junk, 'x', 1 << 20); /* one endless line */
    put(RUN "/ata_read.csv", junk, 1 << 20);
    CHECK(read_run(NULL, &seen, &r, &err) == -EBADMSG && strstr(err.text, "a line of 1048576 bytes"));
    put(RUN "/ata_read.csv", nul, sizeof nul - 1);
    CHECK(read_run(NULL, &seen, &r, &err) == 0 && r.malformed == 1 && strstr(r.first_malformed, "NUL"));
    put_text(RUN "/ata_read.csv", "");
    CHECK(read_run(NULL, &seen, &r, &err) == 0 && r.rows == 0 && seen.count == 0);
    free(junk);
    /* a second with more rows than any disk has */
    clean();
    put_text(RUN "/ata_write.csv", "1,2,3,4096,0,0\n");
    char path[512];
    snprintf(path, sizeof path, "%s%s", dir, RUN "/ata_read.csv");
    FILE *f = fopen(path, "w");
    CHECK(f);
    for (uint32_t i = 0; i <= 1u << 20; i++) fprintf(f, "1,%u,%u,512\n", i, i);
    fclose(f);
    CHECK(read_run(NULL, &seen, &r, &err) == -EBADMSG && strstr(err.text, "more than 1048576 rows in second 1"));
}

static void test_find(void)
{
    static const char row[] = "1,0,0,4096\n";
    struct dataset *d;
    struct chv_err err;
    char path[512];
    clean();
    CHECK(dataset_open(dir, &d, &err) == -ENOENT && d == NULL);
    put_text("/dataset/original/win7/Zip/README", "");
    CHECK(dataset_open(dir, &d, &err) == -ENOENT && strstr(err.text, "no runs"));
    put_text("/dataset/original/win7/Zip/Zip-2/ata_read.csv", row);
    put_text("/dataset/original/win7/Zip/Zip-1/ata_write.csv", "1,0,0,4096,0,0\n");
    put_text("/dataset/extra/i3/ddr4/Firefox_Office_REvil/a/ata_read.csv", row);
    put_text("/dataset/extra/i3/ddr4/Firefox_Office/a/ata_read.csv", row);
    put_text("/dataset/extra/win7/AESCrypt-w10dirs/a/ata_read.csv", row);
    put_text("/dataset/extra/win7/.git/a/ata_read.csv", row);
    put_text("/dataset/extra/win7/Zipper/a/ata_read.csv", row);
    put_text("/dataset/extra/win7/ata_read.csv", row); /* not as deep as runs are */
    put_text("/dataset/extra/win7/Zipper/b/ata_read.csv/x", row);
    snprintf(path, sizeof path, "%s/dataset/extra/loop", dir);
    CHECK(symlink("..", path) == 0); /* ends by depth, and what it shows again has no place among runs */
    CHECK_OK(dataset_open(dir, &d, &err), err);
    size_t n = 0;
    static const struct {
        const char *path, *condition, *family;
        bool reads, writes, ransomware;
    } want[] = {
        {"dataset/extra/i3/ddr4/Firefox_Office/a", "i3-ddr4", "Firefox_Office", true, false, false},
        {"dataset/extra/i3/ddr4/Firefox_Office_REvil/a", "i3-ddr4", "Firefox_Office_REvil", true, false, true},
        {"dataset/extra/win7/AESCrypt-w10dirs/a", "win7", "AESCrypt-w10dirs", true, false, false},
        {"dataset/extra/win7/Zipper/a", "win7", "Zipper", true, false, true},
        {"dataset/original/win7/Zip/Zip-1", "win7", "Zip", false, true, false},
        {"dataset/original/win7/Zip/Zip-2", "win7", "Zip", true, false, false},
    };
    for (size_t i = 0; i < dataset_count(d); i++) {
        const struct dataset_run *run = dataset_run(d, i);
        if (strstr(run->path, "loop")) continue;
        CHECK(n < sizeof want / sizeof *want);
        CHECK(strcmp(run->path, want[n].path) == 0 && strcmp(run->condition, want[n].condition) == 0);
        CHECK(strcmp(run->family, want[n].family) == 0 && run->ransomware == want[n].ransomware);
        CHECK(run->has_reads == want[n].reads && run->has_writes == want[n].writes);
        n++;
    }
    CHECK(n == sizeof want / sizeof *want);
    dataset_close(d);
    dataset_close(NULL);
    put_text("/dataset/extra/win7/Zip/a,b\n/ata_read.csv", row);
    CHECK_OK(dataset_open(dir, &d, &err), err); /* one folder that cannot be named is said, and the others are as good as before */
    CHECK(dataset_complaints(d) == 1 && !strchr(dataset_complaint(d, 0), '\n') && !dataset_complaint(d, 1));
    dataset_close(d);
    put_text("/dataset/extra/win7/\xdc" "bel/a/ata_read.csv", row); /* Latin-1 */
    put_text("/dataset/extra/win7/\xc3\x9c" "bel/a/ata_read.csv", row);
    CHECK_OK(dataset_open(dir, &d, &err), err);
    CHECK(dataset_complaints(d) == 2 && strcmp(dataset_run(d, dataset_count(d) - 3)->family, "\xc3\x9c" "bel") == 0);
    dataset_close(d);
    clean();
    put_text("/dataset/extra/win7/Zip/a,b\n/ata_read.csv", row);
    CHECK(dataset_open(dir, &d, &err) == -EBADMSG && strstr(err.text, "comma") && !strchr(err.text, '\n'));
}

/* A FIFO or a folder in a table's place is no table; one that vanishes is an error, not an empty table. */
static void test_odd_files(void)
{
    struct dataset *d;
    struct chv_err err;
    struct seen seen = {0};
    char path[512];
    clean();
    put_text(RUN "/ata_read.csv", "1,0,0,4096\n");
    snprintf(path, sizeof path, "%s%s", dir, RUN "/ata_write.csv");
    CHECK(mkfifo(path, 0666) == 0);
    CHECK_OK(dataset_open(dir, &d, &err), err);
    CHECK(dataset_count(d) == 1 && !dataset_run(d, 0)->has_writes);
    snprintf(path, sizeof path, "%s%s", dir, RUN "/ata_read.csv");
    CHECK(unlink(path) == 0);
    CHECK(dataset_read(d, 0, NULL, keep, &seen, NULL, &err) == -ENOENT && strstr(err.text, "ata_read.csv is gone"));
    CHECK(mkfifo(path, 0666) == 0);
    CHECK(dataset_read(d, 0, NULL, keep, &seen, NULL, &err) == -EINVAL && strstr(err.text, "not a file"));
    CHECK(dataset_read(d, 1, NULL, keep, &seen, NULL, &err) == -EINVAL);
    dataset_close(d);
}

int main(void)
{
    unit_temp_dir(dir);
    test_order();
    test_commands();
    test_artefacts();
    test_old_entropy();
    test_options();
    test_malformed();
    test_no_table();
    test_find();
    test_odd_files();
    unit_remove_tree(dir);
    return 0;
}
