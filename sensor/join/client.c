#include "sensor/join/client.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "sensor/join/message.h"

#define HELLO_SECONDS 10 /* another client may be served */
#define ANSWER_SECONDS 120

struct join {
    int fd;
    uint32_t block_bytes;
    uint64_t events;
    pthread_mutex_t mutex; /* one message after the other */
};

static bool transmit(const struct join *j, const struct join_message *m, const void *payload)
{
    struct iovec pieces[2] = {{.iov_base = (void *)m, .iov_len = sizeof *m}, {.iov_base = (void *)payload, .iov_len = m->bytes}};
    struct msghdr h = {.msg_iov = pieces, .msg_iovlen = m->bytes ? 2 : 1};
    while (pieces[0].iov_len + pieces[1].iov_len > 0) {
        ssize_t n = sendmsg(j->fd, &h, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        for (size_t i = 0; i < h.msg_iovlen; i++) {
            size_t done = (size_t)n < pieces[i].iov_len ? (size_t)n : pieces[i].iov_len;
            pieces[i].iov_base = (char *)pieces[i].iov_base + done;
            pieces[i].iov_len -= done;
            n -= (ssize_t)done;
        }
    }
    return true;
}

/* The answer to what was asked; `kind` 0: only an error is expected. */
static int answer(struct join *j, unsigned kind, struct join_message *m, struct chv_err *err)
{
    char text[400] = "";
    ssize_t n;
    do n = recv(j->fd, m, sizeof *m, MSG_WAITALL);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return chv_err_set(err, ETIMEDOUT, "the recorder does not answer");
    if (n != (ssize_t)sizeof *m || m->magic != JOIN_MAGIC) return chv_err_set(err, EPIPE, "the recorder ended meanwhile");
    if (m->kind == kind && m->bytes == 0) return 0;
    if (m->kind != JOIN_ERROR || m->value == 0 || m->value > 4095) return chv_err_set(err, EPROTO, "the recorder's answer makes no sense");
    size_t want = m->bytes < sizeof text ? m->bytes : sizeof text - 1;
    if (recv(j->fd, text, want, MSG_WAITALL) < 0) text[0] = 0;
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < 0x20) *at = ' ';
    return chv_err_set(err, (int)m->value, "the recorder: %s", text[0] ? text : strerror((int)m->value));
}

/* Nothing can be sent any more: it may have said why. */
static int ended(struct join *j, struct chv_err *err)
{
    struct join_message m;
    return answer(j, 0, &m, err);
}

static int ask(struct join *j, struct join_message *m, struct chv_err *err)
{
    const unsigned kind = m->kind;
    pthread_mutex_lock(&j->mutex);
    int r = transmit(j, m, NULL) ? answer(j, kind, m, err) : ended(j, err);
    pthread_mutex_unlock(&j->mutex);
    return r;
}

static void set_time_limit(const struct join *j, time_t seconds)
{
    struct timeval limit = {.tv_sec = seconds};
    setsockopt(j->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(j->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

int join_connect(const char *store_dir, struct join **out, struct chv_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct join_message hello = {.magic = JOIN_MAGIC, .kind = JOIN_HELLO};
    int dir = open(store_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct join *j = calloc(1, sizeof *j);
    if (!j || dir < 0) {
        int code = dir < 0 ? errno : ENOMEM;
        if (dir >= 0) close(dir);
        free(j);
        return chv_err_set(err, code, "%s: %s", store_dir, strerror(code));
    }
    pthread_mutex_init(&j->mutex, NULL);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" JOIN_SOCKET, dir);
    j->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_time_limit(j, HELLO_SECONDS);
    int r = j->fd < 0 || connect(j->fd, (struct sockaddr *)&address, sizeof address) < 0 ? errno : 0;
    close(dir);
    if (r > 0)
        r = chv_err_set(err, r == ECONNREFUSED ? ENOENT : r, "%s/" JOIN_SOCKET ": %s", store_dir, strerror(r));
    else if ((r = ask(j, &hello, err)) == -ETIMEDOUT)
        r = chv_err_set(err, EBUSY, "%s: somebody else adds to what is recorded there; try again when that is done", store_dir);
    if (r == 0 && hello.value != 512 && hello.value != 4096) r = chv_err_set(err, EPROTO, "the recorder's answer makes no sense");
    if (r < 0) {
        join_close(j);
        return r;
    }
    j->block_bytes = (uint32_t)hello.value;
    set_time_limit(j, ANSWER_SECONDS);
    *out = j;
    return 0;
}

void join_close(struct join *join)
{
    if (!join) return;
    if (join->fd >= 0) close(join->fd);
    pthread_mutex_destroy(&join->mutex);
    free(join);
}

uint32_t join_block_bytes(const struct join *join)
{
    return join->block_bytes;
}

uint64_t join_events(const struct join *join)
{
    return join->events;
}

int join_space(struct join *join, const char *name, uint64_t size_bytes, enum chv_rest rest, uint16_t *id, struct chv_err *err)
{
    struct join_message m = {.magic = JOIN_MAGIC, .kind = JOIN_SPACE, .op = (uint8_t)rest, .value = size_bytes};
    if (strlen(name) > CHV_SPACE_NAME_BYTES) return chv_err_set(err, EINVAL, "space '%.60s': the name is too long", name);
    strcpy(m.name, name);
    int r = ask(join, &m, err);
    *id = m.space;
    return r;
}

static int append_one(struct join *j, const struct chv_record *record, struct chv_err *err)
{
    const uint32_t most = JOIN_PAYLOAD_MAX / CHV_SECTOR_BYTES;
    const uint8_t *data = record->data;
    for (uint32_t done = 0, n; done < record->sectors; done += n) {
        n = record->sectors - done;
        if (data && n > most) n = most;
        struct join_message m = {.magic = JOIN_MAGIC, .kind = JOIN_APPEND, .op = record->op, .space = record->space, .sectors = n,
                                 .lba = record->lba + done, .time_ns = record->time_ns, .bytes = data ? n * CHV_SECTOR_BYTES : 0};
        if (!transmit(j, &m, data ? data + (size_t)done * CHV_SECTOR_BYTES : NULL)) return ended(j, err);
        j->events += data ? m.bytes / j->block_bytes : 1;
    }
    return 0;
}

int join_append(struct join *join, const struct chv_record *records, size_t count, struct chv_err *err)
{
    int r = 0;
    pthread_mutex_lock(&join->mutex);
    for (size_t i = 0; r == 0 && i < count; i++) r = append_one(join, &records[i], err);
    pthread_mutex_unlock(&join->mutex);
    return r;
}

int join_sync(struct join *join, uint64_t *last_seq, struct chv_err *err)
{
    struct join_message m = {.magic = JOIN_MAGIC, .kind = JOIN_SYNC};
    int r = ask(join, &m, err);
    *last_seq = m.value;
    return r;
}

int sink_space(const struct sink *sink, const char *name, uint64_t size_bytes, enum chv_rest rest, uint16_t *id, struct chv_err *err)
{
    return sink->join ? join_space(sink->join, name, size_bytes, rest, id, err)
                      : chv_recorder_space(sink->rec, name, size_bytes, rest, NULL, id, err);
}

int sink_append(const struct sink *sink, const struct chv_record *records, size_t count, struct chv_err *err)
{
    return sink->join ? join_append(sink->join, records, count, err) : chv_recorder_append(sink->rec, records, count, NULL, err);
}
