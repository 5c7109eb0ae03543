#include "visor/camera/camera.h"
#include "visor/core/clock.h"
#include "visor/core/evidence.h"
#include "visor/core/machine.h"
#include "visor/core/memory.h"
#include "visor/core/mmio.h"
#include "visor/core/print.h"
#include "visor/core/wire.h"

enum { TOLD_AT_ONCE = 16 };

struct page {
    uint64_t gpa, *entry;   /* in nested paging */
    uint64_t opened_ns;     /* for writing, in this period */
    uint64_t lost, lost_ns; /* events that there was no room for, a gap when there is; the first of them */
    uint8_t seen, due;      /* enum vcpu_access: in this period; in the last one, and not told yet */
};

static struct {
    struct page *pages; /* by address */
    unsigned count, told;
    bool content; /* of written pages; else only its entropy */
    uint64_t first, end, period_ns, begun_ns, faults, lost;
    uint8_t copy[PAGE_BYTES];
} camera;

bool camera_on(void)
{
    return camera.count;
}

/* --- what is told */

/* Evidence of disks comes first: the camera leaves it half of the ring, and never makes the guest wait. */
static void tell(struct page *p, uint8_t op, uint8_t flags, const void *data)
{
    if (!wire_spare()) {
        if (!p->lost++) p->lost_ns = clock_ns();
        camera.lost++;
        return;
    }
    struct visor_block b = {0, p->gpa / CHV_SECTOR_BYTES, VISOR_BLOCK_SECTORS, data, 1, EVIDENCE_RAM, op, flags, 0};
    evidence_take(&b);
}

/* What the last period left to say of a page, before anybody may change it again. */
static void settle(struct page *p)
{
    struct chv_gap_detail gap = {.reason = CHV_GAP_QUEUE_FULL, .events = p->lost, .first_time_ns = p->lost_ns};
    uint8_t due = p->due;
    p->due = 0;
    if (p->lost && wire_spare()) {
        tell(p, CHV_OP_GAP, 0, &gap);
        p->lost = 0;
    }
    if (!(due & (VCPU_WRITE | VCPU_WALK)) || !guest_copy(camera.copy, p->gpa, PAGE_BYTES)) return;
    if (camera.content) {
        tell(p, due & VCPU_WRITE ? CHV_OP_WRITE : CHV_OP_FOUND, 0, camera.copy);
        return;
    }
    gap = (struct chv_gap_detail){CHV_GAP_UNKEPT, 0, entropy_of(camera.copy), {0}, 1, p->opened_ns, 0};
    tell(p, CHV_OP_GAP, 0, &gap);
}

/* --- periods */

/* Forbids all pages, on all processors, before anything is told of them: no write falls between two periods. Where the
 * guest put a device's registers over its memory, they are somebody else's. */
static void begin(uint64_t now_ns)
{
    bool changed = false;
    for (struct page *p = camera.pages; p < camera.pages + camera.count; p++) {
        p->due = p->seen;
        p->seen = 0;
        if (!*p->entry || mmio_watched(p->gpa)) continue;
        changed = true;
        __atomic_store_n(p->entry, 0, __ATOMIC_RELEASE);
    }
    if (changed) machine_flush();
    camera.told = 0;
    camera.begun_ns = now_ns;
}

bool camera_poll(uint64_t now_ns)
{
    if (camera.told == camera.count) {
        if (!camera.count || now_ns - camera.begun_ns < camera.period_ns) return false;
        begin(now_ns);
    }
    for (unsigned i = 0; i < TOLD_AT_ONCE && camera.told < camera.count; i++) settle(&camera.pages[camera.told++]);
    return camera.told < camera.count;
}

bool camera_finish(uint64_t now_ns)
{
    uint64_t owed = 0;
    if (!camera.count) return false;
    while (camera.told < camera.count) settle(&camera.pages[camera.told++]);
    begin(now_ns);
    for (; camera.told < camera.count; owed += camera.pages[camera.told++].lost) settle(&camera.pages[camera.told]);
    print("camera: %llu faults, %llu events lost, %llu of them not in a gap yet", (unsigned long long)camera.faults,
          (unsigned long long)camera.lost, (unsigned long long)owed);
    return owed;
}

static struct page *find(uint64_t gpa)
{
    struct page *p = camera.pages, *middle;
    for (unsigned n = camera.count; n > 0;) {
        middle = p + n / 2;
        if (middle->gpa == gpa) return middle;
        if (middle->gpa < gpa) p = middle + 1, n--;
        n /= 2;
    }
    return NULL;
}

bool camera_fault(uint64_t gpa, enum vcpu_access access, uint64_t now_ns)
{
    struct page *p = find(align_down(gpa, PAGE_BYTES));
    if (!p || mmio_watched(gpa)) return false;
    settle(p);
    if (p->seen & access) return true; /* another processor was first, and this one had not noticed */
    p->seen |= (uint8_t)access;
    camera.faults++;
    uint64_t may = PAGING_PRESENT | PAGING_USER | (p->seen & VCPU_EXECUTE ? 0 : PAGING_NO_EXECUTE);
    if (p->seen & (VCPU_WRITE | VCPU_WALK)) may |= PAGING_WRITE; /* page tables are walked as if they were written */
    if (access == VCPU_WRITE || access == VCPU_WALK) p->opened_ns = now_ns;
    if (access != VCPU_WRITE) tell(p, CHV_OP_READ, access == VCPU_EXECUTE ? CHV_EVENT_EXECUTE : 0, NULL);
    __atomic_store_n(p->entry, p->gpa | may, __ATOMIC_RELEASE);
    return true;
}

/* --- the sample */

/* How many pages of RAM the configured range has; the index-th of them is *gpa. */
static uint64_t look_up(uint64_t index, uint64_t *gpa)
{
    uint64_t at = 0, base, end, total = 0;
    for (; guest_ram_next(at, &base, &end); at = end) {
        uint64_t top = end < camera.end ? end : camera.end;
        if (base < camera.first) base = camera.first;
        if (base >= top) continue;
        if (index - total < (top - base) / PAGE_BYTES) *gpa = base + (index - total) * PAGE_BYTES;
        total += (top - base) / PAGE_BYTES;
    }
    return total;
}

static uint64_t random(uint64_t *seed) /* SplitMix64 */
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* One page at random out of each of `want` stretches of the same length. */
static void draw(uint64_t want, uint64_t total, uint64_t seed)
{
    for (uint64_t i = 0; i < want; i++) {
        uint64_t first = i * total / want, gpa = 0;
        look_up(first + random(&seed) % ((i + 1) * total / want - first), &gpa);
        uint64_t *entry = guest_is_ram(gpa, PAGE_BYTES) && !mmio_watched(gpa) ? machine_entry(gpa) : NULL;
        if (!entry) continue;
        unsigned at = camera.count++;
        for (; at && camera.pages[at - 1].gpa > gpa; at--) camera.pages[at] = camera.pages[at - 1];
        camera.pages[at] = (struct page){.gpa = gpa, .entry = entry};
    }
}

void camera_init(const struct config *config, uint64_t now_ns)
{
    static const uint8_t name[CHV_SPACE_NAME_BYTES] = "ram";
    uint64_t want = config->camera_pages, total, base, bytes = config->camera_bytes, end = 0;
    if (!want) return;
    camera.first = config->camera_from;
    camera.end = bytes < UINT64_MAX - camera.first ? camera.first + bytes : UINT64_MAX;
    camera.period_ns = config->camera_period_ms * 1000000;
    camera.content = config->camera_content;
    total = look_up(0, &base);
    if (want > total) want = total;
    camera.pages = memory_alloc(want * sizeof *camera.pages, 64);
    camera.count = 0;
    draw(want, total, config_has(config, "camera_seed") ? config->camera_seed : now_ns);
    while (guest_ram_next(end, &base, &end)) continue;
    evidence_take(&(struct visor_block){0, end / CHV_SECTOR_BYTES, 0, name, 1, EVIDENCE_RAM, CHV_OP_SPACE, 0, 0});
    begin(now_ns);
    camera.told = camera.count;
    print("camera: %u of %llu pages, every %llu ms", camera.count, (unsigned long long)total,
          (unsigned long long)camera.period_ns / 1000000);
}
