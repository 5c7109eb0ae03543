/* Submission queues read when they are rung, completion queues by their phase bits, and what is under way in between. */
#include "visor/storage/nvme.h"

static struct nvme_pending *pending_set(struct nvme *n, uint32_t key)
{
    /* Drivers number commands from 0 up in each queue: neighbours spread over the sets. */
    return n->pending[((key & 0xffff) + (key >> 16) * 131) % NVME_PENDING_SETS];
}

static void gap_of(struct nvme *n, const struct nvme_pending *p)
{
    n->storage.command = p->command;
    blocks_gap(&n->storage, p->nsid == NVME_NS_ALL ? VISOR_UNIT_ALL : p->nsid, p->a, p->b, CHV_GAP_FAILED);
}

void nvme_remember(struct nvme *n, uint16_t sq, const struct nvme_command *c, enum nvme_pending_kind kind, uint64_t a, uint64_t b)
{
    struct nvme_pending new = {.key = (uint32_t)sq << 16 | c->id, .nsid = c->nsid, .command = n->storage.command, .a = a, .b = b,
                               .kind = (uint8_t)kind};
    struct nvme_pending *set = pending_set(n, new.key), *at = NULL;
    for (unsigned i = 0; i < NVME_PENDING_WAYS; i++) {
        if (set[i].kind && set[i].key == new.key) { /* two of one name: which of them fails cannot be told */
            if (set[i].kind == NVME_PENDING_CHANGE) gap_of(n, &set[i]);
            at = &set[i];
            break;
        }
        if (!set[i].kind && !at) at = &set[i];
    }
    if (at) *at = new;
    else if (kind == NVME_PENDING_CHANGE) gap_of(n, &new); /* more under way than we can follow */
    n->storage.command = new.command;
}

static void complete(struct nvme *n, const struct nvme_completion *c)
{
    uint32_t key = (uint32_t)c->sq << 16 | c->id;
    struct nvme_pending *set = pending_set(n, key);
    for (unsigned i = 0; i < NVME_PENDING_WAYS; i++) {
        if (!set[i].kind || set[i].key != key) continue;
        struct nvme_pending p = set[i];
        set[i].kind = NVME_PENDING_NONE;
        bool failed = c->status >> 1;
        if (p.kind != NVME_PENDING_CHANGE) {
            nvme_admin_done(n, &p, failed);
        } else if (failed) {
            n->storage.count.failed++;
            gap_of(n, &p);
        }
        return;
    }
}

/* The device has put what has the expected phase there, and will not put more there than the queue holds: until the guest frees
 * entries with the doorbell that we see first. */
void nvme_reap(struct nvme *n, unsigned id)
{
    struct nvme_queue *q = &n->cq[id];
    const struct storage_port *port = &n->storage.port;
    for (uint32_t i = q->entries; i; i--) {
        struct nvme_completion c;
        if (!port->copy(port->arg, &c, q->base + (uint64_t)q->next * sizeof c, sizeof c)) return;
        if ((c.status & 1) != q->phase) return;
        if (++q->next == q->entries) q->next = 0, q->phase ^= 1;
        /* A completion of a queue that answers elsewhere is not the device's. */
        if (c.sq < NVME_QUEUES_MAX && n->sq[c.sq].entries && n->sq[c.sq].cq == id) complete(n, &c);
        if (!q->entries) return; /* that was the end of this queue */
    }
}

void nvme_forget(struct nvme *n, unsigned sq)
{
    for (struct nvme_pending *p = &n->pending[0][0]; p < &n->pending[0][0] + NVME_PENDING_SETS * NVME_PENDING_WAYS; p++) {
        if (!p->kind || (sq != NVME_QUEUES_MAX && p->key >> 16 != sq)) continue;
        if (p->kind == NVME_PENDING_CHANGE) gap_of(n, p);
        p->kind = NVME_PENDING_NONE;
    }
}

/* Turn an entry of a queue into a command that the device refuses. */
static bool refuse(struct nvme *n, uint64_t at)
{
    static const uint8_t opcode = NVME_OPCODE_REFUSED;
    n->storage.count.refused++;
    return n->storage.port.store(n->storage.port.arg, at, &opcode, 1);
}

enum storage_verdict nvme_ring(struct nvme *n, unsigned id, uint32_t tail)
{
    struct storage *s = &n->storage;
    struct nvme_queue *q = &n->sq[id];
    if (!q->entries) nvme_reap(n, 0); /* made just now, and the guest has not acknowledged that */
    if (q->entries) nvme_reap(n, q->cq); /* the guest may ring because of what it saw there: failures come before what follows them */
    if (!q->entries || q->lost) {
        if (n->known) return storage_malformed(s); /* nobody has looked at what is in there: the device does not, either */
        if (n->cc & 1) blocks_gap(s, VISOR_UNIT_ALL, 0, 0, CHV_GAP_UNKNOWN);
        return STORAGE_PASS;
    }
    if (tail >= q->entries) return storage_malformed(s);
    while (q->next != tail) {
        struct nvme_command c;
        uint64_t at = q->base + (uint64_t)q->next * sizeof c;
        if (!s->port.copy(s->port.arg, &c, at, sizeof c)) {
            blocks_gap(s, VISOR_UNIT_ALL, 0, 0, CHV_GAP_UNKNOWN);
            q->lost = true;
            return STORAGE_DROP; /* a queue that is not in RAM */
        }
        s->command++;
        s->count.commands++;
        enum nvme_answer answer = id ? nvme_io(n, (uint16_t)id, &c) : nvme_admin(n, &c);
        if (answer == NVME_REFUSE && !refuse(n, at)) return STORAGE_DROP;
        q->next = q->next + 1 == q->entries ? 0 : q->next + 1;
    }
    return STORAGE_PASS;
}
