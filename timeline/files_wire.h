/* What the caller and the worker that parses say to each other over a stream socket: a header, then
 * `bytes` of payload. Both ends are the same program, so structs travel as they are; the caller still
 * takes nothing the worker says for granted (lengths, terminators, enumerations). */
#ifndef CHV_TIMELINE_FILES_WIRE_H
#define CHV_TIMELINE_FILES_WIRE_H

#include "timeline/files.h"

#define WIRE_WINDOW_BYTES (256u << 10) /* shared memory through which image data is handed over */
#define WIRE_MAX_PAYLOAD (4u << 20)

enum wire_type {
    /* caller to worker */
    WIRE_VOLUMES = 1,
    WIRE_OPEN,   /* struct wire_open, uint64_t page that changed… */
    WIRE_LIST,   /* struct wire_request, path */
    WIRE_STAT,   /* struct wire_request, path */
    WIRE_READ,   /* struct wire_request, path */
    WIRE_OWNERS, /* struct lba_range… */
    WIRE_FILLED, /* answer to WIRE_FILL: struct wire_filled */
    /* worker to caller */
    WIRE_FILL,   /* struct wire_fill: put these bytes of the image into the window */
    WIRE_VOLUME, /* struct files_volume */
    WIRE_INFO,   /* struct files_info */
    WIRE_ENTRY,  /* struct wire_entry, path, link, runs */
    WIRE_DATA,   /* uint64_t offset, bytes */
    WIRE_SIZE,   /* uint64_t */
    WIRE_TOUCHED, /* uint64_t page… */
    WIRE_DONE,   /* struct wire_done: the request is finished */
};

struct wire_header {
    uint32_t type, bytes;
};

struct wire_open {
    uint32_t partition;
    uint32_t in_place, no_orphans, trace;
};

struct wire_request {
    uint64_t limit;
    uint32_t flags;
    uint32_t path_bytes; /* with its NUL */
};

struct wire_fill {
    uint64_t offset;
    uint32_t bytes, reserved;
};

struct wire_filled {
    int32_t result;
    uint32_t reserved;
};

struct wire_entry {
    struct files_entry entry; /* pointers are meaningless */
    uint32_t path_bytes, link_bytes, run_count, reserved; /* path and link with their NUL; link_bytes 0: none */
};

struct wire_done {
    int32_t result; /* 0, 1 (stopped) or -errno */
    uint32_t reserved;
    char text[400];
};

/* files_worker.c: serve requests until the socket closes; never returns. */
_Noreturn void files_worker(int socket, void *window, uint64_t size_bytes);

/* files_wire.c: 0 or -errno; a closed socket is -EPIPE, `stall_seconds` of silence -ETIMEDOUT (0: wait for ever). */
int wire_send(int socket, uint32_t type, const void *a, size_t a_bytes, const void *b, size_t b_bytes);
int wire_receive(int socket, void *buf, size_t bytes, uint32_t stall_seconds);

#endif
