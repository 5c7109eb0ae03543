/* Shared by the store's fuzz targets: a store of 512-byte blocks in memory, some of whose files are the input. */
#ifndef CHV_TESTS_STORE_FUZZ_H
#define CHV_TESTS_STORE_FUZZ_H

#include <fcntl.h>
#include <sys/stat.h>

#include "chronovisor/chronovisor.h"
#include "chronovisor/maintain.h"
#include "store/meta.h"
#include "tests/unit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise: the fuzzer and the replay both stop here. */
#define MUST(cond) \
    do { \
        if (!(cond)) { \
            fprintf(stderr, "%s:%d: MUST(%s)\n", __FILE__, __LINE__, #cond); \
            abort(); \
        } \
    } while (0)

/* Opening a store looks again when something is wrong: a recorder may have changed it. Here nobody does. */
int usleep(__useconds_t us);
int usleep(__useconds_t us)
{
    (void)us;
    return 0;
}

/* An error that a person sees is one line and fits its code. */
static inline void fuzz_error(long long r, const struct chv_err *err)
{
    if (r >= 0) return;
    MUST(err->code == -r && err->text[0]);
    for (const char *c = err->text; *c; c++) MUST((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static inline void fuzz_write(const char *dir, const char *name, const void *data, size_t size)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

static char fuzz_path[256];
static inline void fuzz_remove(void)
{
    unit_remove_tree(fuzz_path);
}

/* A new directory, removed at the end; made once. */
static inline const char *fuzz_dir(void)
{
    if (fuzz_path[0]) return fuzz_path;
    if (!getenv("TMPDIR") && access("/dev/shm", W_OK) == 0) setenv("TMPDIR", "/dev/shm", 1);
    unit_temp_dir(fuzz_path);
    atexit(fuzz_remove);
    return fuzz_path;
}

#define FUZZ_UUID "chronovisor-fuzz" /* 16 bytes */
static inline void fuzz_empty_store(const char *dir)
{
    static const char json[] = "{\"format\": 1, \"uuid\": \"6368726f6e6f7669736f722d66757a7a\", \"block_bytes\": 512}\n";
    static const char *const folders[] = {"log", "packs", "index"};
    char path[600];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, folders[i]);
        mkdir(path, 0700);
    }
    fuzz_write(dir, "store.json", json, sizeof json - 1);
}

static inline int fuzz_seen(void *arg, const struct chv_event *e)
{
    MUST(memcmp(arg, e->hash, 32) == 0);
    return 0;
}

/* Ask everything there is to ask of a store that may be damaged in any way. */
static inline void fuzz_questions(const char *dir)
{
    struct chv_err err = {.text = ""};
    struct chv_store *store;
    int r = chv_store_open(dir, &store, &err);
    fuzz_error(r, &err);
    if (r < 0) return;
    struct chv_store_info info;
    chv_store_info(store, &info);
    struct chv_cursor *cursor;
    const struct chv_event *batch;
    size_t count, events = 0;
    fuzz_error(r = chv_cursor_open(store, 0, UINT64_MAX, &cursor, &err), &err);
    while (r == 0 && (r = chv_cursor_next(cursor, &batch, &count, &err)) == 1 && events < 5000) {
        MUST(count > 0);
        for (size_t i = 0; i < count && events < 5000; i++, events++) {
            uint8_t hash[32], block[512];
            struct chv_event e = batch[i];
            memcpy(hash, e.hash, 32);
            if (events % 8) continue;
            fuzz_error(chv_store_sightings(store, hash, 3, fuzz_seen, hash, &err), &err);
            fuzz_error(chv_store_read_block(store, hash, block, &err), &err);
            fuzz_error(chv_store_next_version(store, e.space, chv_event_lba(&e), e.seq / 2, &e, &err), &err);
        }
        r = 0;
    }
    fuzz_error(r, &err);
    if (events || r == 0) chv_cursor_close(cursor);
    for (size_t k = 0; k < chv_store_space_count(store) && k < 8; k++) {
        const struct chv_space *space = chv_store_space(store, k);
        const struct chv_space *found;
        MUST(strlen(space->name) <= CHV_SPACE_NAME_BYTES && chv_store_space_by_id(store, space->id) == space);
        fuzz_error(chv_store_find_space(store, space->name, &found, &err), &err);
        struct chv_map *map;
        struct chv_extent x;
        uint64_t at = 0, end = space->size_bytes / 512 < 3000 ? space->size_bytes / 512 : 3000;
        MUST(chv_map_open(store, space->id, 0, end, info.last_seq - info.last_seq / 3, &map, &err) == 0);
        while ((r = chv_map_next(map, &x, &err)) == 1) {
            MUST(x.first_block == at && x.blocks > 0);
            at += x.blocks;
        }
        fuzz_error(r, &err);
        MUST(r < 0 || at == end);
        chv_map_close(map);
        fuzz_error(chv_store_block_at(store, space->id, end / 2, info.last_seq, &x, &err), &err);
    }
    uint64_t seq;
    fuzz_error(chv_store_seq_at(store, info.first_time_ns / 2 + info.last_time_ns / 2, &seq, &err), &err);
    r = chv_store_refresh(store, &err);
    fuzz_error(r, &err);
    chv_store_info(store, &info); /* also after a refresh that failed */
    chv_store_find_space(store, "disk:0", &(const struct chv_space *){NULL}, &err);
    chv_store_close(store);
}

static inline void fuzz_verify(const char *dir)
{
    struct chv_err err = {.text = ""};
    struct chv_verify_result result;
    fuzz_error(chv_store_verify(dir, &(struct chv_verify_options){0}, &result, &err), &err);
}

#endif
