/* From a command's range to events: content cut into blocks, gaps widened to them. */
#ifndef VISOR_STORAGE_BLOCKS_H
#define VISOR_STORAGE_BLOCKS_H

#include "visor/storage/gather.h"

/* All lba and sectors are in 512-byte sectors; a range beyond CHV_LBA_MAX is cut there, for no disk has it. */

/* WRITE events of the stream's content. Where the stream ends early the rest of the range is a gap; the fault is in `from`. */
bool blocks_write(struct storage *s, uint32_t unit, uint64_t lba, uint64_t sectors, uint8_t flags, struct gather *from);
/* A range becomes zeros by `op`, ZERO or TRIM: events of whole blocks, and WRITEs of zeros for what is no whole block. */
void blocks_zero(struct storage *s, uint32_t unit, uint64_t lba, uint64_t sectors, uint8_t op, uint8_t flags);
void blocks_read(struct storage *s, uint32_t unit, uint64_t lba, uint64_t sectors);
void blocks_flush(struct storage *s, uint32_t unit);
/* What happens to this range is not known; sectors 0: to all of the unit. */
void blocks_gap(struct storage *s, uint32_t unit, uint64_t lba, uint64_t sectors, uint8_t reason);
/* A unit is there: its size, and a name out of its serial number (as the device gives it, `serial_bytes`, padded with blanks)
 * and, unless 0, its number. Shared: another controller may have it, too. */
void blocks_space(struct storage *s, uint32_t unit, uint64_t sectors, const char *serial, size_t serial_bytes, uint32_t number, bool shared);

#endif
