/* What the verbs that look at files share: from the command line to an open file system, and how entries are shown. */
#ifndef CHV_CLI_FILES_AT_H
#define CHV_CLI_FILES_AT_H

#include "cli/cli.h"
#include "timeline/files.h"

struct files_at {
    struct chv_store *store;
    const struct chv_space *space;
    struct chv_view *view;
    struct files_fs *fs;
    uint64_t seq;
};

#define FILES_AT_OPTIONS \
    CLI_OPT_STORE, CLI_OPT_SPACE, CLI_OPT_AT, {"--partition", "N", "which partition; may be left out when one has a file system"}, \
        {"--in-place", NULL, "do not take an ext3/4 journal into account: metadata as the blocks in place have it"}, CLI_OPT_SOURCE

/* Open store, view and file system as the options say; false after one line. */
bool files_at_open(const struct cli_args *args, struct files_at *at);
void files_at_close(struct files_at *at);
/* The parts of it that need no view (history opens many). */
bool files_at_options(const struct cli_args *args, struct files_options *options);

/* --- how entries are shown (files_print.c) --- */

void files_print_ls(FILE *out, const struct files_entry *e, bool full_path);
/* One object, without a newline. */
void files_print_json(FILE *out, const struct files_entry *e);
/* The Sleuth Kit's body format, version 3, as `fls -m /` writes it. */
void files_print_body(FILE *out, const struct files_entry *e);
void files_print_dfxml_head(FILE *out, const struct files_at *at, const char *command);
void files_print_dfxml(FILE *out, const struct files_entry *e, const struct files_info *info);
void files_print_dfxml_tail(FILE *out);
/* Text of a hostile image on a terminal: control characters and broken UTF-8 become '?'. */
void files_print_text(FILE *out, const char *text);
/* The same into buf, cut to fit: for the custody log, which takes nothing but UTF-8. */
const char *files_plain_text(const char *text, char *buf, size_t bytes);
/* RFC 3339 with nanoseconds where there are any; "-" when not known. */
#define FILES_TIME_BYTES 48
const char *files_time(const struct files_entry *e, int which, char buf[FILES_TIME_BYTES]);
/* "-rw-r--r--" */
#define FILES_MODE_BYTES 11
const char *files_mode(const struct files_entry *e, char buf[FILES_MODE_BYTES]);
/* "12" or, NTFS, "12-128-1" */
#define FILES_INODE_BYTES 48
const char *files_inode(const struct files_entry *e, char buf[FILES_INODE_BYTES]);

#endif
