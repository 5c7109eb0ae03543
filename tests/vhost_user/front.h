/* A vhost-user-blk front-end and the driver of its rings, in one process, for tests and benchmarks: what QEMU and the
 * guest's kernel are for the back-end. Ends the process where something goes wrong that no caller expects. */
#ifndef CHV_TESTS_VHOST_FRONT_H
#define CHV_TESTS_VHOST_FRONT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sensor/vhost_user/proto.h"

#define FRONT_QUEUES_MAX 4u
#define FRONT_RING 128u
#define FRONT_DEPTH_MAX (FRONT_RING / 3)
#define FRONT_GPA 0x40000000u

struct front_queue {
    uint8_t *desc, *avail, *used;
    uint8_t *headers; /* 32 bytes a slot: 16 of header, 1 of status */
    uint8_t *data;    /* slot_bytes a slot */
    int kick, call;
    uint16_t avail_index, used_seen; /* packed: positions */
    bool avail_wrap, used_wrap;      /* packed */
    uint8_t slots[FRONT_RING];       /* packed: descriptors of each request under way, by its id */
};

struct front {
    int fd, ram_fd;
    uint8_t *ram;
    uint64_t ram_bytes, features, protocol;
    uint32_t slot_bytes;
    unsigned queues;
    bool packed;
    int inflight; /* what the back-end notes there, or -1: not asked for */
    struct vu_inflight inflight_area;
    struct front_queue queue[FRONT_QUEUES_MAX];
};

/* Connect, or take a connected socket with `fd`; negotiate what is offered and in `wanted` (~0: all); no ring yet. */
void front_open(struct front *f, int fd, unsigned queues, uint32_t slot_bytes, uint64_t wanted);
/* With packed rings, where they are offered; before front_start(). */
void front_open_packed(struct front *f, int fd, unsigned queues, uint32_t slot_bytes);
int front_connect(const char *path);
/* Have the back-end keep a note of what is under way: before front_start(). */
void front_track(struct front *f);
/* The back-end was lost: go on with the next one, with rings and notes as they are. */
void front_again(struct front *f, int fd);
void front_start(struct front *f, unsigned queue); /* the rings begin anew */
uint16_t front_stop(struct front *f, unsigned queue); /* GET_VRING_BASE */
void front_close(struct front *f);
uint64_t front_capacity(struct front *f); /* sectors */

/* Send a message with up to 8 descriptors. false: the back-end is gone. */
bool front_send(struct front *f, uint32_t request, const void *payload, uint32_t bytes, const int *fds, unsigned count);
/* Its answer, into msg; false: the back-end is gone. */
bool front_answer(struct front *f, struct vu_msg *msg);
uint64_t front_ask(struct front *f, uint32_t request); /* of 8 bytes */

/* Put a request into the ring; `type` is VIRTIO_BLK_T_…. Data is at front_data(). Without front_kick() nobody looks. */
void front_submit(struct front *f, unsigned queue, unsigned slot, uint32_t type, uint64_t sector, uint32_t bytes);
void front_kick(struct front *f, unsigned queue);
uint8_t *front_data(struct front *f, unsigned queue, unsigned slot);
/* The slot of a request that has ended, waiting up to this long; -1: none. */
int front_wait(struct front *f, unsigned queue, int timeout_ms);
uint8_t front_status(struct front *f, unsigned queue, unsigned slot);
/* One request from beginning to end, in slot 0: its status, or -1 when it is not answered within two seconds. */
int front_do(struct front *f, unsigned queue, uint32_t type, uint64_t sector, uint32_t bytes);

#endif
