#include "timeline/rewind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "timeline/device.h"
#include "timeline/pair.h"

enum { BATCH_BYTES = 4 << 20, BATCH_RECORDS = 1024, BLOCK_BYTES_MAX = 4096 };
/* Zero ranges are cut so that a piece fits the 32-bit length of an event. */
static const uint64_t zero_bytes_max = UINT64_C(1) << 40;

int rewind_plan(const struct chv_store *store, const struct chv_space *space, uint64_t seq, struct rewind_plan *plan,
                struct chv_err *err)
{
    struct chv_store_info info;
    chv_store_info(store, &info);
    struct pair_walk walk;
    struct pair pair;
    struct chv_space then;
    memset(plan, 0, sizeof *plan);
    chv_store_space_as_of(store, space, seq, &then);
    if (then.size_bytes != space->size_bytes)
        return chv_err_set(err, EFBIG,
                           "%s had %llu bytes then and has %llu now; a rewind does not resize: restore it instead",
                           space->name, (unsigned long long)then.size_bytes, (unsigned long long)space->size_bytes);
    int r = pair_walk_init(&walk, store, space, seq, info.last_seq, err);
    if (r < 0) return r;
    while ((r = pair_walk_next(&walk, &pair, err)) > 0) {
        uint64_t offset = pair.first_block * info.block_bytes, bytes = pair.blocks * info.block_bytes;
        if (bytes > space->size_bytes - offset) bytes = space->size_bytes - offset;
        bool known = pair.a.state == CHV_STATE_ZERO || pair.a.state == CHV_STATE_DATA;
        if (pair.verdict == PAIR_CHANGED || (pair.verdict == PAIR_UNKNOWN && known)) {
            plan->blocks += pair.blocks;
            plan->bytes += bytes;
        } else if (pair.verdict == PAIR_UNKNOWN) {
            if (plan->unknown_blocks == 0) plan->first_unknown = pair.first_block;
            plan->unknown_blocks += pair.blocks;
        }
    }
    pair_walk_fini(&walk);
    return r;
}

/* --- batches of records ---------------------------------------------------------------------- */

/* Requests for the recorder, and the data they point to. */
struct batch {
    struct rewind *rewind;
    struct chv_space space; /* a copy: a refresh ends the store's own */
    uint32_t block_bytes;
    bool to_device; /* after the log has it durable, write it to the device */
    struct chv_record records[BATCH_RECORDS];
    size_t count;
    uint8_t *data;
    size_t data_bytes;
};

static int batch_init(struct batch *batch, struct rewind *rewind, bool to_device, struct chv_err *err)
{
    const struct chv_space *space = chv_store_space_by_id(rewind->store, rewind->space_id);
    batch->rewind = rewind;
    batch->space = *space;
    batch->block_bytes = chv_store_block_bytes(rewind->store);
    batch->to_device = to_device;
    batch->count = batch->data_bytes = 0;
    batch->data = malloc(BATCH_BYTES);
    return batch->data ? 0 : chv_err_set(err, ENOMEM, "out of memory");
}

static int device_write(const struct batch *batch, const uint8_t *buf, size_t bytes, uint64_t offset,
                        struct chv_err *err)
{
    while (bytes > 0) {
        ssize_t n = pwrite(batch->rewind->device, buf, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return chv_err_set(err, errno,
                               "writing the device at byte %llu: %s; run the rewind again when that is mended",
                               (unsigned long long)offset, strerror(errno));
        buf += n;
        bytes -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int device_zero(const struct batch *batch, uint64_t bytes, uint64_t offset, struct chv_err *err)
{
    static const uint8_t zeros[64 << 10];
    int fd = batch->rewind->device, keep = FALLOC_FL_KEEP_SIZE;
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | keep, (off_t)offset, (off_t)bytes) == 0) return 0;
    if (fallocate(fd, FALLOC_FL_ZERO_RANGE | keep, (off_t)offset, (off_t)bytes) == 0) return 0;
    int r = 0;
    while (r == 0 && bytes > 0) {
        size_t n = bytes < sizeof zeros ? (size_t)bytes : sizeof zeros;
        r = device_write(batch, zeros, n, offset, err);
        offset += n;
        bytes -= n;
    }
    return r;
}

/* The device may end inside the last sector of the space: nothing is written past its end. */
static int device_apply(const struct batch *batch, const struct chv_record *record, struct chv_err *err)
{
    uint64_t offset = record->lba * CHV_SECTOR_BYTES, bytes = (uint64_t)record->sectors * CHV_SECTOR_BYTES;
    off_t end = lseek(batch->rewind->device, 0, SEEK_END);
    if (end < 0) return chv_err_set(err, errno, "the device: %s", strerror(errno));
    if (offset + bytes > (uint64_t)end) bytes = (uint64_t)end > offset ? (uint64_t)end - offset : 0;
    if (record->op == CHV_OP_ZERO) return device_zero(batch, bytes, offset, err);
    return device_write(batch, record->data, (size_t)bytes, offset, err);
}

static int batch_flush(struct batch *batch, struct chv_err *err)
{
    if (batch->count == 0) return 0;
    struct rewind *rewind = batch->rewind;
    uint64_t ticket;
    int r = chv_recorder_append(rewind->recorder, batch->records, batch->count, &ticket, err);
    if (r == 0) r = chv_recorder_wait(rewind->recorder, ticket, err);
    for (size_t i = 0; r == 0 && batch->to_device && i < batch->count; i++) {
        r = device_apply(batch, &batch->records[i], err);
        rewind->written_bytes += (uint64_t)batch->records[i].sectors * CHV_SECTOR_BYTES;
    }
    batch->count = batch->data_bytes = 0;
    if (r == 0 && rewind->stop && *rewind->stop) r = chv_err_set(err, EINTR, "interrupted; run it again to go on");
    return r;
}

static uint32_t sectors_of(const struct batch *batch, uint64_t first_block, uint64_t blocks)
{
    uint64_t offset = first_block * batch->block_bytes, bytes = blocks * batch->block_bytes;
    if (bytes > batch->space.size_bytes - offset) bytes = batch->space.size_bytes - offset;
    return (uint32_t)(bytes / CHV_SECTOR_BYTES);
}

/* Room for one more block, after a flush when there is none. */
static int batch_room(struct batch *batch, uint8_t **block, struct chv_err *err)
{
    if (batch->data_bytes + batch->block_bytes > BATCH_BYTES || batch->count == BATCH_RECORDS) {
        int r = batch_flush(batch, err);
        if (r < 0) return r;
    }
    *block = batch->data + batch->data_bytes;
    return 0;
}

/* The block that batch_room gave out has been filled: make it a request, or the end of the last one. */
static void batch_add_block(struct batch *batch, uint8_t op, uint8_t flags, uint64_t block)
{
    uint64_t lba = block * (batch->block_bytes / CHV_SECTOR_BYTES);
    uint32_t sectors = sectors_of(batch, block, 1);
    struct chv_record *last = batch->count > 0 ? &batch->records[batch->count - 1] : NULL;
    if (last && last->op == op && last->lba + last->sectors == lba)
        last->sectors += sectors;
    else
        batch->records[batch->count++] = (struct chv_record){.space = batch->space.id,
                                                             .op = op,
                                                             .flags = flags,
                                                             .sectors = sectors,
                                                             .lba = lba,
                                                             .data = batch->data + batch->data_bytes};
    batch->data_bytes += batch->block_bytes;
}

static int batch_add_zeros(struct batch *batch, uint64_t first_block, uint64_t blocks, struct chv_err *err)
{
    const uint64_t step = zero_bytes_max / batch->block_bytes;
    while (blocks > 0) {
        uint64_t n = blocks < step ? blocks : step;
        uint8_t *unused;
        int r = batch_room(batch, &unused, err);
        if (r < 0) return r;
        batch->records[batch->count++] =
            (struct chv_record){.space = batch->space.id,
                                .op = CHV_OP_ZERO,
                                .flags = CHV_EVENT_REWIND,
                                .sectors = sectors_of(batch, first_block, n),
                                .lba = first_block * (batch->block_bytes / CHV_SECTOR_BYTES)};
        first_block += n;
        blocks -= n;
    }
    return 0;
}

static int refresh(struct rewind *rewind, uint64_t *last_seq, struct chv_err *err)
{
    int r = chv_store_refresh(rewind->store, err);
    if (r < 0) return r;
    struct chv_store_info info;
    chv_store_info(rewind->store, &info);
    *last_seq = info.last_seq;
    if (!chv_store_space_by_id(rewind->store, rewind->space_id))
        return chv_err_set(err, EPROTO, "space %u is gone from the store", rewind->space_id);
    return 0;
}

/* --- verify ---------------------------------------------------------------------------------- */

struct verify {
    struct batch batch;
    uint8_t zero_hash[CHV_HASH_BYTES];
    uint8_t buf[1 << 20];
};

static bool holds(const struct verify *verify, const struct chv_extent *head, const uint8_t *hash)
{
    if (head->state == CHV_STATE_ZERO) return memcmp(hash, verify->zero_hash, CHV_HASH_BYTES) == 0;
    return head->state == CHV_STATE_DATA && memcmp(hash, head->hash, CHV_HASH_BYTES) == 0;
}

/* Holes of the device are zeros without being read. Returns how many of the pair's first blocks are one. */
static uint64_t hole_blocks(const struct verify *verify, uint64_t first_block, uint64_t blocks)
{
    uint32_t block_bytes = verify->batch.block_bytes;
    uint64_t begin = first_block * block_bytes;
    off_t data = lseek(verify->batch.rewind->device, (off_t)begin, SEEK_DATA);
    if (data < 0 && errno == ENXIO) data = lseek(verify->batch.rewind->device, 0, SEEK_END);
    uint64_t hole = data > (off_t)begin ? ((uint64_t)data - begin) / block_bytes : 0;
    return hole < blocks ? hole : blocks;
}

/* Compare blocks that are in one state at the head with what the device holds. */
static int verify_run(struct verify *verify, const struct chv_extent *head, uint64_t first_block, uint64_t blocks,
                      struct chv_err *err)
{
    struct batch *batch = &verify->batch;
    const uint32_t block_bytes = batch->block_bytes;
    while (blocks > 0) {
        uint64_t hole = head->state == CHV_STATE_ZERO ? hole_blocks(verify, first_block, blocks) : 0;
        uint64_t n = hole ? hole : blocks;
        if (!hole && n > sizeof verify->buf / block_bytes) n = sizeof verify->buf / block_bytes;
        uint64_t bytes = (uint64_t)sectors_of(batch, first_block, n) * CHV_SECTOR_BYTES;
        batch->rewind->checked_blocks += n;
        if (!hole) {
            memset(verify->buf + (n - 1) * block_bytes, 0, block_bytes);
            int r = device_pread(batch->rewind->device, verify->buf, bytes, first_block * block_bytes,
                                 batch->space.size_bytes, err);
            if (r < 0) return r;
        }
        for (uint64_t i = 0; !hole && i < n; i++) {
            const uint8_t *block = verify->buf + i * block_bytes;
            uint8_t hash[1][CHV_HASH_BYTES], *room;
            uint16_t entropy;
            chv_digest_blocks(block, block_bytes, 1, hash, &entropy);
            if (holds(verify, head, hash[0])) continue;
            int r = batch_room(batch, &room, err);
            if (r < 0) return r;
            memcpy(room, block, block_bytes);
            batch_add_block(batch, CHV_OP_FOUND, CHV_EVENT_REWIND, first_block + i);
            batch->rewind->found_blocks++;
        }
        first_block += n;
        blocks -= n;
    }
    return 0;
}

static int verify_all(struct verify *verify, uint64_t head_seq, struct chv_err *err)
{
    struct rewind *rewind = verify->batch.rewind;
    struct pair_walk walk;
    struct pair pair;
    int r = pair_walk_init(&walk, rewind->store, &verify->batch.space, rewind->seq, head_seq, err);
    if (r < 0) return r;
    memcpy(verify->zero_hash, walk.zero_hash, sizeof walk.zero_hash);
    while ((r = pair_walk_next(&walk, &pair, err)) > 0) {
        /* Never overwritten, or not to be put back: nothing to compare, nothing to lose. */
        if (pair.a.state == CHV_STATE_SOURCE || pair.a.state == CHV_STATE_UNKNOWN) continue;
        if ((r = verify_run(verify, &pair.b, pair.first_block, pair.blocks, err)) < 0) break;
        if (rewind->progress) rewind->progress(rewind->arg, "checking the device", walk.at, walk.end);
        if (rewind->stop && *rewind->stop) {
            r = chv_err_set(err, EINTR, "interrupted; the device was not touched");
            break;
        }
    }
    pair_walk_fini(&walk);
    return r;
}

int rewind_verify(struct rewind *rewind, struct chv_err *err)
{
    uint64_t head_seq;
    int r = refresh(rewind, &head_seq, err);
    if (r < 0) return r;
    struct verify *verify = calloc(1, sizeof *verify);
    if (!verify) return chv_err_set(err, ENOMEM, "out of memory");
    r = batch_init(&verify->batch, rewind, false, err);
    if (r == 0) r = verify_all(verify, head_seq, err);
    if (r == 0) r = batch_flush(&verify->batch, err);
    if (r == 0) r = refresh(rewind, &rewind->undo_seq, err);
    free(verify->batch.data);
    free(verify);
    return r;
}

/* --- write ----------------------------------------------------------------------------------- */

static int write_pair(struct batch *batch, const struct pair *pair, struct chv_err *err)
{
    if (pair->verdict == PAIR_SAME || pair->verdict == PAIR_REWRITTEN) return 0;
    if (pair->a.state == CHV_STATE_ZERO) {
        batch->rewind->written_blocks += pair->blocks;
        return batch_add_zeros(batch, pair->first_block, pair->blocks, err);
    }
    if (pair->a.state != CHV_STATE_DATA) return 0;
    uint8_t *block;
    int r = batch_room(batch, &block, err);
    if (r == 0) r = chv_store_read_block(batch->rewind->store, pair->a.hash, block, err);
    if (r < 0) return r;
    batch_add_block(batch, CHV_OP_WRITE, CHV_EVENT_REWIND, pair->first_block);
    batch->rewind->written_blocks++;
    return 0;
}

int rewind_write(struct rewind *rewind, struct chv_err *err)
{
    struct batch *batch = calloc(1, sizeof *batch);
    if (!batch) return chv_err_set(err, ENOMEM, "out of memory");
    int r = batch_init(batch, rewind, true, err);
    struct pair_walk walk;
    struct pair pair;
    if (r < 0) goto out_free;
    r = pair_walk_init(&walk, rewind->store, &batch->space, rewind->seq, rewind->undo_seq, err);
    if (r < 0) goto out_free;
    while ((r = pair_walk_next(&walk, &pair, err)) > 0) {
        if ((r = write_pair(batch, &pair, err)) < 0) break;
        if (rewind->progress) rewind->progress(rewind->arg, "writing", walk.at, walk.end);
    }
    if (r == 0) r = batch_flush(batch, err);
    pair_walk_fini(&walk);
    /* Whatever reached the device so far, also when it was interrupted, is made to stay. */
    if (fdatasync(rewind->device) < 0 && r == 0) r = chv_err_set(err, errno, "syncing the device: %s", strerror(errno));
out_free:
    free(batch->data);
    free(batch);
    return r;
}
