/* chronovisor evaluate: how good a kind of model is on runs that it did not learn from. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ransap.h"
#include "detect/evaluate.h"

static const struct cli_option options[] = {
    CLI_OPT_RANSAP,
    CLI_OPT_CORPUS,
    {"--model", "KIND", "rf, svm, knn, gbt or default (gbt)"},
    CLI_OPT_FEATURES,
    CLI_OPT_MODE,
    {"--split", "HOW", "run: five folds of whole runs (default); family: each ransomware family left out; benign: each benign "
                       "program left out; condition: each condition left out"},
    CLI_OPT_CLASSES,
    CLI_OPT_SKIP,
    CLI_OPT_DECISION,
    {"--seed", "N", "for everything that is drawn (default 1)"},
    CLI_OPT_ARTEFACTS,
    {0},
};

struct job {
    const struct ransap *r;
    enum model_kind kind;
    enum evaluate_split split;
    uint64_t seed;
    const struct decision *decision;
};

static void json_number(const char *name, double v)
{
    if (isnan(v))
        printf(", \"%s\": null", name);
    else
        printf(", \"%s\": %.6g", name, v);
}

static void print_json(const struct job *j, const struct samples *s, const struct evaluation *e)
{
    printf("{\"model\": \"%s\", \"features\": \"%s\", \"mode\": \"%s\", \"split\": \"%s\", \"skip_seconds\": %.3f, \"seed\": %llu",
           model_kind_name(j->kind), feature_set_name(s->set), s->mode == MODEL_READS ? "read" : "paired",
           evaluate_split_name(j->split), (double)j->r->skip_ns * 1e-9, (unsigned long long)j->seed);
    printf(", \"folds\": %zu, \"folds_impossible\": %zu, \"windows\": %zu, \"windows_ransomware\": %zu", e->folds, e->folds_impossible,
           e->windows, e->windows_ransomware);
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"precision", e->precision}, {"recall", e->recall}, {"f1", e->f1}, {"roc_auc", e->auc},
                   {"tpr_at_fpr_0.01", e->tpr_at_fpr_1}, {"macro_f1", e->macro_f1}, {"weighted_f1", e->weighted_f1},
                   {"seconds_to_alarm_median", e->seconds_median}, {"seconds_to_alarm_p90", e->seconds_p90},
                   {"bytes_written_before_alarm_median", e->written_median}, {"bytes_written_before_alarm_p90", e->written_p90},
                   {"bytes_read_before_alarm_median", e->read_median}, {"bytes_read_before_alarm_p90", e->read_p90}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) json_number(numbers[i].name, numbers[i].value);
    printf(", \"ransomware_runs\": %zu, \"detected\": %zu, \"benign_runs\": %zu, \"false_alarms\": %zu, \"families\": [", e->runs_ransomware,
           e->detected, e->runs_benign, e->false_alarms);
    for (size_t f = 0; f < s->families; f++) {
        printf("%s{\"family\": ", f ? ", " : "");
        cli_json_string(stdout, s->family[f]);
        printf(", \"ransomware\": %s, \"runs\": %zu, \"alarms\": %zu", s->ransomware[f] ? "true" : "false", e->family[f].runs,
               e->family[f].alarms);
        json_number("precision", e->family[f].precision);
        json_number("recall", e->family[f].recall);
        json_number("f1", e->family[f].f1);
        printf(", \"windows_named\": [");
        for (size_t o = 0; o < s->families; o++) printf("%s%zu", o ? ", " : "", e->confusion[f][o]);
        printf("]}");
    }
    printf("]}\n");
}

static const char *figure(double v, char buf[16])
{
    if (isnan(v)) return "-";
    snprintf(buf, 16, "%.3f", v);
    return buf;
}

static void print_confusion(const struct samples *s, const struct evaluation *e)
{
    printf("  %-14s %5s %6s %6s   windows named\n  %-14s %5s %6s %6s  ", "", "", "", "", "family", "runs", "alarms", "F1");
    for (size_t o = 0; o < s->families; o++) printf(" %6.6s", s->family[o]);
    printf("\n");
    for (size_t f = 0; f < s->families; f++) {
        char f1[16];
        printf("  %c %-12.12s %5zu %6zu %6s  ", s->ransomware[f] ? '*' : ' ', s->family[f], e->family[f].runs, e->family[f].alarms,
               figure(e->family[f].f1, f1));
        for (size_t o = 0; o < s->families; o++) printf(" %6zu", e->confusion[f][o]);
        printf("\n");
    }
}

static void print_table(const struct job *j, const struct samples *s, const struct evaluation *e)
{
    char a[8][16];
    printf("%s, %s features, %s streams, split by %s, %zu folds", model_kind_name(j->kind), feature_set_name(s->set),
           s->mode == MODEL_READS ? "read" : "paired", evaluate_split_name(j->split), e->folds);
    if (j->r->skip_ns) printf(", first %.0f s cut", (double)j->r->skip_ns * 1e-9);
    printf("\n");
    if (e->folds_impossible)
        printf("  %zu folds could not be judged: no ransomware, or nothing benign, was left to learn from\n", e->folds_impossible);
    printf("  windows of 10 s  %zu, %zu of ransomware: precision %s, recall %s, F1 %s, ROC AUC %s, TPR at 1%% FPR %s\n", e->windows,
           e->windows_ransomware, figure(e->precision, a[0]), figure(e->recall, a[1]), figure(e->f1, a[2]), figure(e->auc, a[3]),
           figure(e->tpr_at_fpr_1, a[4]));
    printf("  families         macro F1 %s, weighted F1 %s\n", figure(e->macro_f1, a[0]), figure(e->weighted_f1, a[1]));
    printf("  runs             %zu of %zu ransomware found, %zu of %zu benign with a false alarm\n", e->detected, e->runs_ransomware,
           e->false_alarms, e->runs_benign);
    if (e->detected)
        printf("  to the alarm     median %.1f s, p90 %.1f s; written before it %.2f MiB, p90 %.2f; read %.2f MiB, p90 %.2f\n",
               e->seconds_median, e->seconds_p90, e->written_median / 1048576, e->written_p90 / 1048576, e->read_median / 1048576,
               e->read_p90 / 1048576);
    print_confusion(s, e);
}

static void progress(size_t done, size_t total)
{
    cli_progress("folds", done, total);
}

static int evaluate_mode(const struct job *j, enum model_mode mode)
{
    struct samples *s = NULL;
    struct chv_err err;
    int code = ransap_samples(j->r, mode, true, &s);
    if (code != 0) return code;
    struct evaluation *e = malloc(sizeof *e);
    if (!e)
        code = cli_failf(j->r->args, "out of memory");
    else if (!ransap_classes(j->r, s))
        code = CLI_ERROR;
    else if (evaluate(s, j->kind, j->split, j->seed, j->r->skip_ns, j->decision, progress, e, &err) < 0)
        code = cli_fail(j->r->args, &err);
    cli_progress_end();
    if (code == 0) (j->r->args->json ? print_json : print_table)(j, s, e);
    free(e);
    samples_free(s);
    return code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_evaluate, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    struct ransap r = {0};
    struct decision decision;
    const char *split = cli_value(&args, "--split");
    int found = split ? evaluate_split_find(split) : SPLIT_RUN;
    struct job j = {.r = &r, .split = found < 0 ? SPLIT_RUN : (enum evaluate_split)found,
                    .decision = cli_value(&args, "--decision") ? &decision : NULL};
    if (found < 0)
        cli_failf(&args, "--split '%.40s' is unknown; choose run, family, benign or condition", split);
    else if (ransap_kind(&args, &j.kind) && cli_number(&args, "--seed", 1, INT32_MAX, &j.seed) && ransap_decision(&args, &decision) &&
             ransap_open(&args, &r)) {
        int paired = r.paired ? evaluate_mode(&j, MODEL_PAIRED) : 1, reads = 1;
        if (paired != CLI_ERROR && r.reads) reads = evaluate_mode(&j, MODEL_READS);
        if (paired == 1 && reads == 1) cli_failf(&args, "no run with reads to judge by");
        code = paired == CLI_ERROR || reads == CLI_ERROR || (paired == 1 && reads == 1) ? CLI_ERROR : CLI_OK;
    }
    ransap_close(&r);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_evaluate = {
    .name = "evaluate",
    .group = "Detect",
    .synopsis = "--ransap DIR [--model KIND] [--features SET] [--mode MODE] [--split HOW] [--skip TIME]",
    .summary = "how good a kind of model is on runs that it did not learn from",
    .example = "chronovisor evaluate --ransap RanSAP --model rf --features paper --split run",
    .options = options,
    .run = run,
};
