/* What a capture of RAM was: mode, time, guest-physical ranges, processors. One JSON object, kept in the store as the
 * content of a space of its own (`capture:ram` beside `ram`), so that it is hashed, chained and seen as of an instant
 * like the memory it describes. Written when a capture begins and again when it is complete. */
#ifndef CHV_SENSOR_MEMORY_RAM_CAPTURE_H
#define CHV_SENSOR_MEMORY_RAM_CAPTURE_H

#include <jansson.h>

#include "chronovisor/recorder.h"
#include "chronovisor/store.h"
#include "sensor/join/client.h"
#include "sensor/memory/layout.h"

#define CAPTURE_BYTES (256u << 10) /* of the space: 512 processors and 256 ranges fit */
#define CAPTURE_PREFIX "capture:"

enum ram_capture_mode { CAPTURE_LIVE, CAPTURE_PAUSED, CAPTURE_COW };

struct ram_capture {
    char space[CHV_SPACE_NAME_BYTES + 1]; /* "ram" */
    enum ram_capture_mode mode;
    bool complete;       /* false: the memory at this instant is half of this capture, half of the one before */
    bool was_stopped;    /* the guest stood still already, so even a live capture shows one instant */
    uint64_t begin_ns;   /* UTC: paused, cow: the instant that the memory shows; live: when the first page was read */
    uint64_t end_ns;     /* UTC: when the last page was read; 0 while incomplete */
    uint64_t pause_ns;   /* how long the guest stood still for it */
    char qemu[48];       /* its version */
    struct ram_layout ram, others; /* captured; not captured */
    size_t vcpus;
    struct vcpu vcpu[LAYOUT_VCPUS_MAX];
};

const char *ram_capture_mode_name(enum ram_capture_mode mode);
/* The inverse, or -EINVAL. */
int ram_capture_mode_parse(const char *text);
/* The name of the space that describes `space`; EINVAL when that has too many bytes. */
int ram_capture_space_name(const char *space, char name[CHV_SPACE_NAME_BYTES + 1], struct chv_err *err);

/* One object, to be json_decref'ed; NULL: out of memory. */
json_t *ram_capture_to_json(const struct ram_capture *capture);
/* Strict; EPROTO. The layouts come out normalised. */
int ram_capture_from_json(const json_t *root, struct ram_capture *out, struct chv_err *err);

/* Append it to the space `id`, as of time_ns. */
int ram_capture_write(const struct sink *sink, uint16_t id, uint32_t block_bytes, const struct ram_capture *capture,
                  uint64_t time_ns, struct chv_err *err);
/* Memory of one instant (paused, cow) is recorded after that instant, and events of disks come in between. So what `space` held as of `seq`
 * is what its view as of *view_seq shows: `seq`, or the end of a capture whose instant was by then, if that was completed. Where there is
 * no such capture, as for every space that is no memory, it is `seq`. */
int ram_capture_view_seq(const struct chv_store *store, const struct chv_space *space, uint64_t seq, uint64_t *view_seq, struct chv_err *err);
/* The instant of the last capture of `space`: what the log says up to here was so when the memory was as it was captured. ENOENT. */
int ram_capture_instant(const struct chv_store *store, const char *space, uint64_t *seq, struct chv_err *err);

/* What was known of `space` as of `seq`; *out is to be free()d. ENOENT: nothing was captured with `acquire ram` by then. */
int ram_capture_read(const struct chv_store *store, const char *space, uint64_t seq, struct ram_capture **out, struct chv_err *err);

#endif
