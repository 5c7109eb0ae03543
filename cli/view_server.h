/* A view behind nbdkit, for the verbs that need one: opened here once first, so that whatever is
 * wrong is told in one line, and entered in the custody log. */
#ifndef CHV_CLI_VIEW_SERVER_H
#define CHV_CLI_VIEW_SERVER_H

#include "cli/cli.h"
#include "cli/nbdkit.h"

struct view_server {
    struct nbd_server nbd;
    char space[CHV_SPACE_NAME_BYTES + 1];
    uint64_t seq, time_ns, size_bytes;
    bool scratch;
};

/* Reads --space, --at, --source, --assume-unchanged, --zero-unknown and --socket where the verb has them. port: as in
 * nbd_server_options. purpose: the end of the line for the custody log. CLI_OK, or CLI_ERROR after one line. */
int view_server_start(const struct cli_args *args, int port, bool scratch, const char *purpose,
                      struct view_server *server);
void view_server_stop(struct view_server *server);

/* The view that the options of a verb ask for; *store is to be closed after it. CLI_OK or CLI_ERROR after one line. */
int cli_view_open(const struct cli_args *args, struct chv_store **store, struct chv_view **view,
                  const struct chv_space **space);

#endif
