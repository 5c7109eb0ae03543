/* What every command shares: the table, options, output, the exit code convention. */
#ifndef CHV_CLI_H
#define CHV_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "chronovisor/chronovisor.h"

enum { CLI_OK = 0, CLI_NOTHING = 1, CLI_ERROR = 2 }; /* CLI_NOTHING: nothing found, or a check failed */

struct cli_option {
    const char *name; /* "--space", or "-o" */
    const char *arg;  /* NULL for a flag, else its metavariable: "NAME" */
    const char *help;
};

struct cli_command {
    const char *name, *group, *synopsis, *summary;
    const char *example; /* one real command line */
    const struct cli_option *options; /* ends with a zero entry; --help, --json and completion come from it */
    int (*run)(int argc, char **argv); /* argv[0] is the verb */
};

/* Each verb's, so that its own file can name it before it defines it. */
#define COMMAND(name) extern const struct cli_command cmd_##name;
#include "cli/commands.def"
#undef COMMAND

/* The parsed command line of one verb: options by table, positionals left over. */
struct cli_args {
    const struct cli_command *command;
    int count;        /* positionals */
    char **positional;
    char **values;    /* by option index; "" for a given flag, NULL when absent (last one wins) */
    bool json;        /* --json, accepted by every verb */
};

/* Parse or print one line on stderr and return false. Understands --name=value, --name value, -o value, `--`. */
bool cli_parse(const struct cli_command *command, int argc, char **argv, struct cli_args *args);
void cli_args_fini(struct cli_args *args);
/* The value of an option ("--at"), or NULL. The name must be in the command's table. */
const char *cli_value(const struct cli_args *args, const char *name);
bool cli_flag(const struct cli_args *args, const char *name);
/* A number with an optional K/M/G/T suffix (powers of 1024); false and one line when it is not one. */
bool cli_number(const struct cli_args *args, const char *name, uint64_t fallback, uint64_t max, uint64_t *out);

/* Print "chronovisor VERB: text" on stderr; returns CLI_ERROR. */
int cli_fail(const struct cli_args *args, const struct chv_err *err);
int cli_failf(const struct cli_args *args, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "chronovisor VERB: text" as one line on stderr, whatever is in the text (it may quote names from evidence). */
void cli_error_line(const char *verb, const char *text);

/* The store: --store DIR, else $CHRONOVISOR_STORE, else an error. NULL after one line. */
const char *cli_store_dir(const struct cli_args *args);
struct chv_store *cli_store_open(const struct cli_args *args);
/* --space NAME (optional when there is one). NULL after one line. */
const struct chv_space *cli_space(const struct cli_args *args, const struct chv_store *store);
/* An instant option as a seq in this store; absent: everything (last_seq). */
bool cli_instant(const struct cli_args *args, const char *name, const struct chv_store *store, uint64_t *seq);
/* The same for one space, as the seq of the view that shows it: for a memory that was captured as of that instant and recorded after it,
 * the end of the capture (ram_capture.h). */
bool cli_instant_in(const struct cli_args *args, const char *name, const struct chv_store *store, const struct chv_space *space,
                    uint64_t *seq);

/* Append to the store's custody log who, when, what, why (--reason). 0 or CLI_ERROR after one line. */
int cli_custody(const struct cli_args *args, const char *action, const char *detail_fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Progress on stderr, only when it is a terminal (or CHRONOVISOR_PROGRESS=1); cheap to call often. */
void cli_progress(const char *what, uint64_t done, uint64_t total);
void cli_progress_end(void);

/* Print a JSON string literal with quotes, any bytes (invalid UTF-8 is escaped as \u00XX). */
void cli_json_string(FILE *out, const char *text);

/* Options most verbs repeat. */
#define CLI_OPT_STORE {"--store", "DIR", "the evidence store (default: $CHRONOVISOR_STORE)"}
#define CLI_OPT_SPACE {"--space", "NAME", "which space; may be left out when there is only one"}
#define CLI_OPT_AT {"--at", "TIME", "instant: RFC 3339, -10m, @UNIX, seq:N, now (default: the last recorded)"}
#define CLI_OPT_REASON {"--reason", "TEXT", "why, for the custody log"}
#define CLI_OPT_SOURCE {"--source", "PATH", "where the recorded device is now, if it moved"}

#endif
