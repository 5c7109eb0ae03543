/* A program in the guest that has the key says which pages are a process's; docs/helper.md is for those who write one.
 *
 * It may be hostile all the same: the request is copied once, each number is judged in the copy, a call does a bounded
 * amount of work, and nothing of the guest's or of ours comes back but a status and a count. */
#include "abi/hypercall.h"
#include "visor/core/print.h"
#include "visor/forensics/forensics.h"

struct request {
    struct chv_hypercall head;
    struct chv_hypercall_run runs[CHV_HYPERCALL_RUNS];
};

static uint64_t key[2];
static bool has_key;

void hypercall_init(const struct config *config)
{
    has_key = config_has(config, "hypercall");
    memcpy(key, config->hypercall, sizeof key);
    if (has_key) print("hypercalls: for who has the key");
}

static bool sane_run(const struct chv_hypercall_run *run)
{
    return !run->reserved && run->pages && run->address % PAGE_BYTES == 0 && run->address < PROCESS_BYTES &&
           run->pages <= (PROCESS_BYTES - run->address) / PAGE_BYTES && run->frame < UINT64_C(1) << 40;
}

/* Does the copy make sense by itself? */
static bool sane(const struct request *r)
{
    const struct chv_hypercall *h = &r->head;
    struct chv_device d = {.bytes = PAGE_BYTES};
    if (h->version != CHV_HYPERCALL_VERSION || h->reserved || h->runs > CHV_HYPERCALL_RUNS) return false;
    if (h->kind == CHV_HYPERCALL_SETTLED) return !h->runs;
    memcpy(d.name, h->space, sizeof d.name);
    if (!chv_wire_device_fits(&d) || !chv_wire_device_process(&d)) return false;
    if (h->kind == CHV_HYPERCALL_BEGIN) {
        uint64_t most = chv_wire_prefix(&d, "map:") ? CHV_HYPERCALL_MAP_BYTES_MAX : PROCESS_BYTES;
        return !h->runs && h->bytes && h->bytes % PAGE_BYTES == 0 && h->bytes <= most;
    }
    if (h->kind != CHV_HYPERCALL_RECORD || h->bytes || !h->runs) return false;
    for (uint32_t i = 0; i < h->runs; i++)
        if (!sane_run(&r->runs[i])) return false;
    return true;
}

static enum chv_hypercall_status take(const struct request *r, uint64_t *taken)
{
    static const enum chv_hypercall_status status[] = {[PAGE_LATER] = CHV_HYPERCALL_AGAIN,
                                                       [PAGE_REFUSED] = CHV_HYPERCALL_INVALID};
    int number = page_space_find(r->head.space);
    if (number < 0) return CHV_HYPERCALL_NO_SPACE;
    for (uint32_t i = 0; i < r->head.runs; i++)
        for (uint32_t k = 0; k < r->runs[i].pages; k++, ++*taken) {
            bool zeros;
            if (*taken == CHV_HYPERCALL_PAGES) return CHV_HYPERCALL_OK;
            const uint8_t *page = page_copy((r->runs[i].frame + k) * PAGE_BYTES, &zeros);
            if (!page) return CHV_HYPERCALL_NOT_RAM;
            enum page_result result = page_put(number, zeros ? CHV_OP_ZERO : CHV_OP_FOUND, 0,
                                               r->runs[i].address + k * PAGE_BYTES, PAGE_BYTES, zeros ? NULL : page);
            if (result != PAGE_TAKEN) return status[result];
        }
    return CHV_HYPERCALL_OK;
}

static enum chv_hypercall_status serve(const struct guest_paging *paging, uint64_t gva, uint64_t *taken)
{
    static struct request r; /* one at a time: the machine's lock is held */
    if (guest_copy_virtual(&r.head, paging, gva, sizeof r.head) != sizeof r.head) return CHV_HYPERCALL_FAULT;
    size_t runs = r.head.runs <= CHV_HYPERCALL_RUNS ? r.head.runs * sizeof *r.runs : 0;
    if (guest_copy_virtual(r.runs, paging, gva + sizeof r.head, runs) != runs) return CHV_HYPERCALL_FAULT;
    if (!sane(&r)) return CHV_HYPERCALL_INVALID;
    if (r.head.kind == CHV_HYPERCALL_SETTLED) {
        *taken = wire_sender()->next_record - 1;
        return wire_sender()->durable >= (r.head.bytes ? r.head.bytes : *taken) ? CHV_HYPERCALL_OK : CHV_HYPERCALL_AGAIN;
    }
    if (r.head.kind == CHV_HYPERCALL_RECORD) return take(&r, taken);
    return page_space(r.head.space, r.head.bytes) < 0 ? CHV_HYPERCALL_AGAIN : CHV_HYPERCALL_OK;
}

bool hypercall(struct vcpu *vcpu)
{
    uint64_t *regs = vcpu->regs;
    struct vcpu_code code;
    if (!has_key || regs[VCPU_RAX] != CHV_HYPERCALL) return false;
    if ((regs[VCPU_RBX] ^ key[0]) | (regs[VCPU_RCX] ^ key[1])) return false; /* both at once: no half is guessed alone */
    vcpu_code(vcpu, &code);
    uint64_t taken = 0, gva = regs[VCPU_RDX];
    machine_lock();
    regs[VCPU_RAX] = (uint64_t)serve(&code.paging, gva, &taken);
    machine_unlock();
    regs[VCPU_RDX] = taken;
    return true;
}
