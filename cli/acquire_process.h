/* chronovisor acquire process: one process's pages out of a machine's memory. Returns an exit status. */
#ifndef CHV_CLI_ACQUIRE_PROCESS_H
#define CHV_CLI_ACQUIRE_PROCESS_H

#include "cli/cli.h"

int acquire_process(const struct cli_args *args);

#endif
