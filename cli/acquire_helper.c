/* chronovisor acquire process --helper: the guest says where the pages are, they are read from outside. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/acquire_process.h"

/* --pid or --name among the processes that the guest's /proc has. */
static int choose(struct process_job *j)
{
    struct chv_err err;
    uint64_t pid;
    size_t count, hits = 0;
    const char *name = cli_value(j->args, "--name");
    if (!cli_number(j->args, "--pid", 0, CHV_HELPER_PID_MAX, &pid)) return CLI_ERROR;
    if (cli_flag(j->args, "--cr3")) return cli_failf(j->args, "--cr3 is found from outside: without --helper");
    if ((name != NULL) == cli_flag(j->args, "--pid"))
        return cli_failf(j->args, "which process? --pid N or --name NAME; 'chronovisor ps --helper SOCK' lists them");
    if (helper_tasks(j->helper, &j->inside_tasks, &count, &err) < 0) return cli_fail(j->args, &err);
    for (size_t i = 0; i < count; i++) {
        const struct linux_task *t = &j->inside_tasks[i];
        if (name ? strcmp(t->name, name) != 0 : t->pid != pid) continue;
        j->task = t;
        hits++;
    }
    if (hits == 0) return cli_failf(j->args, "the helper knows no such process; 'chronovisor ps --helper SOCK' lists them");
    if (hits > 1) return cli_failf(j->args, "%zu processes are named '%.20s'; choose one with --pid", hits, name ? name : "");
    if (j->task->mm == 0) return cli_failf(j->args, "process %u is a thread of the kernel and has no memory of its own", j->task->pid);
    return CLI_OK;
}

static void say_what_is_missing(const struct process_job *j)
{
    const struct helper_pages *p = &j->inside;
    if (j->freeze && !p->held) fprintf(stderr, "note: the process could not be held still\n");
    if (p->torn) fprintf(stderr, "note: the helper did not get to see all of the process\n");
    if (p->refused_pages)
        fprintf(stderr, "note: %llu pages are said to be where the guest has no memory; they were not taken\n",
                (unsigned long long)p->refused_pages);
}

int acquire_helper_begin(struct process_job *j, const char *sock)
{
    struct chv_err err;
    if (!j->src.live.qmp) return cli_failf(j->args, "--helper says where the pages are; --qmp SOCK is needed to read them");
    if (j->src.live.paused) return cli_failf(j->args, "a helper cannot answer while the guest stands still; --freeze holds the process");
    if (helper_connect(sock, &j->helper, &err) < 0) return cli_fail(j->args, &err);
    int code = choose(j);
    if (code != CLI_OK) return code;
    j->freeze = cli_flag(j->args, "--freeze");
    if (helper_translate(j->helper, j->task->pid, j->freeze, j->src.mem, &j->inside, &err) < 0) return cli_fail(j->args, &err);
    j->vmas = j->inside.vmas;
    j->vma_count = j->inside.vma_count;
    j->pages = j->inside.pages;
    j->inside.vmas = NULL;
    j->inside.vma_count = 0;
    j->inside.pages = (struct pages){0};
    j->levels = j->vma_count > 0 && j->vmas[j->vma_count - 1].end > walk_user_last(4) + 1 ? 5 : 4;
    say_what_is_missing(j);
    if (j->pages.bytes == 0) return cli_failf(j->args, "the process has no page in memory");
    return CLI_OK;
}

int acquire_helper_again(struct process_job *j, struct chv_err *err)
{
    struct helper_pages now;
    int r = helper_translate(j->helper, j->task->pid, j->freeze, j->src.mem, &now, err);
    if (r == -ESRCH) { /* it has ended: whatever of it was read late may have been somebody else's */
        now = (struct helper_pages){0};
        r = 0;
    }
    if (r < 0) return r;
    r = pages_moved(&j->pages, &now.pages, &j->moved);
    helper_pages_fini(&now);
    if (r < 0) return chv_err_set(err, ENOMEM, "out of memory");
    return helper_release(j->helper, err);
}

void acquire_helper_end(struct process_job *j)
{
    helper_close(j->helper);
    helper_pages_fini(&j->inside);
    free(j->inside_tasks);
}
