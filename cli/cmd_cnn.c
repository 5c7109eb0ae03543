/* chronovisor cnn: a network trained on other pictures, its last layer learned anew on pictures of access patterns. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/picture_args.h"
#include "cli/ransap.h"
#include "detect/cnn/judge.h"
#include "detect/cnn/vectors.h"

struct job {
    const struct cli_args *args;
    const char *network_path, *save;
    struct vectors_options options;
    enum evaluate_split split;
    uint64_t seed;
    struct ransap data;
    struct network *network;
    FILE *table;
};

/* chronovisor-network: of the build that this program is of, or installed. */
static void program_path(char *path, size_t size)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = 0;
        char *slash = strrchr(self, '/'); /* BUILD/cli/chronovisor */
        if (slash) *slash = 0;
        snprintf(path, size, "%s/../detect/cnn/chronovisor-network", self);
        if (access(path, X_OK) == 0) return;
    }
    snprintf(path, size, "%s/chronovisor-network", CHV_LIBEXEC_DIR);
}

static void json_number(const char *name, double v)
{
    if (isnan(v))
        printf(", \"%s\": null", name);
    else
        printf(", \"%s\": %.6g", name, v);
}

static void print_json(const struct job *j, const struct samples *s, const struct cnn_judgement *c)
{
    const struct evaluation *e = &c->pictures;
    const struct picture_options *p = &j->options.picture;
    printf("{\"network\": ");
    cli_json_string(stdout, j->network_path);
    printf(", \"layer\": ");
    cli_json_string(stdout, network_layer(j->network));
    printf(", \"columns\": %zu, \"kind\": \"%s\", \"width\": %u, \"height\": %u, \"window_seconds\": %u, \"mode\": \"%s\", \"split\": \"%s\"",
           s->columns, picture_kind(p), p->width, p->height, p->window_seconds, s->mode == MODEL_READS ? "read" : "paired",
           evaluate_split_name(j->split));
    printf(", \"skip_seconds\": %.3f, \"folds\": %zu, \"folds_impossible\": %zu, \"pictures\": %zu, \"pictures_ransomware\": %zu",
           (double)j->options.dataset.skip_ns * 1e-9, e->folds, e->folds_impossible, e->windows, e->windows_ransomware);
    const struct {
        const char *name;
        double value;
    } numbers[] = {{"accuracy", c->accuracy}, {"macro_f1", e->macro_f1}, {"weighted_f1", e->weighted_f1}, {"precision", e->precision},
                   {"recall", e->recall}, {"f1", e->f1}, {"roc_auc", e->auc}, {"tpr_at_fpr_0.01", e->tpr_at_fpr_1}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) json_number(numbers[i].name, numbers[i].value);
    printf(", \"runs\": %zu, \"runs_right\": %zu, \"families\": [", c->runs, c->runs_right);
    for (size_t f = 0; f < s->families; f++) {
        printf("%s{\"family\": ", f ? ", " : "");
        cli_json_string(stdout, s->family[f]);
        printf(", \"ransomware\": %s, \"runs\": %zu", s->ransomware[f] ? "true" : "false", e->family[f].runs);
        json_number("precision", e->family[f].precision);
        json_number("recall", e->family[f].recall);
        json_number("f1", e->family[f].f1);
        printf(", \"pictures_named\": [");
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

static void print_table(const struct job *j, const struct samples *s, const struct cnn_judgement *c)
{
    const struct evaluation *e = &c->pictures;
    const struct picture_options *p = &j->options.picture;
    char a[5][16];
    printf("%s of %u s, %ux%u, %s streams, split by %s, %zu folds; %zu numbers a picture, of layer %s\n", picture_kind(p),
           p->window_seconds, p->width, p->height, s->mode == MODEL_READS ? "read" : "paired", evaluate_split_name(j->split), e->folds,
           s->columns, network_layer(j->network));
    if (e->folds_impossible)
        printf("  %zu folds could not be judged: no ransomware, or nothing benign, was left to learn from\n", e->folds_impossible);
    printf("  families         accuracy %s, macro F1 %s, weighted F1 %s; %zu of %zu runs named rightly by all their pictures\n",
           figure(c->accuracy, a[0]), figure(e->macro_f1, a[1]), figure(e->weighted_f1, a[2]), c->runs_right, c->runs);
    printf("  pictures         %zu, %zu of ransomware: precision %s, recall %s, F1 %s, ROC AUC %s, TPR at 1%% FPR %s\n", e->windows,
           e->windows_ransomware, figure(e->precision, a[0]), figure(e->recall, a[1]), figure(e->f1, a[2]), figure(e->auc, a[3]),
           figure(e->tpr_at_fpr_1, a[4]));
    printf("  %-14s %5s %6s   pictures named\n  %-14s %5s %6s  ", "", "", "", "family", "runs", "F1");
    for (size_t o = 0; o < s->families; o++) printf(" %6.6s", s->family[o]);
    printf("\n");
    for (size_t f = 0; f < s->families; f++) {
        char f1[16];
        printf("  %c %-12.12s %5zu %6s  ", s->ransomware[f] ? '*' : ' ', s->family[f], e->family[f].runs, figure(e->family[f].f1, f1));
        for (size_t o = 0; o < s->families; o++) printf(" %6zu", e->confusion[f][o]);
        printf("\n");
    }
}

/* Paths are from outside: RFC 4180's quotes, and no quote inside. */
static void quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) fputc(*text == '"' ? '\'' : *text, out);
    fputs("\",", out);
}

static void save_vectors(FILE *out, const struct samples *s, bool header)
{
    if (header) {
        fputs("run,condition,family,mode,ransomware,t_end", out);
        for (size_t c = 0; c < s->columns; c++) fprintf(out, ",v%zu", c);
        fputc('\n', out);
    }
    for (size_t r = 0; r < s->runs && !ferror(out); r++) {
        const struct samples_run *run = &s->run[r];
        for (size_t i = run->first; i < run->first + run->rows; i++) {
            quoted(out, run->run->path);
            quoted(out, run->run->condition);
            quoted(out, run->run->family);
            fprintf(out, "%s,%d,%.3f", s->mode == MODEL_READS ? "read" : "paired", run->run->ransomware, (double)s->row[i].end_ns * 1e-9);
            for (size_t c = 0; c < s->columns; c++) fprintf(out, ",%.9g", s->x[i * s->columns + c]);
            fputc('\n', out);
        }
    }
}

static void progress_pictures(size_t done, size_t total)
{
    cli_progress("running pictures through the network", done, total);
}

static void left_out(void *arg, size_t index, const struct chv_err *why)
{
    ransap_leave_out(arg, index, why);
}

static void progress_folds(size_t done, size_t total)
{
    cli_progress("folds", done, total);
}

/* 0, 1 when no run suits and the other mode may do, or CLI_ERROR. */
static int judge_mode(struct job *j, enum model_mode mode, bool header)
{
    struct samples *s = NULL;
    struct chv_err err;
    uint64_t dropped = 0;
    j->options.mode = mode;
    const struct samples_watch watch = {progress_pictures, left_out, &j->data};
    int code = vectors_read(j->data.dataset, &j->options, j->network, &watch, &s, &dropped, &err);
    cli_progress_end();
    if ((code == -ENOENT || code == -EBADMSG) && j->data.paired && j->data.reads) return 1;
    if (code < 0) return cli_fail(j->args, &err);
    ransap_report(j->args, &s->report);
    if (dropped)
        fprintf(stderr, "chronovisor cnn: %llu accesses (gadf: rows) of crowded windows were left out\n", (unsigned long long)dropped);
    if (j->table) save_vectors(j->table, s, header);
    struct cnn_judgement *judgement = calloc(1, sizeof *judgement);
    code = judgement ? cnn_judge(s, j->split, j->seed, progress_folds, judgement, &err) : chv_err_set(&err, ENOMEM, "out of memory");
    cli_progress_end();
    if (code < 0)
        code = cli_fail(j->args, &err);
    else
        (j->args->json ? print_json : print_table)(j, s, judgement);
    if (judgement) evaluation_fini(&judgement->pictures);
    free(judgement);
    samples_free(s);
    return code;
}

static int judge(struct job *j)
{
    int paired = j->data.paired ? judge_mode(j, MODEL_PAIRED, true) : 1, reads = 1;
    if (paired != CLI_ERROR && j->data.reads) reads = judge_mode(j, MODEL_READS, paired != 0);
    if (paired == 1 && reads == 1) return cli_failf(j->args, "no run from which a picture can be made");
    return paired == CLI_ERROR || reads == CLI_ERROR ? CLI_ERROR : ransap_end(&j->data, CLI_OK);
}

/* Half a table is worse than none; what is no file, such as a terminal, stays. */
static int close_table(struct job *j, int code)
{
    struct stat st;
    bool bad = ferror(j->table) != 0, file = fstat(fileno(j->table), &st) == 0 && S_ISREG(st.st_mode);
    if ((fclose(j->table) != 0 || bad) && code != CLI_ERROR) code = cli_failf(j->args, "%s: write failed", j->save);
    if (code == CLI_ERROR && file) unlink(j->save);
    return code;
}

static int open_and_judge(struct job *j)
{
    char program[4200];
    struct chv_err err;
    struct network_options o = {.program = program, .layer = cli_value(j->args, "--layer"), .width = j->options.picture.width,
                                .height = j->options.picture.height};
    program_path(program, sizeof program);
    if (network_open(j->network_path, &o, &j->network, &err) < 0) return cli_fail(j->args, &err);
    if (j->save && !(j->table = fopen(j->save, "we"))) return cli_failf(j->args, "%s: %s", j->save, strerror(errno));
    int code = judge(j);
    return j->table ? close_table(j, code) : code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_cnn, argc, argv, &args)) return CLI_ERROR;
    const char *split = cli_value(&args, "--split");
    int found = split ? evaluate_split_find(split) : SPLIT_RUN, code = CLI_ERROR;
    struct job j = {.args = &args, .network_path = cli_value(&args, "--network"), .save = cli_value(&args, "--save"),
                    .split = found < 0 ? SPLIT_RUN : (enum evaluate_split)found, .data = {.args = &args}};
    j.options.dataset.keep_artefacts = cli_flag(&args, "--keep-artefacts");
    if (args.count > 0)
        cli_failf(&args, "unexpected argument '%.60s'", args.positional[0]);
    else if (!j.network_path || !*j.network_path)
        cli_failf(&args, "which network? add --network FILE.onnx, such as a ResNet50 trained on ImageNet");
    else if (found < 0)
        cli_failf(&args, "--split '%.40s' is unknown; choose run, half, family, benign or condition", split);
    else if (picture_args(&args, NETWORK_SIDE_MAX, &j.options.picture) && ransap_mode(&j.data) &&
             cli_duration(&args, "--skip", &j.options.dataset.skip_ns) && cli_number(&args, "--seed", 1, INT32_MAX, &j.seed) &&
             ransap_dataset(&j.data))
        code = open_and_judge(&j);
    network_close(j.network);
    ransap_close(&j.data);
    cli_args_fini(&args);
    return code;
}

static const struct cli_option options[] = {
    {"--network", "FILE", "the network, in ONNX: say, a ResNet50 with trained weights"},
    {"--layer", "NAME", "whose output is a picture's vector (default: the last pooling or flattening one, or else the last)"},
    CLI_OPT_RANSAP,
    CLI_OPT_CORPUS,
    CLI_OPT_KIND,
    CLI_OPT_SIZE,
    CLI_OPT_WINDOW,
    CLI_OPT_PICTURE_FEATURES,
    CLI_OPT_MODE,
    {"--split", "run|half|family|benign|condition", "who is held out, as evaluate has it (default: run)"},
    {"--seed", "N", "for what --split half draws (default 1)"},
    {"--save", "FILE", "also write the vectors as a table (CSV)"},
    CLI_OPT_SKIP,
    CLI_OPT_ARTEFACTS,
    {0},
};

const struct cli_command cmd_cnn = {
    .name = "cnn",
    .group = "Detect",
    .synopsis = "--network FILE --ransap DIR [--kind KIND] [--layer NAME] [--mode MODE] [--split HOW]",
    .summary = "how well a trained image network, its last layer learned anew, tells programs apart by their pictures",
    .example = "chronovisor cnn --network resnet50.onnx --ransap ransap --kind gadf",
    .options = options,
    .run = run,
};
