/* chronovisor acquire: a running guest's memory becomes evidence. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/acquire_process.h"
#include "cli/acquire_visor.h"
#include "sensor/memory/acquire.h"

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    {"--qmp", "SOCK", "the Unix socket of QEMU's -qmp unix:SOCK,server=on,wait=off"},
    {"--visor", NULL, "instead: the machine under the hypervisor whose evidence a running 'collect' records into --store"},
    {"--range", "FIRST-END", "with --visor, ram: only these guest-physical addresses (hexadecimal)"},
    {"--space", "NAME", "the space of the machine's memory (default: ram)"},
    {"--mode", "MODE", "live: read while the guest runs; paused: stopped for a copy; cow: stopped for ms (default: live)"},
    {"--trust-dirty-log", NULL, "cow: also with an emulator whose log of writes has holes (TCG before QEMU 9.0)"},
    {"--max-pause", "MS", "cow: milliseconds to aim at, 1 to 2000 (default: 10)"},
    {"--pid", "N", "process: which one. ram: QEMU's, when another program made the socket"},
    {"--name", "NAME", "process: which one, by its name"},
    {"--cr3", "ADDRESS", "process: which address space, by its top-level page table (hexadecimal)"},
    {"--helper", "SOCK", "process: the socket of the helper's port in the guest: it says where the pages are (with --qmp)"},
    {"--freeze", NULL, "process: the helper holds the process still meanwhile"},
    CLI_OPT_AT,
    {"--image", "FILE", "process: take it out of a file of physical memory, not out of the store's space"},
    {"-o", "FILE.core", "process: write an ELF core file; nothing is recorded"},
    {"--block-size", "4096|512", "of a store made by this call (default: 4096)"},
    {"--sign", "KEY.pem", "Ed25519 private key that signs the log"},
    CLI_OPT_REASON,
    {0},
};

/* A signal only asks; the guest goes on first. File scope because handlers take no argument. */
static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
    (void)signal;
    stop = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static bool parse_options(const struct cli_args *args, struct acquire_options *o)
{
    uint64_t block, pid, pause;
    const char *mode = cli_value(args, "--mode"), *space = cli_value(args, "--space");
    *o = (struct acquire_options){.qmp_path = cli_value(args, "--qmp"), .stop = &stop};
    if (!cli_number(args, "--block-size", 0, 4096, &block) || !cli_number(args, "--pid", 0, INT32_MAX, &pid) ||
        !cli_number(args, "--max-pause", 10, 2000, &pause))
        return false;
    int number = mode ? ram_capture_mode_parse(mode) : CAPTURE_LIVE;
    o->pid = (pid_t)pid;
    o->mode = number < 0 ? CAPTURE_LIVE : (enum ram_capture_mode)number;
    o->max_pause_ms = (uint32_t)pause;
    o->trust_dirty_log = cli_flag(args, "--trust-dirty-log");
    o->target = (struct import_options){
        .store_dir = cli_store_dir(args), .space = space ? space : "ram", .block_bytes = (uint32_t)block,
        .signing_key = cli_value(args, "--sign"), .progress = cli_progress,
    };
    if (!o->target.store_dir) return false;
    if (!o->qmp_path || !*o->qmp_path)
        cli_failf(args, "which guest? add --qmp SOCK, the socket of its -qmp option");
    else if (number < 0)
        cli_failf(args, "--mode '%.40s': live, paused or cow", mode);
    else if (o->trust_dirty_log && o->mode != CAPTURE_COW)
        cli_failf(args, "--trust-dirty-log goes with --mode cow");
    else if (cli_value(args, "--max-pause") && (pause == 0 || o->mode != CAPTURE_COW))
        cli_failf(args, "--max-pause: at least 1 ms, and with --mode cow");
    else if (cli_value(args, "--block-size") && block != 4096 && block != 512)
        cli_failf(args, "--block-size %s: blocks have 4096 or 512 bytes", cli_value(args, "--block-size"));
    else
        return true;
    return false;
}

static void print_json(const struct acquire *a, const struct acquire_result *r)
{
    json_t *root = ram_capture_to_json(&a->capture);
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"scanned_bytes", r->scan.scanned_bytes}, {"hole_bytes", r->scan.hole_bytes}, {"zero_blocks", r->scan.zero_blocks},
        {"same_blocks", r->scan.same_blocks}, {"changed_blocks", r->scan.changed_blocks}, {"zeroed_blocks", r->scan.zeroed_blocks},
        {"events", r->store.events}, {"new_blocks", r->store.new_blocks}, {"last_seq", r->store.last_seq}, {"instant_seq", r->instant_seq},
        {"copied_bytes", r->copied_bytes}, {"copy_ns", r->copy_ns}, {"passes", r->passes}, {"scan_ns", r->scan_ns}, {"total_ns", r->total_ns},
    };
    for (size_t i = 0; root && i < sizeof numbers / sizeof *numbers; i++)
        json_object_set_new(root, numbers[i].name, json_integer((json_int_t)numbers[i].value));
    if (root) json_object_set_new(root, "first", json_boolean(r->first));
    if (root) json_object_set_new(root, "joined", json_boolean(r->joined));
    if (root && r->joined) json_object_del(root, "new_blocks");
    if (root) json_dumpf(root, stdout, JSON_PRESERVE_ORDER);
    putchar('\n');
    json_decref(root);
}

static void print_text(const struct acquire *a, const struct acquire_result *r)
{
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES];
    const struct ram_capture *c = &a->capture;
    clock_format(c->begin_ns, from);
    clock_format(c->end_ns, to);
    if (c->was_stopped)
        printf("%s as of %s: the guest stood still already\n", c->space, from);
    else if (c->mode != CAPTURE_LIVE)
        printf("%s as of %s: the guest stood still for %.1f ms\n", c->space, from, (double)c->pause_ns / 1e6);
    else
        printf("%s from %s to %s: live, so pages are up to %.0f ms apart\n", c->space, from, to,
               (double)(c->end_ns - c->begin_ns) / 1e6);
    printf("%" PRIu64 " MiB in %zu ranges, %" PRIu64 " MiB of them never used; %" PRIu64 " blocks recorded, %" PRIu64 " became zeros",
           r->scan.scanned_bytes >> 20, c->ram.count, r->scan.hole_bytes >> 20, r->scan.changed_blocks, r->scan.zeroed_blocks);
    if (!r->joined) printf(", %" PRIu64 " new contents", r->store.new_blocks);
    printf("; %.0f MB/s; seq:%" PRIu64 "\n", (double)r->scan.scanned_bytes * 1e3 / (double)(r->total_ns ? r->total_ns : 1), r->store.last_seq);
    if (r->joined && r->instant_seq && c->mode != CAPTURE_LIVE)
        printf("disks of this store and %s were so at the same instant: --at seq:%" PRIu64 "\n", c->space, r->instant_seq);
    for (size_t i = 0; i < c->vcpus; i++) printf("CPU %zu: CR3 0x%" PRIx64 "\n", i, c->vcpu[i].cr3);
}

static int acquire_ram(const struct cli_args *args)
{
    struct acquire_options o;
    struct acquire_result result;
    struct chv_err err;
    if (!parse_options(args, &o)) return CLI_ERROR;
    struct acquire *a = calloc(1, sizeof *a);
    if (!a) return cli_failf(args, "out of memory");
    catch_signals();
    int code = CLI_ERROR;
    if (acquire_open(a, &o, &err) < 0) {
        code = cli_fail(args, &err);
        goto out_free;
    }
    code = acquire_begin(a, &err) < 0 ? cli_fail(args, &err) : 0;
    if (code == 0)
        code = cli_custody(args, "acquire ram", "process %ld through %s as %s, %s", (long)a->guest->pid, o.qmp_path, o.target.space,
                           ram_capture_mode_name(o.mode));
    if (code == 0 && acquire_run(a, &result, &err) < 0) {
        cli_progress_end();
        code = cli_fail(args, &err);
        cli_custody(args, "acquire failed", "%s: %s", o.target.space, err.text);
    }
    cli_progress_end();
    if (code == 0)
        code = cli_custody(args, "acquired ram", "%s, %s, seq:%llu, pause %.1f ms", o.target.space, ram_capture_mode_name(o.mode),
                           (unsigned long long)result.store.last_seq, (double)a->capture.pause_ns / 1e6);
    if (code == 0) (args->json ? print_json : print_text)(a, &result);
    acquire_close(a);
out_free:
    free(a);
    return code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_acquire, argc, argv, &args)) return CLI_ERROR;
    int code;
    if (args.count != 1)
        code = cli_failf(&args, "needs what: 'acquire ram' or 'acquire process'");
    else if (cli_flag(&args, "--visor"))
        code = acquire_visor(&args);
    else if (cli_flag(&args, "--range"))
        code = cli_failf(&args, "--range goes with --visor");
    else if (strcmp(args.positional[0], "process") == 0)
        code = acquire_process(&args);
    else if (strcmp(args.positional[0], "ram") != 0)
        code = cli_failf(&args, "cannot acquire '%.40s'; it is 'ram' or 'process'", args.positional[0]);
    else
        code = acquire_ram(&args);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_acquire = {
    .name = "acquire",
    .group = "Record",
    .synopsis = "ram --qmp SOCK|--visor [--mode live|paused|cow] | process --pid N|--name NAME|--cr3 X [-o FILE.core] [OPTION…]",
    .summary = "take in the memory of a running guest, or of one process of it",
    .example = "chronovisor acquire ram --qmp /run/vm/qmp.sock --mode paused --store case7",
    .options = options,
    .run = run,
};
