/* Frames between a sensor and a collector: what one UDP datagram holds, and what the stream inside is made of.
 *
 * Freestanding on purpose, as abi/event.h: the hypervisor and the collector compile the same layout. docs/wire.md
 * describes it byte by byte and says how keys, numbers and acknowledgements work; a change here is a change of
 * CHV_WIRE_VERSION.
 *
 *   header (16 bytes, clear, authenticated) | nonce (HELLO, WELCOME only) | body (encrypted) | tag (16)
 *
 * A sensor's evidence is one stream of records, numbered from 1. The stream is cut into chunks, numbered from 0,
 * each of which one DATA frame carries; a frame that is sent again is sealed anew under another counter.
 */
#ifndef CHV_ABI_FRAME_H
#define CHV_ABI_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "abi/event.h"

#define CHV_WIRE_VERSION 1u
#define CHV_WIRE_KEY_BYTES 32u
#define CHV_WIRE_NONCE_BYTES 32u
#define CHV_WIRE_TAG_BYTES 16u
#define CHV_WIRE_STREAM_BYTES 16u
#define CHV_WIRE_NAME_BYTES 32u    /* of a sensor, of a device's space: UTF-8, zero-padded */
#define CHV_WIRE_SERIAL_BYTES 24u
#define CHV_WIRE_DEVICES 16u       /* of one sensor */
#define CHV_WIRE_BLOCK_BYTES 4096u /* the most content that a record has; it lies within one block aligned to this */

/* 1500 (Ethernet) - 20 (IPv4) - 8 (UDP) - 16 (header) - 32 (struct chv_data) - 16 (tag). A record of a whole block is
 * 4128 bytes: three chunks hold it and 96 bytes of the next. Jumbo frames may carry more. */
#define CHV_WIRE_CHUNK_BYTES 1408u
#define CHV_WIRE_CHUNK_BYTES_MIN 512u
#define CHV_WIRE_CHUNK_BYTES_MAX 8896u /* of 9000 */
#define CHV_WIRE_FRAME_BYTES_MAX 8960u
#define CHV_WIRE_WINDOW 1024u          /* chunks: what the bits of an acknowledgement cover */
#define CHV_WIRE_RAM 16u               /* stretches of RAM, and processors, of one REPLY */
#define CHV_WIRE_PROCESSORS 16u

/* Labels of the key schedule, 16 bytes each (docs/wire.md, Keys). */
#define CHV_WIRE_LABEL_HELLO "chv wire 1 hello"
#define CHV_WIRE_LABEL_SESSION "chv wire session"
#define CHV_WIRE_LABEL_WELCOME "chv wire welcome"
#define CHV_WIRE_LABEL_SENSOR "sensor>collector"
#define CHV_WIRE_LABEL_COLLECTOR "collector>sensor"

enum chv_frame_type {
    CHV_FRAME_HELLO = 1,   /* sensor: I want a session */
    CHV_FRAME_WELCOME = 2, /* collector: here is one, and this much of your stream is durable */
    CHV_FRAME_START = 3,   /* sensor: where my stream goes on, and my devices; repeated as a sign of life */
    CHV_FRAME_DATA = 4,    /* sensor: a chunk of the stream */
    CHV_FRAME_ACK = 5,     /* collector: what is durable, what has arrived */
    CHV_FRAME_REQUEST = 6, /* collector: record memory */
    CHV_FRAME_REPLY = 7,   /* sensor: how far that is */
};

struct chv_frame_header {
    uint8_t magic[2]; /* 0: "CW" */
    uint8_t version;  /* 2: CHV_WIRE_VERSION */
    uint8_t type;     /* 3: enum chv_frame_type */
    uint32_t session; /* 4: chosen by the collector; 0 in HELLO */
    uint64_t counter; /* 8: of the frames under this key, each its own; 0 in HELLO and WELCOME */
};

struct chv_hello {
    uint8_t stream[CHV_WIRE_STREAM_BYTES]; /* 0: random, chosen when the sensor starts */
    uint64_t time_ns;                      /* 16: the sensor's clock */
    uint32_t chunk_bytes;                  /* 24: the most that a chunk of this stream has */
    uint32_t reserved;                     /* 28 */
    char sensor[CHV_WIRE_NAME_BYTES];      /* 32 */
};

/* As long as a HELLO: nobody gets more out of a collector than was put in. */
struct chv_welcome {
    uint64_t records;     /* 0: of this stream, durable in the collector's store */
    uint32_t window;      /* 8: chunks that may be under way */
    uint32_t flags;       /* 12: enum chv_welcome_flag */
    uint8_t reserved[48]; /* 16 */
};
enum chv_welcome_flag { CHV_WELCOME_KNOWN = 1 << 0 }; /* the store has some of this stream */

struct chv_start {
    uint64_t chunk;        /* 0: the oldest that the sensor still has */
    uint64_t first_record; /* 8: number of the first record that begins in that chunk, or after it */
    uint64_t sent_ns;      /* 16: for ACK's echo_ns */
    uint16_t first_offset; /* 24: where it begins in that chunk; the chunk's length when it does not */
    uint16_t devices;      /* 26: struct chv_device that follow */
    uint32_t generation;   /* 28: of this list; grows when it changes */
};

struct chv_device {
    char name[CHV_WIRE_NAME_BYTES];     /* 0: of its space: "disk:nvme0n1", "ram" */
    char serial[CHV_WIRE_SERIAL_BYTES]; /* 32: printable ASCII, zero-padded */
    uint64_t bytes;                     /* 56 */
    uint8_t rest;                       /* 64: enum chv_rest, what no record speaks of: 0 or 1 */
    uint8_t reserved[7];                /* 65 */
};

struct chv_data {
    uint64_t chunk;        /* 0 */
    uint64_t first_record; /* 8: as in struct chv_start, of this chunk */
    uint64_t sent_ns;      /* 16 */
    uint16_t first_offset; /* 24 */
    uint16_t bytes;        /* 26: of the stream, that follow */
    uint32_t generation;   /* 28: of the list of devices that its records mean */
};

struct chv_ack {
    uint64_t records;     /* 0: durable: the sensor may forget records up to this number */
    uint64_t next_chunk;  /* 8: every chunk before it has arrived */
    uint64_t echo_ns;     /* 16: sent_ns of the frame with the highest counter so far */
    uint64_t highest;     /* 24: that counter */
    uint32_t generation;  /* 32: of the list of devices that the collector has */
    uint32_t window;      /* 36: chunks from next_chunk on that it has room for */
    uint8_t received[CHV_WIRE_WINDOW / 8]; /* 40: bit i: chunk next_chunk + i has arrived */
};

/* Asks the sensor to record memory of its machine. It does one at a time, and answers every REQUEST with one REPLY. */
struct chv_request {
    uint64_t id;       /* 0: grows; a higher one than before begins, the same asks how far it is */
    uint64_t first;    /* 8: address; LOOK: which stretch of RAM is to be told first */
    uint64_t end;      /* 16: behind the last; LOOK: which processor */
    uint64_t table;    /* 24: WALK: guest-physical address of the top-level table */
    uint32_t kind;     /* 32: enum chv_request_kind */
    uint32_t reserved; /* 36: 0 */
};
enum chv_request_kind {
    CHV_REQUEST_LOOK = 1, /* where is RAM, what do the processors do? Changes nothing under way */
    CHV_REQUEST_RAM = 2,  /* the RAM at guest-physical [first, end), into the space "ram" */
    CHV_REQUEST_WALK = 3, /* the pages that these tables map at [first, end), into "proc:cr3-…", and what they are into "map:cr3-…" */
    CHV_REQUEST_STOP = 4, /* end what is under way */
};

/* Followed by the stretches and the processors that LOOK asked for. */
struct chv_reply {
    uint64_t id;         /* 0: of the request that is under way, or was the last; of LOOK: its own */
    uint64_t position;   /* 8: everything in front of this address has been looked at */
    uint64_t records;    /* 16: number of the stream's last record: when that is durable, all so far is */
    uint64_t pages;      /* 24: recorded */
    uint32_t state;      /* 32: enum chv_reply_state */
    uint16_t stretches;  /* 36: struct chv_wire_stretch that follow, at most CHV_WIRE_RAM */
    uint16_t processors; /* 38: struct chv_wire_processor, at most CHV_WIRE_PROCESSORS */
};
enum chv_reply_state {
    CHV_REPLY_NONE = 0, /* nothing was asked for; LOOK */
    CHV_REPLY_RUNNING = 1,
    CHV_REPLY_DONE = 2,
    CHV_REPLY_STOPPED = 3,
    CHV_REPLY_REFUSED = 4, /* it makes no sense, or not on this machine */
    CHV_REPLY_NO_ROOM = 5, /* the list of devices is full */
    CHV_REPLY_CUT = 6,     /* the tables map, or lead to, more than the machine can mean: what was recorded is the first part */
};

struct chv_wire_stretch {
    uint64_t base;  /* 0: guest-physical */
    uint64_t bytes; /* 8 */
};

struct chv_wire_processor { /* at its last exit to the hypervisor */
    uint64_t cr0;  /* 0 */
    uint64_t cr3;  /* 8 */
    uint64_t cr4;  /* 16 */
    uint64_t efer; /* 24 */
    uint64_t rip;  /* 32 */
};

/* One record of the stream; `bytes` bytes of content follow. */
struct chv_wire_record {
    uint64_t number;  /* 0: 1, 2, 3 … */
    uint64_t time_ns; /* 8: UTC; 0: the sensor has no clock */
    uint32_t lba_lo;  /* 16: in 512-byte sectors */
    uint16_t lba_hi;  /* 20 */
    uint8_t op;       /* 22: enum chv_op: WRITE READ ZERO TRIM BASELINE FOUND FLUSH GAP */
    uint8_t flags;    /* 23: enum chv_event_flag: FUA; READ: EXECUTE; of FOUND and ZERO in a process's space: enum chv_wire_page */
    uint32_t sectors; /* 24: length; 0 for FLUSH, and for a GAP that names no place */
    uint16_t device;  /* 28: index into the list of devices */
    uint16_t bytes;   /* 30: sectors * 512 with content, 32 (struct chv_gap_detail) with GAP, else 0 */
};

enum chv_wire_page { /* what page tables say; 0: it is not known */
    CHV_WIRE_PAGE_WRITE = 1 << 3,
    CHV_WIRE_PAGE_EXEC = 1 << 4,
    CHV_WIRE_PAGE_USER = 1 << 5,
    CHV_WIRE_PAGE_ACCESSED = 1 << 6,
    CHV_WIRE_PAGE_DIRTY = 1 << 7,
};
#define CHV_WIRE_PAGE_FLAGS 0xf8

#define CHV_WIRE_RECORD_BYTES_MAX (sizeof(struct chv_wire_record) + CHV_WIRE_BLOCK_BYTES)
#define CHV_WIRE_REPLY_BYTES_MAX                                                                                                    \
    (sizeof(struct chv_reply) + CHV_WIRE_RAM * sizeof(struct chv_wire_stretch) + CHV_WIRE_PROCESSORS * sizeof(struct chv_wire_processor))
#define CHV_WIRE_HELLO_BYTES (sizeof(struct chv_frame_header) + CHV_WIRE_NONCE_BYTES + sizeof(struct chv_hello) + CHV_WIRE_TAG_BYTES)

_Static_assert(sizeof(struct chv_frame_header) == 16, "header");
_Static_assert(offsetof(struct chv_frame_header, type) == 3, "type at 3");
_Static_assert(offsetof(struct chv_frame_header, session) == 4, "session at 4");
_Static_assert(offsetof(struct chv_frame_header, counter) == 8, "counter at 8");
_Static_assert(sizeof(struct chv_hello) == 64 && sizeof(struct chv_welcome) == 64, "hello, welcome");
_Static_assert(offsetof(struct chv_hello, time_ns) == 16 && offsetof(struct chv_hello, sensor) == 32, "hello");
_Static_assert(offsetof(struct chv_welcome, window) == 8 && offsetof(struct chv_welcome, flags) == 12, "welcome");
_Static_assert(sizeof(struct chv_start) == 32 && offsetof(struct chv_start, generation) == 28, "start");
_Static_assert(sizeof(struct chv_device) == 72 && offsetof(struct chv_device, bytes) == 56, "device");
_Static_assert(sizeof(struct chv_data) == 32 && offsetof(struct chv_data, bytes) == 26, "data");
_Static_assert(sizeof(struct chv_ack) == 168 && offsetof(struct chv_ack, received) == 40, "ack");
_Static_assert(sizeof(struct chv_request) == 40 && offsetof(struct chv_request, kind) == 32, "request");
_Static_assert(sizeof(struct chv_reply) == 40 && offsetof(struct chv_reply, state) == 32, "reply");
_Static_assert(sizeof(struct chv_wire_stretch) == 16 && sizeof(struct chv_wire_processor) == 40, "stretch, processor");
_Static_assert(CHV_WIRE_REPLY_BYTES_MAX <= CHV_WIRE_CHUNK_BYTES, "a reply fits an Ethernet frame");
_Static_assert(sizeof(struct chv_wire_record) == 32 && offsetof(struct chv_wire_record, bytes) == 30, "record");
_Static_assert(offsetof(struct chv_wire_record, lba_lo) == 16 && offsetof(struct chv_wire_record, sectors) == 24, "record");
_Static_assert(sizeof(struct chv_frame_header) + sizeof(struct chv_data) + CHV_WIRE_TAG_BYTES + CHV_WIRE_CHUNK_BYTES == 1472,
               "a chunk fills an Ethernet frame");
_Static_assert(CHV_WIRE_CHUNK_BYTES_MAX + 64 == CHV_WIRE_FRAME_BYTES_MAX, "the longest frame");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "little-endian hosts only");

/* Reasons of a gap that a sensor may give: a full ring, what the guest's requests leave open, content not kept. The others are the
 * recorder's. */
static inline int chv_wire_gap(uint8_t reason)
{
    return reason == CHV_GAP_QUEUE_FULL || (reason >= CHV_GAP_MALFORMED && reason <= CHV_GAP_FAILED) || reason == CHV_GAP_UNKEPT;
}

static inline uint64_t chv_wire_lba(const struct chv_wire_record *r)
{
    return (uint64_t)r->lba_hi << 32 | r->lba_lo;
}

/* May a sensor be called that? Printable ASCII without blank, quotes, backslash and slash, zero-padded. */
static inline int chv_wire_sensor_fits(const char name[CHV_WIRE_NAME_BYTES])
{
    size_t n = 0;
    while (n < CHV_WIRE_NAME_BYTES && name[n] > ' ' && name[n] < 127 && name[n] != '"' && name[n] != '\\' && name[n] != '/') n++;
    for (size_t i = n; i < CHV_WIRE_NAME_BYTES; i++)
        if (name[i]) return 0;
    return n > 0;
}

/* How many bytes of a device's name are the prefix; 0: it has another one, or nothing behind it. */
static inline size_t chv_wire_prefix(const struct chv_device *d, const char *prefix)
{
    size_t n = 0;
    while (prefix[n] && d->name[n] == prefix[n]) n++;
    return prefix[n] || !d->name[n] ? 0 : n;
}

/* A process's pages, or what they were (docs/format.md); "map:cr3-" is for the collector. Such a device's place may become another one's. */
static inline int chv_wire_device_process(const struct chv_device *d)
{
    return chv_wire_prefix(d, "proc:") || (chv_wire_prefix(d, "map:") && !chv_wire_prefix(d, "map:cr3-"));
}

/* Which flags a record may have. */
static inline uint8_t chv_wire_flags(const struct chv_device *d, uint8_t op)
{
    if (op == CHV_OP_READ) return CHV_EVENT_FUA | CHV_EVENT_EXECUTE;
    return chv_wire_device_process(d) && (op == CHV_OP_FOUND || op == CHV_OP_ZERO) ? CHV_WIRE_PAGE_FLAGS : CHV_EVENT_FUA;
}

/* And a device? Both ends ask: what the collector would refuse, the sensor does not announce. */
static inline int chv_wire_device_fits(const struct chv_device *d)
{
    size_t n = 0;
    int ram = d->name[0] == 'r' && d->name[1] == 'a' && d->name[2] == 'm' && !d->name[3];
    while (n < CHV_WIRE_NAME_BYTES &&
           ((d->name[n] >= '0' && d->name[n] <= ':') || (d->name[n] >= 'A' && d->name[n] <= 'Z') ||
            (d->name[n] >= 'a' && d->name[n] <= 'z') || d->name[n] == '.' || d->name[n] == '_' || d->name[n] == '-'))
        n++;
    for (size_t i = n; i < CHV_WIRE_NAME_BYTES; i++)
        if (d->name[i]) return 0;
    for (size_t i = 0; i < CHV_WIRE_SERIAL_BYTES; i++)
        if (d->serial[i] && (d->serial[i] < ' ' || d->serial[i] > 126)) return 0;
    return (chv_wire_prefix(d, "disk:") || ram || chv_wire_device_process(d)) && n < CHV_WIRE_NAME_BYTES && d->bytes >= CHV_SECTOR_BYTES &&
           d->bytes / CHV_SECTOR_BYTES <= CHV_LBA_MAX && d->rest <= CHV_REST_ZERO;
}

#endif
