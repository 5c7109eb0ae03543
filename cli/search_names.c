#include <stdlib.h>

#include "cli/search_print.h"

char *search_name(const struct chv_store *store, const struct search_candidate *candidate)
{
    (void)store, (void)candidate;
    return NULL;
}
