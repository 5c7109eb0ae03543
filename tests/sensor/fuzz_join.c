/* Any bytes as what a client sends to a recorder: it answers or hangs up, and the store stays one. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chronovisor/recorder.h"
#include "sensor/join/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One recorder for all inputs: opening one takes longer than what is tested. */
static struct chv_recorder *recorder(void)
{
    static struct chv_recorder *rec;
    static char dir[] = "/tmp/fuzz-join-XXXXXX";
    struct chv_recorder_options options = {.queue_blocks = 512, .workers = 1};
    char path[64];
    struct chv_err err;
    if (rec) return rec;
    if (!mkdtemp(dir)) abort();
    snprintf(path, sizeof path, "%s/s", dir);
    if (chv_store_create(path, &(struct chv_store_config){.block_bytes = 512}, &err) < 0 || chv_recorder_open(path, &options, &rec, &err) < 0)
        abort();
    snprintf(path, sizeof path, "rm -rf %s", dir); /* its files live as long as they are open */
    if (system(path) != 0) abort();
    return rec;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int ends[2];
    if (size > 64 << 10 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0) return 0;
    if (send(ends[0], data, size, MSG_DONTWAIT) != (ssize_t)size) size = 0;
    shutdown(ends[0], SHUT_WR);
    join_serve(ends[1], 512, recorder());
    close(ends[0]);
    close(ends[1]);
    return 0;
}
