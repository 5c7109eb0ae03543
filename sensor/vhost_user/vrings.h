/* The messages about one ring: when it starts, when it stops, and what may change in between. */
#ifndef CHV_SENSOR_VHOST_VRINGS_H
#define CHV_SENSOR_VHOST_VRINGS_H

#include "sensor/vhost_user/proto.h"
#include "sensor/vhost_user/queue.h"

/* As device_message(); `memory` may be NULL. */
int vrings_message(struct queue *q, struct guest_memory *memory, const struct inflight_map *inflight,
                   struct vu_msg *msg, struct chv_err *err);
/* There is a new memory table: find the ring in it. */
void vrings_memory(struct queue *q, struct guest_memory *memory);

#endif
