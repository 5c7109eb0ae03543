/* Any bytes as a dm-log-writes log: whatever is accepted lies inside the file. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/event.h"
#include "sensor/import/dmlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 20) return 0;
    int fd = memfd_create("log", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    struct dmlog log;
    struct dmlog_entry e;
    struct chv_err err = {.text = ""};
    int r = dmlog_init(&log, fd, "log", &err);
    uint64_t entries = 0;
    while (r == 0 && (r = dmlog_next(&log, &e, &err)) > 0) {
        if (e.index != entries++ || e.data_offset + (dmlog_writes(&e) ? e.bytes : 0) > size) abort();
        if (e.offset + e.bytes > CHV_LBA_MAX * CHV_SECTOR_BYTES) abort();
        for (const char *c = e.mark; *c; c++)
            if (*c < 0x20 || *c > 0x7e) abort();
        r = 0;
    }
    if (r == 0 && entries != log.entries) abort();
    if (r < 0 && (err.code != -r || !err.text[0])) abort();
    close(fd);
    return 0;
}
