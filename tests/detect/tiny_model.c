/* tiny-model OUT: a model for tests, learned from made-up accesses. "Calm" writes text one block after the other and reads
 * some; "Scrambler" reads blocks here and there and overwrites them with noise, from the start or after a calm while. One
 * suspicious second raises the alarm. */
#include "chronovisor/store.h"
#include "detect/model.h"
#include "tests/unit.h"

#define RUNS 60
#define SECONDS 8
#define ROWS_MAX (RUNS * (SECONDS + 2))

static double x[ROWS_MAX * FEATURES_MAX];
static uint32_t label[ROWS_MAX], run_of[ROWS_MAX];
static size_t rows, columns;
static uint32_t run;
static uint64_t bad_at; /* from here on; 0: never */

static void keep(void *arg, const struct feature_row *row)
{
    (void)arg;
    if (!row->active) return;
    CHECK(rows < ROWS_MAX);
    memcpy(&x[rows * columns], row->x, columns * sizeof *x);
    label[rows] = bad_at && row->end_ns > bad_at;
    run_of[rows++] = run;
}

static void make_run(uint64_t *random)
{
    struct features *f = features_new(FEATURES_DEFAULT);
    CHECK(f);
    unsigned rate = 60 + (unsigned)(unit_random(random) % 300);
    uint64_t lba = unit_random(random) % 100000 * 8, blocks = 50 + unit_random(random) % 2000;
    bad_at = run % 2 ? 1000 + run / 2 % 5 * UINT64_C(1000000000) : 0;
    for (unsigned i = 0; i < rate * SECONDS; i++) {
        struct access a = {.time_ns = 1000 + (uint64_t)i * 1000000000 / rate, .sectors = 8};
        bool bad = bad_at && a.time_ns >= bad_at;
        a.lba = bad ? unit_random(random) % blocks * 8 : lba + i * 8;
        a.kind = ACCESS_READ;
        if (bad || i % 5 == 0) features_push(f, &a, keep, NULL);
        a.kind = ACCESS_WRITE;
        a.flags = ACCESS_ENTROPY | ACCESS_DEDUP | ACCESS_NOVEL;
        if (bad || i % 3) a.flags |= ACCESS_OLD_ENTROPY;
        a.old_entropy = (uint16_t)(20000 + unit_random(random) % 15000);
        a.entropy = (uint16_t)((bad ? 65000 : 15000) + unit_random(random) % 400);
        features_push(f, &a, keep, NULL);
    }
    features_finish(f, keep, NULL);
    features_free(f);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"Calm", "Scrambler"};
    static const uint8_t bad[] = {0, 1};
    uint64_t random = 7;
    struct chv_err err;
    struct model *model;
    CHECK(argc == 2);
    columns = features_count(FEATURES_DEFAULT);
    for (run = 0; run < RUNS; run++) make_run(&random);
    const struct model_table table = {.set = FEATURES_DEFAULT, .rows = rows, .columns = columns, .x = x, .label = label,
                                      .run = run_of, .class_name = names, .class_is_ransomware = bad, .classes = 2};
    CHECK_OK(model_train(MODEL_RF, &table, 1, &model, &err), err);
    model_set_decision(model, &(struct decision){.threshold = 0.5, .drift = 0.2, .cap = 2});
    CHECK_OK(model_save(model, argv[1], &err), err);
    model_free(model);
    return 0;
}
