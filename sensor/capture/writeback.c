#include "sensor/capture/writeback.h"

#include <fcntl.h>

static void *writeback_main(void *arg)
{
    struct writeback *w = arg;
    pthread_mutex_lock(&w->mutex);
    while (!w->stop) {
        uint64_t written = w->written;
        if (written - w->started < WRITEBACK_BYTES) {
            pthread_cond_wait(&w->cond, &w->mutex);
            continue;
        }
        w->started = written;
        pthread_mutex_unlock(&w->mutex);
        sync_file_range(w->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* an error is met by the flush */
        pthread_mutex_lock(&w->mutex);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

int writeback_start(struct writeback *w, int fd)
{
    *w = (struct writeback){.fd = fd};
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->cond, NULL);
    int r = -pthread_create(&w->thread, NULL, writeback_main, w);
    if (r < 0) {
        pthread_cond_destroy(&w->cond);
        pthread_mutex_destroy(&w->mutex);
    }
    return r;
}

void writeback_stop(struct writeback *w)
{
    pthread_mutex_lock(&w->mutex);
    w->stop = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mutex);
}

void writeback_wake(struct writeback *w)
{
    pthread_mutex_lock(&w->mutex);
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}
