/* chronovisor import ransap: the noun whose evidence holds no contents. */
#ifndef CHV_CLI_IMPORT_RANSAP_H
#define CHV_CLI_IMPORT_RANSAP_H

#include "cli/cli.h"

/* Read every run of a data set, say what was wrong with it and, with -o, write its features. CLI_NOTHING: something was wrong. */
int import_ransap(const struct cli_args *args, const char *dir);

#endif
