#include "sensor/join/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "sensor/join/message.h"

#define SPACES_MAX 8u

struct connection {
    int fd;
    struct chv_recorder *rec;
    uint32_t block_bytes;
    uint8_t *payload; /* JOIN_PAYLOAD_MAX */
    size_t spaces;
    struct {
        uint16_t id;
        uint64_t sectors;
    } space[SPACES_MAX];
};

/* All of it; false: the connection ended. */
static bool receive(int fd, void *to, size_t bytes)
{
    ssize_t n;
    do n = recv(fd, to, bytes, MSG_WAITALL);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)bytes;
}

static bool reply(const struct connection *c, const struct join_message *m, const void *payload)
{
    return send(c->fd, m, sizeof *m, MSG_NOSIGNAL) == (ssize_t)sizeof *m &&
           (m->bytes == 0 || send(c->fd, payload, m->bytes, MSG_NOSIGNAL) == (ssize_t)m->bytes);
}

static int define_space(struct connection *c, const struct join_message *m, struct join_message *answer, struct chv_err *err)
{
    if (c->spaces == SPACES_MAX) return chv_err_set(err, E2BIG, "joining: more than %u spaces", SPACES_MAX);
    int r = chv_recorder_space(c->rec, m->name, m->value, (enum chv_rest)m->op, NULL, &answer->space, err);
    if (r < 0) return r;
    c->space[c->spaces].id = answer->space;
    c->space[c->spaces++].sectors = m->value / CHV_SECTOR_BYTES;
    return 0;
}

static int append(struct connection *c, const struct join_message *m, struct chv_err *err)
{
    struct chv_record record = {.space = m->space, .op = m->op, .sectors = m->sectors, .lba = m->lba, .time_ns = m->time_ns};
    if (m->op == CHV_OP_FOUND) record.data = c->payload;
    size_t i = 0;
    while (i < c->spaces && c->space[i].id != m->space) i++;
    if (i == c->spaces || m->lba > c->space[i].sectors || m->sectors > c->space[i].sectors - m->lba)
        return chv_err_set(err, EPERM, "joining: an address outside of the spaces that were asked for");
    if (m->time_ns > clock_now_ns()) /* the log's time never goes back: nobody may push it forward */
        return chv_err_set(err, EPROTO, "joining: a time to come");
    int r = chv_recorder_append(c->rec, &record, 1, NULL, err);
    return r == CHV_APPEND_GAP ? chv_err_set(err, EAGAIN, "the recorder was behind, and the log has a gap; try again") : r;
}

static int sync_all(struct connection *c, struct join_message *answer, struct chv_err *err)
{
    struct chv_recorder_stats stats;
    uint64_t ticket;
    int r = chv_recorder_append(c->rec, NULL, 0, &ticket, err);
    if (r >= 0) r = chv_recorder_wait(c->rec, ticket, err);
    chv_recorder_stats(c->rec, &stats);
    answer->value = stats.last_seq;
    return r < 0 ? r : 0;
}

/* One message; false ends the connection. */
static bool serve_one(struct connection *c)
{
    struct join_message m, answer = {.magic = JOIN_MAGIC};
    struct chv_err err;
    if (!receive(c->fd, &m, sizeof m)) return false;
    answer.kind = m.kind;
    int r = join_message_check(&m, c->block_bytes, &err);
    if (r == 0 && m.bytes > 0 && !receive(c->fd, c->payload, m.bytes)) return false;
    if (r == 0 && m.kind == JOIN_HELLO) answer.value = c->block_bytes;
    if (r == 0 && m.kind == JOIN_SPACE) r = define_space(c, &m, &answer, &err);
    if (r == 0 && m.kind == JOIN_APPEND) r = append(c, &m, &err);
    if (r == 0 && m.kind == JOIN_SYNC) r = sync_all(c, &answer, &err);
    if (r == 0) return m.kind == JOIN_APPEND || reply(c, &answer, NULL);
    answer = (struct join_message){.magic = JOIN_MAGIC, .kind = JOIN_ERROR, .value = (uint64_t)err.code, .bytes = (uint32_t)strlen(err.text)};
    reply(c, &answer, err.text);
    return false;
}

void join_serve(int fd, uint32_t block_bytes, struct chv_recorder *rec)
{
    struct connection c = {.fd = fd, .rec = rec, .block_bytes = block_bytes, .payload = malloc(JOIN_PAYLOAD_MAX)};
    while (c.payload && serve_one(&c)) {}
    free(c.payload);
}

/* --- the socket ------------------------------------------------------------------------------------- */

static bool is_trusted(int fd)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

/* Take a client up, or let go of it (fd -1); false: we are to stop. */
static bool set_client(struct join_server *s, int fd)
{
    pthread_mutex_lock(&s->mutex);
    bool go_on = !s->stopping;
    s->client = go_on ? fd : -1;
    pthread_mutex_unlock(&s->mutex);
    return go_on;
}

static void *run(void *arg)
{
    struct join_server *s = arg;
    for (bool go_on = true; go_on;) {
        int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
        if (fd < 0) break; /* shut down; or out of descriptors: nobody can join any more, the recording goes on */
        if (set_client(s, fd)) {
            if (is_trusted(fd)) join_serve(fd, s->block_bytes, s->rec);
            go_on = set_client(s, -1);
        } else {
            go_on = false;
        }
        close(fd);
    }
    return NULL;
}

/* The path of a socket is short, that of a store is not: by way of the open folder it fits. */
int join_server_start(struct join_server *s, const char *store_dir, uint32_t block_bytes, struct chv_recorder *rec, struct chv_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *s = (struct join_server){.rec = rec, .block_bytes = block_bytes, .listener = -1, .client = -1};
    s->dir_fd = open(store_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->dir_fd < 0) return chv_err_set(err, errno, "%s: %s", store_dir, strerror(errno));
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" JOIN_SOCKET, s->dir_fd);
    s->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->listener >= 0) fchmod(s->listener, 0600); /* of the socket that bind makes */
    unlinkat(s->dir_fd, JOIN_SOCKET, 0); /* of a recorder that was killed: the store's lock is ours */
    int r = s->listener < 0 || bind(s->listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(s->listener, 4) < 0 ? errno : 0;
    if (r == 0) {
        pthread_mutex_init(&s->mutex, NULL);
        r = pthread_create(&s->thread, NULL, run, s);
        s->running = r == 0;
    }
    if (r == 0) return 0;
    if (s->listener >= 0) close(s->listener);
    close(s->dir_fd);
    return chv_err_set(err, r, "%s/" JOIN_SOCKET ": %s", store_dir, strerror(r));
}

void join_server_stop(struct join_server *s)
{
    if (!s->running) return;
    unlinkat(s->dir_fd, JOIN_SOCKET, 0);
    pthread_mutex_lock(&s->mutex);
    s->stopping = true;
    shutdown(s->listener, SHUT_RDWR);
    if (s->client >= 0) shutdown(s->client, SHUT_RDWR);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
    pthread_mutex_destroy(&s->mutex);
    close(s->listener);
    close(s->dir_fd);
    s->running = false;
}
