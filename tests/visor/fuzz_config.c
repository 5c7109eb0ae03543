/* Any bytes as chronovisor.cfg: it is refused with a line that fits, or everything in it is within its bounds; and it is read twice alike. */
#include "visor/core/config.h"
#include <stdlib.h>

static void check(bool good)
{
    if (!good) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config c, again;
    char *text = malloc(size ? size : 1); /* what is behind it is not read */
    if (size) memcpy(text, data, size);
    const char *why = config_read(&c, text, size);
    config_read(&again, text, size);
    free(text);
    check(!memcmp(&c, &again, sizeof c) && strlen(c.why) < sizeof c.why && (why ? why == c.why && !strncmp(why, "chronovisor.cfg", 15) : !c.why[0]));
    check(strlen(c.loader) < sizeof c.loader && strlen(c.options) < sizeof c.options && c.hidden <= CONFIG_HIDE_MAX);
    if (why) return 0;
    check(chv_wire_sensor_fits(c.sensor) && c.memory_mib >= 8 && c.memory_mib <= 4096 && c.memory_mib % 2 == 0 && c.ring_mib && c.ring_mib <= 4096);
    check(c.port && c.port <= 65535 && c.requests <= 1 && c.gap_when_full <= 1 && c.ignore_unknown <= 1 && c.print_events <= 1);
    check(c.finish_seconds <= 86400 && c.camera_pages <= 1024 && c.camera_period_ms >= 10 && c.camera_from % 4096 == 0 && c.camera_bytes);
    check(c.nic == CONFIG_NONE ? !config_has(&c, "collector") : c.nic < 65536 && config_has(&c, "key") && config_has(&c, "address"));
    for (uint64_t i = 0; i < c.hidden; i++) check(c.hide[i] < 65536);
    return 0;
}
