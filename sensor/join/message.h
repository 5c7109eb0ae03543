/* What goes over STORE/join.sock: a fixed header, and `bytes` of payload behind it. Host byte order: both ends are one host.
 *
 *   client                                        server
 *   HELLO                                         HELLO    value: block_bytes
 *   SPACE   value: bytes, op: rest, text: name    SPACE    space: its id
 *   APPEND  space, op, lba, sectors, time,        (none)
 *           payload: content of FOUND
 *   SYNC                                          SYNC     value: last durable seq
 *                                                 ERROR    value: errno, payload: text; the connection ends
 */
#ifndef CHV_SENSOR_JOIN_MESSAGE_H
#define CHV_SENSOR_JOIN_MESSAGE_H

#include <stdint.h>

#include "abi/event.h"
#include "chronovisor/err.h"

#define JOIN_SOCKET "join.sock"
#define JOIN_MAGIC 0x316e6a63u           /* "cjn1" */
#define JOIN_PAYLOAD_MAX (UINT32_C(1) << 20)

enum join_kind { JOIN_HELLO = 1, JOIN_SPACE, JOIN_APPEND, JOIN_SYNC, JOIN_ERROR };

struct join_message {
    uint32_t magic;
    uint8_t kind;
    uint8_t op;
    uint16_t space;
    uint32_t bytes; /* of the payload */
    uint32_t sectors;
    uint64_t lba;
    uint64_t time_ns;
    uint64_t value;
    char name[CHV_SPACE_NAME_BYTES + 8]; /* NUL-terminated */
};
_Static_assert(sizeof(struct join_message) == 80, "no padding goes over the socket");

/* Can a client have meant this? `block_bytes`: of the store. EPROTO, EINVAL. Whether the space is known and has this size is not looked at. */
int join_message_check(const struct join_message *m, uint32_t block_bytes, struct chv_err *err);

#endif
