/* What is said of judgements, against figures worked out by hand: curves, false alarms a day, losses before the alarm. */
#include <math.h>

#include "detect/evaluate_impl.h"
#include "tests/unit.h"

#define SECOND UINT64_C(1000000000)
#define BEGIN (1000 * SECOND)

static bool near(double a, double b)
{
    return fabs(a - b) < 1e-6 * (1 + fabs(b));
}

static void test_poisson(void)
{
    /* the upper bounds that tables give for 95%, one-sided */
    CHECK(near(evaluate_poisson_most(0), -log(0.05)));
    CHECK(fabs(evaluate_poisson_most(1) - 4.7439) < 1e-3 && fabs(evaluate_poisson_most(10) - 16.9622) < 1e-3);
    CHECK(evaluate_poisson_most(2000) > 2000 && evaluate_poisson_most(2000) < 2100);
}

static void test_roc(void)
{
    struct scored list[] = {{0.1, false}, {0.9, true}, {0.5, true}, {0.5, false}, {0.2, false}};
    struct evaluate_roc roc = {0};
    double auc, tpr;
    CHECK(roc_of(list, 5, &roc, &auc, &tpr) == 0);
    CHECK(near(auc, 5.5 / 6) && tpr == 0.5 && roc.count == 5);
    CHECK(roc.fpr[0] == 0 && roc.tpr[0] == 0 && roc.fpr[4] == 1 && roc.tpr[4] == 1);
    CHECK(roc.fpr[1] == 0 && roc.tpr[1] == 0.5f && near((double)roc.fpr[2], 1 / 3.0) && roc.tpr[2] == 1);
    free(roc.fpr);
    free(roc.tpr);
    roc = (struct evaluate_roc){0};
    CHECK(roc_of(list, 1, &roc, &auc, &tpr) == 0 && isnan(auc) && isnan(tpr) && roc.count == 0);
}

static void test_quantile(void)
{
    const double list[] = {1, 2, 4, INFINITY};
    CHECK(isnan(quantile(list, 0, 0.5)) && quantile(list, 1, 0.9) == 1 && quantile(list, 3, 0.5) == 2 && quantile(list, 4, 0.5) == 3);
    CHECK(isinf(quantile(list, 4, 0.9)) && isinf(quantile(list, 4, 1)) && quantile(list, 3, 1) == 4);
}

/* Four runs: an attack seen after its third second, one never seen, one seen before it began, a harmless one. */
struct world {
    struct dataset_run of[4];
    struct samples_run run[4];
    struct samples_row row[4 * 20];
    struct evaluate_run judged[4];
    struct samples s;
    struct judgements j;
    struct evaluation e;
};

static struct samples_loss loss[] = {{SECOND + SECOND / 2, 4096, 4096}, {3 * SECOND - 1, 1 << 20, 8192}, {3 * SECOND, 2 << 20, 1 << 20},
                                     {5 * SECOND, 4 << 20, 3 << 20}};
static struct hit hits[] = {{BEGIN + SECOND / 2, 0, 0},
                            {BEGIN + 2 * SECOND, 3, 1 << 20},
                            {BEGIN + 3 * SECOND + 1, 5, 3 << 20},
                            {BEGIN + 9 * SECOND, 10, 8 << 20}};

static void world_init(struct world *w)
{
    memset(w, 0, sizeof *w);
    static char names[3][8] = {"Bad", "Good", "ext4"};
    w->s = (struct samples){.columns = 1, .rows = 80, .runs = 4, .families = 2, .row = w->row, .run = w->run,
                            .family = {names[0], names[1]}, .ransomware = {1, 0}};
    for (size_t r = 0; r < 4; r++) {
        bool bad = r < 3;
        w->of[r] = (struct dataset_run){.condition = names[2], .family = names[bad ? 0 : 1], .path = names[2], .ransomware = bad,
                                        .begin_ns = BEGIN, .finish_ns = BEGIN + 15 * SECOND, .malicious_ns = bad ? BEGIN + SECOND : 0, .tree_files = bad ? 10 : 0,
                                        .tree_bytes = bad ? 8 << 20 : 0};
        w->run[r] = (struct samples_run){.run = &w->of[r], .first = r * 20, .rows = 20, .label = bad ? 0 : 1};
        if (bad) {
            w->run[r].loss = loss;
            w->run[r].losses = 4;
            w->run[r].hits = (struct hits){hits, 4};
        }
        for (size_t i = 0; i < 20; i++) w->row[r * 20 + i] = (struct samples_row){.end_ns = (i + 1) * SECOND, .active = i % 2};
        w->judged[r] = (struct evaluate_run){.judged = true, .highest = bad ? 9 : 1};
    }
    w->judged[0].alarm = w->judged[2].alarm = true;
    w->judged[0].alarm_ns = 3 * SECOND;
    w->judged[2].alarm_ns = SECOND;
    w->j = (struct judgements){.samples = &w->s, .run = w->judged, .probability = calloc(80 * 2, sizeof(double))};
    CHECK(w->j.probability);
    CHECK(measure(&w->j, SPLIT_RUN, 0, &w->e) == 0 && measure_losses(&w->j, &w->e) == 0);
}

static void world_fini(struct world *w)
{
    free(w->j.probability);
    w->e.run = NULL;
    evaluation_fini(&w->e);
}

static void test_runs(void)
{
    static struct world w;
    world_init(&w);
    const struct evaluation *e = &w.e;
    CHECK(e->runs_ransomware == 3 && e->detected == 2 && e->runs_benign == 1 && e->false_alarms == 0);
    CHECK(e->runs_precision == 1 && near(e->runs_recall, 2 / 3.0) && near(e->runs_f1, 0.8) && e->runs_auc == 1);
    CHECK(e->conditions == 1 && near(evaluate_condition_f1(&e->condition[0]), 0.8));
    CHECK(near(e->benign_seconds, 20) && near(e->benign_active_seconds, 10));
    CHECK(strcmp(evaluate_class(&w.s, 1), "Good") == 0 && !evaluate_class(&w.s, 2));
    w.s.two = true;
    CHECK(strcmp(evaluate_class(&w.s, 1), "ransomware") == 0 && !evaluate_class(&w.s, 2));
    CHECK(e->alarms_a_day == 0 && near(e->alarms_a_day_most, -log(0.05) * 86400 / 20));
    world_fini(&w);
}

static void test_losses(void)
{
    static struct world w;
    world_init(&w);
    const struct evaluate_losses *l = &w.e.losses;
    CHECK(l->runs == 3 && l->found == 1 && l->early == 1 && l->prompt == 1 && l->minute == 1);
    /* early: nothing; found at 3 s; never: all there was */
    CHECK(l->median[LOSS_SECONDS] == 2 && isinf(l->worst[LOSS_SECONDS]) && near(l->median[LOSS_SECONDS_DISK], 1.5));
    CHECK(l->median[LOSS_WRITTEN] == 1 << 20 && l->worst[LOSS_WRITTEN] == 4 << 20 && l->worst[LOSS_WRITTEN_SHARE] == 0.5);
    CHECK(l->median[LOSS_OVERWRITTEN] == 8192 && l->worst[LOSS_OVERWRITTEN] == 3 << 20);
    CHECK(l->median[LOSS_FILES_GUEST] == 5 && l->worst[LOSS_FILES_GUEST] == 10 && l->worst[LOSS_FILES_GUEST_SHARE] == 1);
    CHECK(l->median[LOSS_BYTES_GUEST] == 3 << 20 && near(l->median[LOSS_BYTES_GUEST_SHARE], 3 / 8.0));
    /* 1 MiB on the disk is where the attacker had three files; 4 MiB never seen: where it had all ten */
    CHECK(l->median[LOSS_FILES_DISK] == 3 && l->worst[LOSS_FILES_DISK] == 10);
    CHECK(!samples_loss_before(&w.run[0], 0) && !samples_loss_before(&w.run[0], SECOND + SECOND / 2) && !samples_loss_before(&w.run[3], 9));
    CHECK(samples_loss_before(&w.run[0], SECOND + SECOND / 2 + 1) == loss && samples_loss_before(&w.run[0], UINT64_MAX) == loss + 3);
    CHECK(w.e.family[0].losses.runs == 3 && w.e.family[1].losses.runs == 0);
    world_fini(&w);
}

int main(void)
{
    test_poisson();
    test_roc();
    test_quantile();
    test_runs();
    test_losses();
    for (size_t i = 0; i < LOSSES; i++) CHECK(evaluate_loss_name((enum evaluate_loss)i));
    return 0;
}
