/* Reads that repeat themselves within a second: what polls a disk, not what works on it. A page cache above the disk hides
 * most others, so as long as nothing polls there are few. One of two artefacts of the published data sets; a source that is
 * judged by a model made without them should leave them out as well. Fixed memory; one thread. */
#ifndef CHV_DETECT_REREAD_H
#define CHV_DETECT_REREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REREAD_WINDOW_NS UINT64_C(1000000000)

struct reread;
struct reread *reread_new(void); /* NULL: out of memory */
void reread_free(struct reread *r);
size_t reread_memory(void); /* in bytes: of the last 65536 pieces read, or nearly */

/* A read at this time, never earlier than the one before: was a piece that begins at `lba` and is at least as long read less
 * than REREAD_WINDOW_NS ago, or dropped by this? */
bool reread_push(struct reread *r, uint64_t time_ns, uint64_t lba, uint32_t sectors);

#endif
