/* The peer of the look-up benchmarks: RocksDB with 40-byte entries (24 bytes of hash -> time and LBA),
 * bulk-loaded by sorted SST ingestion and compacted, uncompressed, Bloom filter of 10 bits.
 *   rocks make DIR EVENTS | rocks miss|hit DIR EVENTS COUNT */
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/synth.h"

enum { KEY_BYTES = 24, VALUE_BYTES = 16, SST_ENTRIES = 4 << 20, BATCH = 4096 };

struct entry {
    uint8_t key[KEY_BYTES], value[VALUE_BYTES];
};

static void check(char *error)
{
    if (error) {
        fprintf(stderr, "rocks: %s\n", error);
        exit(2);
    }
}

static int by_key(const void *a, const void *b)
{
    return memcmp(a, b, KEY_BYTES);
}

static struct entry entry_of(uint64_t number)
{
    uint8_t hash[32];
    struct entry e;
    uint64_t time_ns = synth_time(number), lba = synth_block(number) * 8;
    synth_hash(number, hash);
    memcpy(e.key, hash, KEY_BYTES);
    memcpy(e.value, &time_ns, 8);
    memcpy(e.value + 8, &lba, 8);
    return e;
}

static rocksdb_options_t *options(void)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_compression(o, rocksdb_no_compression);
    rocksdb_options_set_allow_mmap_reads(o, 1);
    rocksdb_options_set_max_open_files(o, -1);
    rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_data_block_index_type(table, 1); /* binary search and hash */
    rocksdb_block_based_options_set_block_cache(table, rocksdb_cache_create_lru((size_t)512 << 20));
    rocksdb_options_set_block_based_table_factory(o, table);
    return o;
}

static void make(const char *dir, uint64_t events)
{
    char *error = NULL;
    rocksdb_options_t *o = options();
    rocksdb_t *db = rocksdb_open(o, dir, &error);
    check(error);
    struct entry *all = calloc(events, sizeof *all);
    if (!all)
        check((char *)"out of memory");
    for (uint64_t i = 0; i < events; i++)
        all[i] = entry_of(i);
    qsort(all, events, sizeof *all, by_key);
    rocksdb_envoptions_t *env = rocksdb_envoptions_create();
    rocksdb_ingestexternalfileoptions_t *how = rocksdb_ingestexternalfileoptions_create();
    rocksdb_ingestexternalfileoptions_set_move_files(how, 1);
    for (uint64_t at = 0; at < events; at += SST_ENTRIES) {
        char path[4096];
        const char *files[1] = {path};
        snprintf(path, sizeof path, "%s/new-%llu.sst", dir, (unsigned long long)at);
        rocksdb_sstfilewriter_t *writer = rocksdb_sstfilewriter_create(env, o);
        rocksdb_sstfilewriter_open(writer, path, &error);
        check(error);
        for (uint64_t i = at; i < events && i < at + SST_ENTRIES; i++) {
            rocksdb_sstfilewriter_put(writer, (char *)all[i].key, KEY_BYTES, (char *)all[i].value, VALUE_BYTES, &error);
            check(error);
        }
        rocksdb_sstfilewriter_finish(writer, &error);
        check(error);
        rocksdb_sstfilewriter_destroy(writer);
        rocksdb_ingest_external_file(db, files, 1, how, &error);
        check(error);
    }
    free(all);
    rocksdb_compact_range(db, NULL, 0, NULL, 0);
    rocksdb_close(db);
}

struct job {
    rocksdb_t *db;
    rocksdb_readoptions_t *read;
    uint64_t count;
    int hit;
    struct entry *entries;
};

static void wrong(void)
{
    fprintf(stderr, "rocks: wrong answer\n");
    exit(1);
}

static void singly(struct job *j)
{
    for (uint64_t i = 0; i < j->count; i++) {
        char *error = NULL;
        rocksdb_pinnableslice_t *got =
            rocksdb_get_pinned(j->db, j->read, (char *)j->entries[i].key, KEY_BYTES, &error);
        size_t bytes;
        check(error);
        if (!got != !j->hit)
            wrong();
        if (got && memcmp(rocksdb_pinnableslice_value(got, &bytes), j->entries[i].value, VALUE_BYTES))
            wrong();
        rocksdb_pinnableslice_destroy(got);
    }
}

static void sorted(struct job *j)
{
    static const char *keys[BATCH];
    static size_t key_bytes[BATCH], value_bytes[BATCH];
    static char *values[BATCH], *errors[BATCH];
    qsort(j->entries, j->count, sizeof *j->entries, by_key);
    for (uint64_t at = 0; at < j->count; at += BATCH) {
        size_t n = j->count - at < BATCH ? j->count - at : BATCH;
        for (size_t i = 0; i < n; i++) {
            keys[i] = (const char *)j->entries[at + i].key;
            key_bytes[i] = KEY_BYTES;
        }
        rocksdb_multi_get(j->db, j->read, n, keys, key_bytes, values, value_bytes, errors);
        for (size_t i = 0; i < n; i++) {
            check(errors[i]);
            if (!values[i] != !j->hit)
                wrong();
            free(values[i]);
        }
    }
}

static void measure(struct job *j, const char *name, void (*work)(struct job *), uint64_t seed, uint64_t events)
{
    for (uint64_t i = 0; i < j->count; i++)
        j->entries[i] =
            entry_of(synth_mix(seed + i) % (j->hit ? events : SYNTH_NEVER) + (j->hit ? 0 : SYNTH_NEVER));
    double wall = synth_seconds(CLOCK_MONOTONIC), cpu = synth_seconds(CLOCK_PROCESS_CPUTIME_ID);
    work(j);
    cpu = synth_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    wall = synth_seconds(CLOCK_MONOTONIC) - wall;
    if (name)
        printf("\"%s\": %.0f, \"%s_wall\": %.0f, ", name, (double)j->count / cpu, name, (double)j->count / wall);
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "make")) {
        make(argv[2], strtoull(argv[3], NULL, 0));
        return 0;
    }
    if (argc != 5) {
        fprintf(stderr, "usage: rocks make DIR EVENTS | rocks miss|hit DIR EVENTS COUNT\n");
        return 2;
    }
    char *error = NULL;
    uint64_t events = strtoull(argv[3], NULL, 0);
    struct job j = {.hit = !strcmp(argv[1], "hit"), .count = strtoull(argv[4], NULL, 0)};
    j.db = rocksdb_open_for_read_only(options(), argv[2], 0, &error);
    check(error);
    j.read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(j.read, 0);
    j.entries = calloc(j.count, sizeof *j.entries);
    if (!j.entries)
        return 2;
    printf("{");
    measure(&j, NULL, singly, 1, events);
    measure(&j, "single", singly, 2, events);
    measure(&j, "batch", sorted, 3, events);
    char *size = rocksdb_property_value(j.db, "rocksdb.total-sst-files-size");
    printf("\"index_bytes\": %s}\n", size ? size : "0");
    rocksdb_close(j.db);
    return 0;
}
