/* A jail for a process that parses what others made: no files, no network, no new processes, bounded memory. Bytes that take
 * over the parser can then make it compute and talk nonsense, which the process that asked checks, and nothing else. */
#ifndef CHV_BASE_JAIL_H
#define CHV_BASE_JAIL_H

#include <stdint.h>

struct jail {
    uint64_t memory_bytes; /* beyond what is mapped already */
    uint32_t cpu_seconds;  /* 0: no limit */
};

/* Give up everything but computing and talking to `socket`, for good; descriptors 0 to 2 become /dev/null. Ends with the
 * parent. Without seccomp in the kernel the process boundary, the closed descriptors and the limits remain; built with a
 * sanitizer, only the process boundary does. */
void jail_enter(int socket, const struct jail *limits);

#endif
