/* The features by name, and their values from the windows' counters. */
#ifndef CHV_DETECT_FEATURE_TABLE_H
#define CHV_DETECT_FEATURE_TABLE_H

#include "detect/features.h"
#include "detect/window.h"

/* Fill x from windows that were closed. */
void feature_table_row(const struct windows *w, enum feature_set set, double *x);

#endif
