#include "cli/memory_live.h"

int memory_live_open(const struct cli_args *args, const char *sock, struct memory_live *live, struct physmem **mem)
{
    struct chv_err err;
    struct physmem_range ranges[PHYSMEM_RANGES_MAX];
    *live = (struct memory_live){0};
    if (qmp_connect(sock, &live->qmp, &err) < 0 || guest_find(live->qmp, 0, &live->guest, &err) < 0) return cli_fail(args, &err);
    const struct ram_layout *ram = &live->guest->ram;
    for (size_t i = 0; i < ram->count; i++) {
        ranges[i] = (struct physmem_range){.base = ram->ranges[i].gpa, .bytes = ram->ranges[i].bytes};
        ranges[i].fd = guest_file(live->guest, &ram->ranges[i], &ranges[i].offset);
    }
    return physmem_open_ranges(ranges, ram->count, mem, &err) < 0 ? cli_fail(args, &err) : CLI_OK;
}

int memory_live_pause(const struct cli_args *args, struct memory_live *live)
{
    struct chv_err err;
    if (pause_begin(&live->pause, live->qmp, &err) < 0) return cli_fail(args, &err);
    live->paused = true;
    return CLI_OK;
}

int memory_live_resume(const struct cli_args *args, struct memory_live *live, uint64_t *pause_ns)
{
    struct chv_err err;
    *pause_ns = 0;
    if (!live->paused) return CLI_OK;
    live->paused = false;
    return pause_end(&live->pause, pause_ns, &err) < 0 ? cli_fail(args, &err) : CLI_OK;
}

void memory_live_close(struct memory_live *live)
{
    struct chv_err ignored;
    if (live->paused) pause_end(&live->pause, NULL, &ignored);
    guest_free(live->guest);
    qmp_close(live->qmp);
    *live = (struct memory_live){0};
}
