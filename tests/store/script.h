/* A made-up guest for the crash tests, and the judge of what a store kept of it.
 *
 * Request i of a script is a pure function of the script's seed and i, and is recorded at the time SCRIPT_TIME + i,
 * so that any event of a log can be traced to its request without remembering anything.
 */
#ifndef CHV_TESTS_STORE_SCRIPT_H
#define CHV_TESTS_STORE_SCRIPT_H

#include <stddef.h>
#include <stdint.h>

#include "chronovisor/chronovisor.h"

#define SCRIPT_TIME UINT64_C(1700000000000000000)
#define SCRIPT_BLOCKS 200u
enum { SCRIPT_SPACES = 2, SCRIPT_REQUEST_BLOCKS = 12 };

struct script {
    uint64_t seed;
    uint32_t block_bytes;
};

/* Fill *r but for r->space, which is an index into the spaces; data needs SCRIPT_REQUEST_BLOCKS blocks. */
void script_request(const struct script *s, uint64_t i, struct chv_record *r, uint8_t *data);
/* Find or define the spaces; ids[SCRIPT_SPACES]. */
int script_spaces(const struct script *s, struct chv_recorder *rec, uint16_t *ids, struct chv_err *err);
/* Append requests [from, to) one by one; returns how many were taken. *ticket: of the last one taken. */
uint64_t script_append(const struct script *s, struct chv_recorder *rec, const uint16_t *ids, uint64_t from, uint64_t to,
                       uint64_t *ticket, struct chv_err *err);

/* A log may be without the requests [acked, resume): there the power failed, or the store took nothing. */
struct script_cut {
    uint64_t acked, resume;
};

/* Check that the store holds requests 0, 1, … in order, each whole and once, up to at least `acked`, but for the cuts;
 * that its views are what those make of the spaces; and that every block whose request is below `readable` reads back.
 * Ends the test with a message when not. Returns the number of the first request that is not (wholly) there. */
uint64_t script_check(const struct script *s, const char *dir, const struct script_cut *cuts, size_t cut_count,
                      uint64_t acked, uint64_t readable);

/* Check every segment's structure, chain and COMMIT digests and every pack record from the files alone. */
void script_check_files(const char *dir, uint32_t block_bytes);

#endif
