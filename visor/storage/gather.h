/* The guest's buffers as one stream of bytes: NVMe's PRPs and SGLs, AHCI's PRD tables.
 *
 * Lists are read from guest memory as the stream gets there, each entry once, into a copy that is then judged. Every
 * loop ends: a PRP is worth at least a byte of the transfer, an SGL has a budget of descriptors, a PRD table has a length. */
#ifndef VISOR_STORAGE_GATHER_H
#define VISOR_STORAGE_GATHER_H

#include "visor/storage/port.h"

#define GATHER_CACHE 32u             /* list entries copied at a time */
#define GATHER_SGL_BUDGET 65536u     /* descriptors of one command */

enum gather_kind { GATHER_PRP, GATHER_SGL, GATHER_PRD };
enum gather_fault {
    GATHER_FINE,
    GATHER_ENDED,     /* the lists describe less than was asked for */
    GATHER_OUTSIDE,   /* data that is not in the guest's RAM */
    GATHER_MALFORMED, /* no device should take this, and what one does with it is not known */
    GATHER_UNSEEN,    /* a list that is not in the guest's RAM: what is in it cannot be checked */
    GATHER_OWN,       /* the hypervisor's memory */
};

struct gather {
    const struct storage_port *port;
    enum gather_kind kind;
    enum gather_fault fault; /* why the stream ended */
    uint64_t gpa, left;      /* the present piece */
    uint32_t stripe, skip, stripe_left; /* after each `stripe` bytes, `skip` bytes of the stream are no content (metadata) */
    /* PRP */
    uint64_t page_bytes, rest, prp[2]; /* rest: bytes of the transfer not yet in a piece */
    unsigned stage;
    /* lists of all kinds */
    uint64_t list;                    /* gpa of the next entry */
    uint32_t entries, budget;         /* entries left in this list; SGL: descriptors that may still come */
    uint32_t cached, next;            /* in cache */
    bool last_segment;
    uint64_t cache[GATHER_CACHE][2];  /* PRP: one word an entry, [0] only */
};

/* A transfer of `bytes` by PRPs of pages of `page_bytes` (a power of two, 4096 or more). */
void gather_prp(struct gather *g, const struct storage_port *port, uint64_t prp1, uint64_t prp2, uint64_t bytes, uint64_t page_bytes);
/* By the SGL descriptor of a command, 16 bytes as two words. */
void gather_sgl(struct gather *g, const struct storage_port *port, const uint64_t descriptor[2]);
/* By a table of `entries` PRDs. */
void gather_prd(struct gather *g, const struct storage_port *port, uint64_t table, uint32_t entries);

/* The next n bytes of content. False: see `fault`; what was copied until then is undefined. */
bool gather_read(struct gather *g, void *dst, size_t n);
/* Write n bytes to where the stream is. */
bool gather_write(struct gather *g, const void *src, size_t n);
/* The device must not be told of this: it might read or write the hypervisor's memory. */
static inline bool gather_is_unsafe(const struct gather *g)
{
    return g->fault >= GATHER_MALFORMED;
}

/* Walk over n bytes without looking at them: is all of it memory that a device may be told of? */
bool gather_walk(struct gather *g, uint64_t n);

#endif
