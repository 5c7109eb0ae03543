/* Memory as evidence, when somebody asks: the collector, by a frame, or a program in the guest, by VMMCALL. See README.md. */
#ifndef VISOR_FORENSICS_FORENSICS_H
#define VISOR_FORENSICS_FORENSICS_H

#include "abi/frame.h"
#include "visor/core/config.h"
#include "visor/core/vcpu.h"
#include "visor/core/wire.h"

#define PROCESS_BYTES (UINT64_C(1) << 47) /* of "proc:…"; with 5 levels, too: only who asks for more gets more */

/* capture.c: what the collector asks for, one thing at a time. A sender_request; `arg` is not used. */
size_t capture_request(void *arg, const struct chv_request *request, uint8_t *reply);
/* Goes on with it, a few pages. True: it is not over. The machine's lock is held. */
bool capture_poll(void);

/* hypercall.c. At boot, if there is a wire: */
void hypercall_init(const struct config *config);
/* VMMCALL. False: the caller gets #UD, as without SVM; nothing else has happened then. */
bool hypercall(struct vcpu *vcpu);

/* page.c: the guest's page at gpa, copied once: valid until the next call. NULL: none of the guest's RAM. */
const uint8_t *page_copy(uint64_t gpa, bool *zeros);
/* A record, if half of the ring is free: memory waits, what happens to disks goes first. Content (FOUND) is one page; flags: enum
 * chv_wire_page. REFUSED: the space is not so large. */
enum page_result { PAGE_TAKEN, PAGE_LATER, PAGE_REFUSED };
enum page_result page_put(int space, uint8_t op, uint8_t flags, uint64_t address, uint64_t bytes, const void *data);
/* A process's space, from now on: what it held under this name before is no more. Its number on the wire; -1: not now. */
int page_space(const char name[CHV_WIRE_NAME_BYTES], uint64_t bytes);
/* The number of one that was begun; -1: there is none of that name. */
int page_space_find(const char name[CHV_WIRE_NAME_BYTES]);

#endif
