/* PCI configuration space by mechanism 1 (ports CF8h/CFCh), as the hypervisor uses it, and as the guest sees it. */
#ifndef VISOR_CORE_PCI_H
#define VISOR_CORE_PCI_H

#include "visor/core/config.h"

/* bus << 8 | device << 3 | function */
typedef uint16_t pci_bdf;

#define PCI_CLASS_NVME 0x010802
#define PCI_CLASS_AHCI 0x010601
#define PCI_CLASS_STORAGE 0x010000
#define PCI_CLASS_STORAGE_MASK 0xff0000 /* whatever subclass and interface */

/* At boot: watches the configuration ports, learns from ACPI where configuration space is mapped (rsdp 0: nowhere), and
 * hides the functions that the configuration names. NULL, or why not. */
const char *pci_init(uint64_t rsdp, const struct config *config);

/* reg is a multiple of 4 below 256. */
uint32_t pci_read(pci_bdf bdf, unsigned reg);
void pci_write(pci_bdf bdf, unsigned reg, uint32_t value);

/* The index-th function (from 0) whose class, subclass and interface, as far as mask says, are class_code; false if there
 * is none. */
bool pci_find(uint32_t class_code, uint32_t mask, unsigned index, pci_bdf *bdf);

/* The address of a memory BAR (0..5; a 64-bit one takes two), *bytes its size, which is found by writing it: at boot
 * only, while the device is not in use. 0 if it is not a memory BAR. */
uint64_t pci_bar(pci_bdf bdf, unsigned bar, uint64_t *bytes);

/* The function is the hypervisor's from now on: to the guest it does not exist. False when the table is full. */
bool pci_hide(pci_bdf bdf);
bool pci_is_hidden(pci_bdf bdf);

/* After each write by the guest to the function's configuration space, by whichever mechanism, `written` is called with
 * the machine's lock held. At boot only; false when the table is full. */
bool pci_watch(pci_bdf bdf, void (*written)(void *arg), void *arg);

/* How wide the accesses are of which one to these ports consists: its own size, or 1 if ports of several kinds are among them. */
unsigned pci_port_width(uint16_t port, unsigned size);
/* The guest's access to a watched port; in: *value is what it gets. False: not one of these, or not one of them alone. */
bool pci_port(uint16_t port, unsigned size, bool in, uint32_t *value);

#endif
