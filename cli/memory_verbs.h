/* The sub-commands of `memory`, and what they share. Each returns an exit status. */
#ifndef CHV_CLI_MEMORY_VERBS_H
#define CHV_CLI_MEMORY_VERBS_H

#include "cli/memory_source.h"

int memory_maps(const struct cli_args *args);
int memory_suspicious(const struct cli_args *args);
int memory_yara(const struct cli_args *args);
int memory_diff(const struct cli_args *args);
int memory_export(const struct cli_args *args);
int memory_modules(const struct cli_args *args);

#define MEMORY_RIGHTS_BYTES 5
/* "rwxp" of a mapping, as /proc/PID/maps shows it. */
const char *memory_rights(const struct linux_vma *v, char text[MEMORY_RIGHTS_BYTES]);
/* Its file, or "[heap]" and the like, or "". */
const char *memory_what(const struct linux_vma *v);
/* The mapping's fields as members of a JSON object, without braces. */
void memory_json_vma(const struct linux_vma *v);

#endif
