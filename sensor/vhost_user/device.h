/* One connection: a front-end, its messages, the queues it sets up. One thread calls. */
#ifndef CHV_SENSOR_VHOST_DEVICE_H
#define CHV_SENSOR_VHOST_DEVICE_H

#include "sensor/vhost_user/proto.h"
#include "sensor/vhost_user/queue.h"

struct device {
    struct queue_shared shared;
    uint64_t features, protocol; /* negotiated */
    struct guest_memory *memory;
    struct vu_memory table; /* what it was made of, to be made again of more or less */
    int table_fd[VU_FDS_MAX];
    struct inflight_map inflight;
    struct dirty_log *log;
    unsigned queues;
    struct queue queue[BLK_QUEUES_MAX];
};

int device_new(struct session *session, struct capture *capture, struct device **out, struct chv_err *err);
void device_free(struct device *d);

enum device_answer { DEVICE_NO_ANSWER = 0, DEVICE_ANSWER, DEVICE_ANSWER_FD };

/* Act on a checked message. Returns enum device_answer (the message is now the answer, with DEVICE_ANSWER_FD fd[0] goes
 * with it), or -errno with one line in `err`: this front-end makes no sense. */
int device_message(struct device *d, struct vu_msg *msg, struct chv_err *err);
/* Serve a front-end until it goes, makes no sense (a line on stderr), or `stop` is readable. */
void device_serve(struct device *d, int fd, int stop);
/* What is offered. */
uint64_t device_features(const struct device *d);

#endif
