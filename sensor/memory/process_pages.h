/* The pages of a process into a store: read, compared with what the space held, and what is new recorded; on all cores. */
#ifndef CHV_SENSOR_MEMORY_PROCESS_PAGES_H
#define CHV_SENSOR_MEMORY_PROCESS_PAGES_H

#include "sensor/import/target.h"
#include "sensor/join/client.h"
#include "sensor/memory/pages.h"

struct process_pages {
    struct physmem *mem;
    const struct pages *pages;
    const struct import_target *target; /* .space; .before is what is compared with */
    const struct sink *sink;
    uint64_t time_ns;                   /* of the events; 0: now */
    uint64_t read_pages, unreadable_pages; /* out */
};

int process_pages_record(struct process_pages *p, struct chv_err *err);

#endif
