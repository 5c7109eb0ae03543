/* Running nbdkit with one of our plugins on a socket of our own (socket activation), and
 * clearing up after it. */
#ifndef CHV_CLI_NBDKIT_H
#define CHV_CLI_NBDKIT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "chronovisor/err.h"

struct nbd_server_options {
    const char *socket;           /* path, or NULL: a fresh one in a directory of its own */
    int port;                     /* 0..65535: TCP on the loopback address, 0 chooses; -1: Unix socket */
    const char *const *arguments; /* of nbdkit, after the options: [--filter=…] PLUGIN key=value …; ends with NULL */
};

struct nbd_server {
    pid_t pid;
    int port;
    char directory[128]; /* ours, to be removed; "" when the socket's place was given */
    char socket[256];    /* "" for TCP */
    char uri[1024];
};

/* The file of a plugin of ours: in the build tree next to this program, else where it was installed.
 * ENOENT names the places. */
int nbd_plugin_path(const char *room, const char *name, char *path, size_t size, struct chv_err *err);

/* Listen, and start nbdkit on that socket; it ends when this process does. Clients may connect at once. */
int nbd_server_start(struct nbd_server *server, const struct nbd_server_options *options, struct chv_err *err);
/* Wait until nbdkit ends or a signal (INT, TERM, HUP) asks this process to. 0, or nbdkit's exit status. */
int nbd_server_wait(struct nbd_server *server);
/* Run a shell command with $uri and $unixsocket in its environment; returns its exit status. */
int nbd_server_run(struct nbd_server *server, const char *command);
/* Ask it to end, wait, remove the socket. */
void nbd_server_stop(struct nbd_server *server);

#endif
