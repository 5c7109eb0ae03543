/* Calls of a hostile guest, and requests of a hostile collector: a row of (what, length, bytes). What 0: a call with these registers and
 * this memory behind RDX; 1: memory, anywhere; 2: a request; else: polls. */
#include "tests/visor/memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t reply[CHV_WIRE_REPLY_BYTES_MAX];
    static uint64_t id;
    struct vcpu v;
    memory_guest();
    static struct config config;
    config_read(&config, CONFIG_TEXT, sizeof CONFIG_TEXT - 1);
    hypercall_init(&config);
    for (unsigned what; size >= 3; data += what, size -= what) {
        unsigned kind = data[0] % 4;
        what = (unsigned)(data[1] | data[2] << 8) % 4096;
        data += 3, size -= 3;
        if (what > size) what = (unsigned)size;
        if (kind == 0) {
            uint64_t gva = REQUEST_VA;
            if (what >= 8 && data[7] & 1) memcpy(&gva, data, 8);
            memcpy(arena + (ARENA_PAGES - 2) * 4096, data, what);
            for (unsigned n = 0; n < 3; n++) { /* the same again and again */
                v = (struct vcpu){.regs = {CHV_HYPERCALL, KEY_HIGH, gva, KEY_LOW}};
                if (!hypercall(&v) || v.regs[VCPU_RDX] > CHV_HYPERCALL_PAGES + kept_count || v.regs[VCPU_RAX] > CHV_HYPERCALL_NO_SPACE) abort();
            }
        } else if (kind == 1 && what >= 4) {
            size_t at = (size_t)(data[0] | data[1] << 8 | data[2] << 16) % (sizeof arena - 4096);
            memcpy(arena + at, data, what);
            busy = data[3] % 8;
        } else if (kind == 2) {
            struct chv_request r = {.id = ++id, .table = arena_gpa(0), .end = UINT64_MAX & ~UINT64_C(4095)};
            memcpy((uint8_t *)&r.first, data, what < 32 ? what : 32);
            if (r.table < 4096 * 16) r.table = arena_gpa((unsigned)(r.table / 1024));
            if (capture_request(NULL, &r, reply) > sizeof reply) abort();
        }
        for (unsigned n = 0; n < 200 && capture_poll(); n++) continue;
    }
    return 0;
}
