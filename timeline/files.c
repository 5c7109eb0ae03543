/* The caller's side: starts the worker, feeds it blocks, checks and passes on what it says. */
#include "timeline/files.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/jail.h"
#include "timeline/files_wire.h"

struct files_fs {
    struct files_image image;
    struct files_options options;
    struct files_info info;
    struct files_reads reads;
    struct chv_err read_err; /* of the first failed read of the current request */
    bool read_failed;
    pid_t pid;               /* 0: no worker */
    unsigned reopened;
    int socket;
    void *window;
    unsigned char *payload;  /* WIRE_MAX_PAYLOAD bytes */
};

/* What the answers of one request go to. */
struct sink {
    files_entry_fn *entry;
    files_data_fn *data;
    void (*volume)(void *arg, const struct files_volume *volume);
    void *arg;
    uint64_t *size_bytes;
    struct files_info *info;
    /* what the worker may still say: an honest one keeps to these by itself */
    uint64_t entries_left;
    uint64_t data_at, data_end; /* content comes in order and ends with the size announced */
};

/* --- the worker's life ------------------------------------------------------------------- */

static int worker_start(struct files_fs *fs, struct chv_err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return chv_err_set(err, errno, "no socket for the file system parser: %s", strerror(errno));
    fflush(NULL); /* the child must not own output of ours */
    pid_t pid = fork();
    if (pid < 0) {
        int code = errno;
        close(ends[0]), close(ends[1]);
        return chv_err_set(err, code, "no process for the file system parser: %s", strerror(code));
    }
    if (pid == 0) {
        close(ends[0]);
        /* libtsk leaks, and a damaged file system may make it walk in circles */
        jail_enter(ends[1], &(struct jail){.memory_bytes = UINT64_C(1) << 30, .cpu_seconds = 3600});
        files_worker(ends[1], fs->window, fs->image.size_bytes);
    }
    close(ends[1]);
    struct timeval patience = {.tv_sec = fs->options.stall_seconds};
    setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience); /* a worker that does not listen */
    fs->pid = pid;
    fs->socket = ends[0];
    return 0;
}

/* End the worker; returns its wait status. */
static int worker_end(struct files_fs *fs)
{
    int status = 0;
    if (fs->pid == 0) return 0;
    close(fs->socket);
    kill(fs->pid, SIGKILL);
    while (waitpid(fs->pid, &status, 0) < 0 && errno == EINTR) {}
    fs->pid = 0;
    fs->socket = -1;
    return status;
}

/* The worker broke off in the middle of a request. */
static int worker_lost(struct files_fs *fs, int reason, struct chv_err *err)
{
    if (reason == -ETIMEDOUT) {
        worker_end(fs);
        return chv_err_set(err, EPROTO, "the file system is damaged: the parser made no progress for %u s and was stopped",
                           fs->options.stall_seconds);
    }
    /* Its end of the socket is closed, so it is ending by itself: let it say how, but do not count on it. */
    siginfo_t info = {0};
    for (int i = 0; i < 200 && waitid(P_PID, (id_t)fs->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0; i++)
        usleep(10000);
    int status = worker_end(fs);
    if (WIFSIGNALED(status))
        return chv_err_set(err, EPROTO, "the file system is damaged: the parser crashed on it (signal %d); nothing else is affected",
                           WTERMSIG(status));
    return chv_err_set(err, EPROTO, "the file system is damaged: the parser gave up on it (status %d); nothing else is affected",
                       WEXITSTATUS(status));
}

/* It said something impossible: believe no more of it. */
static int worker_liar(struct files_fs *fs, const char *what, struct chv_err *err)
{
    worker_end(fs);
    return chv_err_set(err, EPROTO, "the file system is damaged: the parser went astray on it (%s)", what);
}

/* --- answers ----------------------------------------------------------------------------- */

static int serve_fill(struct files_fs *fs, const struct wire_fill *fill)
{
    struct wire_filled filled = {0};
    if (fill->bytes > WIRE_WINDOW_BYTES || fill->offset > fs->image.size_bytes ||
        fill->bytes > fs->image.size_bytes - fill->offset) {
        filled.result = -EINVAL;
    } else {
        struct chv_err err = {0};
        filled.result = fs->image.pread(fs->image.arg, fs->window, fill->bytes, fill->offset, &err);
        fs->reads.reads++;
        fs->reads.bytes += fill->bytes;
        if (filled.result < 0) {
            fs->reads.failed++;
            if (!fs->read_failed) fs->read_err = err;
            fs->read_failed = true;
        }
    }
    return wire_send(fs->socket, WIRE_FILLED, &filled, sizeof filled, NULL, 0);
}

static const char *checked_text(const char *text, size_t bytes, size_t max_bytes)
{
    return bytes > 0 && bytes <= max_bytes && text[bytes - 1] == 0 && strlen(text) == bytes - 1 ? text : NULL;
}

/* 0, the callback's value, or -EPROTO when the payload is not an entry. */
static int serve_entry(const unsigned char *payload, size_t bytes, struct sink *sink)
{
    struct wire_entry wire;
    if (!sink->entry || sink->entries_left == 0 || bytes < sizeof wire) return -EPROTO;
    sink->entries_left--;
    memcpy(&wire, payload, sizeof wire);
    uint64_t want = sizeof wire + (uint64_t)wire.path_bytes + wire.link_bytes + (uint64_t)wire.run_count * sizeof(struct files_run);
    const char *text = (const char *)payload + sizeof wire;
    if (want != bytes || wire.run_count > FILES_MAX_RUNS) return -EPROTO;
    struct files_entry e = wire.entry;
    e.path = checked_text(text, wire.path_bytes, FILES_MAX_PATH);
    e.link = wire.link_bytes ? checked_text(text + wire.path_bytes, wire.link_bytes, FILES_MAX_PATH) : NULL;
    static const char types[] = "rdlpcbshwvV-";
    if (!e.path || (wire.link_bytes && !e.link) || !e.type || !strchr(types, e.type) || !e.name_type || !strchr(types, e.name_type))
        return -EPROTO;
    for (int i = 0; i < FILES_TIMES; i++)
        if (e.nanoseconds[i] > 999999999) e.nanoseconds[i] = 0;
    struct files_run *runs = NULL;
    if (wire.run_count > 0) {
        runs = malloc(wire.run_count * sizeof *runs);
        if (!runs) return -ENOMEM;
        memcpy(runs, text + wire.path_bytes + wire.link_bytes, wire.run_count * sizeof *runs);
    }
    e.runs = runs;
    e.run_count = wire.run_count;
    int r = sink->entry(sink->arg, &e);
    free(runs);
    return r;
}

static int serve_answer(struct files_fs *fs, const struct wire_header *h, struct sink *sink)
{
    uint64_t number;
    if (h->type == WIRE_ENTRY) return serve_entry(fs->payload, h->bytes, sink);
    if (h->type == WIRE_DATA && sink->data && h->bytes > sizeof number) {
        memcpy(&number, fs->payload, sizeof number);
        size_t bytes = h->bytes - sizeof number;
        if (number < sink->data_at || number > sink->data_end || bytes > sink->data_end - number) return -EPROTO;
        sink->data_at = number + bytes;
        return sink->data(sink->arg, number, fs->payload + sizeof number, bytes);
    }
    if (h->type == WIRE_SIZE && h->bytes == sizeof number) {
        memcpy(&number, fs->payload, sizeof number);
        if (number > INT64_MAX || !sink->data || sink->data_end != 0) return -EPROTO;
        sink->data_end = number;
        if (sink->size_bytes) *sink->size_bytes = number;
        return 0;
    }
    if (h->type == WIRE_TOUCHED && fs->options.touched && h->bytes % sizeof number == 0) {
        for (size_t at = 0; at < h->bytes; at += sizeof number) {
            memcpy(&number, fs->payload + at, sizeof number);
            if (number > fs->image.size_bytes / 4096) return -EPROTO;
            fs->options.touched(fs->options.touched_arg, number);
        }
        return 0;
    }
    if (h->type == WIRE_VOLUME && sink->volume && h->bytes == sizeof(struct files_volume)) {
        struct files_volume v;
        memcpy(&v, fs->payload, sizeof v);
        v.type[sizeof v.type - 1] = v.description[sizeof v.description - 1] = 0;
        sink->volume(sink->arg, &v);
        return 0;
    }
    if (h->type == WIRE_INFO && sink->info && h->bytes == sizeof *sink->info) {
        memcpy(sink->info, fs->payload, sizeof *sink->info);
        sink->info->type[sizeof sink->info->type - 1] = 0;
        return 0;
    }
    return -EPROTO;
}

/* Send one request and serve the worker until it is done. */
static int exchange(struct files_fs *fs, uint32_t type, const void *a, size_t a_bytes, const void *b, size_t b_bytes,
                    struct sink *sink, struct chv_err *err)
{
    fs->read_failed = false;
    int r = wire_send(fs->socket, type, a, a_bytes, b, b_bytes);
    for (;;) {
        struct wire_header h = {0};
        if (r == 0) r = wire_receive(fs->socket, &h, sizeof h, fs->options.stall_seconds);
        if (r == 0 && h.bytes > WIRE_MAX_PAYLOAD) return worker_liar(fs, "size", err);
        if (r == 0) r = wire_receive(fs->socket, fs->payload, h.bytes, fs->options.stall_seconds);
        if (r < 0) return worker_lost(fs, r, err);
        if (h.type == WIRE_FILL && h.bytes == sizeof(struct wire_fill)) {
            struct wire_fill fill;
            memcpy(&fill, fs->payload, sizeof fill);
            r = serve_fill(fs, &fill);
            continue;
        }
        if (h.type == WIRE_DONE && h.bytes == sizeof(struct wire_done)) {
            struct wire_done done;
            memcpy(&done, fs->payload, sizeof done);
            done.text[sizeof done.text - 1] = 0;
            for (char *c = done.text; *c; c++)
                if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = ' ';
            if (done.result >= 0) return 0;
            if (done.result < -4095) return worker_liar(fs, "result", err);
            if (fs->read_failed && done.result == -EIO) return chv_err_set(err, EIO, "%s", fs->read_err.text);
            return chv_err_set(err, -done.result, "%s", done.text);
        }
        r = serve_answer(fs, &h, sink);
        if (r == -EPROTO) return worker_liar(fs, "answer", err);
        if (r != 0) { /* the caller has enough; the worker need not finish */
            worker_end(fs);
            return r < 0 ? chv_err_set(err, -r, "%s", strerror(-r)) : r;
        }
    }
}

/* libtsk leaks a little on damaged file systems. */
#define REOPENS_PER_WORKER 256u

static int worker_open_fs(struct files_fs *fs, const uint64_t *changed, size_t count, struct chv_err *err)
{
    struct wire_open options = {.partition = fs->options.partition, .in_place = fs->options.in_place,
                                .no_orphans = fs->options.no_orphans, .trace = fs->options.touched != NULL};
    struct sink sink = {.info = &fs->info};
    if (fs->pid == 0) {
        int r = worker_start(fs, err);
        if (r < 0) return r;
        fs->reopened = 0;
    }
    return exchange(fs, WIRE_OPEN, &options, sizeof options, changed, count * sizeof *changed, &sink, err);
}

/* A worker with the file system open, started again if the last one broke off. */
static int ready(struct files_fs *fs, struct chv_err *err)
{
    return fs->pid != 0 ? 0 : worker_open_fs(fs, NULL, 0, err);
}

int files_reopen(struct files_fs *fs, const uint64_t *changed, size_t count, struct chv_err *err)
{
    /* too many to name: a new worker knows none of them */
    if (++fs->reopened > REOPENS_PER_WORKER || count > 1000000) worker_end(fs);
    return fs->pid != 0 ? worker_open_fs(fs, changed, count, err) : worker_open_fs(fs, NULL, 0, err);
}

/* NULL with `err` filled */
static struct files_fs *fs_new(const struct files_image *image, const struct files_options *options, struct chv_err *err)
{
    struct files_fs *fs = calloc(1, sizeof *fs);
    if (!fs) {
        chv_err_set(err, ENOMEM, "out of memory");
        return NULL;
    }
    fs->image = *image;
    if (options) fs->options = *options;
    if (fs->options.stall_seconds == 0) fs->options.stall_seconds = 120;
    fs->socket = -1;
    fs->payload = malloc(WIRE_MAX_PAYLOAD);
    fs->window = mmap(NULL, WIRE_WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!fs->payload || fs->window == MAP_FAILED) {
        if (fs->window != MAP_FAILED) munmap(fs->window, WIRE_WINDOW_BYTES);
        free(fs->payload);
        free(fs);
        chv_err_set(err, ENOMEM, "out of memory");
        return NULL;
    }
    return fs;
}

void files_close(struct files_fs *fs)
{
    if (!fs) return;
    worker_end(fs);
    munmap(fs->window, WIRE_WINDOW_BYTES);
    free(fs->payload);
    free(fs);
}

/* --- the interface ------------------------------------------------------------------------- */

int files_open(const struct files_image *image, const struct files_options *options, struct files_fs **out, struct chv_err *err)
{
    struct files_fs *fs = fs_new(image, options, err);
    if (!fs) return -ENOMEM;
    int r = ready(fs, err);
    if (r < 0) {
        files_close(fs);
        return r;
    }
    *out = fs;
    return 0;
}

const struct files_info *files_fs_info(const struct files_fs *fs)
{
    return &fs->info;
}

void files_fs_reads(const struct files_fs *fs, struct files_reads *out)
{
    *out = fs->reads;
}

int files_volumes(const struct files_image *image, void (*fn)(void *arg, const struct files_volume *volume), void *arg,
                  struct chv_err *err)
{
    struct sink sink = {.volume = fn, .arg = arg};
    struct files_fs *fs = fs_new(image, NULL, err);
    if (!fs) return -ENOMEM;
    int r = worker_start(fs, err);
    if (r == 0) r = exchange(fs, WIRE_VOLUMES, NULL, 0, NULL, 0, &sink, err);
    files_close(fs);
    return r;
}

static int request(struct files_fs *fs, uint32_t type, unsigned flags, uint64_t limit, const char *path, struct sink *sink,
                   struct chv_err *err)
{
    size_t path_bytes = strlen(path) + 1;
    if (path_bytes > FILES_MAX_PATH) return chv_err_set(err, ENAMETOOLONG, "the path is longer than %u bytes", FILES_MAX_PATH - 1);
    struct wire_request head = {.flags = flags, .limit = limit, .path_bytes = (uint32_t)path_bytes};
    int r = ready(fs, err);
    return r < 0 ? r : exchange(fs, type, &head, sizeof head, path, path_bytes, sink, err);
}

int files_list(struct files_fs *fs, const char *path, unsigned flags, uint64_t limit, files_entry_fn *fn, void *arg,
               struct chv_err *err)
{
    if (limit == 0 || limit > FILES_MAX_ENTRIES) limit = FILES_MAX_ENTRIES;
    struct sink sink = {.entry = fn, .arg = arg, .entries_left = limit};
    return request(fs, WIRE_LIST, flags, limit, path, &sink, err);
}

int files_stat(struct files_fs *fs, const char *path, files_entry_fn *fn, void *arg, struct chv_err *err)
{
    struct sink sink = {.entry = fn, .arg = arg, .entries_left = 1};
    return request(fs, WIRE_STAT, 0, 0, path, &sink, err);
}

int files_read(struct files_fs *fs, const char *path, bool deleted, files_data_fn *fn, void *arg, uint64_t *size_bytes,
               struct chv_err *err)
{
    struct sink sink = {.data = fn, .arg = arg, .size_bytes = size_bytes};
    return request(fs, WIRE_READ, deleted, 0, path, &sink, err);
}

static int range_compare(const void *a, const void *b)
{
    const struct lba_range *x = a, *y = b;
    return x->lba < y->lba ? -1 : x->lba > y->lba;
}

int files_owners(struct files_fs *fs, const struct lba_range *ranges, size_t count, files_entry_fn *fn, void *arg, struct chv_err *err)
{
    if (count == 0) return 0;
    if (count > 1000000) return chv_err_set(err, E2BIG, "more than a million ranges at once");
    struct lba_range *sorted = malloc(count * sizeof *sorted);
    if (!sorted) return chv_err_set(err, ENOMEM, "out of memory");
    memcpy(sorted, ranges, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, range_compare);
    size_t n = 0; /* sorted and disjoint is what the worker searches in */
    for (size_t i = 0; i < count; i++) {
        if (sorted[i].sectors == 0 || sorted[i].lba > UINT64_MAX - sorted[i].sectors) continue;
        uint64_t end = sorted[i].lba + sorted[i].sectors;
        if (n > 0 && sorted[i].lba <= sorted[n - 1].lba + sorted[n - 1].sectors) {
            if (end > sorted[n - 1].lba + sorted[n - 1].sectors) sorted[n - 1].sectors = end - sorted[n - 1].lba;
        } else {
            sorted[n++] = sorted[i];
        }
    }
    struct sink sink = {.entry = fn, .arg = arg, .entries_left = FILES_MAX_ENTRIES};
    int r = ready(fs, err);
    if (r == 0 && n > 0) r = exchange(fs, WIRE_OWNERS, sorted, n * sizeof *sorted, NULL, 0, &sink, err);
    free(sorted);
    return r;
}
