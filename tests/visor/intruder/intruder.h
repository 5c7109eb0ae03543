/* A program in the place of an operating system's kernel: ring 0, no system around it, under the hypervisor. It tries what malware with every
 * right might try, and says on COM1 what came of it. Before and after each attempt it writes a block to two disks. */
#ifndef CHV_TESTS_INTRUDER_H
#define CHV_TESTS_INTRUDER_H

#include "visor/arch/x86/cpu.h"
#include "visor/boot/efi.h"
#include "visor/core/print.h"

enum { PAGE = 4096, UD = 6, GP = 13, PF = 14 };

/* entry.c */
extern EFI_SYSTEM_TABLE *efi;
extern volatile uint32_t nmis;              /* how many came */
extern uint64_t own, own_bytes;             /* the hypervisor's memory */
void say(const char *format, ...);          /* a line "@@ ..." */
void attempt(const char *name);             /* marks, then says the name; ended by: */
void result(const char *format, ...);       /* says what came of it, and marks */
void pause_us(unsigned us);
void *page_alloc(unsigned pages);           /* zeroed; physical is virtual */
uint64_t low_page(void);                    /* one below 1 MiB */
const uint8_t *acpi(const char *signature); /* NULL: no such table */
/* The other processor does this, again and again, until it is given something else; NULL: nothing. */
void other_does(void (*job)(void));
extern volatile uint64_t other_rounds;

/* Each returns the exception that it got; 0: none. */
unsigned try_read(uint64_t msr, uint64_t *value);
unsigned try_write(uint64_t msr, uint64_t value);
unsigned try_store(uint64_t address, uint32_t value);
unsigned try_call(uint64_t address);
unsigned try_code(const void *code, uint64_t rax, uint64_t rcx); /* goes there with these registers */

/* pci.c */
uint32_t config_read(unsigned bdf, unsigned reg);
void config_write(unsigned bdf, unsigned reg, uint32_t value);
uint64_t ecam(void); /* where ACPI says that configuration space is */
uint64_t bar_of(unsigned bdf, unsigned bar);
void bar_set(unsigned bdf, unsigned bar, uint64_t to);
bool decodes(unsigned bdf);
void decode(unsigned bdf);
/* By MOV, as drivers do it: a compiler may choose TEST or CMP. */
static inline uint32_t read32(uint64_t at)
{
    uint32_t value;
    __asm__ volatile("movl (%1), %0" : "=r"(value) : "r"(at) : "memory");
    return value;
}
static inline void write32(uint64_t at, uint32_t value)
{
    __asm__ volatile("movl %0, (%1)" : : "r"(value), "r"(at) : "memory");
}

/* nvme.c: a controller and one pair of queues */
struct nvme_disk {
    unsigned bdf;
    uint64_t base, queue[4]; /* admin SQ, CQ, I/O SQ, CQ */
    uint32_t tail[2], head[2], phase[2];
    uint16_t id;
};
bool nvme_start(struct nvme_disk *d);
/* The status, -1: no answer. */
int nvme_do(struct nvme_disk *d, bool io, const uint32_t command[16]);
int nvme_rw(struct nvme_disk *d, bool write, uint64_t lba, uint32_t blocks, uint64_t prp1, uint64_t prp2);

/* ahci.c: a port with a disk */
struct ahci_disk {
    unsigned bdf, port;
    uint64_t base, list, table;
};
bool ahci_start(struct ahci_disk *d);
/* READ or WRITE DMA EXT of 4096 bytes at most; false: it did not end well. */
bool ahci_rw(struct ahci_disk *d, bool write, uint64_t lba, uint32_t sectors, uint64_t address);

/* The disks whose record has to be whole; the others may get gaps. */
extern struct nvme_disk nvme, nvme_abused;
extern struct ahci_disk ahci, ahci_abused;

/* the attempts */
void against_memory(void);
void against_card(void);
void against_registers(void);
void against_dma(void);
void against_controllers(void);
void against_processor(void);
void against_interrupts(void);
void against_power(void);

#endif
