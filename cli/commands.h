/* The command table, made from commands.def. */
#ifndef CHV_CLI_COMMANDS_H
#define CHV_CLI_COMMANDS_H

#include "cli/cli.h"

static const struct cli_command *const commands[] = {
#define COMMAND(name) &cmd_##name,
#include "cli/commands.def"
#undef COMMAND
    NULL,
};

#endif
