/* A published data set of access patterns becomes a table of features, and a report of what was wrong with it.
 *
 * Not events of a store: its writes come without content, and an event of a write is nothing without its content's hash.
 * Recording them as gaps would lose their entropy, and inventing contents would be a lie in an evidence log. */
#include "cli/import_ransap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ransap.h"
#include "detect/dataset.h"
#include "detect/features.h"

enum mode { MODE_ANY, MODE_PAIRED, MODE_READ };

/* Of one class under one condition; runs of one are neighbours. */
struct tally {
    const struct dataset_run *of;
    uint64_t runs, faulty;
    struct dataset_report sum;
};

struct job {
    const struct cli_args *args;
    struct dataset *d;
    struct dataset_options options;
    enum mode mode;
    enum feature_set set;
    FILE *out; /* NULL: no table */
    const struct dataset_run *run;
    uint64_t runs, rows, faulty;
};

static int nothing(void *arg, const struct access *a)
{
    (void)arg, (void)a;
    return 0;
}

/* --- the table ------------------------------------------------------------------------------- */

static void write_header(const struct job *job)
{
    fputs("run,condition,family,ransomware,t_end,active,read_bytes,write_bytes", job->out);
    for (size_t i = 0; i < features_count(job->set); i++) fprintf(job->out, ",%s", features_name(job->set, i));
    fputc('\n', job->out);
}

/* The names have no comma and no quote: dataset_open refuses those. */
static void write_row(void *arg, const struct feature_row *row)
{
    struct job *job = arg;
    fprintf(job->out, "\"%s\",\"%s\",\"%s\",%d,%.3f,%d,%llu,%llu", job->run->path, job->run->condition, job->run->family,
            job->run->ransomware, (double)row->end_ns * 1e-9, row->active, (unsigned long long)row->read_bytes,
            (unsigned long long)row->write_bytes);
    for (size_t i = 0; i < features_count(job->set); i++) fprintf(job->out, ",%.17g", row->x[i]);
    fputc('\n', job->out);
    job->rows++;
}

struct feed {
    struct job *job;
    struct features *features;
};

static int push(void *arg, const struct access *a)
{
    struct feed *feed = arg;
    features_push(feed->features, a, write_row, feed->job);
    return 0;
}

static int write_run(struct job *job, size_t index, struct chv_err *err)
{
    struct feed feed = {job, features_new(job->set)};
    if (!feed.features) return chv_err_set(err, ENOMEM, "out of memory");
    int r = dataset_read(job->d, index, &job->options, push, &feed, NULL, err);
    if (r == 0) features_finish(feed.features, write_row, job);
    features_free(feed.features);
    if (r == 0 && ferror(job->out)) r = chv_err_set(err, EIO, "%.200s: write failed", cli_value(job->args, "-o"));
    return r;
}

/* --- the report ------------------------------------------------------------------------------ */

/* A finding goes to standard error where standard output is the table. */
static FILE *report_file(const struct job *job)
{
    return job->out == stdout ? stderr : stdout;
}

static void print_run(const struct job *job, const struct dataset_report *r, const char *fault)
{
    const struct dataset_run *run = job->run;
    FILE *to = report_file(job);
    if (!job->args->json) {
        if (fault)
            fprintf(to, "%s: not used: %s\n", run->path, fault);
        else if (r->malformed)
            fprintf(to, "%s: %llu of %llu lines are no rows; first: %s\n", run->path, (unsigned long long)r->malformed,
                    (unsigned long long)r->rows + r->malformed, r->first_malformed);
        else if (cli_flag(job->args, "--report"))
            fprintf(to, "%s: %llu rows, %llu accesses\n", run->path, (unsigned long long)r->rows,
                    (unsigned long long)r->accesses);
        return;
    }
    fputs("{\"run\": ", to), cli_json_string(to, run->path);
    fputs(", \"condition\": ", to), cli_json_string(to, run->condition);
    fputs(", \"family\": ", to), cli_json_string(to, run->family);
    fprintf(to, ", \"ransomware\": %s, \"reads\": %s, \"writes\": %s", run->ransomware ? "true" : "false",
            run->has_reads ? "true" : "false", run->has_writes ? "true" : "false");
    fprintf(to, ", \"rows\": %llu, \"accesses\": %llu, \"unsorted\": %llu", (unsigned long long)r->rows,
            (unsigned long long)r->accesses, (unsigned long long)r->unsorted);
    fprintf(to, ", \"small\": %llu, \"rereads\": %llu, \"malformed\": %llu", (unsigned long long)r->small,
            (unsigned long long)r->rereads, (unsigned long long)r->malformed);
    if (r->malformed) fputs(", \"first_malformed\": ", to), cli_json_string(to, r->first_malformed);
    if (fault) fputs(", \"error\": ", to), cli_json_string(to, fault);
    fputs("}\n", to);
}

static void print_tally(const struct job *job, const struct tally *t)
{
    if (!t->of || job->args->json) return;
    fprintf(report_file(job), "%-24s %-20s %5llu %10llu %10llu %9llu %7llu %9llu %9llu %6llu\n", t->of->condition, t->of->family,
            (unsigned long long)t->runs, (unsigned long long)t->sum.rows, (unsigned long long)t->sum.accesses,
            (unsigned long long)t->sum.unsorted, (unsigned long long)t->sum.small, (unsigned long long)t->sum.rereads,
            (unsigned long long)t->sum.malformed, (unsigned long long)t->faulty);
}

static void tally_add(const struct job *job, struct tally *t, const struct dataset_report *r, bool fault)
{
    if (!t->of || strcmp(t->of->family, job->run->family) != 0 || strcmp(t->of->condition, job->run->condition) != 0) {
        print_tally(job, t);
        *t = (struct tally){.of = job->run};
    }
    t->runs++;
    t->faulty += fault;
    t->sum.rows += r->rows;
    t->sum.accesses += r->accesses;
    t->sum.unsorted += r->unsorted;
    t->sum.small += r->small;
    t->sum.rereads += r->rereads;
    t->sum.malformed += r->malformed;
}

/* Twice where there is a table: a run that turns out to be none in the middle must leave no rows in it. */
static int take_run(struct job *job, size_t index, struct tally *tally, struct chv_err *err)
{
    struct dataset_report report;
    job->run = dataset_run(job->d, index);
    if (job->mode == MODE_PAIRED && !(job->run->has_reads && job->run->has_writes)) return 0;
    if (job->mode == MODE_READ && !job->run->has_reads) return 0;
    job->runs++;
    int r = dataset_read(job->d, index, &job->options, nothing, NULL, &report, err);
    if (r == -ENOMEM) return r;
    bool fault = r < 0;
    job->faulty += fault || report.malformed > 0;
    print_run(job, &report, fault ? err->text : NULL);
    tally_add(job, tally, &report, fault);
    return fault || !job->out ? 0 : write_run(job, index, err);
}

static int take_all(struct job *job)
{
    struct chv_err err;
    struct tally tally = {0};
    int r = 0;
    if (job->out) write_header(job);
    if (!job->args->json)
        fprintf(report_file(job), "%-24s %-20s %5s %10s %10s %9s %7s %9s %9s %6s\n", "CONDITION", "CLASS", "RUNS", "ROWS",
                "ACCESSES", "UNSORTED", "SMALL", "REREADS", "MALFORMED", "FAULTY");
    for (size_t i = 0; r == 0 && i < dataset_count(job->d); i++) {
        cli_progress("runs", i, dataset_count(job->d));
        r = take_run(job, i, &tally, &err);
    }
    cli_progress_end();
    if (r < 0) return cli_fail(job->args, &err);
    print_tally(job, &tally);
    if (job->args->json)
        fprintf(report_file(job), "{\"import\": \"ransap\", \"runs\": %llu, \"faulty\": %llu, \"rows\": %llu}\n",
                (unsigned long long)job->runs, (unsigned long long)job->faulty, (unsigned long long)job->rows);
    else if (job->out)
        fprintf(report_file(job), "%llu rows of features of %llu runs\n", (unsigned long long)job->rows,
                (unsigned long long)job->runs);
    if (job->runs == 0) return cli_failf(job->args, "no run has what --mode %s needs", cli_value(job->args, "--mode"));
    return job->faulty ? CLI_NOTHING : CLI_OK;
}

/* --- the command line ------------------------------------------------------------------------ */

static bool parse(struct job *job)
{
    static const char *const modes[] = {"any", "paired", "read"};
    const char *mode = cli_value(job->args, "--mode"), *set = cli_value(job->args, "--features");
    int found = set ? feature_set_find(set) : FEATURES_DEFAULT;
    if (found < 0) {
        cli_failf(job->args, "--features '%.40s': it is paper, default or read", set);
        return false;
    }
    job->set = (enum feature_set)found;
    for (job->mode = MODE_ANY; mode && job->mode <= MODE_READ && strcmp(mode, modes[job->mode]) != 0;) job->mode++;
    if (job->mode > MODE_READ) {
        cli_failf(job->args, "--mode '%.40s': it is any, paired or read", mode);
        return false;
    }
    job->options.reads_only = job->mode == MODE_READ;
    job->options.keep_artefacts = cli_flag(job->args, "--keep-artefacts");
    return true;
}

int import_ransap(const struct cli_args *args, const char *dir)
{
    struct job job = {.args = args};
    struct chv_err err;
    const char *file = cli_value(args, "-o");
    if (cli_value(args, "--store"))
        return cli_failf(args, "--store does not go with 'ransap': its writes have no contents, which a store's events need; "
                               "add -o FILE for a table of features");
    if (!parse(&job)) return CLI_ERROR;
    if (dataset_open(dir, &job.d, &err) < 0) return cli_fail(args, &err);
    job.faulty = ransap_complaints(args, job.d);
    bool to_stdout = file && strcmp(file, "-") == 0;
    int code = CLI_OK;
    if (file && !(job.out = to_stdout ? stdout : fopen(file, "we"))) code = cli_failf(args, "%s: %s", file, strerror(errno));
    if (code == CLI_OK) code = take_all(&job);
    if (job.out && (to_stdout ? fflush(job.out) : fclose(job.out)) != 0) code = cli_failf(args, "%s: write failed", file);
    dataset_close(job.d);
    return code;
}
