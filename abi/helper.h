/* What the sensor and the helper inside a guest (guest/) say to each other: over a virtio-serial port, and later by hypercall.
 *
 * Freestanding on purpose (only <stdint.h>, <stddef.h>). docs/helper.md describes it; all fields are little-endian.
 * Either side may be in an attacker's hands, so each checks every number before it uses it.
 */
#ifndef CHV_ABI_HELPER_H
#define CHV_ABI_HELPER_H

#include <stddef.h>
#include <stdint.h>

#define CHV_HELPER_PORT "org.chronovisor.helper"
#define CHV_HELPER_MAGIC 0x48564843u /* "CHVH" */
#define CHV_HELPER_VERSION 1u
#define CHV_HELPER_PAYLOAD_MAX 65536u /* of one frame */
#define CHV_HELPER_PAGE_BYTES 4096u
#define CHV_HELPER_PATH_MAX 4096u
#define CHV_HELPER_PID_MAX 4194304u   /* Linux has no higher number on 64 bits */

enum chv_helper_kind {
    /* requests: no payload */
    CHV_HELPER_PING = 1,    /* END */
    CHV_HELPER_LIST = 2,    /* PROCESSES…, END */
    CHV_HELPER_PAGES = 3,   /* MAPPINGS…, RUNS… in order of address, END. flags: enum chv_helper_request_flag */
    CHV_HELPER_RELEASE = 4, /* let go of the held process: END */
    /* answers */
    CHV_HELPER_PROCESSES = 17, /* struct chv_helper_process each */
    CHV_HELPER_MAPPINGS = 18,  /* struct chv_helper_mapping each, followed by its path, padded to 8 bytes */
    CHV_HELPER_RUNS = 19,      /* struct chv_helper_run each */
    CHV_HELPER_END = 20,       /* the answer is complete. status: 0 or an errno; value: records sent */
};

enum chv_helper_request_flag {
    CHV_HELPER_FREEZE = 1 << 0, /* stop the process until RELEASE, another PAGES, the end of the connection, or a minute */
};

/* Begins every frame, in both directions. */
struct chv_helper_frame {
    uint32_t magic;   /* 0 */
    uint8_t version;  /* 4 */
    uint8_t kind;     /* 5: enum chv_helper_kind */
    uint16_t flags;   /* 6: of a request; of END: enum chv_helper_end_flag */
    uint32_t id;      /* 8: chosen by who asks, carried by each frame of the answer */
    uint32_t bytes;   /* 12: of the payload that follows; 0 in requests */
    uint32_t pid;     /* 16 */
    uint32_t status;  /* 20: END: 0 or an errno */
    uint64_t value;   /* 24: END: how many records were sent */
};

enum chv_helper_end_flag {
    CHV_HELPER_HELD = 1 << 0,  /* all threads of the process stand still */
    CHV_HELPER_TORN = 1 << 1,  /* not everything was looked at: too large, or it changed meanwhile */
};

struct chv_helper_process {
    uint32_t pid, ppid, uid;
    uint32_t flags;    /* 1: a kernel thread */
    char name[16];     /* comm, padded with zeros */
};
#define CHV_HELPER_KERNEL_THREAD 1u

enum chv_helper_right { /* of a mapping, and of the runs in it */
    CHV_HELPER_READ = 1 << 0,
    CHV_HELPER_WRITE = 1 << 1,
    CHV_HELPER_EXEC = 1 << 2,
    CHV_HELPER_SHARED = 1 << 3,
    CHV_HELPER_DELETED = 1 << 4, /* a mapping's file has no name any more */
};

struct chv_helper_mapping {
    uint64_t start, end; /* multiples of the page */
    uint64_t offset;     /* in the file */
    uint32_t flags;      /* enum chv_helper_right */
    uint32_t path_bytes; /* that follow, without the padding; 0: anonymous */
};

enum chv_helper_run_flag { /* beside the rights in the low bits */
    CHV_HELPER_PRESENT = 1 << 8,   /* in RAM at `frame` */
    CHV_HELPER_SWAPPED = 1 << 9,
    CHV_HELPER_FILE = 1 << 10,     /* a file's page, or shared memory; else anonymous */
    CHV_HELPER_SOFT_DIRTY = 1 << 11, /* written since the kernel last forgot about it */
    CHV_HELPER_UNSEEN = 1 << 12,   /* too many pages to look at all */
};

/* Pages that follow each other in virtual and, if present, in physical memory. Pages that are nowhere are in no run. */
struct chv_helper_run {
    uint64_t va;    /* of the first */
    uint64_t frame; /* guest-physical address / 4096 of the first; 0 when not present */
    uint32_t pages;
    uint32_t flags;
};

_Static_assert(sizeof(struct chv_helper_frame) == 32, "a frame's header has 32 bytes");
_Static_assert(offsetof(struct chv_helper_frame, kind) == 5, "kind at 5");
_Static_assert(offsetof(struct chv_helper_frame, id) == 8, "id at 8");
_Static_assert(offsetof(struct chv_helper_frame, bytes) == 12, "bytes at 12");
_Static_assert(offsetof(struct chv_helper_frame, value) == 24, "value at 24");
_Static_assert(sizeof(struct chv_helper_process) == 32, "a process has 32 bytes");
_Static_assert(sizeof(struct chv_helper_mapping) == 32, "a mapping has 32 bytes");
_Static_assert(sizeof(struct chv_helper_run) == 24, "a run has 24 bytes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian hosts only");

#endif
