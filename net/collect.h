/* The collector: a UDP socket, a receiver, a sink, until it is told to end. */
#ifndef CHV_NET_COLLECT_H
#define CHV_NET_COLLECT_H

#include <stdint.h>

#include "net/receiver.h"
#include "net/sink.h"

struct collect_options {
    struct sink_options sink;
    const char *address;     /* HOST:PORT, [V6]:PORT or :PORT; port 0: any */
    const char *key_path;
    /* What a person may want to hear: one call a line. `what` is "listening", "stream", "session", "missing", "asked", "hostile". */
    void (*say)(void *arg, const char *what, const char *text);
    void *arg;
};

struct collect_counters {
    struct receiver_counters wire;
    struct sink_counters store;
    struct chv_recorder_stats recorder;
    uint64_t datagrams, unsent;
};

/* Until SIGINT, SIGTERM or SIGHUP (which are blocked from here on), or an error. *counters is filled in either way. */
int collect_run(const struct collect_options *options, struct collect_counters *counters, struct chv_err *err);

#endif
