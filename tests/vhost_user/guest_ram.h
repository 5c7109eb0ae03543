/* Fabricated guest memory: one file, shown as two regions that are neighbours for the guest and strangers in our
 * address space. */
#ifndef CHV_TESTS_VHOST_GUEST_RAM_H
#define CHV_TESTS_VHOST_GUEST_RAM_H

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sensor/vhost_user/vring.h"
#include "tests/unit.h"

#define RAM_BYTES (512u << 10)
#define RAM_GPA 0x100000u
#define RAM_UVA 0x7f0000000000u
#define RAM_GAP 0x10000000u /* between the regions in the front-end's addresses */

struct guest_ram {
    int fd;
    uint8_t *at; /* of guest-physical RAM_GPA */
    struct guest_memory *memory;
};

static inline struct vu_memory ram_table(void)
{
    struct vu_memory t = {.count = 2};
    t.region[0] = (struct vu_region){.gpa = RAM_GPA, .bytes = RAM_BYTES / 2, .uva = RAM_UVA};
    t.region[1] = (struct vu_region){
        .gpa = RAM_GPA + RAM_BYTES / 2, .bytes = RAM_BYTES / 2, .uva = RAM_UVA + RAM_GAP, .offset = RAM_BYTES / 2};
    return t;
}

static inline void ram_init(struct guest_ram *ram)
{
    struct chv_err err;
    struct vu_memory table = ram_table();
    ram->fd = memfd_create("ram", MFD_CLOEXEC);
    CHECK(ram->fd >= 0 && ftruncate(ram->fd, RAM_BYTES) == 0);
    ram->at = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, ram->fd, 0);
    CHECK(ram->at != MAP_FAILED);
    const int fds[2] = {ram->fd, ram->fd};
    CHECK_OK(guest_memory_new(&table, fds, &ram->memory, &err), err);
}

static inline void ram_fini(struct guest_ram *ram)
{
    guest_memory_drop(ram->memory);
    munmap(ram->at, RAM_BYTES);
    close(ram->fd);
}

/* Where the rings are in it. */
enum { DESC_AT = 0, AVAIL_AT = 0x4000, USED_AT = 0x8000, TABLE_AT = 0xc000, DATA_AT = 0x10000 };

static inline void ram_ring(const struct guest_ram *ram, struct vring *v, uint32_t size, bool packed, bool event_idx)
{
    struct chv_err err;
    *v = (struct vring){.size = size, .packed = packed, .event_idx = event_idx, .indirect = true};
    v->addr = (struct vu_addr){.desc = RAM_UVA + DESC_AT, .avail = RAM_UVA + AVAIL_AT, .used = RAM_UVA + USED_AT};
    CHECK_OK(vring_map(v, ram->memory, &err), err);
    vring_set_base(v, packed ? 1u << 15 | 1u << 31 : 0);
}

/* One descriptor of either kind at `at`; a, b: split flags and next, packed id and flags. */
static inline void ram_desc(const struct guest_ram *ram, uint32_t at, uint64_t gpa, uint32_t bytes, unsigned a,
                            unsigned b)
{
    struct vring_desc_copy d = {.addr = gpa, .bytes = bytes, .a = (uint16_t)a, .b = (uint16_t)b};
    memcpy(ram->at + at, &d, sizeof d);
}

static inline void ram_put16(const struct guest_ram *ram, uint32_t at, unsigned value)
{
    const uint16_t v = (uint16_t)value;
    memcpy(ram->at + at, &v, 2);
}

static inline unsigned ram_get16(const struct guest_ram *ram, uint32_t at)
{
    uint16_t v;
    memcpy(&v, ram->at + at, 2);
    return v;
}

#endif
