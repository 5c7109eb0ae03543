/* A process's memory into a store: space proc:NAME holds its pages at their virtual addresses, space map:NAME says what they were.
 *
 * proc:NAME   LBA = virtual address / 512 in the lower half. FOUND events for pages whose content is new there, TRIM for pages that
 *             an earlier acquisition had and that are mapped no more. What was never mapped is unknown, and reading it an error.
 * map:NAME    JSON, an object a line, padded with zeros: first the process and the acquisition, then its mappings, then runs of
 *             present pages with their rights (agentless.md). One version an acquisition, so that pages and map of an instant belong together.
 */
#ifndef CHV_SENSOR_MEMORY_PROCESS_RECORD_H
#define CHV_SENSOR_MEMORY_PROCESS_RECORD_H

#include "sensor/import/target.h"
#include "sensor/memory/helper_message.h"
#include "sensor/memory/linux.h"
#include "sensor/memory/pages.h"

struct process_record_result;

struct process_record {
    struct import_options options; /* .space is proc:NAME */
    const char *map_space;         /* map:NAME */
    struct physmem *mem;
    const struct pages *pages;
    unsigned levels;
    uint64_t time_ns;     /* when the memory was so; used as the events' time if the log is not later already. 0: each event its own */
    /* Called when all pages are recorded: the text of map:NAME, malloc'd. 0 or -errno with err filled. */
    int (*describe)(void *arg, const struct process_record_result *sofar, char **text, size_t *bytes, struct chv_err *err);
    void *arg;
};

struct process_record_result {
    struct import_result store;
    bool joined; /* recorded by somebody else's recorder; store.new_blocks is not known then */
    uint64_t pages, gone_pages, unreadable_pages;
    uint64_t record_ns; /* reading, hashing, storing, until all is durable */
};

/* The store is made when it is not there; one that is being recorded gets it through its recorder. */
int process_record_run(const struct process_record *p, struct process_record_result *out, struct chv_err *err);

/* What map:NAME says. */
struct process_map {
    const struct linux_task *task;    /* NULL: an address space without a name */
    const char *command, *source;     /* source: what was read */
    uint64_t cr3, time_ns;
    const struct linux_vma *vmas;
    size_t vma_count;
    const struct pages *pages;
    const struct helper_pages *helper; /* NULL: found from outside */
    const struct page_run *moved;      /* pages that were elsewhere when they had been read: their content may be another's */
    size_t moved_count;
};

/* Its text, malloc'd. ENOMEM. */
int process_map_text(const struct process_map *map, char **text, size_t *bytes, struct chv_err *err);

#endif
