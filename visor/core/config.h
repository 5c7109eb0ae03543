/* What chronovisor.cfg says (README.md lists it). Read once, before anything is taken from the machine. */
#ifndef VISOR_CORE_CONFIG_H
#define VISOR_CORE_CONFIG_H

#include "abi/frame.h"
#include "visor/core/lib.h"

enum { CONFIG_VALUE_MAX = 512, CONFIG_HIDE_MAX = 8, CONFIG_PATH_MAX = 256 };
#define CONFIG_NONE UINT64_MAX /* no such PCI function */

struct config {
    char loader[CONFIG_PATH_MAX], options[CONFIG_VALUE_MAX], sensor[CHV_WIRE_NAME_BYTES];
    uint8_t key[CHV_WIRE_KEY_BYTES], address[4], mask[4], gateway[4], collector[4];
    uint64_t hypercall[2];
    uint64_t nic, hide[CONFIG_HIDE_MAX], hidden; /* PCI functions; how many of hide */
    uint64_t memory_mib, port, requests, gap_when_full, ring_mib, finish_seconds, ignore_unknown, trim_reads_zeros, print_events;
    uint64_t camera_pages, camera_period_ms, camera_from, camera_bytes, camera_content, camera_seed;
    uint64_t given; /* which there are, by their place in the list of config.c */
    char why[128];
};

/* Reads all of it. NULL, or the first thing that is wrong, in config->why: such a machine is not launched. What else could be read is there
 * all the same, so that its loader can be started. */
const char *config_read(struct config *config, const char *text, size_t bytes);

/* Is there a line with this name? */
bool config_has(const struct config *config, const char *name);

#endif
