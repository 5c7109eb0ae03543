/* Command headers, tables and FISes: AHCI 1.3.1, 4.2; ATA commands: ACS-4, 7. */
#include "visor/storage/ahci.h"

enum ata_effect {
    ATA_UNKNOWN = 0, /* it may change anything */
    ATA_HARMLESS,    /* it changes nothing that a disk holds */
    ATA_READ,
    ATA_WRITE,
    ATA_FLUSH,
    ATA_IDENTIFY,
    ATA_TRIM,          /* DATA SET MANAGEMENT */
    ATA_TRIM_QUEUED,   /* SEND FPDMA QUEUED with it */
    ATA_UNREADABLE,    /* WRITE UNCORRECTABLE */
    ATA_ZERO,
    ATA_QUEUED_CONTROL, /* NCQ NON-DATA */
};
enum { ATA_EFFECT = 15, ATA_28 = 16, ATA_48 = 32, ATA_NCQ = 64, ATA_FUA = 128 };

/* What a command does, and in the upper half how it says where. */
static const uint8_t effects[256] = {
    [0x00] = ATA_HARMLESS,                    /* NOP */
    [0x06] = ATA_TRIM,
    [0x10] = ATA_HARMLESS,                    /* RECALIBRATE, of old */
    [0x20 ... 0x21] = ATA_READ | ATA_28,      /* READ SECTORS */
    [0x24] = ATA_READ | ATA_48,               /* READ SECTORS EXT */
    [0x25] = ATA_READ | ATA_48,               /* READ DMA EXT */
    [0x27] = ATA_HARMLESS,                    /* READ NATIVE MAX ADDRESS EXT */
    [0x29] = ATA_READ | ATA_48,               /* READ MULTIPLE EXT */
    [0x2a ... 0x2b] = ATA_READ | ATA_48,      /* READ STREAM */
    [0x2f] = ATA_HARMLESS,                    /* READ LOG EXT */
    [0x30 ... 0x31] = ATA_WRITE | ATA_28,     /* WRITE SECTORS */
    [0x34] = ATA_WRITE | ATA_48,              /* WRITE SECTORS EXT */
    [0x35] = ATA_WRITE | ATA_48,              /* WRITE DMA EXT */
    [0x37] = ATA_HARMLESS,                    /* SET MAX ADDRESS EXT: how much is shown, not what is there */
    [0x39] = ATA_WRITE | ATA_48,              /* WRITE MULTIPLE EXT */
    [0x3a ... 0x3b] = ATA_WRITE | ATA_48,     /* WRITE STREAM */
    [0x3d] = ATA_WRITE | ATA_48 | ATA_FUA,    /* WRITE DMA FUA EXT */
    [0x3f] = ATA_HARMLESS,                    /* WRITE LOG EXT: to a log */
    [0x40 ... 0x42] = ATA_HARMLESS,           /* READ VERIFY */
    [0x44] = ATA_ZERO | ATA_48,
    [0x45] = ATA_UNREADABLE | ATA_48,
    [0x47] = ATA_HARMLESS,                    /* READ LOG DMA EXT */
    [0x51] = ATA_HARMLESS,                    /* CONFIGURE STREAM */
    [0x57] = ATA_HARMLESS,                    /* WRITE LOG DMA EXT */
    [0x5b ... 0x5d] = ATA_HARMLESS,           /* TRUSTED NON-DATA and RECEIVE; SEND may erase */
    [0x60] = ATA_READ | ATA_NCQ,              /* READ FPDMA QUEUED */
    [0x61] = ATA_WRITE | ATA_NCQ,             /* WRITE FPDMA QUEUED */
    [0x63] = ATA_QUEUED_CONTROL | ATA_NCQ,
    [0x64] = ATA_TRIM_QUEUED | ATA_NCQ,
    [0x65] = ATA_HARMLESS | ATA_NCQ,          /* RECEIVE FPDMA QUEUED */
    [0x70] = ATA_HARMLESS,                    /* SEEK */
    [0x77 ... 0x78] = ATA_HARMLESS,           /* SET DATE & TIME, ACCESSIBLE MAX ADDRESS */
    [0x90 ... 0x93] = ATA_HARMLESS,           /* DIAGNOSTIC, INITIALIZE PARAMETERS, DOWNLOAD MICROCODE */
    [0x94 ... 0x99] = ATA_HARMLESS,           /* power, of old */
    [0xa1] = ATA_HARMLESS,                    /* IDENTIFY PACKET DEVICE */
    [0xb0] = ATA_HARMLESS,                    /* SMART */
    [0xc4] = ATA_READ | ATA_28,               /* READ MULTIPLE */
    [0xc5] = ATA_WRITE | ATA_28,              /* WRITE MULTIPLE */
    [0xc6] = ATA_HARMLESS,                    /* SET MULTIPLE MODE */
    [0xc8 ... 0xc9] = ATA_READ | ATA_28,      /* READ DMA */
    [0xca ... 0xcb] = ATA_WRITE | ATA_28,     /* WRITE DMA */
    [0xce] = ATA_WRITE | ATA_48 | ATA_FUA,    /* WRITE MULTIPLE FUA EXT */
    [0xe0 ... 0xe6] = ATA_HARMLESS,           /* power, READ BUFFER */
    [0xe7] = ATA_FLUSH,                       /* FLUSH CACHE */
    [0xe8 ... 0xe9] = ATA_HARMLESS,           /* WRITE BUFFER, READ BUFFER DMA */
    [0xea] = ATA_FLUSH,                       /* FLUSH CACHE EXT */
    [0xeb] = ATA_HARMLESS,                    /* WRITE BUFFER DMA */
    [0xec] = ATA_IDENTIFY,
    [0xef] = ATA_HARMLESS,                    /* SET FEATURES */
    [0xf1 ... 0xf3] = ATA_HARMLESS,           /* SECURITY SET PASSWORD, UNLOCK, ERASE PREPARE; F4h erases */
    [0xf5 ... 0xf6] = ATA_HARMLESS,           /* SECURITY FREEZE LOCK, DISABLE PASSWORD */
    [0xf8 ... 0xf9] = ATA_HARMLESS,           /* READ NATIVE MAX ADDRESS, SET MAX ADDRESS */
};

/* What an optical drive's packet may be without a change: looked at by its first byte. */
static const uint8_t harmless_packets[] = {0x00, 0x03, 0x12, 0x1a, 0x1b, 0x1e, 0x25, 0x28, 0x2b, 0x35, 0x3c, 0x42, 0x43, 0x44,
                                           0x46, 0x4a, 0x51, 0x52, 0x5a, 0x5c, 0xa4, 0xa8, 0xac, 0xad, 0xb9, 0xbb, 0xbd, 0xbe};

/* A command as it was copied. */
struct request {
    struct ahci *a;
    struct ahci_port *p;
    struct ahci_slot *slot;
    uint32_t unit;
    struct gather data;
    const uint8_t *fis; /* register, host to device, 20 bytes (SATA 3.2, 10.5.5) */
    uint8_t effect, how;
};

static void gap(const struct request *r, uint64_t lba, uint64_t sectors)
{
    blocks_gap(&r->a->storage, r->unit, lba, sectors, CHV_GAP_UNKNOWN);
}

/* The range in 512-byte sectors. False: not by LBA, or of sectors whose size is not known. */
static bool range_of(const struct request *r, uint64_t *lba, uint64_t *sectors)
{
    const uint8_t *f = r->fis;
    uint64_t at = f[4] | (uint64_t)f[5] << 8 | (uint64_t)f[6] << 16, n;
    if (!(f[7] & 0x40) || !r->p->lba_bytes) return false;
    if (r->how & ATA_28) {
        at |= (uint64_t)(f[7] & 15) << 24;
        n = f[12] ? f[12] : 256;
    } else {
        at |= (uint64_t)f[8] << 24 | (uint64_t)f[9] << 32 | (uint64_t)f[10] << 40;
        n = r->how & ATA_NCQ ? f[3] | (uint64_t)f[11] << 8 : f[12] | (uint64_t)f[13] << 8;
        if (!n) n = 65536;
    }
    *lba = at * (r->p->lba_bytes / 512);
    *sectors = n * (r->p->lba_bytes / 512);
    return true;
}

static void remember(const struct request *r, uint64_t lba, uint64_t sectors)
{
    r->slot->kind = AHCI_CHANGE;
    r->slot->lba = lba;
    r->slot->sectors = sectors;
}

/* WRITE, ZERO, UNREADABLE: something in the range becomes something else. */
static bool change(struct request *r)
{
    uint64_t lba, sectors;
    bool fua = r->how & ATA_FUA || (r->how & ATA_NCQ && r->fis[7] & 0x80);
    if (!range_of(r, &lba, &sectors)) {
        gap(r, 0, 0);
        return true;
    }
    remember(r, lba, sectors);
    if (r->effect == ATA_ZERO) blocks_zero(&r->a->storage, r->unit, lba, sectors, CHV_OP_ZERO, 0);
    else if (r->effect == ATA_UNREADABLE) gap(r, lba, sectors);
    else if (!blocks_write(&r->a->storage, r->unit, lba, sectors, fua ? CHV_EVENT_FUA : 0, &r->data)) return !gather_is_unsafe(&r->data);
    return true;
}

/* 7.5: ranges of 48 bits of LBA and 16 of length, 64 in a block of 512 bytes. */
static bool trim(struct request *r, uint32_t blocks)
{
    uint64_t range, first = UINT64_MAX, end = 0, scale = r->p->lba_bytes / 512;
    uint8_t flags = 0;
    if (!scale || !blocks || blocks > AHCI_TRIM_BLOCKS_MAX) {
        gap(r, 0, 0);
        return true;
    }
    for (uint32_t i = 0; i < blocks * 64; i++) {
        if (!gather_read(&r->data, &range, sizeof range)) {
            gap(r, 0, 0);
            return !gather_is_unsafe(&r->data);
        }
        uint64_t lba = (range & CHV_LBA_MAX) * scale, sectors = (range >> 48) * scale;
        if (!sectors) continue;
        if (r->p->trim_zeroes || r->a->trust_trim) blocks_zero(&r->a->storage, r->unit, lba, sectors, CHV_OP_TRIM, flags);
        else gap(r, lba, sectors);
        flags = CHV_EVENT_CONTINUED;
        if (lba < first) first = lba;
        if (lba + sectors > end) end = lba + sectors;
    }
    if (end) remember(r, first, end - first);
    return true;
}

/* Does the device get to write only where that is the guest's memory? The whole table counts, whatever the command needs. */
static bool table_is_clean(const struct request *r)
{
    struct gather g = r->data;
    gather_walk(&g, UINT64_MAX);
    return !gather_is_unsafe(&g);
}

static bool execute(struct request *r)
{
    const uint8_t *f = r->fis;
    uint64_t lba, sectors;
    if (!table_is_clean(r)) return false;
    switch (r->effect) {
    case ATA_HARMLESS: return true;
    case ATA_READ:
        if (range_of(r, &lba, &sectors)) blocks_read(&r->a->storage, r->unit, lba, sectors);
        return true;
    case ATA_WRITE:
    case ATA_ZERO:
    case ATA_UNREADABLE: return change(r);
    case ATA_FLUSH: blocks_flush(&r->a->storage, r->unit); return true;
    case ATA_IDENTIFY: r->slot->kind = AHCI_IDENTIFY; return true;
    case ATA_TRIM:
        if (f[3] & 1) return trim(r, f[12] | (uint32_t)f[13] << 8);
        break;
    case ATA_TRIM_QUEUED: /* 7.41: subcommand in COUNT 12:8, its features in AUXILIARY */
        if (f[13] & 31) break;
        if (f[16] & 1) return trim(r, f[3] | (uint32_t)f[11] << 8);
        break;
    case ATA_QUEUED_CONTROL: /* 7.22: abort, deadline, hybrid, set features */
        if ((f[3] & 15) == 0 || (f[3] & 15) == 1 || (f[3] & 15) == 5) return true;
        break;
    }
    gap(r, 0, 0);
    return true;
}

static bool packet_is_harmless(uint8_t opcode)
{
    for (unsigned i = 0; i < sizeof harmless_packets; i++)
        if (harmless_packets[i] == opcode) return true;
    return false;
}

/* Guest memory into ours. False: what is not RAM cannot be checked, and the device must not have it. */
static bool fetch(const struct request *r, void *dst, uint64_t gpa, size_t n)
{
    const struct storage_port *port = &r->a->storage.port;
    return !port->owned(port->arg, gpa, n) && port->copy(port->arg, dst, gpa, n);
}

bool ahci_command(struct ahci *a, unsigned port, unsigned slot, bool *ncq)
{
    struct ahci_port *p = &a->port[port];
    struct request r = {.a = a, .p = p, .slot = &p->slot[slot], .unit = port + 1};
    uint32_t header[4];
    uint8_t table[80]; /* FIS of 64 bytes, packet of 16 */
    if (!fetch(&r, header, p->list + slot * 32, sizeof header)) return false;
    uint64_t at = (uint64_t)header[3] << 32 | (header[2] & ~0x7fu);
    if (!fetch(&r, table, at, sizeof table)) return false;
    r.fis = table;
    gather_prd(&r.data, &a->storage.port, at + 0x80, header[0] >> 16);
    r.slot->table = at + 0x80;
    r.slot->prds = (uint16_t)(header[0] >> 16);
    r.effect = effects[table[2]] & ATA_EFFECT;
    r.how = effects[table[2]] & (uint8_t)~ATA_EFFECT;

    bool registers = table[0] == 0x27 && (header[0] & 31) >= 5;
    if (!registers || header[0] >> 12 & 15 || table[1] & 15) { /* not a command, or behind a port multiplier */
        gap(&r, 0, 0);
        return table_is_clean(&r);
    }
    if (!(table[1] & 0x80)) return table_is_clean(&r); /* device control: a reset, with nothing under way */
    if (table[2] == 0xa0) {
        if (!packet_is_harmless(table[64])) gap(&r, 0, 0);
        return table_is_clean(&r);
    }
    *ncq = r.how & ATA_NCQ;
    if (*ncq && r.effect != ATA_QUEUED_CONTROL && table[12] >> 3 != slot) { /* 5.6.4: the tag is the slot */
        gap(&r, 0, 0);
        return false;
    }
    return execute(&r);
}
