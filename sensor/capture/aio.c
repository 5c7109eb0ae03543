#include "sensor/capture/aio.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct aio {
    struct io_uring ring; /* used with the mutex; waiting for it is not using it */
    const struct disk *disk;
    int fd; /* the same file, opened once more */
    pthread_mutex_t mutex;
    pthread_cond_t work, room;
    unsigned under_way;
    bool sleeping, stop;
    pthread_t thread;
};

/* --- finishing, without the mutex --------------------------------------------------------------------------------- */

/* What the kernel did not do in one go: the end of the file, a signal, memory that was short. Step by step then. */
static int do_rest(const struct aio *a, struct aio_op *op, uint64_t done)
{
    for (unsigned i = 0; i < op->iovs; i++) {
        uint64_t bytes = op->iov[i].iov_len, skip = done < bytes ? done : bytes;
        uint8_t *at = (uint8_t *)op->iov[i].iov_base + skip;
        done -= skip;
        op->offset += skip;
        int r = op->write ? disk_pwrite(a->disk, at, bytes - skip, op->offset)
                          : disk_pread(a->disk, at, bytes - skip, op->offset);
        if (r < 0) return r;
        op->offset += bytes - skip;
    }
    return 0;
}

static void finish(const struct aio *a, struct aio_op *op, int result)
{
    int r = result;
    if (r == -EAGAIN || r == -EINTR || r == -ECANCELED) r = 0;
    if (r >= 0) r = (uint64_t)r == op->bytes ? 0 : do_rest(a, op, (uint64_t)r);
    op->done(op, r);
}

/* Finish what the kernel has done. */
static void reap(struct aio *a)
{
    struct aio_op *op[AIO_BATCH];
    int result[AIO_BATCH];
    struct io_uring_cqe *cqe;
    unsigned n, took;
    do {
        pthread_mutex_lock(&a->mutex);
        for (n = took = 0; n < AIO_BATCH && io_uring_peek_cqe(&a->ring, &cqe) == 0; took++) {
            struct aio_op *its = io_uring_cqe_get_data(cqe);
            result[n] = cqe->res;
            io_uring_cqe_seen(&a->ring, cqe);
            if (its) op[n++] = its;
        }
        pthread_mutex_unlock(&a->mutex);
        for (unsigned i = 0; i < n; i++) finish(a, op[i], result[i]);
        pthread_mutex_lock(&a->mutex);
        a->under_way -= n;
        if (n) pthread_cond_broadcast(&a->room);
        pthread_mutex_unlock(&a->mutex);
    } while (took == AIO_BATCH);
}

static void *finisher(void *arg)
{
    struct aio *a = arg;
    pthread_mutex_lock(&a->mutex);
    while (!a->stop || a->under_way) {
        if (!a->under_way) { /* and no stop */
            a->sleeping = true;
            pthread_cond_wait(&a->work, &a->mutex);
            a->sleeping = false;
            continue;
        }
        pthread_mutex_unlock(&a->mutex);
        /* the system call only: what is mapped of the ring is for who has the mutex */
        io_uring_enter((unsigned)a->ring.ring_fd, 0, 1, IORING_ENTER_GETEVENTS, NULL);
        reap(a);
        pthread_mutex_lock(&a->mutex);
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

/* --- submitting --------------------------------------------------------------------------------------------------- */

static void prepare(struct aio *a, struct aio_op *op)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&a->ring); /* there is one: as many as may be under way */
    const struct iovec *iov = op->iov;
    if (op->iovs == 1 && op->write) io_uring_prep_write(sqe, a->fd, iov->iov_base, (unsigned)iov->iov_len, op->offset);
    else if (op->iovs == 1) io_uring_prep_read(sqe, a->fd, iov->iov_base, (unsigned)iov->iov_len, op->offset);
    else if (op->write) io_uring_prep_writev(sqe, a->fd, iov, op->iovs, op->offset);
    else io_uring_prep_readv(sqe, a->fd, iov, op->iovs, op->offset);
    io_uring_sqe_set_data(sqe, op);
}

/* With the mutex. The kernel takes them, or is short of something that comes back: nothing is given up here. */
static void enter(struct aio *a)
{
    while (io_uring_sq_ready(&a->ring) > 0) { /* others' as well */
        if (io_uring_submit(&a->ring) > 0) continue;
        pthread_mutex_unlock(&a->mutex);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        pthread_mutex_lock(&a->mutex);
    }
}

void aio_submit(struct aio *a, struct aio_batch *b)
{
    if (!b->head) return;
    pthread_mutex_lock(&a->mutex);
    while (b->head) {
        while (a->under_way >= AIO_DEPTH) pthread_cond_wait(&a->room, &a->mutex);
        while (b->head && a->under_way < AIO_DEPTH) {
            struct aio_op *op = b->head;
            b->head = op->next; /* the op is gone as soon as it was submitted */
            prepare(a, op);
            a->under_way++;
        }
        enter(a);
    }
    b->count = 0;
    pthread_mutex_unlock(&a->mutex);
    reap(a);
    pthread_mutex_lock(&a->mutex);
    if (a->under_way && a->sleeping) pthread_cond_signal(&a->work);
    pthread_mutex_unlock(&a->mutex);
}

/* --- the ring ----------------------------------------------------------------------------------------------------- */

static int ring_init(struct io_uring *ring, struct chv_err *err)
{
    int r = io_uring_queue_init(AIO_DEPTH, ring, 0);
    if (r == 0) return 0;
    return chv_err_set(err, -r, "io_uring: %s; %s", strerror(-r),
                       r == -ENOSYS || r == -EPERM || r == -EACCES
                           ? "this kernel, or who started this, does not allow it (kernel.io_uring_disabled, seccomp): "
                             "use --aio threads"
                           : "use --aio threads");
}

int aio_check(struct chv_err *err)
{
    struct io_uring ring;
    int r = ring_init(&ring, err);
    if (r == 0) io_uring_queue_exit(&ring);
    return r;
}

/* A description of its own: the kernel may hold it a moment longer than a killed process, and with it would go the
 * lock by which recorders keep each other away. No write outlives the process all the same: through the page cache
 * they are made by its own threads. */
static int open_again(const struct disk *disk, struct chv_err *err)
{
    struct stat a, b;
    int fd = open(disk->path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return chv_err_set(err, errno, "disk %s: %s", disk->path, strerror(errno));
    if (fstat(fd, &a) == 0 && fstat(disk->fd, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino) return fd;
    close(fd);
    return chv_err_set(err, ESTALE, "disk %s: is another file now", disk->path);
}

int aio_new(const struct disk *disk, struct aio **out, struct chv_err *err)
{
    struct aio *a = calloc(1, sizeof *a);
    if (!a) return chv_err_set(err, ENOMEM, "out of memory");
    a->disk = disk;
    int r = a->fd = open_again(disk, err);
    if (r < 0) goto err_free;
    r = ring_init(&a->ring, err);
    if (r < 0) goto err_fd;
    pthread_mutex_init(&a->mutex, NULL);
    pthread_cond_init(&a->work, NULL);
    pthread_cond_init(&a->room, NULL);
    r = -pthread_create(&a->thread, NULL, finisher, a);
    if (r == 0) {
        *out = a;
        return 0;
    }
    chv_err_set(err, -r, "io_uring: threads: %s", strerror(-r));
    pthread_cond_destroy(&a->room);
    pthread_cond_destroy(&a->work);
    pthread_mutex_destroy(&a->mutex);
    io_uring_queue_exit(&a->ring);
err_fd:
    close(a->fd);
err_free:
    free(a);
    return r;
}

void aio_free(struct aio *a)
{
    if (!a) return;
    pthread_mutex_lock(&a->mutex);
    a->stop = true;
    pthread_cond_signal(&a->work);
    if (!a->sleeping) { /* but waits in the kernel, for what somebody else may have finished */
        struct io_uring_sqe *sqe = io_uring_get_sqe(&a->ring);
        io_uring_prep_nop(sqe);
        io_uring_sqe_set_data(sqe, NULL);
        enter(a);
    }
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->thread, NULL);
    pthread_cond_destroy(&a->room);
    pthread_cond_destroy(&a->work);
    pthread_mutex_destroy(&a->mutex);
    io_uring_queue_exit(&a->ring);
    close(a->fd);
    free(a);
}
