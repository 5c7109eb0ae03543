/* Registers, and which slots are under way: AHCI 1.3.1, 3 and 5. */
#include "visor/storage/ahci.h"

static uint32_t port_reg(const struct ahci *a, unsigned port, uint64_t offset)
{
    return a->storage.port.reg(a->storage.port.arg, AHCI_PORT + port * 0x80 + offset);
}

static uint64_t port_reg64(const struct ahci *a, unsigned port, uint64_t offset)
{
    return port_reg(a, port, offset) | (uint64_t)port_reg(a, port, offset + 4) << 32;
}

void ahci_init(struct ahci *a, const struct storage_port *port, uint16_t device)
{
    __builtin_memset(a, 0, sizeof *a);
    a->storage.port = *port;
    a->storage.device = device;
    uint32_t implemented = port->reg(port->arg, AHCI_PI);
    for (unsigned i = 0; i < AHCI_PORTS; i++)
        if (implemented >> i & 1) a->port[i].list = port_reg64(a, i, AHCI_CLB) & ~UINT64_C(0x3ff);
}

static void gap_of(struct ahci *a, unsigned port, const struct ahci_slot *slot)
{
    a->storage.command = slot->command;
    a->storage.count.failed++;
    blocks_gap(&a->storage, port + 1, slot->lba, slot->sectors, CHV_GAP_FAILED);
}

static void done(struct ahci *a, unsigned port, const struct ahci_slot *slot, bool failed)
{
    struct gather g;
    if (slot->kind == AHCI_CHANGE && failed) gap_of(a, port, slot);
    if (slot->kind != AHCI_IDENTIFY || failed) return;
    gather_prd(&g, &a->storage.port, slot->table, slot->prds);
    a->storage.command = slot->command;
    if (gather_read(&g, a->storage.block, 512)) ahci_identify(a, port, a->storage.block);
}

/* What has completed since: a slot's bit in PxCI, or in PxSACT for a queued command, is the device's to clear. With an error shown,
 * which of those that ended was meant is not always told (6.2.2): all of them may have failed. */
static void reap(struct ahci *a, unsigned index)
{
    struct ahci_port *p = &a->port[index];
    if (!(p->issued | p->queued)) return;
    uint32_t ended = (p->issued & ~port_reg(a, index, AHCI_CI)) | (p->queued & ~port_reg(a, index, AHCI_SACT));
    if (!ended) return;
    bool failed = port_reg(a, index, AHCI_IS) & AHCI_IS_TFES || port_reg(a, index, AHCI_TFD) & AHCI_TFD_ERR ||
                  !(port_reg(a, index, AHCI_CMD) & AHCI_CMD_ST); /* a reset that was not by these registers */
    p->issued &= ~ended;
    p->queued &= ~ended;
    uint64_t present = a->storage.command;
    for (unsigned i = 0; i < AHCI_SLOTS; i++)
        if (ended >> i & 1) done(a, index, &p->slot[i], failed);
    a->storage.command = present;
}

/* The port stops: what is under way may or may not have been done. */
static void stop(struct ahci *a, unsigned index)
{
    struct ahci_port *p = &a->port[index];
    uint32_t ended;
    uint64_t present = a->storage.command;
    reap(a, index);
    ended = p->issued | p->queued;
    for (unsigned i = 0; i < AHCI_SLOTS; i++)
        if (ended >> i & 1) done(a, index, &p->slot[i], true);
    p->issued = p->queued = 0;
    a->storage.command = present;
}

void ahci_stop(struct ahci *a)
{
    for (unsigned i = 0; i < AHCI_PORTS; i++) stop(a, i);
}

void ahci_moved(struct ahci *a)
{
    ahci_stop(a);
    for (unsigned i = 0; i < AHCI_PORTS; i++) a->port[i].list = AHCI_NO_LIST;
}

/* 3.3.7. ST starts the list, FRE the area for received FISes: neither is to be the hypervisor's memory. */
static enum storage_verdict write_cmd(struct ahci *a, unsigned index, uint32_t value)
{
    const struct storage_port *port = &a->storage.port;
    struct ahci_port *p = &a->port[index];
    uint32_t was = port_reg(a, index, AHCI_CMD);
    uint64_t list = port_reg64(a, index, AHCI_CLB) & ~UINT64_C(0x3ff), fis = port_reg64(a, index, AHCI_FB) & ~UINT64_C(0xff);
    if ((value & AHCI_CMD_ST && port->owned(port->arg, list, 1024)) || (value & AHCI_CMD_FRE && port->owned(port->arg, fis, 4096))) {
        a->storage.count.refused++;
        return STORAGE_DROP;
    }
    if (was & AHCI_CMD_ST && !(value & AHCI_CMD_ST)) stop(a, index);
    if (!(was & AHCI_CMD_ST) && value & AHCI_CMD_ST) p->list = list;
    return STORAGE_PASS;
}

/* 3.3.14: bits that are set are commands to do; others say nothing. One that the device shows already says nothing only if its command was seen. */
static enum storage_verdict write_ci(struct ahci *a, unsigned index, uint64_t *value)
{
    struct ahci_port *p = &a->port[index];
    if (!(port_reg(a, index, AHCI_CMD) & AHCI_CMD_ST)) return storage_malformed(&a->storage); /* software shall not */
    uint32_t new = (uint32_t)*value & ~(port_reg(a, index, AHCI_CI) & (p->issued | p->queued));
    for (unsigned i = 0; i < AHCI_SLOTS; i++) {
        bool ncq = false;
        uint32_t bit = UINT32_C(1) << i;
        if (!(new & bit)) continue;
        if ((p->issued | p->queued) & bit) done(a, index, &p->slot[i], true); /* it had not ended: 5.3.2.1 forbids */
        p->issued &= ~bit;
        p->queued &= ~bit;
        a->storage.command = a->storage.count.commands + 1;
        a->storage.count.commands++;
        p->slot[i] = (struct ahci_slot){.command = a->storage.command};
        if (!ahci_command(a, index, i, &ncq)) {
            a->storage.count.refused++;
            *value &= ~(uint64_t)bit;
            continue;
        }
        if (ncq) p->queued |= bit;
        else p->issued |= bit;
    }
    return (uint32_t)*value ? STORAGE_PASS : STORAGE_DROP;
}

static enum storage_verdict write_port(struct ahci *a, unsigned index, uint64_t offset, uint64_t *value)
{
    reap(a, index);
    switch (offset) {
    case AHCI_CLB:
    case AHCI_CLBU: /* 3.3.1: only while the port does not run */
        return port_reg(a, index, AHCI_CMD) & (AHCI_CMD_ST | AHCI_CMD_CR) ? storage_malformed(&a->storage) : STORAGE_PASS;
    case AHCI_FB:
    case AHCI_FBU: return port_reg(a, index, AHCI_CMD) & (AHCI_CMD_FRE | AHCI_CMD_FR) ? storage_malformed(&a->storage) : STORAGE_PASS;
    case AHCI_CMD: return write_cmd(a, index, (uint32_t)*value);
    case AHCI_SCTL:
        if ((*value & 15) == 1 || (*value & 15) == 4) stop(a, index); /* COMRESET, or the interface is switched off */
        return STORAGE_PASS;
    case AHCI_SACT: return port_reg(a, index, AHCI_CMD) & AHCI_CMD_ST ? STORAGE_PASS : storage_malformed(&a->storage);
    case AHCI_CI: return write_ci(a, index, value);
    }
    return STORAGE_PASS;
}

enum storage_verdict ahci_write(struct ahci *a, uint64_t offset, unsigned width, uint64_t *value)
{
    uint64_t in_port = offset % 0x80;
    bool pair = width == 8 && offset >= AHCI_PORT && (in_port == AHCI_CLB || in_port == AHCI_FB); /* both halves of an address */
    if ((width != 4 && !pair) || offset % 4) return storage_malformed(&a->storage);
    if (offset == AHCI_GHC && *value & AHCI_GHC_RESET) ahci_stop(a);
    if (offset < AHCI_PORT || offset >= AHCI_PORT + AHCI_PORTS * 0x80) return STORAGE_PASS;
    return write_port(a, (unsigned)(offset - AHCI_PORT) / 0x80, offset % 0x80, value);
}
