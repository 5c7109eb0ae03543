/* chronovisor features: a data set as a table of features. */
#include <errno.h>
#include <string.h>

#include "cli/ransap.h"

static const struct cli_option options[] = {
    CLI_OPT_RANSAP,
    CLI_OPT_CORPUS,
    {"-o", "FILE", "the table (CSV) to write; - is standard output"},
    CLI_OPT_FEATURES,
    {"--mode", "MODE", "paired: of runs with writes and reads (default); read: of all, reads only"},
    CLI_OPT_SKIP,
    CLI_OPT_ARTEFACTS,
    {0},
};

static void print_table(FILE *out, const struct samples *s)
{
    fputs("run,condition,family,ransomware,t_end,active,read_bytes,write_bytes", out);
    for (size_t c = 0; c < s->columns; c++) fprintf(out, ",%s", features_name(s->set, c));
    fputc('\n', out);
    for (size_t r = 0; r < s->runs && !ferror(out); r++) {
        const struct samples_run *run = &s->run[r];
        for (size_t i = run->first; i < run->first + run->rows; i++) {
            const char *const names[] = {run->run->path, run->run->condition, run->run->family};
            for (size_t n = 0; n < 3; n++) { /* paths are from outside: RFC 4180's quotes, and no quote inside */
                fputc('"', out);
                for (const char *c = names[n]; *c; c++) fputc(*c == '"' ? '\'' : *c, out);
                fputs("\",", out);
            }
            fprintf(out, "%d,%.3f,%d,%llu,%llu", run->run->ransomware, (double)s->row[i].end_ns * 1e-9, s->row[i].active,
                    (unsigned long long)s->row[i].read_bytes, (unsigned long long)s->row[i].write_bytes);
            for (size_t c = 0; c < s->columns; c++) fprintf(out, ",%.17g", s->x[i * s->columns + c]);
            fputc('\n', out);
        }
    }
}

static int features(struct ransap *r, const char *file)
{
    struct samples *s = NULL;
    bool to_stdout = strcmp(file, "-") == 0;
    int code = ransap_samples(r, r->paired ? MODEL_PAIRED : MODEL_READS, false, &s);
    if (code == 1) return cli_failf(r->args, "no run has both reads and writes; try --mode read");
    if (code != 0) return code;
    FILE *out = to_stdout ? stdout : fopen(file, "we");
    if (!out) {
        code = cli_failf(r->args, "%s: %s", file, strerror(errno));
    } else {
        print_table(out, s);
        bool bad = ferror(out) != 0;
        if ((to_stdout ? fflush(out) : fclose(out)) != 0 || bad) code = cli_failf(r->args, "%s: write failed", file);
    }
    if (code == 0 && !to_stdout)
        printf(r->args->json ? "{\"rows\": %zu, \"runs\": %zu, \"features\": %zu}\n" : "%zu rows of %zu runs, %zu features\n", s->rows,
               s->runs, s->columns);
    samples_free(s);
    return code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_features, argc, argv, &args)) return CLI_ERROR;
    int code = CLI_ERROR;
    struct ransap r = {0};
    const char *file = cli_value(&args, "-o");
    if (!file)
        cli_failf(&args, "where to? add -o FILE (- is standard output)");
    else if (ransap_open(&args, &r))
        code = ransap_end(&r, features(&r, file));
    ransap_close(&r);
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_features = {
    .name = "features",
    .group = "Detect",
    .synopsis = "--ransap DIR -o FILE [--features SET] [--mode MODE]",
    .summary = "write what the detector sees of a data set as a table",
    .example = "chronovisor features --ransap RanSAP -o features.csv",
    .options = options,
    .run = run,
};
