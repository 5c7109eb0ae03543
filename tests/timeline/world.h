/* A little disk that is recorded as a sensor would: baseline before the first overwrite, evidence
 * durable before the device changes. */
#ifndef CHV_TESTS_WORLD_H
#define CHV_TESTS_WORLD_H

#include "chronovisor/chronovisor.h"
#include "tests/unit.h"

struct world {
    char dir[256], store_dir[300], device_path[300];
    bool keep;
    uint32_t block_bytes;
    uint64_t size_bytes; /* of the device file; the space is rounded up to sectors */
    uint64_t blocks;
    int fd;
    bool *captured; /* block has a version */
    struct chv_recorder *recorder;
    uint16_t space;
    uint64_t now_ns;
    uint64_t random;
};

/* Makes the store, a device with random content (about a third of its blocks zeros), and begins recording. */
void world_init(struct world *w, uint32_t block_bytes, uint64_t size_bytes, enum chv_rest rest, uint64_t seed);
/* The same in a directory that is there and stays. */
void world_init_at(struct world *w, const char *dir, uint32_t block_bytes, uint64_t size_bytes, enum chv_rest rest,
                   uint64_t seed);
void world_fini(struct world *w); /* removes everything made by world_init */
void world_stop_recording(struct world *w);
void world_start_recording(struct world *w);

void world_random_fill(struct world *w, void *buf, size_t bytes);
/* What the guest would do; each returns the last durable seq. Sectors may begin and end anywhere. */
uint64_t world_write(struct world *w, uint64_t lba, uint32_t sectors, const void *data);
uint64_t world_zero(struct world *w, uint64_t first_block, uint64_t blocks, uint8_t op); /* ZERO or TRIM */
/* As world_write, but only the gap is recorded. */
uint64_t world_lost_write(struct world *w, uint64_t first_block, uint64_t blocks, uint8_t reason, const void *data);
/* Record what stands there now, as FOUND. */
uint64_t world_find(struct world *w, uint64_t first_block, uint64_t blocks);
uint64_t world_last_seq(struct world *w);
/* The whole device, size rounded up to blocks with zeros. */
void world_device(struct world *w, uint8_t *image);

/* Open the store and a view of the space as of seq. */
struct chv_view *world_view(struct world *w, uint64_t seq, const struct chv_view_options *options,
                            struct chv_store **store);

#endif
