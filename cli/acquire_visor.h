/* `acquire … --visor`: the memory of a machine under the hypervisor, through the collector that its evidence goes to. */
#ifndef CHV_CLI_ACQUIRE_VISOR_H
#define CHV_CLI_ACQUIRE_VISOR_H

#include "cli/cli.h"

int acquire_visor(const struct cli_args *args);

#endif
