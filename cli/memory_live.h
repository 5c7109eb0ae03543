/* The memory of a guest that runs, as something to read. */
#ifndef CHV_CLI_MEMORY_LIVE_H
#define CHV_CLI_MEMORY_LIVE_H

#include "cli/cli.h"
#include "sensor/memory/guest.h"
#include "sensor/memory/pause.h"
#include "sensor/memory/physmem.h"

struct memory_live {
    struct qmp *qmp;
    struct guest *guest;
    struct pause pause;
    bool paused;
};

/* Through QEMU's QMP socket; *mem reads what the guest holds at that moment, until memory_live_close. CLI_OK, or CLI_ERROR after one
 * line. */
int memory_live_open(const struct cli_args *args, const char *sock, struct memory_live *live, struct physmem **mem);
/* Stop the guest until memory_live_resume or memory_live_close. */
int memory_live_pause(const struct cli_args *args, struct memory_live *live);
/* *pause_ns gets how long it stood; 0 when it was not stopped by us. */
int memory_live_resume(const struct cli_args *args, struct memory_live *live, uint64_t *pause_ns);
/* After physmem_close. */
void memory_live_close(struct memory_live *live);

#endif
