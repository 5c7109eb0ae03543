/* chronovisor score: what a model says of every second of every run of a data set. */
#include <errno.h>
#include <string.h>

#include "cli/ransap.h"
#include "detect/decide.h"

static const struct cli_option options[] = {
    {"--model", "FILE", "the model file"},
    CLI_OPT_RANSAP,
    CLI_OPT_CORPUS,
    {"--csv", "OUT", "where the table goes; - is standard output"},
    CLI_OPT_SKIP,
    CLI_OPT_AS_ENCRYPTED,
    CLI_OPT_ARTEFACTS,
    {0},
};

struct scoring {
    FILE *out;
    const struct model *model;
    const struct dataset_run *run;
    struct features *features;
    struct decider decider;
    uint64_t rows, alarms;
};

/* RFC 4180: a run's path is from outside. */
static void print_path(FILE *out, const char *path)
{
    if (!strpbrk(path, ",\"\r\n")) {
        fputs(path, out);
        return;
    }
    fputc('"', out);
    for (const char *c = path; *c; c++) {
        if (*c == '"') fputc('"', out);
        fputc(*c, out);
    }
    fputc('"', out);
}

static void take_row(void *arg, const struct feature_row *row)
{
    struct scoring *s = arg;
    double p[MODEL_CLASSES_MAX], score = model_score(model_part(s->model, row->encrypted), row->x, p);
    size_t best = 0;
    for (size_t c = 1; c < model_class_count(s->model); c++)
        if (p[c] > p[best]) best = c;
    bool alarm = decider_push(&s->decider, row, score);
    print_path(s->out, s->run->path);
    fprintf(s->out, ",%.3f,%.6f,%d,", (double)row->end_ns * 1e-9, score, alarm);
    print_path(s->out, model_class_name(s->model, best));
    fputc('\n', s->out);
    s->rows++;
    s->alarms += alarm;
}

static int take_access(void *arg, const struct access *a)
{
    struct scoring *s = arg;
    features_push(s->features, a, take_row, s);
    return ferror(s->out) ? -EIO : 0;
}

/* The part of the model that is meant for what this run shows; of one part, that one. */
static const struct model *part_for(const struct model *m, const struct dataset_run *run)
{
    const struct model *reads = model_reads_part(m);
    return reads && !(run->has_writes && run->has_reads) ? reads : m;
}

static int score_run(struct scoring *s, struct ransap *r, const struct model *m, size_t index, struct dataset_report *sum)
{
    struct chv_err err;
    struct dataset_report report = {0};
    s->run = dataset_run(r->dataset, index);
    s->model = part_for(m, s->run);
    if (model_mode(s->model) == MODEL_READS && !s->run->has_reads) {
        char text[400];
        snprintf(text, sizeof text, "note: %.300s has no reads, and the model is for reads: left out", s->run->path);
        cli_error_line(r->args->command->name, text);
        return 0;
    }
    decider_init(&s->decider, model_decision(s->model));
    s->features = features_new(model_feature_set(s->model));
    if (!s->features) return cli_failf(r->args, "out of memory");
    struct dataset_options o = {.keep_artefacts = r->keep_artefacts, .skip_ns = r->skip_ns, .reads_only = model_mode(s->model) == MODEL_READS,
                                .as_encrypted = r->as_encrypted};
    int code = dataset_read(r->dataset, index, &o, take_access, s, &report, &err);
    if (code == 0) features_finish(s->features, take_row, s);
    features_free(s->features);
    if (ferror(s->out)) return cli_failf(r->args, "%s: write failed", cli_value(r->args, "--csv"));
    if (code == 0 && report.rows == 0) code = chv_err_set(&err, EBADMSG, "%.300s holds no rows", s->run->path);
    if (code < 0 && code != -ENOMEM) { /* one run's file; the others are as good as before */
        ransap_leave_out(r, index, &err);
        return 0;
    }
    if (!sum->first_malformed[0]) memcpy(sum->first_malformed, report.first_malformed, sizeof sum->first_malformed);
    sum->malformed += report.malformed;
    return code < 0 ? cli_fail(r->args, &err) : 0;
}

static int score_all(struct ransap *r, const struct model *m, const char *file)
{
    struct dataset_report sum = {0};
    bool to_stdout = strcmp(file, "-") == 0;
    struct scoring s = {.out = to_stdout ? stdout : fopen(file, "we")};
    if (!s.out) return cli_failf(r->args, "%s: %s", file, strerror(errno));
    fputs("run,t_end,score,alarm,fam\n", s.out);
    int code = 0;
    uint64_t alarmed = 0;
    for (size_t i = 0; i < dataset_count(r->dataset) && code == 0; i++) {
        cli_progress("scoring runs", i, dataset_count(r->dataset));
        s.alarms = 0;
        code = score_run(&s, r, m, i, &sum);
        alarmed += s.alarms > 0;
    }
    cli_progress_end();
    if ((to_stdout ? fflush(s.out) : fclose(s.out)) != 0 && code == 0) code = cli_failf(r->args, "%s: write failed", file);
    if (code != 0) return code;
    ransap_report(r->args, &sum);
    if (s.rows == 0 && r->left_out_runs > 0) return cli_failf(r->args, "not one run could be scored");
    if (!to_stdout && r->args->json)
        printf("{\"runs\": %zu, \"rows\": %llu, \"alarmed_runs\": %llu}\n", dataset_count(r->dataset), (unsigned long long)s.rows,
               (unsigned long long)alarmed);
    else if (!to_stdout)
        printf("%s: %llu rows of %zu runs, alarms in %llu of them\n", file, (unsigned long long)s.rows, dataset_count(r->dataset),
               (unsigned long long)alarmed);
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_score, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    struct ransap r = {0};
    struct model *m = NULL;
    struct chv_err err;
    const char *model = cli_value(&args, "--model"), *file = cli_value(&args, "--csv");
    if (!model)
        cli_failf(&args, "no model given; add --model FILE ('chronovisor train' makes one)");
    else if (!file)
        cli_failf(&args, "where to? add --csv OUT (- is standard output)");
    else if (ransap_open(&args, &r))
        code = model_load(model, &m, &err) < 0 ? cli_fail(&args, &err) : ransap_end(&r, score_all(&r, m, file));
    model_free(m);
    ransap_close(&r);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_score = {
    .name = "score",
    .group = "Detect",
    .synopsis = "--model FILE --ransap DIR --csv OUT",
    .summary = "what a model says of every second of a data set's runs",
    .example = "chronovisor score --model ransap.model --ransap RanSAP --csv scores.csv",
    .options = options,
    .run = run,
};
