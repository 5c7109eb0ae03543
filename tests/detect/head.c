/* The layer that is learned on a network's vectors: right on what can be told apart, indifferent to scale, weights that mean
 * repetition, the same from the same, and numbers at the optimum. */
#include <errno.h>
#include <math.h>

#include "detect/cnn/head.h"
#include "tests/unit.h"

enum { ROWS = 240, COLUMNS = 20, CLASSES = 3 };

struct set {
    double x[2 * ROWS][COLUMNS], weight[2 * ROWS];
    const double *row[2 * ROWS];
    uint32_t label[2 * ROWS];
    size_t rows;
};

static uint64_t state = 1;

static double uniform(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(state >> 11) * 0x1p-53;
}

static void fill(struct set *s)
{
    s->rows = ROWS;
    for (size_t r = 0; r < ROWS; r++) {
        s->label[r] = (uint32_t)(r % CLASSES);
        s->weight[r] = 1;
        s->row[r] = s->x[r];
        for (size_t c = 0; c < COLUMNS; c++) s->x[r][c] = uniform() + (c == s->label[r] ? 0.5 : 0);
        s->x[r][COLUMNS - 1] = 7; /* says nothing */
    }
}

static struct head_table table(const struct set *s)
{
    return (struct head_table){.rows = s->rows, .columns = COLUMNS, .classes = CLASSES, .x = s->row, .label = s->label, .weight = s->weight};
}

static struct head *train(const struct set *s)
{
    struct head_table t = table(s);
    struct head *h;
    struct chv_err err;
    CHECK_OK(head_train(&t, &h, &err), err);
    return h;
}

/* The largest difference of the two heads' probabilities, of rows of their sets. */
static double apart(const struct head *a, const struct set *sa, const struct head *b, const struct set *sb)
{
    double p[CLASSES], q[CLASSES], most = 0;
    for (size_t r = 0; r < ROWS; r++) {
        head_score(a, sa->x[r], p);
        head_score(b, sb->x[r], q);
        for (size_t k = 0; k < CLASSES; k++) most = fmax(most, fabs(p[k] - q[k]));
    }
    return most;
}

static void tells_apart(const struct head *h, const struct set *s)
{
    size_t right = 0;
    double sums[CLASSES] = {0};
    for (size_t r = 0; r < s->rows; r++) {
        double p[CLASSES], sum = 0;
        head_score(h, s->x[r], p);
        for (size_t k = 0; k < CLASSES; k++) sum += p[k], sums[k] += p[k] - (s->label[r] == k);
        CHECK(fabs(sum - 1) < 1e-9);
        right += p[s->label[r]] > p[(s->label[r] + 1) % CLASSES] && p[s->label[r]] > p[(s->label[r] + 2) % CLASSES];
    }
    CHECK(right > s->rows * 8 / 10 && right < s->rows); /* they overlap */
    /* where the gradient is 0 the probabilities of a class sum up to its rows, but for the decay of the bias */
    for (size_t k = 0; k < CLASSES; k++) CHECK(fabs(sums[k]) < 1e-3 * (double)s->rows);
}

int main(void)
{
    static struct set s, other;
    struct chv_err err;
    struct head *h, *again;
    fill(&s);
    h = train(&s);
    tells_apart(h, &s);

    again = train(&s);
    CHECK(apart(h, &s, again, &s) == 0);
    head_free(again);

    other = s; /* other units, another zero */
    for (size_t r = 0; r < ROWS; r++) {
        other.row[r] = other.x[r];
        for (size_t c = 0; c < COLUMNS; c++) other.x[r][c] = s.x[r][c] * 1e6 - 1e5;
    }
    again = train(&other);
    CHECK(apart(h, &s, again, &other) < 1e-3);
    head_free(again);

    /* a row twice is a row that weighs two */
    other = s;
    for (size_t r = 0; r < ROWS; r += 2) s.weight[r] = 2;
    for (size_t r = 0; r < ROWS; r++) other.row[r] = other.x[r];
    for (size_t r = 0; r < ROWS; r += 2) {
        memcpy(other.x[other.rows], other.x[r], sizeof other.x[r]);
        other.row[other.rows] = other.x[other.rows];
        other.label[other.rows] = other.label[r];
        other.weight[other.rows++] = 1;
    }
    head_free(h);
    h = train(&s);
    again = train(&other);
    CHECK(apart(h, &s, again, &other) < 1e-3);
    head_free(again);
    head_free(h);

    /* numbers as large as floats have */
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLUMNS; c++) s.x[r][c] *= 1e38;
    h = train(&s);
    double p[CLASSES];
    head_score(h, s.x[0], p);
    CHECK(isfinite(p[0]) && isfinite(p[1]) && isfinite(p[2]));
    head_free(h);

    struct head_table t = table(&s);
    for (size_t r = 0; r < ROWS; r++) s.label[r] = 1;
    CHECK(head_train(&t, &h, &err) == -EINVAL && strstr(err.text, "two"));
    head_free(NULL);
    return 0;
}
