/* A guest's RAM into a store: the whole of `chronovisor acquire ram`. */
#ifndef CHV_SENSOR_MEMORY_ACQUIRE_H
#define CHV_SENSOR_MEMORY_ACQUIRE_H

#include "sensor/import/target.h"
#include "sensor/memory/ram_capture.h"
#include "sensor/memory/guest.h"
#include "sensor/memory/scan.h"

struct acquire_options {
    struct import_options target;      /* store, space, block size, key, progress */
    const char *qmp_path;
    pid_t pid;                         /* of QEMU; 0: whoever made the socket */
    enum ram_capture_mode mode;
    uint32_t max_pause_ms;             /* cow: what to aim at */
    bool trust_dirty_log;              /* cow: also one that is known to lose writes */
    const volatile sig_atomic_t *stop; /* may be NULL; non-zero: end in an orderly way, with -EINTR */
};

struct acquire {
    const struct acquire_options *options; /* borrowed */
    struct import_options info;            /* the space that describes the capture */
    char info_name[CHV_SPACE_NAME_BYTES + 1];
    struct import_target target;
    struct sink sink;           /* from acquire_begin on: the target's recorder, or the one that is recording */
    struct qmp *qmp;
    struct guest *guest;
    uint16_t info_space;        /* its id, from acquire_run on */
    struct ram_capture capture; /* what is kept with it */
};

struct acquire_result {
    struct import_result store;
    struct scan_result scan;
    bool first;             /* the space was new */
    bool joined;            /* recorded by somebody else's recorder; store.new_blocks is not known then */
    uint64_t instant_seq;   /* what the log says up to here was so when the memory was as captured (live: began to be); 0: not known */
    uint64_t copied_bytes, copy_ns; /* paused: the copy; cow: what QEMU sent, and for how long */
    unsigned passes;        /* cow: of QEMU over what was written meanwhile */
    uint64_t scan_ns;       /* hashing and recording, without making the last of it durable */
    uint64_t total_ns;      /* from the first look at memory until all is durable */
};

/* Look at guest and store; everything that can be refused is refused here, and nothing is changed. */
int acquire_open(struct acquire *a, const struct acquire_options *options, struct chv_err *err);
/* Make the store if need be and take its lock; or join the recorder that has it. */
int acquire_begin(struct acquire *a, struct chv_err *err);
/* On return the guest runs if it did before, also after a failure. */
int acquire_run(struct acquire *a, struct acquire_result *result, struct chv_err *err);
void acquire_close(struct acquire *a);

#endif
