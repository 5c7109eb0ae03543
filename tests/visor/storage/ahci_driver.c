#include "ahci_driver.h"

static uint64_t at_port(const struct ahci_driver *d, uint64_t offset)
{
    return AHCI_PORT + d->port * 0x80 + offset;
}

static uint32_t get(struct ahci_driver *d, uint64_t offset)
{
    return d->rig->read(d->rig, at_port(d, offset));
}

static void set(struct ahci_driver *d, uint64_t offset, uint32_t value)
{
    guest_write(d->rig, at_port(d, offset), value);
}

void ahci_driver_reset(struct rig *rig)
{
    guest_write(rig, AHCI_GHC, AHCI_GHC_RESET);
    while (rig->read(rig, AHCI_GHC) & AHCI_GHC_RESET) rig->settle(rig);
    guest_write(rig, AHCI_GHC, 1u << 31);
}

void ahci_driver_start(struct ahci_driver *d, struct rig *rig, unsigned port)
{
    *d = (struct ahci_driver){.rig = rig, .port = port};
    d->list = rig_alloc(rig, 1024, 1024);
    d->fis = rig_alloc(rig, 256, 256);
    d->page = rig_alloc(rig, 4096, 4096);
    set(d, AHCI_CLB, (uint32_t)d->list);
    set(d, AHCI_CLBU, (uint32_t)(d->list >> 32));
    set(d, AHCI_FB, (uint32_t)d->fis);
    set(d, AHCI_FBU, (uint32_t)(d->fis >> 32));
    set(d, 0x30, ~0u); /* PxSERR */
    set(d, AHCI_IS, ~0u);
    set(d, AHCI_CMD, 6 | AHCI_CMD_FRE);
    set(d, AHCI_CMD, 6 | AHCI_CMD_FRE | AHCI_CMD_ST);
    for (int tries = 0; get(d, AHCI_TFD) & 0x88 && tries < 1000; tries++) rig->settle(rig);
    d->rig->settle(d->rig);
}

void ahci_driver_restart(struct ahci_driver *d)
{
    set(d, AHCI_CMD, 6 | AHCI_CMD_FRE);
    for (int tries = 0; get(d, AHCI_CMD) & AHCI_CMD_CR; tries++) {
        CHECK(tries < 10000);
        d->rig->settle(d->rig);
    }
    set(d, 0x30, ~0u);
    set(d, AHCI_IS, ~0u);
    set(d, AHCI_CMD, 6 | AHCI_CMD_FRE | AHCI_CMD_ST);
    d->busy = 0;
}

bool ata_is_ncq(uint8_t opcode)
{
    return opcode == 0x60 || opcode == 0x61 || opcode == 0x63 || opcode == 0x64 || opcode == 0x65;
}

static bool has_28_bits(uint8_t opcode)
{
    return opcode == 0x20 || opcode == 0x30 || opcode == 0xc4 || opcode == 0xc5 || opcode == 0xc8 || opcode == 0xca;
}

static void fis(uint8_t *f, unsigned slot, const struct ata *c)
{
    bool ncq = ata_is_ncq(c->opcode);
    uint32_t count = ncq ? slot << 3 : c->count, features = ncq ? c->count : c->features;
    f[0] = 0x27, f[1] = 0x80, f[2] = c->opcode, f[3] = (uint8_t)features, f[11] = (uint8_t)(features >> 8);
    f[4] = (uint8_t)c->lba, f[5] = (uint8_t)(c->lba >> 8), f[6] = (uint8_t)(c->lba >> 16);
    f[7] = (uint8_t)(0x40 | (ncq && c->fua ? 0x80 : 0));
    if (has_28_bits(c->opcode)) {
        f[7] |= (uint8_t)(c->lba >> 24);
    } else {
        f[8] = (uint8_t)(c->lba >> 24), f[9] = (uint8_t)(c->lba >> 32), f[10] = (uint8_t)(c->lba >> 40);
    }
    f[12] = (uint8_t)count, f[13] = (uint8_t)(count >> 8);
    memcpy(f + 16, &c->auxiliary, 4);
}

void ahci_driver_put(struct ahci_driver *d, unsigned slot, const struct ata *c, uint64_t *at)
{
    uint64_t pieces = 1 + rig_random(d->rig, 40), n = 0, table = rig_alloc(d->rig, 0x80 + (pieces + 1) * 16, 128);
    uint64_t data = rig_alloc(d->rig, c->bytes * 2 + 4096, 512), where = data;
    for (uint32_t done = 0; done < c->bytes; n++) { /* cut on 512 so that `at` is simple, but in pieces of any number of them */
        uint32_t part = n + 1 >= pieces ? c->bytes - done : 512 * (uint32_t)(1 + rig_random(d->rig, 9));
        if (part > c->bytes - done) part = c->bytes - done;
        uint32_t prd[4] = {(uint32_t)where, (uint32_t)(where >> 32), 0, part - 1};
        memcpy(rig_at(d->rig, table + 0x80 + n * 16), prd, 16);
        for (uint32_t i = 0; i < part; i += 512) *at++ = where + i;
        done += part;
        where += part + (rig_random(d->rig, 2) && where + part + 512 + (c->bytes - done) < data + c->bytes * 2 ? 512 : 0);
    }
    fis(rig_at(d->rig, table), slot, c);
    uint32_t header[8] = {(uint32_t)n << 16 | (c->write ? 1u << 6 : 0) | 5, 0, (uint32_t)table, (uint32_t)(table >> 32)};
    memcpy(rig_at(d->rig, d->list + slot * 32), header, 32);
    d->table[slot] = table;
}

void ahci_driver_issue(struct ahci_driver *d, uint32_t slots, bool ncq)
{
    if (ncq) set(d, AHCI_SACT, slots);
    set(d, AHCI_CI, slots);
    d->busy |= slots;
}

uint32_t ahci_driver_wait(struct ahci_driver *d, uint32_t *failed)
{
    *failed = 0;
    for (int tries = 0;; tries++) {
        uint32_t under_way = get(d, AHCI_CI) | get(d, AHCI_SACT), ended = d->busy & ~under_way;
        bool error = get(d, AHCI_IS) & AHCI_IS_TFES || get(d, AHCI_TFD) & AHCI_TFD_ERR;
        if (error) {
            /* The fake leaves what failed in PxCI or PxSACT, QEMU does not always: nothing that ended here counts as done. */
            *failed = d->busy;
            ahci_driver_restart(d);
            return 0;
        }
        if (ended) {
            d->busy &= ~ended;
            set(d, AHCI_IS, get(d, AHCI_IS));
            guest_write(d->rig, 0x08, 1u << d->port);
            return ended;
        }
        CHECK(tries < 20000);
        d->rig->settle(d->rig);
    }
}

bool ahci_driver_do(struct ahci_driver *d, const struct ata *c, uint64_t *at)
{
    uint64_t here[2048];
    uint32_t failed;
    ahci_driver_put(d, 0, c, at ? at : here);
    ahci_driver_issue(d, 1, ata_is_ncq(c->opcode));
    return ahci_driver_wait(d, &failed) == 1;
}
