/* How answers of a search are shown. */
#ifndef CHV_CLI_SEARCH_PRINT_H
#define CHV_CLI_SEARCH_PRINT_H

#include "cli/cli.h"
#include "search/search.h"

struct search_print {
    struct chv_store *store;
    bool json, names, sampled, fragment;
    uint64_t limit;
    const char *subject;  /* the file, or the name in a list */
    uint64_t blocks;      /* of the whole subject; 0: not known */
    uint64_t bytes;
    uint64_t seed;
    uint64_t naming_ns;     /* spent on names so far */
    uint64_t names_left_out;
};

/* One line: what was looked at, what was not counted and why. */
void search_print_subject(const struct search_print *print, const struct search_result *result);
/* The candidates, best first, at most `limit`. */
void search_print_candidates(struct search_print *print, const struct search_result *result);
void search_print_legend(const struct search_print *print);

/* Which file owned the blocks while they were there, through the file system in the view: a malloc'd path
 * (with " (deleted)" where it was), or NULL where there is none to be had. The one with most of the blocks. */
char *search_name(struct chv_store *store, const struct search_candidate *candidate);

#endif
