/* STORE/collect.sock: another program of this host asks the collector's sensor for memory, and says in the store what that was.
 *
 * A message is a fixed header and `bytes` of payload; host byte order, both ends are one host. The collector hands requests on to the
 * sensor as they are, and the sensor's replies back: who asks counts, waits and asks again (docs/wire.md, Requests). */
#ifndef CHV_NET_CONTROL_H
#define CHV_NET_CONTROL_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/frame.h"
#include "chronovisor/err.h"

#define CONTROL_SOCKET "collect.sock"
#define CONTROL_MAGIC 0x43564843u /* "CHVC" */
#define CONTROL_PAYLOAD_MAX (64u << 10)

enum control_kind {
    CONTROL_ASK = 1,    /* struct chv_request: REPLY when the sensor answers, ERROR when there is none */
    CONTROL_NOTE = 2,   /* the name of a space "capture:…" or "map:cr3-…", CHV_WIRE_NAME_BYTES, and text: NOTED when it is durable */
    CONTROL_REPLY = 17, /* what the sensor answered */
    CONTROL_NOTED = 18,
    CONTROL_ERROR = 19, /* `code`, and text */
};

struct control_message {
    uint32_t magic;
    uint32_t kind;     /* enum control_kind */
    uint32_t bytes;    /* of the payload */
    uint32_t code;     /* ERROR: errno; NOTED: E2BIG if the map lists a part only; else 0 */
    uint64_t durable;  /* of the collector: records of the stream that are durable */
    uint64_t last_seq; /* and the last durable event */
};

/* What a request, or an answer, must be. -EPROTO. */
int control_check(const struct control_message *m, bool request);

/* --- the collector's side: one client at a time, in the collector's own loop */

struct control {
    int dir_fd, listener, client; /* -1: none */
    size_t have;
    uint8_t in[sizeof(struct control_message) + CONTROL_PAYLOAD_MAX];
};

/* Each answers at once, or later, by control_answer. */
struct control_ops {
    void (*ask)(void *arg, const struct chv_request *request);
    int (*note)(void *arg, const char *space, const char *text); /* -errno ends the collector */
    void (*gone)(void *arg); /* the client is */
};

/* ops->ask and ->note are called from control_serve only. */
int control_open(struct control *c, const char *store_dir, struct chv_err *err);
void control_close(struct control *c);
/* What to wait for, two of them (fd -1: nothing). */
void control_poll(const struct control *c, struct pollfd out[2]);
int control_serve(struct control *c, const struct pollfd fds[2], const struct control_ops *ops, void *arg);
/* To the client, if there is one; it is let go of if it does not read. */
void control_answer(struct control *c, struct control_message m, const void *payload);

/* --- the other side */

/* The collector that records into this store; ENOENT: none does. */
int control_connect(const char *store_dir, int *fd, struct chv_err *err);
/* Ask, and wait for the reply that fits, asking again; 10 s. reply[CHV_WIRE_REPLY_BYTES_MAX], of which *bytes are filled. */
int control_ask(int fd, const struct chv_request *request, uint8_t *reply, size_t *bytes, struct control_message *m, struct chv_err *err);
/* *part: the runs were too many, and the map says that it lists only the first. */
int control_note(int fd, const char *space, const char *text, uint64_t *last_seq, bool *part, struct chv_err *err);

#endif
