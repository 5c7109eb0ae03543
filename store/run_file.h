/* The header page of a run file. Derived data: not part of the store format. */
#ifndef CHV_STORE_RUN_FILE_H
#define CHV_STORE_RUN_FILE_H

#include <stdint.h>

#define RUN_MAGIC "CHVRUN\r\n"
#define RUN_VERSION 2u /* 1: without tags */
#define RUN_HEADER_BYTES 4096u
#define RUN_BUCKET_BITS_MAX 22u /* 16 MiB of directory at most */
#define RUN_STRIDE_MAX 4096u

/* Behind the header page: entries, tags (SIGHT and LOC with a directory), directory. Tags are padded to 4 bytes. */
static inline uint64_t run_tags_bytes(uint64_t count)
{
    return (count + 3) / 4 * 4;
}

struct run_file {
    char magic[8];
    uint32_t version, kind;
    uint64_t count;
    uint32_t bucket_bits, stride, levels, reserved;
    uint8_t digest[32]; /* SHA-256 of everything behind the header page */
};

#endif
