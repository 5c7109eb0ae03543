#include "visor/core/records.h"
#include "visor/core/clock.h"
#include "visor/core/lib.h"
#include "visor/core/print.h"

#define SECTORS_MOST UINT64_C(0xfffffff8) /* of one record: whole blocks */
enum { UNITS_MAX = CHV_WIRE_DEVICES - 1 }; /* the last place in the list is that of RECORDS_OTHERS */

struct unit {
    uint16_t device;
    uint32_t unit;
    uint64_t sectors; /* the most that it ever had: a disk that shows less keeps what is behind it */
    int number;       /* in the stream's list */
    uint16_t place;
    bool changed;     /* something was told of it that another name would not know */
};

static struct {
    struct sender *sender;
    bool (*poll)(void);
    struct unit units[UNITS_MAX];
    unsigned count;
    uint64_t lost;
} records;

void records_init(struct sender *sender, bool (*poll)(void))
{
    memset(&records, 0, sizeof records);
    records.sender = sender;
    records.poll = poll;
}

uint64_t records_lost(void)
{
    return records.lost;
}

/* False: the sender does not take such a record. */
static bool put(int number, uint8_t op, uint8_t flags, uint64_t lba, uint64_t sectors, const void *content)
{
    uint64_t now = clock_ns();
    struct chv_wire_record r = {.time_ns = now,
                                .lba_lo = (uint32_t)lba,
                                .lba_hi = (uint16_t)(lba >> 32),
                                .op = op,
                                .flags = flags,
                                .sectors = (uint32_t)sectors,
                                .device = (uint16_t)number};
    for (;;) {
        int answer = sender_record(records.sender, &r, content, now);
        if (answer != SENDER_BUSY) return answer != SENDER_INVALID;
        records.poll(); /* the guest waits: this is what it waits for */
        now = clock_ns();
    }
}

static uint64_t whole_blocks(uint64_t sectors)
{
    return (sectors + VISOR_BLOCK_SECTORS - 1) / VISOR_BLOCK_SECTORS * VISOR_BLOCK_SECTORS;
}

/* One event is lost: the blocks that it touched are unknown. No sectors: nothing is known of its place. */
static void lose(int number, uint64_t size, uint64_t lba, uint64_t sectors)
{
    struct chv_gap_detail detail = {.reason = CHV_GAP_UNKNOWN, .events = 1, .first_time_ns = clock_ns()};
    uint64_t first = lba - lba % VISOR_BLOCK_SECTORS, end = whole_blocks(lba + sectors);
    if (end > size) end = size;
    if (first >= end || !sectors) first = end = 0;
    if (!records.lost++) print("an event cannot be told as it is: it is a gap");
    do {
        uint64_t n = end - first < SECTORS_MOST ? end - first : SECTORS_MOST;
        put(number, CHV_OP_GAP, 0, first, n, &detail);
        detail.events = 0;
        first += n;
    } while (first < end);
}

/* One event on one device; ranges that a record cannot say are several. */
static void take(struct unit *u, const struct visor_block *b)
{
    struct chv_gap_detail detail = {.reason = b->reason};
    const void *content = b->op == CHV_OP_GAP && !b->data ? (const void *)&detail : b->data;
    bool version = chv_op_is_version(b->op);
    uint64_t lba = b->lba, end = lba + b->sectors;
    u->changed |= version;
    if (b->op == CHV_OP_FLUSH) {
        put(u->number, b->op, b->flags, 0, 0, NULL);
        return;
    }
    if (b->op == CHV_OP_GAP && !b->sectors) lba = 0, end = u->sectors; /* all of the unit */
    if (version && end > whole_blocks(u->sectors)) { /* what does a disk do at a place that it does not have? */
        lose(u->number, u->sectors, lba, b->sectors);
        return;
    }
    if (end > u->sectors) end = u->sectors;
    uint64_t n;
    for (; lba < end; lba += n) {
        n = end - lba < SECTORS_MOST ? end - lba : SECTORS_MOST;
        if (!put(u->number, b->op, b->flags, lba, n, content) && version) lose(u->number, u->sectors, lba, n);
    }
}

/* The unit's number in the stream, under a name that nobody has. Serial numbers should be different, and are not always, or not there: where a
 * disk hangs tells it apart then (bus, device, function; port or namespace). -1: no room, or no such name. */
static int list(const struct unit *u, const char *name, bool with_place)
{
    char where[24];
    struct chv_device device = {.bytes = u->sectors * CHV_SECTOR_BYTES};
    size_t n = strlen(name), bytes = print_text(where, sizeof where, "-%02x.%02x.%u.%u", u->place >> 8, u->place >> 3 & 31, u->place & 7u, (unsigned)u->unit);
    memcpy(device.name, name, n);
    if (n > CHV_WIRE_NAME_BYTES - 1 - bytes) n = CHV_WIRE_NAME_BYTES - 1 - bytes;
    if (with_place) memcpy(device.name + n, where, bytes + 1);
    for (uint32_t i = 0; i < records.sender->device_count; i++)
        if (!memcmp(records.sender->devices[i].name, device.name, CHV_WIRE_NAME_BYTES)) return -1;
    int number = sender_device(records.sender, &device);
    if (with_place && number >= 0) print("disk %u:%u has no serial number of its own: it is %s", u->device, (unsigned)u->unit, device.name);
    return number;
}

static void announce(const struct visor_block *b)
{
    const char *name = (const char *)b->data;
    struct unit *u = records.units, *end = u + records.count, *namesake = NULL;
    struct unit new = {.device = b->device, .unit = b->unit, .sectors = b->lba, .number = -1, .place = b->place};
    for (; u < end && (u->device != b->device || u->unit != b->unit); u++)
        if (!memcmp(records.sender->devices[u->number].name, name, CHV_WIRE_NAME_BYTES)) namesake = u;
    if (u < end) { /* another size */
        struct chv_device device = records.sender->devices[u->number];
        if (b->lba > u->sectors) u->sectors = b->lba;
        device.bytes = u->sectors * CHV_SECTOR_BYTES;
        sender_device(records.sender, &device);
        return;
    }
    /* Which of two comes first may be another the next time: so the first is called by its place as well, unless it was written to already. */
    int moved = namesake && !namesake->changed && !b->reason ? list(namesake, name, true) : -1;
    if (moved >= 0) {
        take(namesake, &(struct visor_block){.op = CHV_OP_GAP, .reason = CHV_GAP_UNKNOWN}); /* nobody says any more what the one of that name is */
        namesake->number = moved;
        namesake->changed = false;
    }
    if (records.count < UNITS_MAX) new.number = list(&new, name, false);
    if (records.count < UNITS_MAX && new.number < 0 && !b->reason) new.number = list(&new, name, true);
    if (new.number >= 0)
        records.units[records.count++] = new;
    else
        print("disk %u:%u is not announced: too many, or its name is none, or another's; it is all gaps in " RECORDS_OTHERS,
              b->device, (unsigned)b->unit);
}

void records_take(const struct visor_block *b)
{
    static const struct chv_device others = {.name = RECORDS_OTHERS, .bytes = CHV_SECTOR_BYTES};
    bool known = false;
    if (b->op == CHV_OP_SPACE) {
        announce(b);
        return;
    }
    for (unsigned i = 0; i < records.count; i++) {
        struct unit *u = &records.units[i];
        if (u->device != b->device || (u->unit != b->unit && b->unit != VISOR_UNIT_ALL)) continue;
        take(u, b);
        known = true;
    }
    if (!known && chv_op_is_version(b->op)) lose(sender_device(records.sender, &others), 0, 0, 0);
}
