/* The bytes on disk, as docs/format.md lays them out. */
#ifndef CHV_STORE_FORMAT_H
#define CHV_STORE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "abi/event.h"

#define SEGMENT_MAGIC "CHVSEG\r\n"
#define FOOTER_MAGIC "CHVEND\r\n"
#define PACK_MAGIC "CHVPAK\r\n"

#define SEGMENT_EVENTS 65536u /* a segment is sealed when it holds this many */
#define SEGMENT_EVENTS_MAX (UINT32_C(1) << 28) /* what a reader accepts (carry segments are long) */
#define PACK_MAX_BYTES (UINT64_C(256) << 20)

enum { SEGMENT_CARRY = 1 };

struct segment_header {
    char magic[8];
    uint32_t version, header_bytes;
    uint8_t uuid[16];
    uint64_t number, first_seq, created_ns;
    uint32_t flags, reserved;
    uint8_t prev_digest[32];
    uint8_t reserved2[32];
};

struct segment_footer {
    char magic[8];
    uint64_t events, last_seq, last_time_ns;
    uint8_t digest[32];
    uint8_t signature[64];
    uint8_t public_key[32];
    uint8_t reserved[32];
};

struct pack_header {
    char magic[8];
    uint32_t version, header_bytes;
    uint8_t uuid[16];
    uint64_t number, created_ns;
    uint8_t reserved[16];
};

enum { CODEC_RAW = 0, CODEC_ZSTD = 1 };

struct pack_record {
    uint8_t hash[32];
    uint32_t stored_bytes;
    uint16_t raw_bytes;
    uint8_t codec, reserved;
};

_Static_assert(sizeof(struct segment_header) == 128, "segment header");
_Static_assert(sizeof(struct segment_footer) == 192, "segment footer");
_Static_assert(offsetof(struct segment_footer, digest) == 32, "footer digest");
_Static_assert(sizeof(struct pack_header) == 64, "pack header");
_Static_assert(sizeof(struct pack_record) == 40, "pack record");

#endif
