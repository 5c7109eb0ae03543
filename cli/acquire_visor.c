/* The hypervisor records, the collector stores, this asks: what to record, how far it is, and says in the store what it was. */
#include "cli/acquire_visor.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "net/control.h"
#include "sensor/memory/ram_capture.h"

enum { ASK_EVERY_MS = 100, ROOM_TRIES = 40 };

struct job {
    const struct cli_args *args;
    int fd;
    struct chv_request request;
    struct chv_reply reply; /* the last one */
    struct control_message m;
    uint64_t began_ns, durable_ns;
    bool unlisted; /* more runs of pages than a map lists */
};

/* A signal only asks; the sensor is told to stop first. File scope because handlers take no argument. */
static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
    (void)signal;
    stop = 1;
}

static void wait_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL);
}

static bool parse_hex(const char *text, char end, const char **behind, uint64_t *out)
{
    char *at;
    errno = 0;
    *out = strtoull(text, &at, 16);
    *behind = at + 1;
    return errno == 0 && at != text && *at == end && *text != '-';
}

static bool parse_options(struct job *j, bool process)
{
    static const char *const others[] = {"--qmp", "--space", "--mode", "--trust-dirty-log", "--max-pause", "--helper", "--freeze", "--at",
                                         "--image", "-o", "--block-size", "--sign", "--pid", "--name"};
    const struct cli_args *args = j->args;
    const char *range = cli_value(args, "--range"), *cr3 = cli_value(args, "--cr3"), *end;
    struct chv_request *r = &j->request;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (cli_flag(args, others[i]) || cli_value(args, others[i])) {
            cli_failf(args, "%s does not go with --visor%s", others[i],
                      strcmp(others[i], "--pid") && strcmp(others[i], "--name") ? ""
                      : ": take --cr3, or 'acquire ram --visor' and then the process out of the store");
            return false;
        }
    *r = (struct chv_request){.kind = process ? CHV_REQUEST_WALK : CHV_REQUEST_RAM, .end = UINT64_MAX & ~UINT64_C(4095)};
    if (process && !cr3)
        cli_failf(args, "which address space? add --cr3 X, the address of its top-level page table");
    else if (cr3 && (!process || !parse_hex(cr3, 0, &end, &r->table) || r->table == 0))
        cli_failf(args, process ? "--cr3 '%.40s' is not a hexadecimal address" : "--cr3 '%.40s' goes with 'acquire process'", cr3);
    else if (range && (!parse_hex(range, '-', &end, &r->first) || !parse_hex(end, 0, &end, &r->end) || r->first >= r->end ||
                       (r->first | r->end) % 4096))
        cli_failf(args, "--range '%.40s': FIRST-END, hexadecimal, multiples of 1000, and the end behind the first", range);
    else {
        r->table &= ~UINT64_C(4095); /* flags, and the number of a context */
        return true;
    }
    return false;
}

/* --- what the machine is */

static int look(struct job *j, struct ram_capture *c, struct chv_err *err)
{
    uint8_t data[CHV_WIRE_REPLY_BYTES_MAX];
    size_t bytes;
    *c = (struct ram_capture){.space = "ram", .mode = CAPTURE_LIVE};
    for (bool more = true; more;) {
        struct chv_request r = {.id = j->request.id, .kind = CHV_REQUEST_LOOK, .first = c->ram.count, .end = c->vcpus};
        int code = control_ask(j->fd, &r, data, &bytes, &j->m, err);
        if (code < 0) return code;
        memcpy(&j->reply, data, sizeof j->reply);
        const uint8_t *at = data + sizeof j->reply;
        if (c->ram.count + j->reply.stretches > LAYOUT_RANGES_MAX || c->vcpus + j->reply.processors > LAYOUT_VCPUS_MAX)
            return chv_err_set(err, EPROTO, "the sensor tells of more memory than there can be");
        for (uint16_t i = 0; i < j->reply.stretches; i++, at += sizeof(struct chv_wire_stretch)) {
            struct chv_wire_stretch s;
            memcpy(&s, at, sizeof s);
            c->ram.ranges[c->ram.count++] = (struct ram_range){.gpa = s.base, .bytes = s.bytes, .region = "ram"};
        }
        for (uint16_t i = 0; i < j->reply.processors; i++, at += sizeof(struct chv_wire_processor)) {
            struct chv_wire_processor p;
            memcpy(&p, at, sizeof p);
            c->vcpu[c->vcpus++] = (struct vcpu){.cr0 = p.cr0, .cr3 = p.cr3, .cr4 = p.cr4, .efer = p.efer, .rip = p.rip};
        }
        more = j->reply.stretches == CHV_WIRE_RAM || j->reply.processors == CHV_WIRE_PROCESSORS;
    }
    for (size_t i = 0; i < c->ram.count; i++) c->ram.ranges[i].offset = c->ram.ranges[i].gpa;
    return layout_normalise(&c->ram, err);
}

static int describe(struct job *j, const struct ram_capture *c, uint64_t *seq, struct chv_err *err)
{
    json_t *root = ram_capture_to_json(c);
    char *text = root ? json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    int code = text ? control_note(j->fd, CAPTURE_PREFIX "ram", text, seq, &j->unlisted, err) : chv_err_set(err, ENOMEM, "out of memory");
    free(text);
    json_decref(root);
    return code;
}

/* --- the request */

static int ask(struct job *j, struct chv_err *err)
{
    uint8_t data[CHV_WIRE_REPLY_BYTES_MAX];
    size_t bytes;
    int code = control_ask(j->fd, &j->request, data, &bytes, &j->m, err);
    if (code == 0) memcpy(&j->reply, data, sizeof j->reply);
    return code;
}

/* Until the sensor has taken it up: others' requests, and processes' places on the wire, may be in the way for a while. */
static int take_up(struct job *j, struct chv_err *err)
{
    for (unsigned i = 0; i < ROOM_TRIES && !stop; i++) {
        int code = ask(j, err);
        if (code < 0) return code;
        if (j->reply.id == j->request.id && j->reply.state != CHV_REPLY_NO_ROOM) return 0;
        j->request.id = j->reply.id + 1; /* the sensor was asked by somebody whose clock is ahead, or has to be asked anew */
        wait_ms(ASK_EVERY_MS * 2);
    }
    return stop ? 0 : chv_err_set(err, ENOSPC, "the sensor's list of spaces is full, or what it recorded does not become durable");
}

static int follow(struct job *j, uint64_t from, uint64_t to, struct chv_err *err)
{
    uint64_t position = 0;
    int code = take_up(j, err);
    while (code == 0 && !stop && (j->reply.state == CHV_REPLY_RUNNING || j->m.durable < j->reply.records)) {
        if (j->reply.id != j->request.id) return chv_err_set(err, EBUSY, "the sensor was asked for something else meanwhile");
        if (j->reply.position < position) return chv_err_set(err, ECONNRESET, "the machine started again meanwhile");
        position = j->reply.position;
        if (j->reply.state != CHV_REPLY_RUNNING && j->reply.state != CHV_REPLY_DONE && j->reply.state != CHV_REPLY_CUT) break;
        cli_progress("recording memory", position > from ? (position < to ? position : to) - from : 0, to - from);
        wait_ms(ASK_EVERY_MS);
        code = ask(j, err);
    }
    j->durable_ns = clock_monotonic_ns();
    if (code < 0) return code;
    if (stop) {
        j->request.id++;
        j->request.kind = CHV_REQUEST_STOP;
        ask(j, err);
        return chv_err_set(err, EINTR, "interrupted; what was recorded until then stays recorded");
    }
    switch (j->reply.state) {
    case CHV_REPLY_DONE:
        return 0;
    case CHV_REPLY_CUT:
        fprintf(stderr, "note: the page tables map, or lead to, more than such a machine can have; cut off at 0x%" PRIx64 "\n", j->reply.position);
        return 0;
    case CHV_REPLY_REFUSED:
        return chv_err_set(err, EINVAL, j->request.kind == CHV_REQUEST_WALK ? "there are no page tables of 64 bits at 0x%" PRIx64
                                                                            : "the sensor refuses it", j->request.table);
    default:
        return chv_err_set(err, ECANCELED, "somebody told the sensor to stop");
    }
}

static void print_result(const struct job *j, const char *space, uint64_t seq)
{
    double seconds = (double)(j->durable_ns - j->began_ns) / 1e9;
    if (j->args->json)
        printf("{\"space\": \"%s\", \"road\": \"visor\", \"pages\": %" PRIu64 ", \"seconds\": %.3f, \"cut\": %s, \"unlisted\": %s, \"seq\": %" PRIu64 "}\n", space,
               j->reply.pages, seconds, j->reply.state == CHV_REPLY_CUT ? "true" : "false", j->unlisted ? "true" : "false", seq);
    else
        printf("%s: %" PRIu64 " pages recorded in %.1f s while the machine ran, %.1f MB/s; seq:%" PRIu64 "\n", space, j->reply.pages, seconds,
               (double)j->reply.pages * 4096 / 1e6 / (seconds > 0 ? seconds : 1), seq);
}

static int acquire_ram(struct job *j, struct ram_capture *c, bool all, uint64_t *seq, struct chv_err *err)
{
    int code = look(j, c, err);
    c->begin_ns = clock_now_ns();
    uint64_t from = j->request.first, to = layout_end(&c->ram);
    if (to > j->request.end) to = j->request.end;
    if (code == 0 && all) code = describe(j, c, seq, err);
    if (code == 0) code = follow(j, from, to > from ? to : from + 1, err);
    c->complete = true;
    c->end_ns = clock_now_ns();
    if (code == 0 && all) code = describe(j, c, seq, err);
    return code;
}

/* The first line of its map; the collector adds what it was told of the pages. */
static int acquire_process(struct job *j, const char *space, uint64_t *seq, struct chv_err *err)
{
    char time[CLOCK_TEXT_BYTES], map[CHV_SPACE_NAME_BYTES + 1], head[512];
    uint64_t begun = clock_now_ns();
    int code = follow(j, 0, UINT64_C(1) << 47, err);
    if (code < 0) return code;
    if (!j->reply.pages)
        return chv_err_set(err, ENOENT, "the page tables at 0x%" PRIx64 " map no page of the machine's memory%s", j->request.table,
                           j->reply.state == CHV_REPLY_CUT ? ", as far as they were walked" : "");
    snprintf(map, sizeof map, "map:%s", space + strlen("proc:"));
    snprintf(head, sizeof head,
             "{\"kind\":\"process\",\"format\":1,\"road\":\"visor\",\"time\":\"%s\",\"time_ns\":%" PRIu64 ",\"bytes\":%" PRIu64
             ",\"truncated\":%s,\"source\":\"the hypervisor\",\"cr3\":\"0x%" PRIx64 "\"}",
             clock_format(begun, time), begun, j->reply.pages * 4096, j->reply.state == CHV_REPLY_CUT ? "true" : "false", j->request.table);
    code = control_note(j->fd, map, head, seq, &j->unlisted, err);
    if (code == 0 && j->unlisted)
        fprintf(stderr, "note: so many runs of pages that %s lists the first of them only; the pages of all are recorded\n", map);
    return code;
}

int acquire_visor(const struct cli_args *args)
{
    const char *what = args->positional[0], *store = cli_store_dir(args);
    bool process = strcmp(what, "process") == 0;
    char space[CHV_SPACE_NAME_BYTES + 1] = "ram";
    struct job j = {.args = args};
    struct chv_err err;
    uint64_t seq = 0;
    if (!process && strcmp(what, "ram") != 0) return cli_failf(args, "cannot acquire '%.40s'; it is 'ram' or 'process'", what);
    if (!store || !parse_options(&j, process)) return CLI_ERROR;
    if (process) snprintf(space, sizeof space, "proc:cr3-%" PRIx64, j.request.table);
    if (control_connect(store, &j.fd, &err) < 0) return cli_fail(args, &err);
    struct ram_capture *c = calloc(1, sizeof *c);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    j.request.id = clock_now_ns();
    j.began_ns = clock_monotonic_ns();
    int code = cli_custody(args, process ? "acquire process" : "acquire ram", "%s from the hypervisor's machine", space), r = 0;
    if (code == 0 && c)
        r = process ? acquire_process(&j, space, &seq, &err) : acquire_ram(&j, c, !cli_value(args, "--range"), &seq, &err);
    cli_progress_end();
    if (code == 0 && (r < 0 || !c)) {
        code = c ? cli_fail(args, &err) : cli_failf(args, "out of memory");
        cli_custody(args, "acquire failed", "%s: %s", space, c ? err.text : "out of memory");
    }
    if (code == 0) {
        if (!seq) seq = j.m.last_seq;
        code = cli_custody(args, process ? "acquired process" : "acquired ram", "%s, %" PRIu64 " pages, seq:%" PRIu64, space, j.reply.pages, seq);
        print_result(&j, space, seq);
    }
    free(c);
    close(j.fd);
    return code;
}
