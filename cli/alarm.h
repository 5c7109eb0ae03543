/* An alarm: what a person, a program and the sensor are told. One JSON object, made here, given out by alarm_out.c. */
#ifndef CHV_CLI_ALARM_H
#define CHV_CLI_ALARM_H

#include <jansson.h>

#include "chronovisor/store.h"
#include "detect/detector.h"

#define ALARM_BLOCKS_MAX (1u << 20) /* of changed blocks counted exactly; from there on "at least" */
#define ALARM_FILES_MAX 100         /* names in one alarm */

/* What all alarms say: kind ("ransomware", "watch", "yara"), when, where, the last clean instant, how to go back, what was
 * touched since it began (with `files`: their names too, which opens the file system twice). The store's snapshot must
 * cover began_ns. NULL: out of memory; what cannot be found out is left out, with "note". */
json_t *alarm_new(struct chv_store *store, const struct chv_space *space, const char *kind, uint64_t raised_ns,
                  uint64_t began_ns);
/* Blocks changed since it began up to the store's last event, and the paths of the files they belong to. Slow where a file
 * system is: call it after the alarm was acted upon. */
void alarm_touched(json_t *alarm, struct chv_store *store, const struct chv_space *space, bool files);
/* What a detector says of it. */
void alarm_explain(json_t *alarm, const struct detector_alarm *why);
/* The same alarm as an Elastic Common Schema document. */
json_t *alarm_ecs(const json_t *alarm);

#endif
