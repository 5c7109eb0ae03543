/* chronovisor evaluate: how good a kind of model is on runs that it did not learn from. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/evaluate_out.h"
#include "cli/ransap.h"

static const struct cli_option options[] = {
    CLI_OPT_RANSAP,
    CLI_OPT_CORPUS,
    {"--model", "KIND|FILE", "rf, svm, knn, gbt or default (gbt); or a model file, which is judged as it is: nothing is held out"},
    CLI_OPT_FEATURES,
    CLI_OPT_MODE,
    {"--split", "run|half|family|benign|condition", "run: five folds of whole runs (default); half: one half of each family's runs to "
     "learn from; family: each ransomware family left out; benign: each benign program left out; condition: each condition (system, "
     "disk; file system) left out"},
    CLI_OPT_CLASSES,
    CLI_OPT_ENCRYPTED,
    CLI_OPT_AS_ENCRYPTED,
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
    struct model *given; /* --model FILE */
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

static int judge(const struct job *j, struct samples *s, struct evaluation *e)
{
    struct chv_err err;
    const struct model *part = !j->given ? NULL : s->mode == MODEL_READS ? model_reads_part(j->given) : j->given;
    if (part) s->two = true;
    if (!part && !ransap_classes(j->r, s)) return CLI_ERROR;
    int code = part ? evaluate_given(s, part, j->r->skip_ns, j->decision, e, &err)
                    : evaluate(s, j->kind, j->split, j->seed, j->r->skip_ns, j->decision, progress, e, &err);
    cli_progress_end();
    return code < 0 ? cli_fail(j->r->args, &err) : 0;
}

static int evaluate_mode(const struct job *j, enum model_mode mode)
{
    struct samples *s = NULL;
    int code = ransap_samples(j->r, mode, !j->given, &s);
    if (code != 0) return code;
    struct evaluation *e = calloc(1, sizeof *e);
    code = e ? judge(j, s, e) : cli_failf(j->r->args, "out of memory");
    struct evaluate_facts facts = {.samples = s, .kind = j->given ? model_kind(j->given) : j->kind, .split = j->split, .seed = j->seed,
                                   .skip_ns = j->r->skip_ns, .given = j->given ? cli_value(j->r->args, "--model") : NULL};
    if (code == 0) (j->r->args->json ? evaluate_print_json : evaluate_print_table)(&facts, e);
    if (code == 0) code = draw(j, &facts, e);
    if (e) evaluation_fini(e);
    free(e);
    samples_free(s);
    return code;
}

/* --model is a kind, or else a file: its features and its kinds of streams count then. false after one line. */
static bool read_model(struct job *j)
{
    static const char *const of_learning[] = {"--split", "--features", "--classes", "--seed", "--encrypted"};
    const struct cli_args *args = j->r->args;
    const char *name = cli_value(args, "--model");
    struct chv_err err;
    if (!name || strcmp(name, "default") == 0 || model_kind_find(name) >= 0 || access(name, F_OK) < 0) {
        if (!cli_flag(args, "--as-encrypted")) return ransap_kind(args, &j->kind);
        cli_failf(args, "--as-encrypted is for a model that has learned; add --model FILE");
        return false;
    }
    for (size_t i = 0; i < sizeof of_learning / sizeof *of_learning; i++)
        if (cli_value(args, of_learning[i])) {
            cli_failf(args, "%s is about learning, and %.100s is a model that has learned; leave one of them out", of_learning[i], name);
            return false;
        }
    if (model_load(name, &j->given, &err) == 0) return true;
    cli_fail(args, &err);
    return false;
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
    struct ransap r = {.args = &args};
    struct decision decision;
    const char *split = cli_value(&args, "--split");
    int found = split ? evaluate_split_find(split) : SPLIT_RUN;
    struct job j = {.r = &r, .split = found < 0 ? SPLIT_RUN : (enum evaluate_split)found,
                    .decision = cli_value(&args, "--decision") ? &decision : NULL};
    if (found < 0)
        cli_failf(&args, "--split '%.40s' is unknown; choose run, half, family, benign or condition", split);
    else if (!plot_name(&args))
        code = CLI_ERROR;
    else if (read_model(&j) && cli_number(&args, "--seed", 1, INT32_MAX, &j.seed) && ransap_decision(&args, &decision) &&
             ransap_open(&args, &r)) {
        r.given = j.given;
        if (j.given && model_mode(j.given) == MODEL_READS) r.paired = false;
        if (j.given && !model_reads_part(j.given)) r.reads = false;
        int paired = r.paired ? evaluate_mode(&j, MODEL_PAIRED) : 1, reads = 1;
        if (paired != CLI_ERROR && r.reads) reads = evaluate_mode(&j, MODEL_READS);
        if (paired == 1 && reads == 1) cli_failf(&args, "no run with reads to judge by");
        code = paired == CLI_ERROR || reads == CLI_ERROR || (paired == 1 && reads == 1) ? CLI_ERROR : ransap_end(&r, CLI_OK);
    }
    model_free(j.given);
    ransap_close(&r);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_evaluate = {
    .name = "evaluate",
    .group = "Detect",
    .synopsis = "--ransap DIR|--corpus DIR [--model KIND|FILE] [--features SET] [--mode MODE] [--split HOW] [--skip TIME] [--plot FILE]",
    .summary = "how good a kind of model is on runs that it did not learn from",
    .example = "chronovisor evaluate --ransap RanSAP --model rf --features paper --split run",
    .options = options,
    .run = run,
};
