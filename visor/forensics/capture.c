/* What the collector asks for: physical memory, or what page tables map. A few pages between two exits; the guest runs on. */
#include "visor/arch/x86/bits.h"
#include "visor/core/print.h"
#include "visor/forensics/forensics.h"

enum { PAGES_A_POLL = 16, STEPS_A_POLL = 64 };
enum { BUDGET = 16, PAGE_COST = 4 }; /* of a walk, for each page of the RAM; of a mapped page, shared ones each time. An empty entry costs 1 */
#define ZEROS_MOST (UINT64_C(1) << 30) /* of one record */

static struct {
    struct chv_request request; /* id 0: there was none */
    uint32_t state;
    char name[CHV_WIRE_NAME_BYTES];
    int space; /* its number on the wire */
    uint64_t position, pages;
    uint64_t zeros, zeros_end; /* pages from there up to here are zeros, and no record says so yet */
    uint8_t zeros_flags;
    struct guest_paging paging;
    uint64_t budget; /* tables may lead to themselves, or to the same empty one for ever */
} job;

static bool put_zeros(void)
{
    uint64_t n = job.zeros_end - job.zeros;
    if (n && page_put(job.space, CHV_OP_ZERO, job.zeros_flags, job.zeros, n, NULL) != PAGE_TAKEN) return false;
    job.zeros = job.zeros_end;
    return true;
}

/* False: not now. *is_ram false: there is nothing at gpa to be recorded. */
static bool put_page(uint64_t address, uint64_t gpa, uint8_t flags, bool *is_ram)
{
    bool zero;
    const uint8_t *page = page_copy(gpa, &zero);
    *is_ram = page;
    if (!page) return true;
    bool goes_on = zero && job.zeros_end == address && job.zeros_flags == flags && address - job.zeros < ZEROS_MOST;
    if (!goes_on && !put_zeros()) return false;
    if (!zero && page_put(job.space, CHV_OP_FOUND, flags, address, PAGE_BYTES, page) != PAGE_TAKEN) return false;
    if (zero && !goes_on) job.zeros = address;
    if (zero) job.zeros_end = address + PAGE_BYTES, job.zeros_flags = flags;
    job.pages++;
    return true;
}

static bool finish(uint32_t state)
{
    if (put_zeros()) job.state = state;
    return false;
}

/* Each of the two: false if nothing more can be done now. */
static bool step_ram(unsigned *pages)
{
    uint64_t base, end;
    bool is_ram;
    if (!guest_ram_next(job.position, &base, &end)) base = UINT64_MAX;
    if (base > job.position) job.position = base;
    if (job.position >= job.request.end) return finish(CHV_REPLY_DONE);
    if (!put_page(job.position, job.position, 0, &is_ram)) return false;
    job.position += PAGE_BYTES;
    ++*pages;
    return true;
}

static uint8_t flags_of(uint64_t f)
{
    return (uint8_t)((f & LEAF_WRITE ? CHV_WIRE_PAGE_WRITE : 0) | (f & LEAF_NO_EXECUTE ? 0 : CHV_WIRE_PAGE_EXEC) |
                     (f & LEAF_USER ? CHV_WIRE_PAGE_USER : 0) | (f & LEAF_ACCESSED ? CHV_WIRE_PAGE_ACCESSED : 0) |
                     (f & LEAF_DIRTY ? CHV_WIRE_PAGE_DIRTY : 0));
}

static bool step_walk(unsigned *pages)
{
    struct guest_leaf leaf;
    uint64_t base, end;
    bool is_ram;
    if (job.position >= job.request.end) return finish(CHV_REPLY_DONE);
    if (job.budget < PAGE_COST) return finish(CHV_REPLY_CUT);
    bool mapped = guest_leaf(&job.paging, job.position, &leaf);
    uint64_t gpa = align_down(leaf.gpa, PAGE_BYTES), rest = leaf.bytes - (job.position & (leaf.bytes - 1));
    if (mapped) {
        if (!put_page(job.position, gpa, flags_of(leaf.flags), &is_ram)) return false;
        if (!is_ram && guest_ram_next(gpa, &base, &end) && base > gpa && base - gpa < rest) rest = base - gpa;
        if (is_ram) rest = PAGE_BYTES;
        ++*pages;
    }
    job.budget -= mapped ? PAGE_COST : 1;
    job.position += rest;
    return true;
}

bool capture_poll(void)
{
    unsigned pages = 0;
    if (job.state != CHV_REPLY_RUNNING) return false;
    if (page_space_find(job.name) != job.space) job.state = CHV_REPLY_NO_ROOM; /* another process has its place */
    for (unsigned n = 0; job.state == CHV_REPLY_RUNNING && pages < PAGES_A_POLL && n < STEPS_A_POLL; n++)
        if (!(job.request.kind == CHV_REQUEST_RAM ? step_ram : step_walk)(&pages)) break;
    return job.state == CHV_REPLY_RUNNING;
}

/* --- requests */

static uint32_t begin_walk(void)
{
    static const char prefix[] = "proc:cr3-";
    struct vcpu_code code;
    size_t n = sizeof prefix - 1;
    vcpu_code(&vcpus[0], &code); /* that it is a 64-bit system, and how many levels there are, holds for all */
    job.paging = code.paging;
    job.paging.cr3 = job.request.table;
    if (!(job.paging.efer & EFER_LMA) || !guest_is_ram(job.request.table, PAGE_BYTES)) return CHV_REPLY_REFUSED;
    if (job.request.end > PROCESS_BYTES) job.request.end = PROCESS_BYTES;
    memcpy(job.name, prefix, n);
    for (unsigned shift = 64; shift;) {
        shift -= 4;
        if (job.request.table >> shift) job.name[n++] = "0123456789abcdef"[job.request.table >> shift & 15];
    }
    job.space = page_space(job.name, PROCESS_BYTES);
    return CHV_REPLY_RUNNING;
}

static void begin(const struct chv_request *r)
{
    uint64_t base, end, ram_end = 0, ram_bytes = 0;
    memset(&job, 0, sizeof job);
    job.request = *r;
    job.position = r->first;
    for (uint64_t at = 0; guest_ram_next(at, &base, &end); at = ram_end = end) ram_bytes += end - base;
    job.budget = ram_bytes / PAGE_BYTES * BUDGET;
    job.state = CHV_REPLY_RUNNING;
    if (r->kind == CHV_REQUEST_STOP)
        job.state = CHV_REPLY_STOPPED;
    else if ((r->first | r->end | r->table) % PAGE_BYTES || r->first >= r->end)
        job.state = CHV_REPLY_REFUSED;
    else if (r->kind == CHV_REQUEST_WALK)
        job.state = begin_walk();
    else if ((job.space = page_space_find(memcpy(job.name, "ram", 4))) < 0) /* the camera may have it already */
        job.space = wire_space(job.name, ram_end);
    if (job.state == CHV_REPLY_RUNNING && job.space < 0) job.state = CHV_REPLY_NO_ROOM;
}

/* Stretches of RAM from number `first` on, and processors. */
static size_t look(const struct chv_request *r, struct chv_reply *reply, uint8_t *out)
{
    struct chv_wire_stretch s;
    uint64_t at = 0, end;
    size_t n = 0;
    for (uint64_t i = 0; reply->stretches < CHV_WIRE_RAM && guest_ram_next(at, &s.base, &end); i++, at = end) {
        if (i < r->first) continue;
        s.bytes = end - s.base;
        memcpy(out + n, &s, sizeof s);
        n += sizeof s;
        reply->stretches++;
    }
    for (uint64_t i = r->end; reply->processors < CHV_WIRE_PROCESSORS && i < vcpu_count; i++) {
        struct vcpu_code code;
        vcpu_code(&vcpus[i], &code);
        struct chv_wire_processor p = {code.paging.cr0, code.paging.cr3, code.paging.cr4, code.paging.efer, vcpus[i].rip};
        memcpy(out + n, &p, sizeof p);
        n += sizeof p;
        reply->processors++;
    }
    return n;
}

size_t capture_request(void *arg, const struct chv_request *request, uint8_t *out)
{
    bool looks = request->kind == CHV_REQUEST_LOOK;
    if (!looks && request->id > job.request.id) begin(request);
    struct chv_reply reply = {.id = looks ? request->id : job.request.id,
                              .position = job.position,
                              .records = wire_sender()->next_record - 1,
                              .pages = job.pages,
                              .state = looks ? CHV_REPLY_NONE : job.state};
    size_t n = looks ? look(request, &reply, out + sizeof reply) : 0;
    memcpy(out, &reply, sizeof reply);
    return sizeof reply + n;
}
