/* A small guest for the forensics: 320 pages of RAM at their own addresses, of which one is the hypervisor's, with 4-level tables; and a wire that
 * keeps what it is given. */
#ifndef CHV_TESTS_VISOR_MEMORY_H
#define CHV_TESTS_VISOR_MEMORY_H

#include "abi/hypercall.h"
#include "tests/visor/fake.h"
#include "visor/forensics/forensics.h"

#define ARENA_PAGES 320u
#define OWN_PAGE 40u          /* of the arena */
#define REQUEST_VA UINT64_C(0x7000) /* where the last two pages are mapped */
#define CODE_VA UINT64_C(0x400000)  /* where pages 16 to 23 are, and a large page from 600000h on */
#define CONFIG_TEXT "hypercall 00112233445566778899aabbccddeeff\n"
#define KEY_LOW UINT64_C(0x7766554433221100)
#define KEY_HIGH UINT64_C(0xffeeddccbbaa9988)

extern uint8_t arena[ARENA_PAGES * 4096];
static inline uint64_t arena_gpa(unsigned page)
{
    return (uintptr_t)arena + page * 4096;
}

/* What came over the wire, in order; content of the last 4096 records with content is kept. */
struct kept {
    int number;
    uint8_t op, flags;
    uint64_t address, bytes;
    uint8_t data[4096];
};
extern struct kept kept[4096];
extern unsigned kept_count;
extern unsigned busy;    /* every that many records the ring is full; 0: never */
extern unsigned places;  /* of the list of devices */
/* All anew: tables, RAM with content that its page's number determines (some are zeros), no records. */
void memory_guest(void);

#endif
