/* agree MODEL (tiny_model.c): evaluating a stream finds the alarms that watching it live raises, each of them, at the same time;
 * also where a part for encrypted disks judges. */
#include "detect/detector.h"
#include "detect/evaluate.h"
#include "detect/model_impl.h"
#include "tests/unit.h"

#define SECOND UINT64_C(1000000000)
#define ROWS_MAX 1000

struct world {
    struct detector *live;
    struct features *features;
    size_t columns, rows, raised;
    uint64_t raised_ns[8], now_ns, random;
    bool encrypted; /* what is written, and what was there, is ciphertext */
    double x[ROWS_MAX * FEATURES_MAX];
    struct samples_row row[ROWS_MAX];
};

static void take_alarm(void *arg, const struct detector_alarm *alarm)
{
    struct world *w = arg;
    CHECK(w->raised < 8);
    CHECK(alarm->encrypted == w->encrypted);
    w->raised_ns[w->raised++] = alarm->raised_ns;
}

static void take_row(void *arg, const struct feature_row *row)
{
    struct world *w = arg;
    CHECK(w->rows < ROWS_MAX);
    memcpy(w->x + w->rows * w->columns, row->x, w->columns * sizeof *w->x);
    w->row[w->rows++] = (struct samples_row){row->end_ns, row->read_bytes, row->write_bytes, row->active, row->encrypted};
}

static void push(struct world *w, uint8_t kind, uint64_t lba, uint16_t entropy)
{
    struct access a = {.time_ns = w->now_ns, .lba = lba, .sectors = 8, .kind = kind};
    if (kind == ACCESS_WRITE) {
        a.flags = ACCESS_ENTROPY | ACCESS_DEDUP | ACCESS_NOVEL | ACCESS_OLD_ENTROPY;
        a.entropy = entropy;
        a.old_entropy = 25000;
    }
    if (w->encrypted) a.entropy = a.old_entropy = 65160;
    detector_push(w->live, &a);
    features_push(w->features, &a, take_row, w);
}

static void play(struct world *w, unsigned seconds, bool attack)
{
    for (unsigned i = 0; i < seconds * 150; i++, w->now_ns += SECOND / 150) {
        uint64_t lba = attack ? unit_random(&w->random) % 1000 * 8 : w->now_ns / SECOND * 150 + i * 8;
        if (attack || i % 5 == 0) push(w, ACCESS_READ, lba, 0);
        push(w, ACCESS_WRITE, lba, attack ? 65200 : 15000);
    }
}

/* What watching raises and evaluating finds; the latter is checked against the former. */
static void agree(const struct model *m, struct world *w, struct evaluation *e)
{
    struct chv_err err;
    w->columns = features_count(model_feature_set(m));
    w->live = detector_new(m, take_alarm, w);
    w->features = features_new(model_feature_set(m));
    CHECK(w->live && w->features);
    const unsigned calm[] = {5, 20, 100, 200, 3};
    for (size_t i = 0; i < 5; i++) { /* the second attack follows so soon that it is the first one still */
        play(w, calm[i], false);
        play(w, 4, true);
    }
    detector_finish(w->live);
    features_finish(w->features, take_row, w);

    struct dataset_run of = {.path = "run", .condition = "disk", .family = "program"};
    struct samples_run run = {.run = &of, .rows = w->rows, .start_ns = 7 * SECOND};
    struct samples s = {.set = model_feature_set(m), .two = true, .columns = w->columns, .rows = w->rows, .runs = 1, .families = 1,
                        .x = w->x, .row = w->row, .run = &run, .family = {"program"}};
    CHECK_OK(evaluate_given(&s, m, 0, NULL, e, &err), err);
    CHECK(e->run[0].alarms == w->raised && e->benign_alarms == w->raised);
    for (size_t i = 0; i < w->raised; i++) CHECK(e->run[0].at_ns[i] == w->raised_ns[i]);
    struct evaluation none;
    s.two = false;
    CHECK(evaluate_given(&s, m, 0, NULL, &none, &err) < 0);
    features_free(w->features);
    detector_free(w->live);
}

int main(int argc, char **argv)
{
    static struct world plain = {.now_ns = 7 * SECOND, .random = 3}, encrypted = {.now_ns = 7 * SECOND, .random = 3, .encrypted = true};
    struct chv_err err;
    struct model *m, *part;
    struct evaluation e;
    CHECK(argc == 2);
    CHECK_OK(model_load(argv[1], &m, &err), err);
    agree(m, &plain, &e);
    CHECK(plain.raised == 3 && e.false_alarms == 1 && e.run[0].alarm && e.run[0].alarm_ns == plain.raised_ns[0]);
    evaluation_fini(&e);

    /* one that takes the calm for the attack, so that it shows who judges: nobody but it, and only where the disk is encrypted */
    CHECK_OK(model_load(argv[1], &part, &err), err);
    for (size_t c = 0; c < part->classes; c++) part->ransomware[c] = !part->ransomware[c];
    model_attach_encrypted(m, part);
    uint64_t before[3];
    memcpy(before, plain.raised_ns, sizeof before);
    memset(&plain, 0, sizeof plain);
    plain = (struct world){.now_ns = 7 * SECOND, .random = 3};
    agree(m, &plain, &e);
    CHECK(plain.raised == 3 && memcmp(before, plain.raised_ns, sizeof before) == 0);
    evaluation_fini(&e);
    agree(m, &encrypted, &e);

    /* 1,024 pieces, of 150 a second: in its seventh second at the soonest; then it is calm until the end */
    CHECK(encrypted.raised == 1 && encrypted.raised_ns[0] > 13 * SECOND && encrypted.raised_ns[0] < 30 * SECOND);
    evaluation_fini(&e);
    model_free(m);
    return 0;
}
