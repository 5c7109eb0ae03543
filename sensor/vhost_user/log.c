#include "sensor/vhost_user/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define LOG_PAGE 4096u

int dirty_log_new(int fd, uint64_t bytes, uint64_t offset, struct dirty_log **out, struct chv_err *err)
{
    struct stat st;
    if (bytes == 0 || bytes > INT64_MAX || offset > (uint64_t)INT64_MAX - bytes || fstat(fd, &st) < 0 ||
        !S_ISREG(st.st_mode) || (uint64_t)st.st_size < offset + bytes)
        return chv_err_set(err, EINVAL, "SET_LOG_BASE: %llu bytes that are not within their file",
                           (unsigned long long)bytes);
    struct dirty_log *log = calloc(1, sizeof *log);
    if (!log) return chv_err_set(err, ENOMEM, "out of memory");
    uint64_t start = offset & ~(uint64_t)(LOG_PAGE - 1);
    log->map_bytes = offset + bytes - start;
    log->map = mmap(NULL, log->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);
    if (log->map == MAP_FAILED) {
        free(log);
        return chv_err_set(err, errno, "SET_LOG_BASE: %s", strerror(errno));
    }
    int r = guard_begin(&log->guard, log->map, log->map_bytes, LOG_PAGE);
    if (r < 0) {
        munmap(log->map, log->map_bytes);
        free(log);
        return chv_err_set(err, -r, "SET_LOG_BASE: too many mappings");
    }
    log->bits = (uint8_t *)log->map + (offset - start);
    log->bytes = bytes;
    *out = log;
    return 0;
}

void dirty_log_free(struct dirty_log *log)
{
    if (!log) return;
    guard_end(&log->guard);
    munmap(log->map, log->map_bytes);
    free(log);
}

void dirty_log_mark(struct dirty_log *log, uint64_t gpa, uint64_t bytes)
{
    if (bytes == 0 || gpa > UINT64_MAX - bytes) return;
    for (uint64_t page = gpa / LOG_PAGE, last = (gpa + bytes - 1) / LOG_PAGE; page <= last && page / 8 < log->bytes;
         page++)
        __atomic_fetch_or(&log->bits[page / 8], (uint8_t)(1u << page % 8), __ATOMIC_SEQ_CST);
}
