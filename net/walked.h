/* What a walk of page tables found: runs of pages with their rights, out of the records of "proc:cr3-…", for the text of "map:cr3-…". */
#ifndef CHV_NET_WALKED_H
#define CHV_NET_WALKED_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/frame.h"

#define WALKED_RUNS_MAX (1u << 20) /* more are counted, and not listed: the text would be longer than others read */

struct walked {
    char name[CHV_WIRE_NAME_BYTES + 1]; /* of the space; "": nothing was walked */
    struct walked_run {
        uint64_t va, bytes;
        uint8_t flags; /* enum chv_wire_page */
    } *list;
    size_t count, room;
    uint64_t unlisted_pages;
};

/* A record of such a space. An address that is not behind all others, or another name, is of a new walk. -ENOMEM. */
int walked_add(struct walked *w, const char *name, uint64_t va, uint64_t bytes, uint8_t flags);
/* `head` (an object, which is the caller's) and a line a run, as sensor/memory has it, malloc'd; NULL: out of memory. Where runs are not listed the
 * head gets "truncated":true and how many pages there are in them ("unlisted_pages"). */
char *walked_text(const struct walked *w, json_t *head);
void walked_fini(struct walked *w);

#endif
