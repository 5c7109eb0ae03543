/* Every stored block against its hash; then the index against log and packs. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/verify.h"

/* At a record that does not hold: how far is the next one, if its header can be believed? */
static uint64_t step_over(struct verify *v, uint64_t number, uint64_t at, uint64_t to)
{
    char path[STORE_PATH_BYTES];
    struct pack_record rec;
    meta_pack_path(&v->meta, number, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : io_pread_full(fd, &rec, sizeof rec, at);
    if (fd >= 0) close(fd);
    if (r < 0 || rec.raw_bytes != v->meta.block_bytes || rec.stored_bytes == 0 || rec.stored_bytes > rec.raw_bytes ||
        at + sizeof rec + rec.stored_bytes > to)
        return 0;
    return at + sizeof rec + rec.stored_bytes;
}

static int count_block(void *arg, const struct pack_record *record, pack_loc loc)
{
    struct verify *v = arg;
    v->result->blocks++;
    return 0;
}

static int check_pack(struct verify *v, uint64_t number, struct chv_err *err)
{
    char path[STORE_PATH_BYTES];
    struct stat st;
    struct chv_err why;
    meta_pack_path(&v->meta, number, path);
    if (stat(path, &st) < 0) {
        if (errno != ENOENT) return chv_err_set(err, errno, "%s: %s", path, strerror(errno));
        verify_fault(v, "packs/%08" PRIu64 ".pack: missing", number);
        return 0;
    }
    uint64_t size = (uint64_t)st.st_size, to = number == v->pack ? v->pack_bytes : size, at = 0, end;
    if (size < to) {
        verify_fault(v, "packs/%08" PRIu64 ".pack: cut off at %" PRIu64 ", should have %" PRIu64 " bytes", number, size, to);
        to = size;
    }
    v->pack_ends[number] = to;
    v->result->packs++;
    for (;;) {
        int r = pack_scan(&v->meta, number, at, to, !v->options->quick, count_block, v, &end, &why);
        if (r < 0) {
            if (r != -EBADMSG) return chv_err_set(err, -r, "%s", why.text);
            verify_fault(v, "%s", why.text);
            return 0;
        }
        if (end >= to) return 0;
        verify_fault(v, "packs/%08" PRIu64 ".pack: the block at offset %" PRIu64 " is damaged", number, end);
        at = step_over(v, number, end, to);
        if (at == 0) {
            verify_fault(v, "packs/%08" PRIu64 ".pack: unreadable from offset %" PRIu64 " on", number, end);
            return 0;
        }
    }
}

int verify_packs(struct verify *v, struct chv_err *err)
{
    uint64_t *numbers, count;
    int r = meta_list(&v->meta, "packs", ".pack", &numbers, &count, err);
    if (r < 0) return r;
    /* The log may name any number: packs behind the last file are missing in one go. */
    uint64_t last = v->pack, there = count ? numbers[count - 1] : 0;
    free(numbers);
    if (last > there) {
        verify_fault(v, "packs/%08" PRIu64 ".pack: missing%s", there + 1, last > there + 1 ? ", and those after it" : "");
        last = there;
    }
    v->pack_count = last + 1;
    v->pack_ends = calloc(v->pack_count, sizeof *v->pack_ends);
    if (!v->pack_ends) return chv_err_set(err, ENOMEM, "verify: out of memory");
    for (uint64_t n = 1; r == 0 && n <= last; n++) {
        if (v->options->progress) v->options->progress(v->options->progress_arg, "packs", n - 1, last);
        r = check_pack(v, n, err);
    }
    return r;
}

#define RELEASE_ENTRIES (UINT64_C(1) << 20) /* after so many the mapped pages are let go: memory stays bounded */
#define VERIFY_RESIDENT_BYTES (UINT64_C(256) << 20)

/* Sorted, and every location inside a pack that is there. */
static void check_run(struct verify *v, const struct run *run, uint64_t group, const char *name)
{
    size_t width = run_width(run->kind);
    for (uint64_t i = 0; i < run->count; i++) {
        const uint8_t *entry = run_entry(run, i, width);
        if (i % RELEASE_ENTRIES == 0) run_release_pages(run);
        if (i > 0 && memcmp(run_entry(run, i - 1, width), entry, width) > 0) {
            verify_fault(v, "index/%08" PRIu64 ".%s: not in order; 'chronovisor reindex' makes the index again", group, name);
            return;
        }
        if (run->tags && run->tags[i] != entry[RUN_TAG]) {
            verify_fault(v, "index/%08" PRIu64 ".%s: tags do not fit; 'chronovisor reindex' makes the index again", group, name);
            return;
        }
        if (run->kind != RUN_LOC) continue;
        pack_loc loc = run_get64(entry + 32);
        uint64_t pack = pack_loc_pack(loc);
        if (pack == 0 || pack >= v->pack_count || pack_loc_offset(loc) >= v->pack_ends[pack]) {
            if (pack < v->pack_count && v->pack_ends[pack] == 0) continue; /* the missing pack was named already */
            verify_fault(v, "index/%08" PRIu64 ".%s: names a block that is in no pack; 'chronovisor reindex' makes the index again",
                         group, name);
            return;
        }
    }
    run_release_pages(run);
}

/* Is content named by the log in the packs? The index knows the packs; the counts tie it to the log. */
static uint64_t missing_content(struct verify *v, const struct run *sights)
{
    uint64_t missing = 0;
    struct run_pages pages = {0};
    for (uint64_t i = 0; i < sights->count; i++) {
        const uint8_t *hash = run_entry(sights, i, 16);
        if (run_pages_spent(&pages, 1 + v->index->count)) index_let_go(v->index, &pages, VERIFY_RESIDENT_BYTES);
        if (i > 0 && memcmp(run_entry(sights, i - 1, 16), hash, 8) == 0) continue;
        bool found = false;
        for (size_t g = v->index->count; !found && g-- > 0;) {
            const struct run *locs = &v->index->groups[g]->runs[RUN_LOC];
            uint8_t entry[RUN_WIDTH_MAX];
            uint64_t at;
            found = run_find(locs, hash, 8, false, &at, entry); /* in order: what a fault brings is used */
        }
        missing += !found;
    }
    return missing;
}

int verify_index(struct verify *v, struct chv_err *err)
{
    static const char *const names[RUN_KINDS] = {"sight", "addr", "loc"};
    uint64_t counts[RUN_KINDS] = {0}, faults = v->result->faults;
    for (size_t g = 0; g < v->index->count; g++)
        for (int k = 0; k < RUN_KINDS; k++) {
            const struct run *run = &v->index->groups[g]->runs[k];
            if (v->options->progress)
                v->options->progress(v->options->progress_arg, "index", g * RUN_KINDS + (size_t)k, v->index->count * RUN_KINDS);
            check_run(v, run, v->index->groups[g]->id, names[k]);
            counts[k] += run->count;
        }
    /* Only a log that is whole can say what should be in the index. */
    if (faults == 0 && (counts[RUN_SIGHT] != v->content_events || counts[RUN_ADDR] != v->addr_entries))
        verify_fault(v, "index: holds %" PRIu64 " sightings and %" PRIu64 " versions where the log has %" PRIu64 " and %" PRIu64
                     "; 'chronovisor reindex' makes the index again",
                     counts[RUN_SIGHT], counts[RUN_ADDR], v->content_events, v->addr_entries);
    for (size_t g = 0; g < v->index->count; g++) {
        uint64_t missing = missing_content(v, &v->index->groups[g]->runs[RUN_SIGHT]);
        if (missing) verify_fault(v, "packs: %" PRIu64 " contents that the log names are stored nowhere", missing);
    }
    return 0;
}
