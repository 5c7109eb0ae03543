#include "fuzz.h"

static bool owned(void *arg, uint64_t gpa, uint64_t n)
{
    (void)arg;
    return n && (gpa + n < gpa || (gpa < FUZZ_RAM && gpa + n > FUZZ_OWN));
}

static bool ram(struct fuzz *f, uint64_t gpa, size_t n)
{
    if (n > f->budget || gpa >= FUZZ_OWN || n > FUZZ_OWN - gpa) return false;
    f->budget -= n + 1 > f->budget ? f->budget : n + 1;
    return true;
}

static bool copy(void *arg, void *dst, uint64_t gpa, size_t n)
{
    struct fuzz *f = arg;
    if (!ram(f, gpa, n)) return false;
    memcpy(dst, f->ram + gpa, n);
    return true;
}

static bool store(void *arg, uint64_t gpa, const void *src, size_t n)
{
    struct fuzz *f = arg;
    if (!ram(f, gpa, n)) return false;
    memcpy(f->ram + gpa, src, n);
    return true;
}

static uint32_t reg(void *arg, uint64_t offset)
{
    struct fuzz *f = arg;
    for (unsigned i = f->regs; i; i--)
        if (f->reg[i - 1].offset == offset) return f->reg[i - 1].value;
    return 0;
}

static void emit(void *arg, const struct visor_block *b)
{
    struct fuzz *f = arg;
    uint64_t sum = 0;
    rig_check(b);
    if (b->op == CHV_OP_WRITE)
        for (uint64_t i = 0; i < b->sectors * 512; i++) sum += b->data[i];
    if (b->op == CHV_OP_SPACE)
        for (unsigned i = 0; i < CHV_SPACE_NAME_BYTES; i++) sum += b->data[i];
    f->events += sum ? 2 : 1;
}

struct storage_port fuzz_port(struct fuzz *f)
{
    return (struct storage_port){.arg = f, .copy = copy, .store = store, .owned = owned, .reg = reg, .emit = emit};
}

void fuzz_set(struct fuzz *f, uint64_t offset, uint32_t value)
{
    for (unsigned i = 0; i < f->regs; i++)
        if (f->reg[i].offset == offset) {
            f->reg[i].value = value;
            return;
        }
    if (f->regs == FUZZ_REGISTERS) return;
    f->reg[f->regs].offset = offset;
    f->reg[f->regs++].value = value;
}

static uint64_t take(struct fuzz *f, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes && f->at < f->end; i++) v |= (uint64_t)*f->at++ << i * 8;
    return v;
}

static void poke(struct fuzz *f)
{
    uint64_t address = take(f, 2) << 1, n = take(f, 1) + 1;
    if (n > (uint64_t)(f->end - f->at)) n = (uint64_t)(f->end - f->at);
    if (n > FUZZ_RAM - address) n = FUZZ_RAM - address;
    memcpy(f->ram + address, f->at, n);
    f->at += n;
}

void fuzz_run(struct fuzz *f, const uint8_t *data, size_t size)
{
    f->at = data;
    f->end = data + size;
    f->budget = FUZZ_BUDGET;
    while (f->at < f->end) {
        uint64_t op = take(f, 1) % 5, offset, value;
        unsigned width = 4;
        if (op == 1) {
            poke(f);
            continue;
        }
        offset = take(f, 2);
        if (op == 3) width = 8;
        if (op == 4) width = 1u << (take(f, 1) & 3);
        value = take(f, width > 4 ? 8 : 4);
        if (op == 2) fuzz_set(f, offset, (uint32_t)value);
        else f->write(f->mediator, offset, width, &value);
    }
}
