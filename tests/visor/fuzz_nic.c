/* Network cards that answer anything, from registers and from their rings: first byte: which driver; then what registers say, again and again;
 * between polls the device writes some of the input over its rings. What a poll gives fits, and the driver stays in its memory. */
#include <stdlib.h>
#include <string.h>

#include "visor/net/nic.h"

static const uint8_t *input;
static size_t left, at;
static uint8_t *memory;

static uint32_t next(unsigned width)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < width && left; i++) {
        value |= (uint32_t)input[at++] << 8 * i;
        if (at == left) at = 0;
    }
    return value;
}

static uint32_t bus_read(void *arg, unsigned bar, uint32_t offset, unsigned width)
{
    (void)arg, (void)bar, (void)offset;
    return next(width);
}

static void bus_write(void *arg, unsigned bar, uint32_t offset, unsigned width, uint32_t value)
{
    (void)arg, (void)bar, (void)offset, (void)width, (void)value;
}

static uint32_t config_read(void *arg, unsigned reg)
{
    return reg ? next(4) : *(const uint32_t *)arg;
}

static void config_write(void *arg, unsigned reg, uint32_t value)
{
    (void)arg, (void)reg, (void)value;
}

static uint64_t physical(void *arg, const void *p)
{
    (void)arg;
    return (uint64_t)((const uint8_t *)p - memory);
}

static void wait(void *arg, unsigned us)
{
    (void)arg, (void)us;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t ids[] = {0x100e8086, 0x10d38086, 0x10411af4};
    static const uint8_t head[64], body[NIC_FRAME_BYTES];
    if (size < 2) return 0;
    uint32_t id = ids[data[0] % 3];
    const struct nic_bus bus = {&id, bus_read, bus_write, config_read, config_write, physical, wait};
    struct nic nic;
    uint8_t *frame = malloc(NIC_FRAME_BYTES);
    memory = aligned_alloc(4096, NIC_MEMORY_BYTES);
    memset(memory, 0, NIC_MEMORY_BYTES);
    input = data + 1, left = size - 1, at = 0;
    if (nic_init(&nic, &bus, memory)) {
        for (unsigned round = 0; round < 8; round++) {
            for (size_t i = 0, to = (size_t)next(2) % NIC_RINGS_BYTES; i < left && i < 256; i++) memory[(to + i) % NIC_RINGS_BYTES] = (uint8_t)next(1);
            size_t room = 1 + next(2) % NIC_FRAME_BYTES, n = nic.poll(&nic, frame, room);
            if (n > room) abort();
            nic.send(&nic, head, next(1) % sizeof head, body, next(2) % (NIC_FRAME_BYTES + 64));
        }
    }
    free(memory);
    free(frame);
    return 0;
}
