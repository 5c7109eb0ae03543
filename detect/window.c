#include "detect/window.h"

#include <string.h>

const unsigned window_ticks[WINDOWS] = {1, 5, 10, 30};

void windows_close(struct windows *w)
{
    const struct tick *t = windows_tick(w);

    for (unsigned i = 0; i < WINDOWS; i++) {
        for (unsigned c = 0; c < COUNTS; c++)
            w->sum[i][c] += t->count[c];
        for (unsigned side = 0; side < 2; side++) {
            w->lba[i][side].n += t->lba[side].n;
            w->lba[i][side].sum += t->lba[side].sum;
            w->lba[i][side].squares += t->lba[side].squares;
        }
    }
}

/* The tick that leaves window i when the next begins. */
static void leave(struct windows *w, unsigned i)
{
    const struct tick *t = &w->ring[(w->now + WINDOW_TICKS + 1 - window_ticks[i]) % WINDOW_TICKS];

    for (unsigned c = 0; c < COUNTS; c++)
        w->sum[i][c] -= t->count[c];
    for (unsigned side = 0; side < 2; side++) {
        w->lba[i][side].n -= t->lba[side].n;
        w->lba[i][side].sum -= t->lba[side].sum;
        w->lba[i][side].squares -= t->lba[side].squares;
    }
}

void windows_next(struct windows *w, uint64_t ticks)
{
    if (ticks >= WINDOW_TICKS) {
        uint64_t now = w->now + ticks;

        memset(w, 0, sizeof *w);
        w->now = now;
        return;
    }
    for (; ticks; ticks--) {
        for (unsigned i = 0; i < WINDOWS; i++)
            leave(w, i);
        w->now++;
        memset(windows_tick(w), 0, sizeof(struct tick));
    }
}

unsigned windows_regions(const struct windows *w, int side, unsigned ticks)
{
    unsigned bits = 0;

    for (unsigned word = 0; word < REGION_WORDS; word++) {
        uint64_t any = 0;

        for (unsigned t = 0; t < ticks; t++)
            any |= w->ring[(w->now + WINDOW_TICKS - t) % WINDOW_TICKS].region[side][word];
        bits += (unsigned)__builtin_popcountll(any);
    }
    return bits;
}

/* Blocks below 2^38 and at most 2^24 of them in a window: n * squares and sum * sum stay below 2^124. */
void moment_add(struct moment *m, uint64_t lba)
{
    uint64_t block = (lba >> 3) & ((UINT64_C(1) << 38) - 1);

    if (m->n >= MOMENT_MOST)
        return;
    m->n++;
    m->sum += block;
    m->squares += (unsigned __int128)block * block;
}

double moment_variance(const struct moment *m)
{
    unsigned __int128 spread;

    if (!m->n)
        return 0;
    spread = m->n * m->squares - (unsigned __int128)m->sum * m->sum;
    return (double)spread / ((double)m->n * (double)m->n);
}
