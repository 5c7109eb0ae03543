/* chronovisor acquire process: one process's pages out of a machine's memory. */
#ifndef CHV_CLI_ACQUIRE_PROCESS_H
#define CHV_CLI_ACQUIRE_PROCESS_H

#include "cli/memory_source.h"
#include "sensor/memory/helper.h"

/* What is to be acquired, by either road. */
struct process_job {
    const struct cli_args *args;
    struct memory_source src;
    const struct linux_task *task; /* NULL: only an address space */
    uint64_t cr3;                  /* 0: not known */
    struct linux_vma *vmas;
    size_t vma_count;
    bool vmas_broken;
    struct pages pages;
    struct pages moved;            /* that were elsewhere afterwards */
    unsigned levels;
    uint64_t find_ns;              /* until it was known where the pages are */
    char command[LINUX_COMMAND_BYTES + 1];
    struct helper *helper;         /* NULL: found from outside */
    bool freeze;
    struct helper_pages inside;    /* what the helper said; its mappings and pages have moved to those above */
    struct linux_task *inside_tasks;
};

/* Returns an exit status, like all below. */
int acquire_process(const struct cli_args *args);

/* acquire_helper.c: --helper SOCK; which process, and where its pages are, from inside. */
int acquire_helper_begin(struct process_job *j, const char *sock);
/* When the pages were read: which of them had gone elsewhere meanwhile? Then the process goes on. */
int acquire_helper_again(struct process_job *j, struct chv_err *err);
void acquire_helper_end(struct process_job *j);

#endif
