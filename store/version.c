#include "store/version.h"

#include <errno.h>
#include <string.h>

/* Does the entry belong to this space, level and node? */
static bool same_node(const uint8_t *entry, const uint8_t key[16])
{
    return memcmp(entry, key, 8) == 0 && (entry[8] & 0xf0) == (key[8] & 0xf0);
}

uint64_t version_newest(const struct chv_store *s, uint16_t space, uint64_t block, uint64_t at)
{
    snapshot_touch(s);
    for (size_t i = snapshot_run_count(s); i-- > 0;) {
        struct run_ref ref = snapshot_run(s, RUN_ADDR, i);
        uint64_t best = 0;
        if (ref.first_seq > at) continue;
        for (unsigned level = 0; level < RUN_LEVELS; level++) {
            if (!(ref.run->levels & 1u << level)) continue;
            uint8_t key[16];
            run_addr_key(key, space, level, block >> 4 * level, at < RUN_SEQ_MAX ? at + 1 : RUN_SEQ_MAX);
            uint64_t k = run_lower_bound(ref.run, key, 16);
            if (k == 0) continue;
            const uint8_t *entry = run_entry(ref.run, k - 1, 16);
            if (same_node(entry, key) && run_addr_seq(entry) > best) best = run_addr_seq(entry);
        }
        if (best) return best; /* older runs hold older events only */
    }
    return 0;
}

uint64_t version_oldest(const struct chv_store *s, uint16_t space, uint64_t block, uint64_t after)
{
    snapshot_touch(s);
    for (size_t i = 0; i < snapshot_run_count(s); i++) {
        struct run_ref ref = snapshot_run(s, RUN_ADDR, i);
        uint64_t best = 0;
        if (ref.last_seq <= after) continue;
        for (unsigned level = 0; level < RUN_LEVELS; level++) {
            if (!(ref.run->levels & 1u << level)) continue;
            uint8_t key[16];
            run_addr_key(key, space, level, block >> 4 * level, after + 1);
            uint64_t k = run_lower_bound(ref.run, key, 16);
            if (k == ref.run->count) continue;
            const uint8_t *entry = run_entry(ref.run, k, 16);
            if (same_node(entry, key) && (!best || run_addr_seq(entry) < best)) best = run_addr_seq(entry);
        }
        if (best) return best;
    }
    return 0;
}

bool version_covers(const struct chv_store *s, const struct chv_event *e, uint16_t space, uint64_t block)
{
    uint64_t unit = s->meta.block_bytes / CHV_SECTOR_BYTES, lba = chv_event_lba(e), first = lba / unit;
    uint64_t end = chv_op_has_content(e->op) ? first + 1 : (lba + e->sectors + unit - 1) / unit;
    return e->space == space && chv_op_is_version(e->op) && block >= first && block < end;
}

int version_misfit(const struct chv_store *s, uint64_t seq, struct chv_err *err)
{
    return chv_err_set(err, EBADMSG, "%s: the index does not fit the log at seq:%llu; 'chronovisor reindex' makes it again",
                       s->meta.dir, (unsigned long long)seq);
}

/* Read the event that an index entry for this block led to. */
static int version_event(const struct chv_store *s, uint16_t space, uint64_t block, uint64_t seq, struct chv_event *out,
                         struct chv_err *err)
{
    int r = chv_store_event(s, seq, out, err);
    return r == -ENOENT || (r == 0 && !version_covers(s, out, space, block)) ? version_misfit(s, seq, err) : r;
}

/* Was there a stretch after `at` in which nobody watched this space? Then its device proves nothing. */
static bool unobserved_after(const struct chv_store *s, uint16_t space, uint64_t at)
{
    for (size_t i = 0; i < s->note_count; i++)
        if (s->notes[i].op == CHV_OP_GAP && s->notes[i].space == space && s->notes[i].seq > at) return true;
    return false;
}

int version_resolve(const struct chv_store *s, const struct chv_space *space, uint64_t block, uint64_t at,
                    const struct chv_event *newest, const struct chv_event *oldest, struct chv_extent *out)
{
    *out = (struct chv_extent){.first_block = block, .blocks = 1, .state = CHV_STATE_UNKNOWN};
    const struct chv_event *decides = newest ? newest : oldest && oldest->op == CHV_OP_BASELINE ? oldest : NULL;
    if (decides) {
        out->seq = decides->seq;
        if (chv_op_has_content(decides->op)) {
            out->state = CHV_STATE_DATA;
            memcpy(out->hash, decides->hash, CHV_HASH_BYTES);
        } else if (decides->op != CHV_OP_GAP) {
            out->state = CHV_STATE_ZERO;
        }
    } else if (space->rest == CHV_REST_ZERO) {
        out->state = CHV_STATE_ZERO;
    } else if (!oldest && space->rest == CHV_REST_SOURCE && !unobserved_after(s, space->id, at)) {
        out->state = CHV_STATE_SOURCE;
    }
    return 0;
}

int chv_store_block_at(const struct chv_store *s, uint16_t space_id, uint64_t block, uint64_t seq,
                       struct chv_extent *out, struct chv_err *err)
{
    const struct chv_space *space = chv_store_space_by_id(s, space_id);
    if (!space) return chv_err_set(err, ENOENT, "no space %u in %s", space_id, s->meta.dir);
    struct chv_event newest, oldest;
    struct chv_space then;
    chv_store_space_as_of(s, space, seq, &then);
    uint64_t n = version_newest(s, space_id, block, seq), o = n ? 0 : version_oldest(s, space_id, block, seq);
    int r = n ? version_event(s, space_id, block, n, &newest, err) : 0;
    if (r == 0 && o) r = version_event(s, space_id, block, o, &oldest, err);
    if (r < 0) return r;
    return version_resolve(s, &then, block, seq, n ? &newest : NULL, o ? &oldest : NULL, out);
}

int chv_store_next_version(const struct chv_store *s, uint16_t space, uint64_t block, uint64_t after_seq,
                           struct chv_event *out, struct chv_err *err)
{
    uint64_t seq = version_oldest(s, space, block, after_seq);
    if (!seq) return 0;
    int r = version_event(s, space, block, seq, out, err);
    return r < 0 ? r : 1;
}
