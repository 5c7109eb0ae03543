/* What is known of a process that is recorded by hypercall; between record.c and record_text.c. */
#ifndef CHV_GUEST_RECORD_H
#define CHV_GUEST_RECORD_H

#include "guest/helper.h"

struct record_mapping {
    struct chv_helper_mapping m;
    char *path;
};

struct record_list {
    struct chv_helper_process process;
    uint64_t time_ns;
    bool held, torn, failed; /* failed: out of memory */
    char *command;
    size_t command_bytes;
    struct record_mapping *mappings;
    struct chv_helper_run *runs; /* by address, as translate gives them */
    size_t mapping_count, mapping_room, run_count, run_room;
    uint64_t present_pages, swapped_pages, unseen_pages, refused_pages;
    struct record_list *again;   /* the same, after the pages were recorded; NULL: it was not looked */
};

#endif
