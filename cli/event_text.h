/* Names of event operations and flags, as docs/format.md writes them, in lower case. */
#ifndef CHV_CLI_EVENT_TEXT_H
#define CHV_CLI_EVENT_TEXT_H

#include <stddef.h>

#include "abi/event.h"

/* "write"; "?" for what is no operation. */
const char *event_op_name(uint8_t op);
/* The operation of this name (not NUL-terminated), or 0. */
uint8_t event_op_parse(const char *name, size_t length);
/* "new,partial" or "". */
#define EVENT_FLAGS_BYTES 64
const char *event_flags_text(const struct chv_event *event, char buf[EVENT_FLAGS_BYTES]);
const char *event_rest_name(uint8_t rest);
const char *event_gap_reason(uint8_t reason);

#endif
