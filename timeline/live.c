#include <errno.h>
#include <string.h>

#include "timeline/view_internal.h"

int live_init(struct live *live)
{
    memset(live, 0, sizeof *live);
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    /* Readers come without pause under load; a refresh must not wait for ever. */
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    int r = -pthread_rwlock_init(&live->lock, &attr);
    pthread_rwlockattr_destroy(&attr);
    return r;
}

void live_fini(struct live *live)
{
    chv_store_close(live->store);
    pthread_rwlock_destroy(&live->lock);
}

/* Holding the lock for writing. The look comes first: what is committed after it shows next time. */
static int catch_up(struct live *live, const char *store_dir, struct chv_err *err)
{
    struct log_tail now;
    int r = log_tail_look(store_dir, &live->tail, &now);
    if (r < 0) return chv_err_set(err, -r, "%s/log: %s", store_dir, strerror(-r));
    if (live->store && log_tail_equal(&now, &live->tail)) return 0; /* another thread did it */
    r = live->store ? chv_store_refresh(live->store, err) : chv_store_open(store_dir, &live->store, err);
    if (r < 0) return r;
    struct chv_store_info info;
    chv_store_info(live->store, &info);
    live->last_seq = info.last_seq;
    live->pruned_before_seq = info.pruned_before_seq;
    live->tail = now;
    return 0;
}

int live_lock_current(struct live *live, const char *store_dir, struct chv_err *err)
{
    struct log_tail now;
    pthread_rwlock_rdlock(&live->lock);
    if (live->store && log_tail_look(store_dir, &live->tail, &now) == 0 && log_tail_equal(&now, &live->tail)) return 0;
    pthread_rwlock_unlock(&live->lock);
    pthread_rwlock_wrlock(&live->lock);
    int r = catch_up(live, store_dir, err);
    pthread_rwlock_unlock(&live->lock);
    if (r < 0) return r;
    /* A refresh by another thread in between can only have moved the handle further. */
    pthread_rwlock_rdlock(&live->lock);
    return 0;
}

void live_unlock(struct live *live)
{
    pthread_rwlock_unlock(&live->lock);
}
