/* A disk that remembers. Behind `struct io`, every step of a recorder that changes a file is carried out and traced;
 * afterwards the store can be built again as a disk could hold it had the power failed after any number of steps:
 *
 *   what was synced (datasync; for names sync_dir) is there;
 *   of the rest, each 512-byte piece of a file holds any of its versions since, a file any of its lengths, pieces that
 *   never arrived hold zeros or old rubbish, and of each directory's changes only the first few may have happened.
 */
#ifndef CHV_TESTS_STORE_EMU_H
#define CHV_TESTS_STORE_EMU_H

#include <stddef.h>
#include <stdint.h>

#include "base/io.h"

struct emu;

/* Trace changes below `dir`, which is a store as it stands now. The trace outlives the directory. */
struct emu *emu_new(const char *dir);
void emu_free(struct emu *emu);
/* For chv_recorder_options.io; until emu_free. */
const struct io *emu_io(struct emu *emu);

/* Steps so far. A caller that was told that something is durable notes this as the step it was durable at. */
size_t emu_steps(struct emu *emu);
/* What step i was, for messages. */
const char *emu_describe(const struct emu *emu, size_t step, char text[200]);
/* Did a sync, rename, creation or removal happen at this step? Cuts around those are worth more than others. */
int emu_step_is_edge(const struct emu *emu, size_t step);

/* How much of what was not synced arrived. */
enum emu_luck { EMU_NOTHING, EMU_EVERYTHING, EMU_IN_ORDER, EMU_ANY, EMU_LUCKS };

/* Build the store as of a power cut behind `steps` steps in the empty directory `to`. Steps must not fall from
 * call to call. */
void emu_build(struct emu *emu, size_t steps, enum emu_luck luck, uint64_t *seed, const char *to);

#endif
