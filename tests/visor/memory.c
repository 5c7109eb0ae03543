#include "tests/visor/memory.h"
#include "visor/arch/x86/bits.h"
#include "visor/core/clock.h"

_Alignas(4096) uint8_t arena[ARENA_PAGES * 4096];
struct kept kept[4096];
unsigned kept_count, busy, places = CHV_WIRE_DEVICES;
struct vcpu vcpus[VCPU_MAX];
unsigned vcpu_count = 1;
static unsigned tries;
static bool locked;

void vcpu_code(const struct vcpu *v, struct vcpu_code *code)
{
    *code = (struct vcpu_code){v->rip, 64, {CR0_PG, arena_gpa(0), CR4_PAE, EFER_LMA}};
}

void machine_lock(void)
{
    CHECK(!locked);
    locked = true;
}

void machine_unlock(void)
{
    CHECK(locked);
    locked = false;
}

/* The sender: what the forensics want of it. */
static struct sender sender;

struct sender *wire_sender(void)
{
    return &sender;
}

uint64_t clock_ns(void)
{
    return 1;
}

int wire_space(const char name[CHV_WIRE_NAME_BYTES], uint64_t bytes)
{
    struct chv_device d = {.bytes = bytes};
    memcpy(d.name, name, sizeof d.name);
    CHECK(chv_wire_device_fits(&d));
    int number = page_space_find(name);
    if (number < 0 && sender.device_count == places) return -1;
    if (number < 0) number = (int)sender.device_count++;
    sender.devices[number] = d;
    return number;
}

bool wire_spare(void)
{
    return !busy || ++tries % busy;
}

int sender_record(struct sender *s, const struct chv_wire_record *r, const void *data, uint64_t now_ns)
{
    uint64_t address = chv_wire_lba(r) * 512, bytes = (uint64_t)r->sectors * 512;
    CHECK(r->device < s->device_count && bytes > 0 && (address | bytes) % 4096 == 0);
    CHECK(r->op == CHV_OP_FOUND ? data && bytes == 4096 : r->op == CHV_OP_ZERO || r->op == CHV_OP_TRIM);
    if (address > s->devices[r->device].bytes || bytes > s->devices[r->device].bytes - address) return SENDER_INVALID;
    struct kept *k = &kept[kept_count % ARRAY_LENGTH(kept)];
    *k = (struct kept){.number = r->device, .op = r->op, .flags = r->flags & chv_wire_flags(&s->devices[r->device], r->op), .address = address, .bytes = bytes};
    if (data) memcpy(k->data, data, 4096);
    s->next_record = ++kept_count + 1;
    s->durable = kept_count / 2;
    return SENDER_OK;
}

void memory_guest(void)
{
    static bool first = true;
    if (first) CHECK(guest_ram_add(arena_gpa(0), OWN_PAGE * 4096) && guest_ram_add(arena_gpa(OWN_PAGE + 1), (ARENA_PAGES - OWN_PAGE - 1) * 4096));
    guest_ram_own(arena_gpa(OWN_PAGE), 4096);
    first = false;
    memset(arena, 0, sizeof arena);
    memset(sender.devices, 0, sizeof sender.devices);
    for (unsigned p = 8; p < ARENA_PAGES; p++)
        if (p % 4 != 3) memset(arena + p * 4096 + p, (int)p, 100);
    uint64_t *t = (uint64_t *)(void *)arena; /* page 0: top; 1, 2: below it; 3: of CODE_VA; 4: of REQUEST_VA */
    t[0] = arena_gpa(1) | 7;
    t[512] = arena_gpa(2) | 7;
    t[1024 + (CODE_VA >> 21)] = arena_gpa(3) | 7;
    t[1024 + (CODE_VA >> 21) + 1] = align_down(arena_gpa(0), 1 << 21) | 0xe7; /* 2 MiB, most of them no RAM */
    t[1024] = arena_gpa(4) | 7;
    for (unsigned i = 0; i < 8; i++) t[1536 + i] = arena_gpa(16 + i) | (i < 4 ? 0x25 : UINT64_C(0x8000000000000067));
    t[1536 + 8] = arena_gpa(OWN_PAGE) | 7;
    t[2048 + 7] = arena_gpa(ARENA_PAGES - 2) | 7;
    t[2048 + 8] = arena_gpa(ARENA_PAGES - 1) | 7;
    kept_count = busy = tries = sender.device_count = 0;
    sender.next_record = 1;
    places = CHV_WIRE_DEVICES;
}
