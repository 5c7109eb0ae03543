/* A line of a table as a row. */
#ifndef CHV_DETECT_TABLE_ROW_H
#define CHV_DETECT_TABLE_ROW_H

#include "detect/table.h"

/* `line` has `bytes` bytes and a NUL behind them. False: it is no row, and `reason` says why in a few printable words. */
bool table_row_parse(const char *line, size_t bytes, bool entropy, struct table_row *row, char reason[80]);

#endif
