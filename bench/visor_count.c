/* A plugin for QEMU's TCG: how many instructions run, in the hypervisor and outside of it, between two runs of a program in the guest
 * that is linked at an address of its own (bench/visor.py). Debian ships no header for plugins: what is used of
 * docs/devel/tcg-plugins.rst is declared here.
 *
 *   -plugin libvisor_count.so,out=FILE,own=BEGIN-END,mark=ADDRESS     in hexadecimal
 *
 * Each time that the instruction at `mark` runs there is a line in FILE: instructions outside of the hypervisor; times that it was
 * entered and instructions in it; and those two of the stretches in which it only waited (there was a PAUSE in them). One processor. */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { QEMU_PLUGIN_CB_NO_REGS };
typedef void tb_trans_fn(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void tb_exec_fn(unsigned vcpu, void *arg);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_trans_fn *fn);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, tb_exec_fn *fn, int flags, void *arg);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

__attribute__((visibility("default"))) extern int qemu_plugin_version;
int qemu_plugin_version = 1;
__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv);

struct stretch {
    uint64_t times, instructions;
};

static uint64_t own_begin, own_end, mark, outside, here;
static struct stretch worked, waited;
static bool paused;
static FILE *out;

static void count_outside(unsigned vcpu, void *arg)
{
    (void)vcpu;
    if (here) {
        struct stretch *s = paused ? &waited : &worked;
        s->times++;
        s->instructions += here;
        here = 0;
        paused = false;
    }
    outside += (uintptr_t)arg;
}

static void count_own(unsigned vcpu, void *arg)
{
    (void)vcpu;
    here += (uintptr_t)arg;
}

static void count_pause(unsigned vcpu, void *arg)
{
    (void)vcpu;
    (void)arg;
    paused = true;
}

static void marked(unsigned vcpu, void *arg)
{
    (void)vcpu;
    (void)arg;
    fprintf(out, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", outside, worked.times, worked.instructions, waited.times,
            waited.instructions);
    fflush(out);
}

static bool has_pause(const struct qemu_plugin_tb *tb, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
        if (qemu_plugin_insn_size(insn) == 2 && memcmp(qemu_plugin_insn_data(insn), "\xf3\x90", 2) == 0) return true;
    }
    return false;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    uint64_t at = qemu_plugin_tb_vaddr(tb);
    size_t n = qemu_plugin_tb_n_insns(tb);
    bool own = at >= own_begin && at < own_end;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, own ? count_own : count_outside, QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)n);
    if (own && has_pause(tb, n)) qemu_plugin_register_vcpu_tb_exec_cb(tb, count_pause, QEMU_PLUGIN_CB_NO_REGS, NULL);
    if (at == mark) qemu_plugin_register_vcpu_tb_exec_cb(tb, marked, QEMU_PLUGIN_CB_NO_REGS, NULL);
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        char *end = NULL;
        if (!strncmp(argv[i], "out=", 4)) out = fopen(argv[i] + 4, "w");
        if (!strncmp(argv[i], "mark=", 5)) mark = strtoull(argv[i] + 5, NULL, 16);
        if (strncmp(argv[i], "own=", 4) != 0) continue;
        own_begin = strtoull(argv[i] + 4, &end, 16);
        if (*end == '-') own_end = strtoull(end + 1, NULL, 16);
    }
    if (!out || !mark) return -1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
