#include "store/behind.h"

static void *behind_main(void *arg)
{
    struct behind *b = arg;
    pthread_mutex_lock(&b->mutex);
    while (!b->stop) {
        if (!b->busy) {
            pthread_cond_wait(&b->cond, &b->mutex);
            continue;
        }
        pthread_mutex_unlock(&b->mutex);
        int r = b->io->pwrite(b->io, b->fd, b->data, b->bytes, b->offset);
        pthread_mutex_lock(&b->mutex);
        b->result = r;
        b->busy = false;
        pthread_cond_broadcast(&b->cond);
    }
    pthread_mutex_unlock(&b->mutex);
    return NULL;
}

void behind_write(struct behind *b, const struct io *io, int fd, const void *data, size_t bytes, uint64_t offset)
{
    if (!b->running) {
        pthread_mutex_init(&b->mutex, NULL);
        pthread_cond_init(&b->cond, NULL);
        b->stop = b->busy = false;
        b->running = pthread_create(&b->thread, NULL, behind_main, b) == 0;
    }
    if (!b->running) {
        b->result = io->pwrite(io, fd, data, bytes, offset);
        return;
    }
    pthread_mutex_lock(&b->mutex);
    b->io = io;
    b->fd = fd;
    b->data = data;
    b->bytes = bytes;
    b->offset = offset;
    b->busy = true;
    pthread_cond_broadcast(&b->cond);
    pthread_mutex_unlock(&b->mutex);
}

int behind_wait(struct behind *b)
{
    if (b->running) {
        pthread_mutex_lock(&b->mutex);
        while (b->busy) pthread_cond_wait(&b->cond, &b->mutex);
        pthread_mutex_unlock(&b->mutex);
    }
    int r = b->result;
    b->result = 0;
    return r;
}

void behind_stop(struct behind *b)
{
    if (!b->running) return;
    behind_wait(b);
    pthread_mutex_lock(&b->mutex);
    b->stop = true;
    pthread_cond_broadcast(&b->cond);
    pthread_mutex_unlock(&b->mutex);
    pthread_join(b->thread, NULL);
    pthread_cond_destroy(&b->cond);
    pthread_mutex_destroy(&b->mutex);
    b->running = false;
}
