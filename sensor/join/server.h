/* A recorder lets others on this host add evidence to the log that it writes: STORE/join.sock.
 *
 * So there is one recorder, one order of events and one chain, and what another program finds (a guest's memory) has its place among
 * the guest's writes. Only the recorder's own user and root are heard; they may define spaces other than disks, and append FOUND,
 * ZERO and TRIM to spaces that they defined on the same connection. One connection at a time; the next one waits.
 */
#ifndef CHV_SENSOR_JOIN_SERVER_H
#define CHV_SENSOR_JOIN_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "chronovisor/recorder.h"

struct join_server {
    struct chv_recorder *rec; /* borrowed */
    uint32_t block_bytes;
    int dir_fd, listener;
    pthread_mutex_t mutex; /* client, stopping */
    int client;            /* or -1 */
    bool stopping, running;
    pthread_t thread;
};

/* The socket is there on return. */
int join_server_start(struct join_server *s, const char *store_dir, uint32_t block_bytes, struct chv_recorder *rec, struct chv_err *err);
/* Ends a connection that is open: its client gets an error. Does nothing when it was not started. */
void join_server_stop(struct join_server *s);

/* Serve one connection until it ends; for tests. `fd` stays the caller's. */
void join_serve(int fd, uint32_t block_bytes, struct chv_recorder *rec);

#endif
