#include "cli/event_text.h"

#include <stdio.h>
#include <string.h>

static const char *const op_names[CHV_OP_MAX + 1] = {
    [CHV_OP_SPACE] = "space", [CHV_OP_WRITE] = "write",       [CHV_OP_READ] = "read",   [CHV_OP_ZERO] = "zero",
    [CHV_OP_TRIM] = "trim",   [CHV_OP_BASELINE] = "baseline", [CHV_OP_FOUND] = "found", [CHV_OP_FLUSH] = "flush",
    [CHV_OP_GAP] = "gap",     [CHV_OP_COMMIT] = "commit",     [CHV_OP_MARK] = "mark",   [CHV_OP_PRUNE] = "prune",
};

const char *event_op_name(uint8_t op)
{
    return op <= CHV_OP_MAX && op_names[op] ? op_names[op] : "?";
}

uint8_t event_op_parse(const char *name, size_t length)
{
    for (uint8_t op = 1; op <= CHV_OP_MAX; op++)
        if (strlen(op_names[op]) == length && strncmp(op_names[op], name, length) == 0) return op;
    return 0;
}

const char *event_flags_text(const struct chv_event *event, char buf[EVENT_FLAGS_BYTES])
{
    static const char *const names[] = {"fua", "partial", "new", "continued", "rewind", "imported", "execute"};
    size_t at = 0;
    buf[0] = 0;
    if (event->op == CHV_OP_SPACE) return buf; /* the field holds the rest */
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (event->flags & 1u << i)
            at += (size_t)snprintf(buf + at, EVENT_FLAGS_BYTES - at, "%s%s", at ? "," : "", names[i]);
    return buf;
}

const char *event_rest_name(uint8_t rest)
{
    return rest == CHV_REST_SOURCE ? "device" : rest == CHV_REST_ZERO ? "zeros" : "unknown";
}

const char *event_gap_reason(uint8_t reason)
{
    static const char *const names[] = {"?", "queue full", "store error", "unobserved", "crash",
                                        "malformed requests", "unknown request", "failed request", "part of a block",
                                        "content not kept"};
    return names[reason < sizeof names / sizeof *names ? reason : 0];
}
