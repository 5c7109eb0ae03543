/* Where a verb that looks at memory reads it: a file, a space of a store at an instant, or a guest that runs; and what is found in it. */
#ifndef CHV_CLI_MEMORY_SOURCE_H
#define CHV_CLI_MEMORY_SOURCE_H

#include "cli/memory_live.h"
#include "sensor/memory/linux.h"

struct memory_source {
    struct chv_store *store; /* NULL: an image */
    struct chv_view *view;
    struct memory_live live; /* .qmp NULL: not a running guest */
    struct physmem *mem;
    struct roots roots;
    struct linux_kernel *kernel;    /* NULL: not a kernel we can read, `why` says so */
    struct chv_err why;
    struct linux_task *tasks;
    size_t task_count;
    bool tasks_broken;
    char name[256];     /* "FILE", "SPACE of STORE as of seq:N" or "SOCK, live" */
    uint64_t time_ns;   /* of the instant; an image's modification time; when a running guest was first looked at */
    uint64_t seq;       /* as of which the space shows the instant asked for (cli_instant_in); 0: not a store */
    uint16_t space;     /* of the store */
};

/* --image FILE, or --qmp SOCK (and --mode), or --store, --space and --at. Finds address spaces, the kernel and its processes. CLI_OK or
 * CLI_ERROR after one line; memory_source_close in both cases. */
int memory_source_open(const struct cli_args *args, struct memory_source *out);
/* The same with another option for the instant (diff has two). */
int memory_source_open_at(const struct cli_args *args, const char *at_option, struct memory_source *out);
/* The same without looking into it. */
int memory_source_open_only(const struct cli_args *args, const char *at_option, struct memory_source *out);
void memory_source_close(struct memory_source *src);

/* The one process that --pid or --name asks for; NULL after one line. */
const struct linux_task *memory_source_task(const struct cli_args *args, const struct memory_source *src);

/* Text from the guest on a terminal: control characters escaped. */
void memory_print_text(const char *text);
/* A JSON string of text with NULs in it (a command line), which become spaces. */
void memory_join(char *text, size_t bytes);

#define CLI_OPT_IMAGE {"--image", "FILE", "a file of physical memory: raw, ELF core or LiME; instead of a store"}
#define CLI_OPT_QMP {"--qmp", "SOCK", "the memory of a guest that runs, through QEMU's QMP socket; instead of a store"}
#define CLI_OPT_RAM {"--space", "NAME", "the space with the memory (default: ram)"}

#endif
