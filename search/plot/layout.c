/* Where things are in the picture. */
#include <math.h>

#include "search/plot/plot.h"

enum { LEFT = 78, RIGHT = 100, TOP = 74, BOTTOM = 48, BETWEEN_COLUMNS = 78, UNDER_HEAT = 40, BETWEEN_ROWS = 24 };

static double whole_cells(double pixels)
{
    double cells = floor(pixels / PLOT_CELL);
    return (cells < 1 ? 1 : cells) * PLOT_CELL;
}

void plot_layout(uint64_t width, uint64_t height, struct plot_layout *out)
{
    double w = whole_cells(((double)width - LEFT - RIGHT - BETWEEN_COLUMNS) / 2);
    double room = (double)height - TOP - BOTTOM - UNDER_HEAT - 2 * BETWEEN_ROWS;
    double heat = whole_cells(room * 0.54), row = floor((room - heat) / 3);
    double x[2] = {LEFT, LEFT + w + BETWEEN_COLUMNS};
    double y = TOP + heat + UNDER_HEAT;
    for (int side = 0; side < 2; side++) {
        out->heat[side] = (struct plot_rect){x[side], TOP, w, heat};
        out->throughput[side] = (struct plot_rect){x[side], y, w, row};
        out->variance[side] = (struct plot_rect){x[side], y + row + BETWEEN_ROWS, w, row};
    }
    y += 2 * (row + BETWEEN_ROWS);
    out->summary = (struct plot_rect){x[0], y, w, row};
    out->entropy = (struct plot_rect){x[1], y, w, row};
    out->scale = (struct plot_rect){x[1] + w + 16, TOP, 14, heat};
}
