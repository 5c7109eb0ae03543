/* The custody log: who did what with the evidence, when, and why. One JSON object a line, each
 * carrying the SHA-256 of the line before; recorders bind its head into the event log (MARK). */
#ifndef CHV_STORE_CUSTODY_H
#define CHV_STORE_CUSTODY_H

#include <stdint.h>

#include "chronovisor/err.h"

/* Append {"time","user","host","pid","action","detail","reason","prev"}; durable on return.
 * Any process may append at any time (file lock). */
int custody_append(const char *store_dir, const char *action, const char *detail, const char *reason,
                   struct chv_err *err);
/* Digest of the last line (zeros when there is none). */
int custody_head(const char *store_dir, uint8_t head[32], struct chv_err *err);
/* Check the chain; *lines gets the count. EBADMSG names the first line that does not fit. */
int custody_verify(const char *store_dir, uint64_t *lines, struct chv_err *err);

#endif
