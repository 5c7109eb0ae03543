/* The other end of STORE/join.sock (server.h): adding evidence to a log that somebody else writes. */
#ifndef CHV_SENSOR_JOIN_CLIENT_H
#define CHV_SENSOR_JOIN_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "chronovisor/recorder.h"

struct join;

/* ENOENT: nobody listens there. EBUSY: somebody else has joined, and does not come to an end. */
int join_connect(const char *store_dir, struct join **out, struct chv_err *err);
void join_close(struct join *join);

uint32_t join_block_bytes(const struct join *join);
uint64_t join_events(const struct join *join); /* sent so far; not while another thread appends */
int join_space(struct join *join, const char *name, uint64_t size_bytes, enum chv_rest rest, uint16_t *id, struct chv_err *err);
/* As chv_recorder_append, for FOUND, ZERO and TRIM of whole blocks; any thread. An error of the recorder comes with one of the next calls. */
int join_append(struct join *join, const struct chv_record *records, size_t count, struct chv_err *err);
/* Return when all that was appended is durable; *last_seq: of the log then. */
int join_sync(struct join *join, uint64_t *last_seq, struct chv_err *err);

/* Where evidence goes: a recorder of ours, or one that was joined. Exactly one of them is set. */
struct sink {
    struct chv_recorder *rec;
    struct join *join;
};

int sink_space(const struct sink *sink, const char *name, uint64_t size_bytes, enum chv_rest rest, uint16_t *id, struct chv_err *err);
int sink_append(const struct sink *sink, const struct chv_record *records, size_t count, struct chv_err *err);

#endif
