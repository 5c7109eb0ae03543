/* A client of the helper inside a guest (guest/), through the Unix socket of its virtio-serial port. */
#ifndef CHV_SENSOR_MEMORY_HELPER_H
#define CHV_SENSOR_MEMORY_HELPER_H

#include "sensor/memory/helper_message.h"

struct helper;

/* Connect to the socket of `-chardev socket,id=…,path=PATH,server=on,wait=off` and wait until a helper answers. ETIMEDOUT: none
 * does. One thread at a time may use it. */
int helper_connect(const char *path, struct helper **out, struct chv_err *err);
/* What was held goes on. */
void helper_close(struct helper *helper);

/* One question and its answer: *ns gets how long it took. */
int helper_ping(struct helper *helper, uint64_t *ns, struct chv_err *err);
/* The processes as the guest's /proc has them, malloc'd: pid, ppid, uid, name; mm is 0 for kernel threads, else no address. */
int helper_tasks(struct helper *helper, struct linux_task **out, size_t *count, struct chv_err *err);
/* Mappings of a process and where its pages are in `mem`. freeze: it is stopped first, until helper_release or helper_close, at most a
 * minute. ESRCH: there is none. helper_pages_fini afterwards. */
int helper_translate(struct helper *helper, uint32_t pid, bool freeze, struct physmem *mem, struct helper_pages *out,
                     struct chv_err *err);
int helper_release(struct helper *helper, struct chv_err *err);

#endif
