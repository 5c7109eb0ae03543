#include "ahci_fake.h"

static bool dma(struct ahci_fake *f, uint64_t gpa, void *ours, uint64_t n, bool to_guest)
{
    struct rig *rig = f->rig;
    if (gpa >= rig->ram_bytes || n > rig->ram_bytes - gpa) return false;
    if (gpa < rig->own + rig->own_bytes && gpa + n > rig->own) rig->own_touched++;
    if (to_guest) memcpy(rig->ram + gpa, ours, n);
    else memcpy(ours, rig->ram + gpa, n);
    return true;
}

static bool transfer(struct ahci_fake *f, uint64_t table, uint32_t prds, uint8_t *buf, uint64_t bytes, bool to_guest)
{
    for (uint32_t i = 0; i < prds && bytes; i++) {
        uint32_t d[4];
        if (!dma(f, table + 0x80 + i * 16, d, 16, false)) return false;
        uint64_t n = (d[3] & 0x3fffff) + 1;
        if (n > bytes) n = bytes;
        if (!dma(f, (uint64_t)d[1] << 32 | d[0], buf, n, to_guest)) return false;
        buf += n, bytes -= n;
    }
    return bytes == 0;
}

static bool identify(struct ahci_fake *f, struct fake_port *p, uint64_t table, uint32_t prds)
{
    uint16_t w[256] = {0};
    uint64_t blocks = p->disk->bytes / p->disk->lba_bytes;
    for (unsigned i = 0; i < 10; i++) w[10 + i] = (uint16_t)(i < 4 ? 'F' << 8 | 'A' : 0x2020);
    w[60] = (uint16_t)blocks, w[61] = (uint16_t)(blocks >> 16);
    w[69] = 0x4020, w[83] = 1 << 10, w[169] = 1;
    memcpy(w + 100, &blocks, 8);
    if (p->disk->lba_bytes != 512) w[106] = 0x5000, w[117] = (uint16_t)(p->disk->lba_bytes / 2);
    return transfer(f, table, prds, (uint8_t *)w, 512, true);
}

static bool trim(struct ahci_fake *f, struct fake_port *p, uint64_t table, uint32_t prds, uint32_t blocks, bool fail)
{
    uint64_t range[64 * 8];
    if (blocks > 8 || !transfer(f, table, prds, (uint8_t *)range, blocks * 512, false)) return false;
    for (uint32_t i = 0; i < blocks * 64u; i++) {
        uint64_t lba = range[i] & CHV_LBA_MAX, n = range[i] >> 48;
        if (lba + n > p->disk->bytes / p->disk->lba_bytes) return false;
        if (!fail || i % 2) memset(p->disk->content + lba * p->disk->lba_bytes, 0, n * p->disk->lba_bytes);
    }
    return !fail;
}

static bool read_write(struct ahci_fake *f, struct fake_port *p, uint64_t table, uint32_t prds, bool write, uint64_t lba, uint64_t n, bool fail)
{
    if (lba > p->disk->bytes / p->disk->lba_bytes || n > p->disk->bytes / p->disk->lba_bytes - lba) return false;
    uint8_t *buf = malloc(n * p->disk->lba_bytes), *at = p->disk->content + lba * p->disk->lba_bytes;
    CHECK(buf);
    if (!write) memcpy(buf, at, n * p->disk->lba_bytes);
    bool moved = transfer(f, table, prds, buf, n * p->disk->lba_bytes, !write);
    if (write && moved) memcpy(at, buf, (fail ? rig_random(f->rig, n) : n) * p->disk->lba_bytes);
    free(buf);
    return moved && !fail;
}

static bool execute(struct ahci_fake *f, struct fake_port *p, unsigned slot)
{
    uint32_t header[4];
    uint8_t c[64];
    if (!dma(f, p->clb[0] + slot * 32, header, 16, false)) return false;
    uint64_t table = (uint64_t)header[3] << 32 | header[2], lba, n;
    uint32_t prds = header[0] >> 16;
    if (!dma(f, table, c, 64, false)) return false;
    bool fail = rig_random(f->rig, 100) < f->fail_percent, write = false;
    lba = c[4] | (uint64_t)c[5] << 8 | (uint64_t)c[6] << 16 | (uint64_t)c[8] << 24 | (uint64_t)c[9] << 32 | (uint64_t)c[10] << 40;
    n = c[12] | (uint64_t)c[13] << 8;
    if (!n) n = 65536;
    switch (c[2]) {
    case 0xec: return identify(f, p, table, prds);
    case 0xc6: case 0xe7: case 0xea: case 0xef: return true;
    case 0x06: return trim(f, p, table, prds, (uint32_t)n, fail);
    case 0x64: return trim(f, p, table, prds, c[3] | (uint32_t)c[11] << 8, fail);
    case 0x30: case 0xca: case 0xc5: write = true; /* fall through */
    case 0x20: case 0xc8: case 0xc4:
        lba = (lba & 0xffffff) | (uint64_t)(c[7] & 15) << 24;
        n = c[12] ? c[12] : 256;
        break;
    case 0x61: write = true; /* fall through */
    case 0x60:
        n = c[3] | (uint64_t)c[11] << 8;
        if (!n) n = 65536;
        break;
    case 0x34: case 0x35: case 0x39: case 0x3d: case 0xce: write = true; break;
    case 0x24: case 0x25: case 0x29: break;
    default: return false;
    }
    return read_write(f, p, table, prds, write, lba, n, fail && write);
}

static void work(struct ahci_fake *f, struct fake_port *p)
{
    uint32_t queued = p->ci & p->sact;
    p->ci &= ~queued; /* taken in */
    if (p->halted || !(p->cmd & 1)) return;
    uint32_t *which = p->sact ? &p->sact : &p->ci;
    while (*which && !p->halted) {
        unsigned slot = p->sact ? (unsigned)rig_random(f->rig, 32) : (unsigned)__builtin_ctz(*which);
        if (!(*which >> slot & 1)) continue;
        if (execute(f, p, slot)) {
            *which &= ~(1u << slot);
            p->is |= 1;
        } else {
            p->tfd |= 1, p->is |= 1u << 30;
            p->halted = true;
        }
    }
}

static void settle(struct rig *rig)
{
    struct ahci_fake *f = rig->device;
    for (unsigned i = 0; i < FAKE_PORTS; i++) work(f, &f->port[i]);
}

static uint32_t reg_read(struct rig *rig, uint64_t offset)
{
    struct ahci_fake *f = rig->device;
    if (offset == AHCI_PI) return (1u << FAKE_PORTS) - 1;
    if (offset == AHCI_GHC) return f->ghc;
    if (offset < AHCI_PORT || (offset - AHCI_PORT) / 0x80 >= FAKE_PORTS) return 0;
    struct fake_port *p = &f->port[(offset - AHCI_PORT) / 0x80];
    switch (offset % 0x80) {
    case AHCI_CLB: case AHCI_CLBU: return p->clb[offset % 0x80 / 4 % 2];
    case AHCI_FB: case AHCI_FBU: return p->fb[offset % 0x80 / 4 % 2];
    case AHCI_IS: return p->is;
    case AHCI_CMD: return p->cmd;
    case AHCI_TFD: return p->tfd;
    case AHCI_SACT: return p->sact;
    case AHCI_CI: return p->ci;
    }
    return 0;
}

static void reg_write(struct rig *rig, uint64_t offset, unsigned width, uint64_t value64)
{
    struct ahci_fake *f = rig->device;
    uint32_t value = (uint32_t)value64;
    if (width == 8) {
        reg_write(rig, offset, 4, value64 & 0xffffffff);
        reg_write(rig, offset + 4, 4, value64 >> 32);
        return;
    }
    if (offset == AHCI_GHC) {
        f->ghc = value & ~1u;
        for (unsigned i = 0; value & 1 && i < FAKE_PORTS; i++) {
            struct fake_port *p = &f->port[i];
            p->is = p->cmd = p->tfd = p->sact = p->ci = 0, p->halted = false;
        }
    }
    if (offset < AHCI_PORT || (offset - AHCI_PORT) / 0x80 >= FAKE_PORTS) return;
    struct fake_port *p = &f->port[(offset - AHCI_PORT) / 0x80];
    switch (offset % 0x80) {
    case AHCI_CLB: case AHCI_CLBU: p->clb[offset % 0x80 / 4 % 2] = value; break;
    case AHCI_FB: case AHCI_FBU: p->fb[offset % 0x80 / 4 % 2] = value; break;
    case AHCI_IS: p->is &= ~value; break;
    case AHCI_CMD:
        if (!(value & 1)) p->ci = p->sact = 0, p->halted = false, p->tfd = 0;
        p->cmd = value;
        break;
    case AHCI_SACT: p->sact |= value; break;
    case AHCI_CI:
        p->ci |= value;
        if (!f->lazy) work(f, p);
        break;
    }
}

void ahci_fake_init(struct ahci_fake *f, struct rig *rig)
{
    *f = (struct ahci_fake){.rig = rig};
    for (unsigned i = 0; i < FAKE_PORTS; i++) {
        f->disk[i] = (struct workload_disk){.bytes = 4 << 20, .lba_bytes = i ? 4096 : 512};
        CHECK((f->disk[i].content = calloc(1, f->disk[i].bytes)));
        f->port[i].disk = &f->disk[i];
    }
    rig->device = f;
    rig->read = reg_read;
    rig->write = reg_write;
    rig->settle = settle;
}

void ahci_fake_fini(struct ahci_fake *f)
{
    for (unsigned i = 0; i < FAKE_PORTS; i++) free(f->disk[i].content);
}
