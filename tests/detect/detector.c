/* detector MODEL (tiny_model.c): one alarm an attack, with its beginning and reasons; another attack later is another
 * alarm; looking at the clock in between changes nothing. */
#include "chronovisor/store.h"
#include "detect/detector.h"
#include "tests/unit.h"

#define SECOND UINT64_C(1000000000)

struct seen {
    struct detector_alarm alarm[8];
    size_t count;
};

static void keep(void *arg, const struct detector_alarm *alarm)
{
    struct seen *s = arg;
    CHECK(s->count < 8);
    s->alarm[s->count++] = *alarm;
}

struct source {
    struct detector *d;
    uint64_t now_ns, lba, random;
    bool looks; /* at the clock, now and then */
};

static void push(struct source *s, uint8_t kind, uint64_t lba, uint16_t entropy)
{
    struct access a = {.time_ns = s->now_ns, .lba = lba, .sectors = 8, .kind = kind};
    if (kind == ACCESS_WRITE) {
        a.flags = ACCESS_ENTROPY | ACCESS_DEDUP | ACCESS_NOVEL | ACCESS_OLD_ENTROPY;
        a.entropy = entropy;
        a.old_entropy = 25000;
    }
    detector_push(s->d, &a);
    if (s->looks && unit_random(&s->random) % 3 == 0) detector_advance(s->d, s->now_ns);
}

static void calm(struct source *s, unsigned seconds)
{
    for (unsigned i = 0; i < seconds * 100; i++, s->now_ns += SECOND / 100, s->lba += 8) {
        if (i % 5 == 0) push(s, ACCESS_READ, s->lba, 0);
        push(s, ACCESS_WRITE, s->lba, 15000);
    }
}

static void attack(struct source *s, unsigned seconds)
{
    uint64_t random = 11;
    for (unsigned i = 0; i < seconds * 150; i++, s->now_ns += SECOND / 150) {
        uint64_t lba = unit_random(&random) % 1000 * 8;
        push(s, ACCESS_READ, lba, 0);
        push(s, ACCESS_WRITE, lba, 65200);
    }
}

static void play(const struct model *m, bool looks, struct seen *s, uint64_t *rows)
{
    memset(s, 0, sizeof *s);
    struct source source = {.now_ns = 1000 * SECOND, .lba = 80000, .random = 9, .looks = looks};
    source.d = detector_new(m, keep, s);
    CHECK(source.d);
    calm(&source, 10);
    CHECK(s->count == 0);
    uint64_t first = source.now_ns;
    attack(&source, 20);
    CHECK(s->count == 1);
    calm(&source, 30);
    attack(&source, 5); /* the same attack goes on */
    CHECK(s->count == 1);
    calm(&source, 100);
    uint64_t second = source.now_ns;
    attack(&source, 5);
    detector_finish(source.d);
    CHECK(s->count == 2);
    *rows = detector_rows(source.d);
    CHECK(detector_highest(source.d) > 0.5 && detector_highest(source.d) <= 1);
    for (int i = 0; i < 2; i++) {
        const struct detector_alarm *a = &s->alarm[i];
        uint64_t truth = i ? second : first;
        CHECK(a->began_ns < a->raised_ns && a->began_ns + 2 * SECOND > truth && a->began_ns < truth + 2 * SECOND);
        CHECK(a->raised_ns < truth + 4 * SECOND && a->score > 0.5);
        CHECK(strcmp(a->family, "Scrambler") == 0 && a->family_probability == a->score);
        CHECK(a->reasons > 0 && a->reasons <= DETECTOR_REASONS);
        for (size_t w = 0; w < a->reasons; w++) {
            CHECK(a->why[w].name && a->why[w].contribution > 0);
            CHECK(w == 0 || a->why[w].contribution <= a->why[w - 1].contribution);
        }
    }
    detector_free(source.d);
}

int main(int argc, char **argv)
{
    struct model *m;
    struct chv_err err;
    struct seen plain, looking;
    uint64_t rows[2];
    CHECK(argc == 2);
    CHECK_OK(model_load(argv[1], &m, &err), err);
    play(m, false, &plain, &rows[0]);
    play(m, true, &looking, &rows[1]);
    CHECK(rows[0] == rows[1]);
    for (int i = 0; i < 2; i++)
        CHECK(plain.alarm[i].raised_ns == looking.alarm[i].raised_ns && plain.alarm[i].score == looking.alarm[i].score &&
              plain.alarm[i].began_ns == looking.alarm[i].began_ns);
    struct detector *d = detector_new(m, keep, &plain); /* nothing at all */
    detector_advance(d, 5 * SECOND);
    detector_finish(d);
    CHECK(plain.count == 2);
    detector_free(d);
    model_free(m);
    return 0;
}
