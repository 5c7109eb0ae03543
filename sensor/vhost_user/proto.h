/* The messages of vhost-user, as QEMU's docs/interop/vhost-user.rst defines them: read whole, checked once, then used.
 */
#ifndef CHV_SENSOR_VHOST_PROTO_H
#define CHV_SENSOR_VHOST_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chronovisor/err.h"

#define VU_FDS_MAX 8u
#define VU_CONFIG_BYTES 256u /* most of a GET_CONFIG or SET_CONFIG */
#define VU_HEADER_BYTES 12u

enum vu_request {
    VU_GET_FEATURES = 1,
    VU_SET_FEATURES = 2,
    VU_SET_OWNER = 3,
    VU_RESET_OWNER = 4,
    VU_SET_MEM_TABLE = 5,
    VU_SET_LOG_BASE = 6,
    VU_SET_LOG_FD = 7,
    VU_SET_VRING_NUM = 8,
    VU_SET_VRING_ADDR = 9,
    VU_SET_VRING_BASE = 10,
    VU_GET_VRING_BASE = 11,
    VU_SET_VRING_KICK = 12,
    VU_SET_VRING_CALL = 13,
    VU_SET_VRING_ERR = 14,
    VU_GET_PROTOCOL_FEATURES = 15,
    VU_SET_PROTOCOL_FEATURES = 16,
    VU_GET_QUEUE_NUM = 17,
    VU_SET_VRING_ENABLE = 18,
    VU_GET_CONFIG = 24,
    VU_SET_CONFIG = 25,
    VU_GET_INFLIGHT_FD = 31,
    VU_SET_INFLIGHT_FD = 32,
    VU_GET_MAX_MEM_SLOTS = 36,
    VU_ADD_MEM_REG = 37,
    VU_REM_MEM_REG = 38,
    VU_REQUESTS = 39
};

enum { /* bits of the protocol features */
    VU_PROTOCOL_MQ = 0,
    VU_PROTOCOL_LOG_SHMFD = 1,
    VU_PROTOCOL_REPLY_ACK = 3,
    VU_PROTOCOL_CONFIG = 9,
    VU_PROTOCOL_INFLIGHT_SHMFD = 12,
    VU_PROTOCOL_MEM_SLOTS = 15,
};

enum { VU_FLAG_VERSION = 1, VU_FLAG_REPLY = 4, VU_FLAG_NEED_REPLY = 8 };
#define VU_NO_FD 0x100u /* in SET_VRING_KICK, CALL and ERR: no descriptor comes with it */

struct vu_state {
    uint32_t index, number;
};

struct vu_addr {
    uint32_t index, flags; /* VU_ADDR_LOG */
    uint64_t desc, used, avail, log;
};
#define VU_ADDR_LOG 1u

struct vu_region {
    uint64_t gpa, bytes, uva, offset; /* guest-physical; in the front-end's process; in the descriptor */
};

struct vu_memory {
    uint32_t count, padding;
    struct vu_region region[VU_FDS_MAX];
};

struct vu_slot {
    uint64_t padding;
    struct vu_region region;
};

struct vu_config {
    uint32_t offset, bytes, flags;
    uint8_t data[VU_CONFIG_BYTES];
};

struct vu_inflight {
    uint64_t bytes, offset;
    uint16_t queues, queue_size;
};

struct vu_log {
    uint64_t bytes, offset;
};

struct vu_msg {
    uint32_t request, flags, size; /* size: bytes of the payload */
    union {
        uint64_t u64;
        struct vu_state state;
        struct vu_addr addr;
        struct vu_memory memory;
        struct vu_slot slot;
        struct vu_config config;
        struct vu_inflight inflight;
        struct vu_log log;
        uint8_t bytes[272];
    } payload;
    unsigned fds;
    int fd[VU_FDS_MAX]; /* -1: taken by whoever needed it */
};

/* Read one message. Returns 1; 0 when the peer is gone or `stop` (a descriptor, or -1) became readable; or -errno: what
 * came is not a message, or not one that was checked. The message's descriptors belong to the caller: vu_close(). */
int vu_receive(int fd, int stop, struct vu_msg *msg, struct chv_err *err);
/* Is a received header, with its descriptors, one that may be followed by its payload? And the payload one to act on?
 */
int vu_check_header(const struct vu_msg *msg, struct chv_err *err);
int vu_check_payload(const struct vu_msg *msg, struct chv_err *err);
/* Answer with the payload, and `msg->fd[0]` when `with_fd`. -errno. */
int vu_send_reply(int fd, const struct vu_msg *msg, bool with_fd);
/* Close the descriptors that nobody took. */
void vu_close(struct vu_msg *msg);
/* The message's descriptor, now the caller's; or -1. */
int vu_take_fd(struct vu_msg *msg);
const char *vu_name(uint32_t request);

#endif
