/* Where what is found goes: into a store whose lock is ours, or to the recorder that has it. */
#ifndef CHV_SENSOR_MEMORY_JOINT_H
#define CHV_SENSOR_MEMORY_JOINT_H

#include "sensor/import/target.h"
#include "sensor/join/client.h"

/* After import_target_look(): make the store if need be and take its lock, or join the recorder that has it; then the
 * target is looked at again and has no recorder. Exactly one of the sink's is set. EBUSY: the recorder lets nobody join. */
int joint_begin(struct import_target *target, struct sink *sink, uint64_t start_ns, struct chv_err *err);
/* Everything durable, and the target closed. A recorder that was joined does not tell how many contents were new. */
int joint_end(struct import_target *target, struct sink *sink, struct import_result *result, struct chv_err *err);
/* Let go, without a word about what became of it. */
void joint_close(struct import_target *target, struct sink *sink);

#endif
