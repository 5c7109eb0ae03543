/* Nested paging as a camera: which accesses there were to a sample of the guest's pages (README.md). All of it is called
 * with the machine's lock held. */
#ifndef VISOR_CAMERA_CAMERA_H
#define VISOR_CAMERA_CAMERA_H

#include "visor/core/config.h"
#include "visor/core/vcpu.h"


/* At boot, when there is RAM and evidence: draws the sample and begins; nothing, if no pages are configured. */
void camera_init(const struct config *config, uint64_t now_ns);
bool camera_on(void);

/* The guest may not do that to gpa. True: it may now, and tries again; false: it is none of the camera's pages. */
bool camera_fault(uint64_t gpa, enum vcpu_access access, uint64_t now_ns);

/* Between exits: begins a period when it is time, and tells of the last one, a few pages at a time. True: not all is
 * told. */
bool camera_poll(uint64_t now_ns);

/* The machine goes off: tells all. True: there was no room for some; again when other evidence has left. */
bool camera_finish(uint64_t now_ns);

/* Shannon entropy of a page's bytes as an event says it, / 8 bits × 65535, rounded (one off at most): the hypervisor has
 * no floating point. */
uint16_t entropy_of(const uint8_t page[PAGE_BYTES]);

#endif
