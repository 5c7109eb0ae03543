/* Instants of one space: memory is recorded after the instant that it shows. */
#include "cli/cli.h"
#include "sensor/memory/ram_capture.h"

bool cli_instant_in(const struct cli_args *args, const char *name, const struct chv_store *store, const struct chv_space *space,
                    uint64_t *seq)
{
    struct chv_err err;
    uint64_t asked;
    if (!cli_instant(args, name, store, &asked)) return false;
    if (ram_capture_view_seq(store, space, asked, seq, &err) == 0) return true;
    cli_fail(args, &err);
    return false;
}
