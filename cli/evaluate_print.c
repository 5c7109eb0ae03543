/* An evaluation as a table and as JSON. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/evaluate_out.h"

void evaluate_print_json(const struct evaluate_facts *f, const struct evaluation *e)
{
    const struct samples *s = f->samples;
    json_t *o = json_object(), *figures = evaluation_json(s, e, true);
    json_object_set_new(o, "model", json_string(model_kind_name(f->kind)));
    json_object_set_new(o, "features", json_string(feature_set_name(s->set)));
    json_object_set_new(o, "mode", json_string(s->mode == MODEL_READS ? "read" : "paired"));
    json_object_set_new(o, "split", f->given ? json_string("given") : json_string(evaluate_split_name(f->split)));
    if (f->given) json_object_set_new(o, "model_file", json_string(f->given));
    json_object_set_new(o, "skip_seconds", json_real((double)f->skip_ns * 1e-9));
    json_object_set_new(o, "seed", json_integer((json_int_t)f->seed));
    json_object_update(o, figures);
    char *text = json_dumps(o, JSON_REAL_PRECISION(9));
    printf("%s\n", text ? text : "{}");
    free(text);
    json_decref(figures);
    json_decref(o);
}

static const char *figure(double v, char buf[16])
{
    if (isnan(v)) return "-";
    snprintf(buf, 16, "%.3f", v);
    return buf;
}

static void print_runs(const struct evaluation *e)
{
    char a[4][16];
    printf("  runs             %zu of %zu ransomware found, %zu of %zu benign with a false alarm: F1 %s, false alarms %s; ROC AUC %s, TPR at "
           "1%% FPR %s\n",
           e->detected, e->runs_ransomware, e->false_alarms, e->runs_benign, figure(e->runs_f1, a[0]),
           figure(e->runs_benign > 0 ? (double)e->false_alarms / (double)e->runs_benign : NAN, a[1]), figure(e->runs_auc, a[2]),
           figure(e->runs_tpr_at_fpr_1, a[3]));
    if (e->benign_seconds > 0)
        printf("  benign time      %.2f h, %.2f h of it active: %zu alarms, %.3g a day (at most %.3g with 95%% confidence)\n",
               e->benign_seconds / 3600, e->benign_active_seconds / 3600, e->benign_alarms, e->alarms_a_day, e->alarms_a_day_most);
    if (e->detected)
        printf("  to the alarm     median %.1f s, p90 %.1f s; written before it %.2f MiB, p90 %.2f; read %.2f MiB, p90 %.2f\n",
               e->seconds_median, e->seconds_p90, e->written_median / 1048576, e->written_p90 / 1048576, e->read_median / 1048576,
               e->read_p90 / 1048576);
}

static void print_confusion(const struct samples *s, const struct evaluation *e)
{
    printf("  %-14s %5s %6s %6s   windows named\n  %-14s %5s %6s %6s  ", "", "", "", "", "family", "runs", "alarms", "F1");
    for (size_t o = 0; evaluate_class(s, o); o++) printf(" %6.6s", evaluate_class(s, o));
    printf("\n");
    for (size_t f = 0; f < s->families; f++) {
        char f1[16];
        printf("  %c %-12.12s %5zu %6zu %6s  ", s->ransomware[f] ? '*' : ' ', s->family[f], e->family[f].runs, e->family[f].alarms,
               figure(e->family[f].f1, f1));
        for (size_t o = 0; evaluate_class(s, o); o++) printf(" %6zu", e->confusion[f][o]);
        printf("\n");
    }
}

static void print_conditions(const struct evaluation *e)
{
    if (e->conditions < 2) return;
    printf("  %-20s     found  false alarms     F1\n", "condition");
    for (size_t c = 0; c < e->conditions; c++) {
        const struct evaluate_condition *of = &e->condition[c];
        char f1[16];
        printf("  %-20.20s %4zu/%-4zu %6zu/%-6zu %6s\n", of->name, of->detected, of->runs_ransomware, of->false_alarms, of->runs_benign,
               figure(evaluate_condition_f1(of), f1));
    }
}

/* Median, 90th percentile and worst, in a column. */
static void print_loss(const struct evaluate_losses *l, enum evaluate_loss which, double scale, int decimals)
{
    const double values[] = {l->median[which], l->p90[which], l->worst[which]};
    char text[64];
    size_t n = 0;
    for (size_t i = 0; i < 3 && n < sizeof text; i++) {
        const char *between = i ? "/" : "";
        if (isfinite(values[i]))
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*f", between, decimals, values[i] * scale);
        else
            n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", between, isnan(values[i]) ? "-" : "never");
    }
    printf(" %16s", text);
}

static void print_loss_line(const char *name, const struct evaluate_losses *l)
{
    if (l->runs == 0) return;
    printf("  %-12.12s %3zu/%-3zu %5zu %8zu", name, l->found + l->early, l->runs, l->early, l->prompt);
    print_loss(l, LOSS_SECONDS, 1, 1);
    print_loss(l, LOSS_SECONDS_DISK, 1, 1);
    print_loss(l, LOSS_WRITTEN, 1.0 / 1048576, 1);
    print_loss(l, LOSS_WRITTEN_SHARE, 100, 0);
    print_loss(l, LOSS_OVERWRITTEN_SHARE, 100, 0);
    print_loss(l, LOSS_FILES_DISK_SHARE, 100, 1);
    print_loss(l, LOSS_FILES_GUEST_SHARE, 100, 1);
    printf("\n");
}

static void print_losses(const struct samples *s, const struct evaluation *e)
{
    if (e->losses.runs == 0) return;
    printf("  until the alarm: median/90th percentile/worst of all runs; a run without an alarm has lost all it lost in the end\n"
           "  %-12s %-7s %5s %8s %16s %16s %16s %16s %16s %16s %16s\n  %-12s %-7s %5s %8s %16s %16s %16s %16s %16s %16s %16s\n",
           "", "", "", "in 2 s", "s, from the 1st", "s, from the 1st", "MiB", "% of the tree", "% of the tree", "% of files, on", "% of files,",
           "family", "found", "early", "/ 16 MiB", "change in guest", "change on disk", "written", "written", "overwritten", "disk, about", "in the guest");
    for (size_t f = 0; f < s->families; f++) print_loss_line(s->family[f], &e->family[f].losses);
    print_loss_line("all", &e->losses);
}

void evaluate_print_table(const struct evaluate_facts *f, const struct evaluation *e)
{
    const struct samples *s = f->samples;
    char a[5][16];
    printf("%s, %s features, %s streams, ", model_kind_name(f->kind), feature_set_name(s->set), s->mode == MODEL_READS ? "read" : "paired");
    if (f->given)
        printf("%s: nothing is held out, what it learned from must not be here", f->given);
    else
        printf("split by %s, %zu folds", evaluate_split_name(f->split), e->folds);
    if (f->skip_ns) printf(", first %.0f s cut", (double)f->skip_ns * 1e-9);
    printf("\n");
    if (e->folds_impossible)
        printf("  %zu folds could not be judged: no ransomware, or nothing benign, was left to learn from\n", e->folds_impossible);
    printf("  windows of 10 s  %zu, %zu of ransomware: precision %s, recall %s, F1 %s, ROC AUC %s, TPR at 1%% FPR %s\n", e->windows,
           e->windows_ransomware, figure(e->precision, a[0]), figure(e->recall, a[1]), figure(e->f1, a[2]), figure(e->auc, a[3]),
           figure(e->tpr_at_fpr_1, a[4]));
    if (!s->two) printf("  families         macro F1 %s, weighted F1 %s\n", figure(e->macro_f1, a[0]), figure(e->weighted_f1, a[1]));
    print_runs(e);
    print_confusion(s, e);
    print_conditions(e);
    print_losses(s, e);
}
