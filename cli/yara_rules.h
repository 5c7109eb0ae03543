/* YARA rules out of a file. */
#ifndef CHV_CLI_YARA_RULES_H
#define CHV_CLI_YARA_RULES_H

#include "chronovisor/err.h"

#define YARA_RULES_BYTES_MAX (64u << 20)

struct YR_RULES;
/* Rules as text: compiled ones would be believed unchecked. EINVAL: they cannot be used (line, why). No includes. After
 * yr_initialize; yr_rules_destroy frees. `what` is put before the path in errors. */
int yara_rules_load(const char *what, const char *path, struct YR_RULES **rules, struct chv_err *err);

#endif
