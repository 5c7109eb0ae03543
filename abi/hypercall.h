/* What a program inside a guest says to the hypervisor in visor/, by VMMCALL: "these pages are that process's, record them".
 *
 * RAX CHV_HYPERCALL, RBX and RCX the two halves of the key of chronovisor.cfg (`hypercall`), RDX the address, as the caller's page
 * tables have it, of a struct chv_hypercall. After it RAX is an enum chv_hypercall_status and RDX a number; the other registers are as
 * before. With another RAX or another key, VMMCALL raises #UD, as where there is no SVM.
 *
 * Freestanding on purpose, as abi/event.h. docs/helper.md describes it; all fields are little-endian.
 */
#ifndef CHV_ABI_HYPERCALL_H
#define CHV_ABI_HYPERCALL_H

#include <stddef.h>
#include <stdint.h>

#define CHV_HYPERCALL UINT64_C(0x4c4c414356484320) /* " CHVCALL" */
#define CHV_HYPERCALL_VERSION 1u
#define CHV_HYPERCALL_KEY_BYTES 16u /* the first eight are RBX's, least significant first, the others RCX's */
#define CHV_HYPERCALL_RUNS 64u      /* of one call */
#define CHV_HYPERCALL_PAGES 64u     /* that one call records at most: the caller goes on with the next one */
#define CHV_HYPERCALL_MAP_BYTES_MAX (UINT64_C(256) << 20)

enum chv_hypercall_kind {
    CHV_HYPERCALL_BEGIN = 1,   /* a space, of `bytes`; what was recorded under this name before is of another time */
    CHV_HYPERCALL_RECORD = 2,  /* pages: RDX says how many were taken, counted from the first of the first run */
    CHV_HYPERCALL_SETTLED = 3, /* is the record numbered `bytes` (0: the last there is) durable at the collector? OK or AGAIN; RDX: the last's number */
};

enum chv_hypercall_status {
    CHV_HYPERCALL_OK = 0,
    CHV_HYPERCALL_AGAIN = 1,    /* not now: what is under way goes first. RDX pages were taken nonetheless */
    CHV_HYPERCALL_FAULT = 2,    /* the request is not in the guest's memory */
    CHV_HYPERCALL_INVALID = 3,  /* it makes no sense, or the page behind those that were taken is beyond the space */
    CHV_HYPERCALL_NOT_RAM = 4,  /* the page behind those that were taken is none of the guest's RAM */
    CHV_HYPERCALL_NO_SPACE = 5, /* the space was not begun, or gave its place to another one */
};

struct chv_hypercall {
    uint32_t version;  /* 0 */
    uint32_t kind;     /* 4: enum chv_hypercall_kind */
    char space[32];    /* 8: "proc:…" or "map:…", zero-padded; SETTLED: zeros */
    uint64_t bytes;    /* 40: BEGIN: its size, a multiple of 4096; at most 2^47, of a map 2^28. SETTLED: a number. Else 0 */
    uint32_t runs;     /* 48: RECORD: struct chv_hypercall_run that follow, 1 to 64. Else 0 */
    uint32_t reserved; /* 52: 0 */
};

struct chv_hypercall_run {
    uint64_t address;  /* 0: of the first page in the space, a multiple of 4096, below 2^47 */
    uint64_t frame;    /* 8: guest-physical address / 4096 */
    uint32_t pages;    /* 16 */
    uint32_t reserved; /* 20: 0 */
};

_Static_assert(sizeof(struct chv_hypercall) == 56 && offsetof(struct chv_hypercall, bytes) == 40, "request");
_Static_assert(sizeof(struct chv_hypercall_run) == 24 && offsetof(struct chv_hypercall_run, pages) == 16, "run");

#endif
