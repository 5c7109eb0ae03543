/* A Linux kernel understood from outside and without symbol files: its own type information (BTF) says where the fields are, its
 * page tables say where the memory is, and the first task is known by its name.
 *
 * Every pointer is the guest's: lists are walked with bounds and without being believed, text is copied with a length. What a
 * rootkit that changes these structures can hide is in sensor/memory/agentless.md.
 */
#ifndef CHV_SENSOR_MEMORY_LINUX_H
#define CHV_SENSOR_MEMORY_LINUX_H

#include "sensor/memory/btf.h"
#include "sensor/memory/roots.h"

#define LINUX_TASKS_MAX 131072u
#define LINUX_VMAS_MAX 262144u /* of one process */
#define LINUX_PATH_BYTES 4096u
#define LINUX_COMMAND_BYTES 4096u

struct linux_kernel;

/* Find the kernel's types and its first task through `roots` (borrowed, as mem is). ENOENT: no Linux kernel with BTF here, with
 * what was missing; its address spaces are all that can be known. */
int linux_open(struct physmem *mem, const struct roots *roots, struct linux_kernel **out, struct chv_err *err);
void linux_close(struct linux_kernel *k);
const char *linux_banner(const struct linux_kernel *k); /* "Linux version 6.1…", or "" */

struct linux_task {
    uint64_t address;       /* of its task_struct */
    uint32_t pid, ppid;     /* of the process, not the thread */
    char name[16];          /* comm, always terminated; any bytes */
    uint64_t mm;            /* 0: a kernel thread */
    uint64_t cr3;           /* 0: none */
    uint32_t uid;           /* UINT32_MAX: not known */
    uint64_t arg_start, arg_end;
    bool hidden;            /* it has a number, but is not in the kernel's list */
    uint64_t start_ns;      /* after the machine's boot; 0: not known */
};

/* All processes in the order of the kernel's list, then those that are not in it although they have a number, malloc'd. *broken: the list ended in something that is no task, so there
 * may be more. */
int linux_tasks(struct linux_kernel *k, struct linux_task **out, size_t *count, bool *broken, struct chv_err *err);
/* A walk of its address space; false: it has none. */
bool linux_task_walk(const struct linux_kernel *k, const struct linux_task *task, struct walk *out);
/* argv joined by NULs, as /proc/PID/cmdline; returns the bytes put into buf (0: none, or swapped out). */
size_t linux_command(const struct linux_kernel *k, const struct linux_task *task, char *buf, size_t size);

enum linux_vma_flag { /* as in the kernel's mm.h */
    LINUX_VM_READ = 1 << 0,
    LINUX_VM_WRITE = 1 << 1,
    LINUX_VM_EXEC = 1 << 2,
    LINUX_VM_SHARED = 1 << 3,
};

struct linux_vma {
    uint64_t start, end; /* pages */
    uint64_t flags;
    uint64_t offset;     /* bytes into the file */
    uint64_t file;       /* address of its struct file; 0: anonymous */
    bool deleted;        /* its file has no name any more */
    bool memfd;          /* its file never had one */
    bool vdso;
    bool heap, stack;
    char *path;          /* owned; NULL: anonymous */
};

/* The memory map in order of address, malloc'd; linux_vmas_free frees. *broken: part of it could not be followed. */
int linux_vmas(struct linux_kernel *k, const struct linux_task *task, struct linux_vma **out, size_t *count, bool *broken,
               struct chv_err *err);
void linux_vmas_free(struct linux_vma *vmas, size_t count);


#endif
