#include "net/committer.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct committer {
    struct chv_recorder *rec;
    int fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    /* under lock */
    bool wanted, stop;
    uint64_t ticket, want_epoch, want_records;
    uint64_t epoch, records;
    int error;
    struct chv_err error_text;
};

static void *committer_run(void *arg)
{
    struct committer *c = arg;
    const uint64_t one = 1;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->wanted && !c->stop) pthread_cond_wait(&c->wake, &c->lock);
        if (!c->wanted) break;
        uint64_t ticket = c->ticket, epoch = c->want_epoch, records = c->want_records;
        struct chv_err err;
        c->wanted = false;
        pthread_mutex_unlock(&c->lock);
        int r = chv_recorder_wait(c->rec, ticket, &err);
        pthread_mutex_lock(&c->lock);
        if (r < 0) {
            c->error = r;
            c->error_text = err;
        } else {
            c->epoch = epoch;
            c->records = records;
        }
        if (write(c->fd, &one, sizeof one) != sizeof one || r < 0) break; /* an eventfd's counter does not fill up by ones */
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

int committer_start(struct chv_recorder *rec, struct committer **out, struct chv_err *err)
{
    struct committer *c = calloc(1, sizeof *c);
    if (!c) return chv_err_set(err, ENOMEM, "out of memory");
    c->rec = rec;
    c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->wake, NULL);
    int r = c->fd < 0 ? errno : pthread_create(&c->thread, NULL, committer_run, c);
    if (r != 0) {
        if (c->fd >= 0) close(c->fd);
        free(c);
        return chv_err_set(err, r, "committer: %s", strerror(r));
    }
    *out = c;
    return 0;
}

void committer_stop(struct committer *c)
{
    if (!c) return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->wake);
    close(c->fd);
    free(c);
}

void committer_want(struct committer *c, uint64_t ticket, uint64_t epoch, uint64_t records)
{
    pthread_mutex_lock(&c->lock);
    c->wanted = true;
    c->ticket = ticket;
    c->want_epoch = epoch;
    c->want_records = records;
    pthread_cond_signal(&c->wake);
    pthread_mutex_unlock(&c->lock);
}

int committer_done(struct committer *c, uint64_t epoch, uint64_t *records, struct chv_err *err)
{
    uint64_t seen;
    if (read(c->fd, &seen, sizeof seen) < 0 && errno != EAGAIN && errno != EINTR)
        return chv_err_set(err, errno, "committer: %s", strerror(errno));
    pthread_mutex_lock(&c->lock);
    *records = c->epoch == epoch ? c->records : 0;
    int r = c->error;
    if (r < 0 && err) *err = c->error_text;
    pthread_mutex_unlock(&c->lock);
    return r;
}

int committer_fd(const struct committer *c)
{
    return c->fd;
}
