/* Memory on request: what programs in the guest ask for by VMMCALL, and the collector by frames. */
#include "tests/visor/memory.h"
#include "visor/arch/x86/bits.h"

static const struct chv_hypercall_run some = {0x10000, 0, 3, 0};

static void configure(const char *text)
{
    struct config config;
    config_read(&config, text, strlen(text));
    hypercall_init(&config);
}

static void put(const struct chv_hypercall *head, const struct chv_hypercall_run *runs)
{
    uint8_t *at = arena + (ARENA_PAGES - 2) * 4096;
    memcpy(at, head, sizeof *head);
    if (runs) memcpy(at + sizeof *head, runs, head->runs * sizeof *runs);
}

static uint64_t call(uint64_t gva, uint64_t *number)
{
    struct vcpu v = {.regs = {CHV_HYPERCALL, KEY_HIGH, gva, KEY_LOW, 1, 2, 3, 4}, .rip = 5}, before = v;
    CHECK(hypercall(&v));
    if (number) *number = v.regs[VCPU_RDX];
    before.regs[VCPU_RAX] = v.regs[VCPU_RAX];
    before.regs[VCPU_RDX] = v.regs[VCPU_RDX];
    CHECK(!memcmp(&v, &before, sizeof v)); /* nothing else comes back */
    return v.regs[VCPU_RAX];
}

static uint64_t said(struct chv_hypercall head, const struct chv_hypercall_run *runs, uint64_t *number)
{
    put(&head, runs);
    return call(REQUEST_VA, number);
}

static uint64_t begin(const char *name, uint64_t bytes)
{
    struct chv_hypercall h = {.version = 1, .kind = CHV_HYPERCALL_BEGIN, .bytes = bytes};
    snprintf(h.space, sizeof h.space, "%s", name);
    return said(h, NULL, NULL);
}

static void rights(void)
{
    memory_guest();
    struct vcpu v = {.regs = {CHV_HYPERCALL, KEY_HIGH, REQUEST_VA, KEY_LOW}}, before;
    configure("");
    before = v;
    CHECK(!hypercall(&v) && !memcmp(&v, &before, sizeof v));
    configure(CONFIG_TEXT);
    for (unsigned bit = 0; bit < 192; bit++) { /* a bit of the number or of the key is wrong */
        static const unsigned reg[] = {VCPU_RAX, VCPU_RBX, VCPU_RCX};
        struct vcpu wrong = v;
        wrong.regs[reg[bit / 64]] ^= UINT64_C(1) << bit % 64;
        before = wrong;
        CHECK(!hypercall(&wrong) && !memcmp(&wrong, &before, sizeof wrong));
    }
    CHECK(hypercall(&v) && v.regs[VCPU_RAX] == CHV_HYPERCALL_INVALID && !kept_count && !wire_sender()->device_count);
}

static void records(void)
{
    uint64_t n;
    struct chv_hypercall h = {.version = 1, .kind = CHV_HYPERCALL_RECORD, .space = "proc:7", .runs = 3};
    struct chv_hypercall_run runs[] = {{0x10000, arena_gpa(8) >> 12, 30, 0}, {0x40000, arena_gpa(8) >> 12, 32, 0}, {0x90000, arena_gpa(9) >> 12, 3, 0}};
    memory_guest();
    CHECK(said(h, runs, NULL) == CHV_HYPERCALL_NO_SPACE && begin("proc:7", PROCESS_BYTES) == CHV_HYPERCALL_OK && !kept_count);
    CHECK(said(h, runs, &n) == CHV_HYPERCALL_OK && n == CHV_HYPERCALL_PAGES && kept_count == n);
    for (unsigned i = 0; i < kept_count; i++) {
        unsigned page = i < 30 ? 8 + i : i < 62 ? 8 + i - 30 : 9 + i - 62;
        CHECK(kept[i].address == (i < 30 ? 0x10000 + i * 4096 : i < 62 ? 0x40000 + (i - 30) * 4096 : 0x90000 + (i - 62) * 4096));
        CHECK(kept[i].op == (page % 4 == 3 ? CHV_OP_ZERO : CHV_OP_FOUND) && !memcmp(kept[i].data, arena + page * 4096, 4096));
    }
    /* up to what is not the guest's; the ring is full in between */
    runs[0] = (struct chv_hypercall_run){0x10000, arena_gpa(OWN_PAGE - 2) >> 12, 5, 0};
    CHECK(said(h, runs, &n) == CHV_HYPERCALL_NOT_RAM && n == 2);
    runs[0].frame = (UINT64_C(1) << 40) - 1;
    CHECK(said(h, runs, &n) == CHV_HYPERCALL_NOT_RAM && n == 0);
    busy = 3;
    runs[0].frame = arena_gpa(8) >> 12;
    CHECK(said(h, runs, &n) == CHV_HYPERCALL_AGAIN && n < 3);
    busy = 0;
    /* once more under the same name: what was there is no more */
    kept_count = 0;
    CHECK(begin("proc:7", PROCESS_BYTES) == CHV_HYPERCALL_OK && kept_count == 128 && kept[127].op == CHV_OP_TRIM &&
          kept[127].address + kept[127].bytes == PROCESS_BYTES);
    /* a map ends where it was said to */
    memcpy(h.space, "map:7", 6);
    runs[0] = (struct chv_hypercall_run){0, arena_gpa(8) >> 12, 3, 0};
    h.runs = 1;
    CHECK(begin("map:7", 8192) == CHV_HYPERCALL_OK && said(h, runs, &n) == CHV_HYPERCALL_INVALID && n == 2);
    CHECK(said((struct chv_hypercall){.version = 1, .kind = CHV_HYPERCALL_SETTLED}, NULL, &n) == CHV_HYPERCALL_AGAIN && n == kept_count);
    CHECK(said((struct chv_hypercall){.version = 1, .kind = CHV_HYPERCALL_SETTLED, .bytes = n / 2}, NULL, NULL) == CHV_HYPERCALL_OK);
    places = wire_sender()->device_count;
    CHECK(begin("proc:8", 4096) == CHV_HYPERCALL_AGAIN);
}

static void nonsense(void)
{
    memory_guest();
    CHECK(begin("proc:7", PROCESS_BYTES) == CHV_HYPERCALL_OK);
    const struct chv_hypercall good = {.version = 1, .kind = CHV_HYPERCALL_RECORD, .space = "proc:7", .runs = 1};
    const struct chv_hypercall_run run = {0x10000, arena_gpa(8) >> 12, 1, 0};
    struct chv_hypercall h[] = {good, good, good, good, good, good, good, good};
    h[0].version = 2, h[1].kind = 0, h[2].kind = 9, h[3].runs = 0, h[4].bytes = 1, h[5].reserved = 1, h[6].space[5] = '/', h[7].space[31] = 'x';
    for (size_t i = 0; i < ARRAY_LENGTH(h); i++) CHECK(said(h[i], &run, NULL) == CHV_HYPERCALL_INVALID);
    struct chv_hypercall_run r[] = {run, run, run, run, run, run};
    r[0].address = 1, r[1].pages = 0, r[2].pages = UINT32_MAX, r[2].address = PROCESS_BYTES - 4096, r[3].address = PROCESS_BYTES;
    r[4].frame = UINT64_C(1) << 40, r[5].reserved = 1;
    for (size_t i = 0; i < ARRAY_LENGTH(r); i++) CHECK(said(good, &r[i], NULL) == CHV_HYPERCALL_INVALID);
    static const char *const names[] = {"ram", "disk:nvme0n1", "proc:", "map:", "", "proc:a b", "wire", "capture:ram"};
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) CHECK(begin(names[i], 4096) == CHV_HYPERCALL_INVALID);
    CHECK(begin("proc:9", PROCESS_BYTES + 4096) == CHV_HYPERCALL_INVALID && begin("proc:9", 4095) == CHV_HYPERCALL_INVALID &&
          begin("proc:9", 0) == CHV_HYPERCALL_INVALID && begin("map:9", CHV_HYPERCALL_MAP_BYTES_MAX + 4096) == CHV_HYPERCALL_INVALID);
    h[0] = good, h[0].runs = UINT32_MAX; /* the list is not even looked at */
    memcpy(arena + (ARENA_PAGES - 2) * 4096, &h[0], sizeof *h);
    CHECK(call(REQUEST_VA, NULL) == CHV_HYPERCALL_INVALID);
    /* addresses: nowhere, at the end of what is mapped, in our memory, round the end */
    const uint64_t at[] = {0, REQUEST_VA + 8192 - 20, CODE_VA + 8 * 4096, UINT64_MAX - 3, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_LENGTH(at); i++) CHECK(call(at[i], NULL) == CHV_HYPERCALL_FAULT);
    CHECK(wire_sender()->device_count == 1 && !kept_count);
    put(&good, &some);
    CHECK(call(REQUEST_VA, NULL) == CHV_HYPERCALL_NOT_RAM);
}

static struct chv_reply ask(uint32_t kind, uint64_t id, uint64_t first, uint64_t end, uint64_t table)
{
    static uint8_t out[CHV_WIRE_REPLY_BYTES_MAX];
    struct chv_reply reply;
    size_t n = capture_request(NULL, &(struct chv_request){id, first, end, table, kind, 0}, out);
    memcpy(&reply, out, sizeof reply);
    CHECK(n == sizeof reply + reply.stretches * sizeof(struct chv_wire_stretch) + reply.processors * sizeof(struct chv_wire_processor));
    return reply;
}

static struct chv_reply finish(uint64_t id)
{
    unsigned polls = 0;
    while (capture_poll()) CHECK(++polls < 1000000);
    return ask(CHV_REQUEST_RAM, id, 0, 0, 0);
}

static uint64_t id = 1;

static void ram(void)
{
    for (busy = 0; busy <= 5; busy += 5) {
        unsigned often = busy;
        memory_guest();
        busy = often;
        struct chv_reply r = ask(CHV_REQUEST_LOOK, 77, 0, 0, 0);
        CHECK(r.id == 77 && r.stretches == 2 && r.processors == 1 && r.state == CHV_REPLY_NONE);
        CHECK(ask(CHV_REQUEST_LOOK, 77, 1, 1, 0).stretches == 1 && ask(CHV_REQUEST_LOOK, 77, 2, 5, 0).processors == 0);
        CHECK(ask(CHV_REQUEST_RAM, ++id, 0, UINT64_MAX & ~UINT64_C(4095), 0).state == CHV_REPLY_RUNNING);
        r = finish(id);
        CHECK(r.state == CHV_REPLY_DONE && r.id == id && r.pages == ARENA_PAGES - 1 && r.records == kept_count);
        CHECK(wire_sender()->device_count == 1 && !strcmp(wire_sender()->devices[0].name, "ram") && wire_sender()->devices[0].bytes == arena_gpa(ARENA_PAGES));
        static uint8_t copy[sizeof arena];
        memset(copy, 0xee, sizeof copy);
        memset(copy + OWN_PAGE * 4096, 0, 4096);
        for (unsigned i = 0; i < kept_count; i++) memcpy(copy + (kept[i].address - arena_gpa(0)), kept[i].data, kept[i].bytes < 4096 ? 0 : 4096);
        for (unsigned i = 0; i < kept_count; i++)
            if (kept[i].op == CHV_OP_ZERO) memset(copy + (kept[i].address - arena_gpa(0)), 0, kept[i].bytes);
        uint8_t own[4096];
        memcpy(own, arena + OWN_PAGE * 4096, 4096);
        memset(arena + OWN_PAGE * 4096, 0, 4096);
        CHECK(!memcmp(copy, arena, sizeof arena));
        memcpy(arena + OWN_PAGE * 4096, own, 4096);
        CHECK(kept[0].op == CHV_OP_FOUND && kept_count < ARENA_PAGES - 1); /* zeros side by side are one record */
    }
    busy = 0;
    /* a part; an old request; a new one ends what is under way */
    kept_count = 0;
    ask(CHV_REQUEST_RAM, ++id, arena_gpa(9), arena_gpa(11), 0);
    CHECK(finish(id).pages == 2 && kept_count == 2);
    CHECK(ask(CHV_REQUEST_RAM, id - 1, 0, 4096, 0).id == id && !capture_poll());
    ask(CHV_REQUEST_RAM, ++id, 0, arena_gpa(ARENA_PAGES), 0);
    CHECK(capture_poll() && ask(CHV_REQUEST_STOP, ++id, 0, 0, 0).state == CHV_REPLY_STOPPED && !capture_poll());
    CHECK(ask(CHV_REQUEST_RAM, ++id, 1, 4096, 0).state == CHV_REPLY_REFUSED && ask(CHV_REQUEST_RAM, ++id, 4096, 4096, 0).state == CHV_REPLY_REFUSED);
    places = 0, wire_sender()->device_count = 0;
    CHECK(ask(CHV_REQUEST_RAM, ++id, 0, 4096, 0).state == CHV_REPLY_NO_ROOM && !capture_poll());
}

static void walks(void)
{
    enum { W = CHV_WIRE_PAGE_WRITE, X = CHV_WIRE_PAGE_EXEC, U = CHV_WIRE_PAGE_USER, A = CHV_WIRE_PAGE_ACCESSED, D = CHV_WIRE_PAGE_DIRTY };
    for (unsigned often = 0; often <= 3; often += 3) {
        unsigned pages = 0, request = 0, large = 0;
        memory_guest();
        busy = often;
        struct chv_reply r = ask(CHV_REQUEST_WALK, ++id, 0, UINT64_MAX & ~UINT64_C(4095), arena_gpa(0));
        CHECK(r.state == CHV_REPLY_RUNNING && wire_sender()->device_count == 1);
        r = finish(id);
        CHECK(r.state == CHV_REPLY_DONE && r.position == PROCESS_BYTES);
        char name[32];
        snprintf(name, sizeof name, "proc:cr3-%llx", (unsigned long long)arena_gpa(0));
        CHECK(!strcmp(wire_sender()->devices[0].name, name));
        for (unsigned i = 0; i < kept_count; i++) {
            const struct kept *k = &kept[i];
            CHECK(k->address != CODE_VA + 8 * 4096); /* the hypervisor's */
            if (k->address == REQUEST_VA) request = k->flags;
            if (k->address >= 0x600000) large = k->flags;
            if (k->address < CODE_VA || k->address >= CODE_VA + 8 * 4096) continue;
            unsigned page = 16 + (unsigned)((k->address - CODE_VA) >> 12);
            CHECK(page % 4 == 3 ? k->op == CHV_OP_ZERO : !memcmp(k->data, arena + page * 4096, 4096));
            CHECK(k->flags == (page < 20 ? X | U | A : W | U | A | D) && k->bytes == 4096);
            pages++;
        }
        CHECK(pages == 8 && request == (W | X | U) && large == (W | X | U | A | D));
    }
    busy = 0;
    /* tables that lead to themselves map more than there can be */
    uint64_t *t = (uint64_t *)(void *)arena;
    memory_guest();
    for (unsigned i = 0; i < 512; i++) t[i] = arena_gpa(0) | 7;
    ask(CHV_REQUEST_WALK, ++id, 0, PROCESS_BYTES, arena_gpa(0));
    struct chv_reply r = finish(id);
    CHECK(r.state == CHV_REPLY_CUT && r.pages == (ARENA_PAGES - 1) * 4);
    /* tables that map nothing, and would take 2^35 steps to say so: all of a level's entries lead to the same table, and the last is empty */
    for (unsigned levels = 1; levels <= 3; levels++) {
        memory_guest();
        memset(arena, 0, 4 * 4096);
        for (unsigned level = 0; level < levels; level++)
            for (unsigned i = 0; i < 512; i++) t[512 * level + i] = arena_gpa(level + 1) | 7;
        ask(CHV_REQUEST_WALK, ++id, 0, PROCESS_BYTES, arena_gpa(0));
        unsigned polls = 0;
        while (capture_poll()) polls++;
        r = ask(CHV_REQUEST_RAM, id, 0, 0, 0);
        CHECK(r.state == CHV_REPLY_CUT && !r.pages && polls <= (ARENA_PAGES - 1) / 2 && r.position < PROCESS_BYTES);
    }
    /* one page again and again, and empty entries in between */
    memory_guest();
    for (unsigned i = 0; i < 512; i++) t[i] = i % 2 ? arena_gpa(0) | 7 : 0;
    ask(CHV_REQUEST_WALK, ++id, 0, PROCESS_BYTES, arena_gpa(0));
    r = finish(id);
    CHECK(r.state == CHV_REPLY_CUT && r.pages > ARENA_PAGES * 2 && r.pages < ARENA_PAGES * 4);
    memory_guest(); /* as it was, with much that is empty: to its end */
    ask(CHV_REQUEST_WALK, ++id, 0, PROCESS_BYTES, arena_gpa(0));
    CHECK(finish(id).state == CHV_REPLY_DONE);
    CHECK(ask(CHV_REQUEST_WALK, ++id, 0, PROCESS_BYTES, arena_gpa(OWN_PAGE)).state == CHV_REPLY_REFUSED);
    CHECK(ask(CHV_REQUEST_WALK, ++id, 0, PROCESS_BYTES, 4096).state == CHV_REPLY_REFUSED);
    /* another process takes its place on the wire: nothing goes there under a wrong name */
    memory_guest();
    ask(CHV_REQUEST_WALK, ++id, 0, PROCESS_BYTES, arena_gpa(0));
    CHECK(capture_poll());
    unsigned before = kept_count;
    memcpy(wire_sender()->devices[0].name, "proc:1\0", 8);
    CHECK(!capture_poll() && kept_count == before && finish(id).state == CHV_REPLY_NO_ROOM);
    places = 1, wire_sender()->device_count = 1;
    CHECK(ask(CHV_REQUEST_WALK, ++id, 0, PROCESS_BYTES, arena_gpa(0)).state == CHV_REPLY_NO_ROOM);
}

int main(void)
{
    rights();
    records();
    nonsense();
    ram();
    walks();
    return 0;
}
