/* The NVMe mediator: sees what a guest tells a controller, before the controller does.
 *
 * Whoever traps the controller's registers calls nvme_write before the device gets a write, and nvme_read after it has answered
 * a read of the first page; one caller at a time. Nothing is allocated: all state is in struct nvme, whose size is asserted. */
#ifndef VISOR_STORAGE_NVME_H
#define VISOR_STORAGE_NVME_H

#include "visor/storage/blocks.h"
#include "visor/storage/nvme_spec.h"

#define NVME_QUEUES_MAX 128u     /* with the admin queue; a guest that asks for more is told that there are no more */
#define NVME_NAMESPACES_MAX 32u  /* of which the format is known; of others, changes are gaps */
#define NVME_PENDING_SETS 1024u
#define NVME_PENDING_WAYS 8u
#define NVME_TRANSFER_MAX (16u << 20) /* bytes of one command; a controller that takes more gets gaps */

struct nvme_queue {
    uint64_t base;
    uint32_t entries; /* 0: there is no such queue */
    uint32_t next;    /* SQ: the tail as the device knows it; CQ: where the next completion will be */
    uint16_t cq;      /* SQ: its completion queue */
    uint8_t phase;    /* CQ: of the next completion */
    bool lost;        /* SQ: where the device has it is in doubt; what is rung is a gap until a reset */
};

struct nvme_namespace {
    uint32_t nsid;    /* 0: unused */
    uint8_t lba_bits; /* 9: 512 bytes; 0: not one that we know */
    bool trim_zeroes; /* a deallocated block reads as zeros */
    bool extended;    /* metadata lies between the blocks of a transfer */
    bool protected;   /* the metadata is eight bytes of protection information, which PRACT keeps out of the transfer */
    uint16_t metadata_bytes;
    uint64_t sectors;
};

/* What is to be done when a command completes. */
enum nvme_pending_kind {
    NVME_PENDING_NONE = 0,
    NVME_PENDING_CHANGE, /* a: lba, b: sectors */
    NVME_PENDING_IDENTIFY_CONTROLLER, /* a, b: PRPs */
    NVME_PENDING_IDENTIFY_NAMESPACE,
    NVME_PENDING_CREATE_SQ, /* a: base, b: entries | id << 32 | cq << 48 */
    NVME_PENDING_CREATE_CQ,
    NVME_PENDING_DELETE_SQ, /* b: id << 32 */
    NVME_PENDING_DELETE_CQ,
};

struct nvme_pending {
    uint32_t key; /* sq << 16 | command id */
    uint32_t nsid;
    uint64_t command, a, b;
    uint8_t kind;
};

struct nvme {
    struct storage storage;
    uint32_t cc;
    uint64_t cap;
    uint64_t page_bytes;
    uint64_t transfer_max;   /* bytes, by MDTS */
    bool trust_trim;         /* the operator knows that deallocated blocks read as zeros */
    bool known;              /* enabled under our eyes: all its queues are known, and what is rung for another one is no queue */
    bool identified;
    char serial[20];
    struct nvme_namespace ns[NVME_NAMESPACES_MAX];
    struct nvme_queue sq[NVME_QUEUES_MAX], cq[NVME_QUEUES_MAX];
    struct nvme_pending pending[NVME_PENDING_SETS][NVME_PENDING_WAYS];
};
_Static_assert(sizeof(struct nvme) < 384u << 10, "the state of a controller stays under 384 KiB");

/* Begin with a controller in whatever state it is: if it is enabled, I/O queues that exist are unknown, and what goes through them is
 * a gap until the guest resets the controller. `n` is the caller's, and the port is copied. */
void nvme_init(struct nvme *n, const struct storage_port *port, uint16_t device);

/* The guest writes `width` bytes at `offset` of the registers. On STORAGE_PASS *value is what the device is to get. */
enum storage_verdict nvme_write(struct nvme *n, uint64_t offset, unsigned width, uint64_t *value);
/* The device answered a read of its registers with *value: what the guest is to see. */
void nvme_read(struct nvme *n, uint64_t offset, unsigned width, uint64_t *value);
/* The registers were moved: where they were, something else may have answered. Nothing that was told there is believed, and no command passes
 * until the guest has reset the controller. */
void nvme_moved(struct nvme *n);
/* Every queue is gone, by a reset, or for the recording ends: what was under way may or may not have been done. */
void nvme_stop(struct nvme *n);

/* ---- between the mediator's own files ---- */

enum nvme_answer { NVME_TAKE, NVME_REFUSE };

/* nvme_admin.c, nvme_io.c: a command is about to be told to the device. */
enum nvme_answer nvme_admin(struct nvme *n, const struct nvme_command *c);
enum nvme_answer nvme_io(struct nvme *n, uint16_t sq, const struct nvme_command *c);
/* nvme_admin.c: an admin command that was remembered has completed. */
void nvme_admin_done(struct nvme *n, const struct nvme_pending *p, bool failed);
/* NULL: nothing is known of it. */
struct nvme_namespace *nvme_namespace(struct nvme *n, uint32_t nsid);
/* nvme_queue.c */
void nvme_remember(struct nvme *n, uint16_t sq, const struct nvme_command *c, enum nvme_pending_kind kind, uint64_t a, uint64_t b);
void nvme_reap(struct nvme *n, unsigned cq);
enum storage_verdict nvme_ring(struct nvme *n, unsigned sq, uint32_t tail);
/* Commands of this submission queue (all: NVME_QUEUES_MAX) will not be heard of any more. */
void nvme_forget(struct nvme *n, unsigned sq);

#endif
