/* Known-bad content: SHA-256 of blocks that must not be written, from a list of any format that search takes. */
#ifndef CHV_CLI_WATCH_LIST_H
#define CHV_CLI_WATCH_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "abi/event.h"
#include "chronovisor/err.h"

#define WATCH_ENTRIES_MAX (4u << 20)     /* 160 MiB */
#define WATCH_NAME_BYTES_MAX (64u << 20) /* of names; entries beyond have none */

struct watch_list;
struct watch_entry {
    uint8_t hash[CHV_HASH_BYTES];
    uint32_t line, name; /* where in the names, 0: none */
};

/* EINVAL: a line that is no hash (LABEL:LINE and why), or no SHA-256 in all of it; E2BIG: too many. *ignored: entries that no
 * block can match (MD5 only; of less than a block). */
int watch_list_load(const char *path, uint32_t block_bytes, struct watch_list **out, uint64_t *ignored, struct chv_err *err);
void watch_list_free(struct watch_list *w);
size_t watch_list_count(const struct watch_list *w);
/* NULL: not listed. */
const struct watch_entry *watch_list_find(const struct watch_list *w, const uint8_t hash[CHV_HASH_BYTES]);
const char *watch_list_name(const struct watch_list *w, const struct watch_entry *entry); /* "" when it has none */

#endif
