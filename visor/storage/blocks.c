#include "visor/storage/blocks.h"

static void emit(struct storage *s, uint32_t unit, struct visor_block b)
{
    b.command = s->command;
    b.device = s->device;
    b.unit = unit;
    s->gap_last = b.op == CHV_OP_GAP;
    s->count.blocks++;
    s->port.emit(s->port.arg, &b);
}

/* Cut to what an event can say. False: nothing is left. */
static bool cut(uint64_t lba, uint64_t *sectors)
{
    if (lba > CHV_LBA_MAX) return false;
    if (*sectors > CHV_LBA_MAX + 1 - lba) *sectors = CHV_LBA_MAX + 1 - lba;
    return *sectors > 0;
}

bool blocks_write(struct storage *s, uint32_t unit, uint64_t lba, uint64_t sectors, uint8_t flags, struct gather *from)
{
    if (!cut(lba, &sectors)) return true;
    while (sectors) {
        uint64_t n = VISOR_BLOCK_SECTORS - lba % VISOR_BLOCK_SECTORS;
        if (n > sectors) n = sectors;
        if (!gather_read(from, s->block, (size_t)n * CHV_SECTOR_BYTES)) {
            blocks_gap(s, unit, lba, sectors, CHV_GAP_UNKNOWN);
            return false;
        }
        uint8_t part = n < VISOR_BLOCK_SECTORS ? CHV_EVENT_PARTIAL : 0;
        emit(s, unit, (struct visor_block){.op = CHV_OP_WRITE, .data = s->block, .lba = lba, .sectors = n, .flags = flags | part});
        flags |= CHV_EVENT_CONTINUED;
        lba += n;
        sectors -= n;
    }
    return true;
}

/* Zeros for a part of one block. */
static void zero_part(struct storage *s, uint32_t unit, uint64_t lba, uint64_t sectors, uint8_t flags)
{
    flags |= CHV_EVENT_PARTIAL;
    __builtin_memset(s->block, 0, (size_t)sectors * CHV_SECTOR_BYTES);
    emit(s, unit, (struct visor_block){.op = CHV_OP_WRITE, .data = s->block, .lba = lba, .sectors = sectors, .flags = flags});
}

void blocks_zero(struct storage *s, uint32_t unit, uint64_t lba, uint64_t sectors, uint8_t op, uint8_t flags)
{
    if (!cut(lba, &sectors)) return;
    uint64_t head = (VISOR_BLOCK_SECTORS - lba % VISOR_BLOCK_SECTORS) % VISOR_BLOCK_SECTORS;
    if (head > sectors) head = sectors;
    uint64_t tail = (sectors - head) % VISOR_BLOCK_SECTORS, whole = sectors - head - tail;
    if (head) zero_part(s, unit, lba, head, flags), flags |= CHV_EVENT_CONTINUED;
    if (whole) {
        emit(s, unit, (struct visor_block){.op = op, .lba = lba + head, .sectors = whole, .flags = flags});
        flags |= CHV_EVENT_CONTINUED;
    }
    if (tail) zero_part(s, unit, lba + head + whole, tail, flags);
}

void blocks_read(struct storage *s, uint32_t unit, uint64_t lba, uint64_t sectors)
{
    if (cut(lba, &sectors)) emit(s, unit, (struct visor_block){.op = CHV_OP_READ, .lba = lba, .sectors = sectors});
}

void blocks_flush(struct storage *s, uint32_t unit)
{
    emit(s, unit, (struct visor_block){.op = CHV_OP_FLUSH});
}

void blocks_gap(struct storage *s, uint32_t unit, uint64_t lba, uint64_t sectors, uint8_t reason)
{
    if (sectors) {
        if (!cut(lba, &sectors)) return;
        uint64_t end = (lba + sectors + VISOR_BLOCK_SECTORS - 1) / VISOR_BLOCK_SECTORS * VISOR_BLOCK_SECTORS;
        lba -= lba % VISOR_BLOCK_SECTORS;
        sectors = end - lba;
    } else {
        lba = 0;
    }
    /* A guest that does nothing but what we do not understand gets one gap for all of it. */
    if (s->gap_last && s->gap_unit == unit && s->gap_lba == lba && s->gap_sectors == sectors) return;
    s->count.gaps++;
    emit(s, unit, (struct visor_block){.op = CHV_OP_GAP, .lba = lba, .sectors = sectors, .reason = reason});
    s->gap_unit = unit;
    s->gap_lba = lba;
    s->gap_sectors = sectors;
}

void blocks_space(struct storage *s, uint32_t unit, uint64_t sectors, const char *serial, size_t serial_bytes, uint32_t number, bool shared)
{
    char name[CHV_SPACE_NAME_BYTES] = "disk:";
    size_t n = 5, digits = 0;
    char digit[10];
    while (serial_bytes && (serial[serial_bytes - 1] == ' ' || !serial[serial_bytes - 1])) serial_bytes--;
    for (size_t i = 0; i < serial_bytes && n < 25; i++) { /* five for the digits of a number up to 9999, and a zero */
        char c = serial[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '.' || c == '-' || c == '_';
        if (c == ' ' && n == 5) continue;
        name[n++] = plain ? c : '_';
    }
    for (uint32_t left = number; left; left /= 10) digit[digits++] = (char)('0' + left % 10);
    if (digits) name[n++] = 'n';
    while (digits && n + 1 < sizeof name) name[n++] = digit[--digits];
    emit(s, unit, (struct visor_block){.op = CHV_OP_SPACE, .lba = sectors, .data = (const uint8_t *)name, .reason = shared ? CHV_GAP_UNKNOWN : 0});
}
