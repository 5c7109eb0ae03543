/* chronovisor evaluate: how good a kind of model is on runs that it did not learn from. */
#include <stdlib.h>
#include <string.h>

#include "cli/evaluate_out.h"
#include "cli/ransap.h"

static const struct cli_option options[] = {
    CLI_OPT_RANSAP,
    CLI_OPT_CORPUS,
    {"--model", "KIND", "rf, svm, knn, gbt or default (gbt)"},
    CLI_OPT_FEATURES,
    CLI_OPT_MODE,
    {"--split", "run|half|family|benign|condition", "run: five folds of whole runs (default); half: one half of each family's runs to "
     "learn from; family: each ransomware family left out; benign: each benign program left out; condition: each condition (system, "
     "disk; file system) left out"},
    CLI_OPT_CLASSES,
    CLI_OPT_SKIP,
    CLI_OPT_DECISION,
    {"--seed", "N", "for everything that is drawn (default 1)"},
    {"--plot", "FILE", "also draw it: FILE.svg or FILE.png; of two kinds of streams, that for reads is FILE-read.svg"},
    CLI_OPT_ARTEFACTS,
    {0},
};

struct job {
    struct ransap *r;
    enum model_kind kind;
    enum evaluate_split split;
    uint64_t seed;
    const struct decision *decision;
};

static void progress(size_t done, size_t total)
{
    cli_progress("folds", done, total);
}

/* FILE.svg for paired streams, FILE-read.svg for the other kind where there are both. 0 or CLI_ERROR after one line. */
static int draw(const struct job *j, const struct evaluate_facts *facts, const struct evaluation *e)
{
    const char *file = cli_value(j->r->args, "--plot"), *dot = file ? strrchr(file, '.') : NULL;
    struct chv_err err;
    char path[4096];
    bool second = j->r->paired && facts->samples->mode == MODEL_READS;
    if (!file) return 0;
    int n = snprintf(path, sizeof path, "%.*s%s%s", (int)(dot - file), file, second ? "-read" : "", dot);
    if (n < 0 || (size_t)n >= sizeof path) return cli_failf(j->r->args, "--plot: a path of %d characters", n);
    return evaluate_plot(facts, e, path, &err) < 0 ? cli_fail(j->r->args, &err) : 0;
}

static int evaluate_mode(const struct job *j, enum model_mode mode)
{
    struct samples *s = NULL;
    struct chv_err err;
    int code = ransap_samples(j->r, mode, true, &s);
    if (code != 0) return code;
    struct evaluation *e = calloc(1, sizeof *e);
    if (!e)
        code = cli_failf(j->r->args, "out of memory");
    else if (!ransap_classes(j->r, s))
        code = CLI_ERROR;
    else if (evaluate(s, j->kind, j->split, j->seed, j->r->skip_ns, j->decision, progress, e, &err) < 0)
        code = cli_fail(j->r->args, &err);
    cli_progress_end();
    struct evaluate_facts facts = {s, j->kind, j->split, j->seed, j->r->skip_ns};
    if (code == 0) (j->r->args->json ? evaluate_print_json : evaluate_print_table)(&facts, e);
    if (code == 0) code = draw(j, &facts, e);
    if (e) evaluation_fini(e);
    free(e);
    samples_free(s);
    return code;
}

static bool plot_name(const struct cli_args *args)
{
    const char *file = cli_value(args, "--plot"), *dot = file ? strrchr(file, '.') : NULL;
    if (!file || (dot && dot != file && (strcmp(dot, ".svg") == 0 || strcmp(dot, ".png") == 0))) return true;
    cli_failf(args, "--plot '%.100s' ends in neither .svg nor .png", file);
    return false;
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
        cli_failf(&args, "--split '%.40s' is unknown; choose run, half, family, benign or condition", split);
    else if (!plot_name(&args))
        code = CLI_ERROR;
    else if (ransap_kind(&args, &j.kind) && cli_number(&args, "--seed", 1, INT32_MAX, &j.seed) && ransap_decision(&args, &decision) &&
             ransap_open(&args, &r)) {
        int paired = r.paired ? evaluate_mode(&j, MODEL_PAIRED) : 1, reads = 1;
        if (paired != CLI_ERROR && r.reads) reads = evaluate_mode(&j, MODEL_READS);
        if (paired == 1 && reads == 1) cli_failf(&args, "no run with reads to judge by");
        code = paired == CLI_ERROR || reads == CLI_ERROR || (paired == 1 && reads == 1) ? CLI_ERROR : ransap_end(&r, CLI_OK);
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
