#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>

#include "sensor/memory/linux_impl.h"
#include "sensor/memory/process_core.h"

#define STACK_BYTES 16384u /* of the kernel's, for each thread: THREAD_SIZE on x86-64 */
enum { ENTRY_REGISTERS = 21, AUXV_BYTES_MAX = 2048 };

static void note(FILE *out, uint32_t type, const void *data, size_t bytes)
{
    static const char zeros[4];
    Elf64_Nhdr h = {.n_namesz = 5, .n_descsz = (uint32_t)bytes, .n_type = type};
    fwrite(&h, sizeof h, 1, out);
    fwrite("CORE\0\0\0", 8, 1, out);
    fwrite(data, 1, bytes, out);
    fwrite(zeros, 1, (4 - bytes % 4) % 4, out);
}

/* What the process's first thread had in its registers when it last entered the kernel lies at the top of its kernel stack, in the order of
 * user_regs_struct (struct pt_regs). A thread that was running on a processor has newer ones there, which memory does not hold. */
static void status_note(const struct process_core *c, FILE *out)
{
    struct linux_kernel *k = c->kernel;
    prstatus_t status = {.pr_pid = (pid_t)c->task->pid, .pr_ppid = (pid_t)c->task->ppid};
    uint64_t stack, registers[ENTRY_REGISTERS];
    if (k->at.task_stack != LINUX_NONE && linux_u64(k, c->task->address + k->at.task_stack, &stack) && linux_is_pointer(k, stack) &&
        walk_read(&k->walk, stack + STACK_BYTES - sizeof registers, registers, sizeof registers) == 0 && (registers[17] & 3) == 3) {
        memcpy(&status.pr_reg, registers, sizeof registers);
        uint64_t fsbase;
        if (k->at.task_fsbase != LINUX_NONE && linux_u64(k, c->task->address + k->at.task_fsbase, &fsbase))
            memcpy((char *)&status.pr_reg + sizeof registers, &fsbase, sizeof fsbase);
    }
    note(out, NT_PRSTATUS, &status, sizeof status);
}

static void info_note(const struct process_core *c, FILE *out)
{
    prpsinfo_t info = {.pr_sname = 'S', .pr_pid = (pid_t)c->task->pid, .pr_ppid = (pid_t)c->task->ppid};
    snprintf(info.pr_fname, sizeof info.pr_fname, "%s", c->task->name);
    snprintf(info.pr_psargs, sizeof info.pr_psargs, "%.79s", c->command);
    note(out, NT_PRPSINFO, &info, sizeof info);
}

static void auxv_note(const struct process_core *c, FILE *out)
{
    struct linux_kernel *k = c->kernel;
    char auxv[AUXV_BYTES_MAX];
    if (k->at.mm_auxv == LINUX_NONE || k->at.mm_auxv_bytes > sizeof auxv ||
        walk_read(&k->walk, c->task->mm + k->at.mm_auxv, auxv, k->at.mm_auxv_bytes) < 0)
        return;
    note(out, NT_AUXV, auxv, k->at.mm_auxv_bytes);
}

/* count, page size, then start, end and page offset of each, then the names. */
static int file_note(const struct process_core *c, FILE *out)
{
    char *data = NULL;
    size_t bytes = 0;
    uint64_t head[2] = {0, PHYSMEM_PAGE_BYTES};
    for (size_t i = 0; i < c->vma_count; i++) head[0] += c->vmas[i].path != NULL;
    FILE *f = open_memstream(&data, &bytes);
    if (!f) return -ENOMEM;
    fwrite(head, sizeof head, 1, f);
    for (size_t i = 0; i < c->vma_count; i++) {
        const struct linux_vma *v = &c->vmas[i];
        uint64_t entry[3] = {v->start, v->end, v->offset / PHYSMEM_PAGE_BYTES};
        if (v->path) fwrite(entry, sizeof entry, 1, f);
    }
    for (size_t i = 0; i < c->vma_count; i++)
        if (c->vmas[i].path) fwrite(c->vmas[i].path, strlen(c->vmas[i].path) + 1, 1, f);
    if (fclose(f) != 0) {
        free(data);
        return -ENOMEM;
    }
    note(out, NT_FILE, data, bytes);
    free(data);
    return 0;
}

int process_core_notes(const struct process_core *core, char **notes, size_t *bytes)
{
    *notes = NULL;
    FILE *out = open_memstream(notes, bytes);
    if (!out) return -ENOMEM;
    int r = 0;
    if (core->task && core->kernel) {
        status_note(core, out);
        info_note(core, out);
        auxv_note(core, out);
        r = file_note(core, out);
    }
    if (fclose(out) != 0) r = -ENOMEM;
    if (r < 0) {
        free(*notes);
        *notes = NULL;
    }
    return r;
}
