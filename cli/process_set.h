/* The processes that a verb looks at: of a machine's memory, or one that `acquire process` took out of it. */
#ifndef CHV_CLI_PROCESS_SET_H
#define CHV_CLI_PROCESS_SET_H

#include "cli/memory_source.h"
#include "sensor/memory/process_image.h"

struct process_set {
    struct memory_source src;      /* of a machine */
    const struct linux_task **list; /* into src.tasks: what --pid or --name chose, else all that have memory of their own */
    bool acquired;                 /* --space proc:N: what follows */
    struct chv_store *store;
    struct chv_view *view;
    struct physmem *mem;
    char map_space[CHV_SPACE_NAME_BYTES + 16];
    uint16_t space;
    uint64_t seq;
    size_t count;
    bool lists_broken;             /* there may be more processes */
};

/* As --image, --store, --space, --pid and --name say, at the instant of `at_option`. CLI_OK, or CLI_ERROR after one line; close in
 * both cases. */
int process_set_open(const struct cli_args *args, const char *at_option, struct process_set *out);
/* The same, but all processes whatever --pid and --name say. */
int process_set_open_all(const struct cli_args *args, const char *at_option, struct process_set *out);
void process_set_close(struct process_set *set);
/* Process i of it; process_image_fini afterwards, before the set is closed. CLI_OK, or CLI_ERROR after one line. */
int process_set_get(const struct cli_args *args, const struct process_set *set, size_t i, struct process_image *out);
/* Where its pages' content is recorded, by address = pa of a page; NULL: in a file. */
struct chv_store *process_set_store(const struct process_set *set, uint16_t *space, uint64_t *seq);

#endif
