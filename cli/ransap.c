#include "cli/ransap.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool cli_duration(const struct cli_args *args, const char *name, uint64_t *ns)
{
    static const struct {
        const char *suffix;
        double ns;
    } units[] = {{"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"", 1e9}};
    const char *text = cli_value(args, name);
    *ns = 0;
    if (!text) return true;
    char *end = NULL;
    double v = text[0] >= '0' && text[0] <= '9' ? strtod(text, &end) : -1;
    for (size_t i = 0; end && i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].suffix) == 0 && v * units[i].ns < 9e18) {
            *ns = (uint64_t)(v * units[i].ns);
            return true;
        }
    cli_failf(args, "%s '%.40s' is no length of time; write 10s, 500ms or 2m", name, text);
    return false;
}

bool ransap_kind(const struct cli_args *args, enum model_kind *out)
{
    const char *name = cli_value(args, "--model");
    *out = MODEL_GBT;
    if (!name || strcmp(name, "default") == 0) return true;
    int kind = model_kind_find(name);
    if (kind < 0) {
        cli_failf(args, "--model '%.40s' is unknown; choose rf, svm, knn, gbt or default", name);
        return false;
    }
    *out = (enum model_kind)kind;
    return true;
}

bool ransap_decision(const struct cli_args *args, struct decision *d)
{
    const char *text = cli_value(args, "--decision");
    char extra;
    if (text && (sscanf(text, "%lf,%lf,%lf%c", &d->threshold, &d->drift, &d->cap, &extra) != 3 || !isfinite(d->threshold) ||
                 !isfinite(d->drift) || !isfinite(d->cap) || d->threshold <= 0 || d->cap <= 0)) {
        cli_failf(args, "--decision '%.40s' is not THRESHOLD,DRIFT,CAP, as in 8,0.5,2", text);
        return false;
    }
    return true;
}

bool ransap_mode(struct ransap *r)
{
    const char *mode = cli_value(r->args, "--mode");
    bool any = !mode || strcmp(mode, "any") == 0;
    r->paired = any || strcmp(mode, "paired") == 0;
    r->reads = any || strcmp(mode, "read") == 0;
    if (!r->paired && !r->reads) cli_failf(r->args, "--mode '%.40s' is unknown; choose any, paired or read", mode);
    return r->paired || r->reads;
}

static bool read_options(struct ransap *r)
{
    const char *features = cli_value(r->args, "--features");
    int set = features ? feature_set_find(features) : FEATURES_DEFAULT;
    if (set < 0 || set == FEATURES_READ) {
        cli_failf(r->args, "--features '%.40s' is unknown; choose paper, default, wide or content", features);
        return false;
    }
    r->paired_set = (enum feature_set)set;
    if (!ransap_mode(r)) return false;
    r->keep_artefacts = cli_flag(r->args, "--keep-artefacts");
    r->encrypted = cli_flag(r->args, "--encrypted");
    if (r->encrypted && !r->paired) {
        cli_failf(r->args, "--encrypted is about writes, and --mode read leaves them out; leave one of the two out");
        return false;
    }
    r->as_encrypted = cli_flag(r->args, "--as-encrypted");
    return cli_duration(r->args, "--skip", &r->skip_ns);
}

bool ransap_dataset(struct ransap *r)
{
    struct chv_err err;
    const char *dir = cli_value(r->args, "--ransap"), *corpus = cli_value(r->args, "--corpus");
    if (!dir == !corpus) {
        cli_failf(r->args, "give one data set: --ransap DIR (the folder that holds dataset/) or --corpus DIR (that holds manifest.json)");
        return false;
    }
    if ((dir ? dataset_open(dir, &r->dataset, &err) : dataset_open_corpus(corpus, &r->dataset, &err)) < 0) {
        cli_fail(r->args, &err);
        return false;
    }
    ransap_complaints(r->args, r->dataset);
    r->left_out = calloc(dataset_count(r->dataset) + 1, 1);
    if (r->left_out) return true;
    cli_failf(r->args, "out of memory");
    return false;
}

bool ransap_open(const struct cli_args *args, struct ransap *out)
{
    *out = (struct ransap){.args = args};
    if (args->count == 0) return read_options(out) && ransap_dataset(out);
    cli_failf(args, "unexpected argument '%.60s'", args->positional[0]);
    return false;
}

void ransap_close(struct ransap *r)
{
    if (r->dataset) dataset_close(r->dataset);
    free(r->left_out);
    r->dataset = NULL;
    r->left_out = NULL;
}

size_t ransap_complaints(const struct cli_args *args, const struct dataset *d)
{
    size_t count = dataset_complaints(d), said = 0;
    for (; said < count && dataset_complaint(d, said); said++) cli_error_line(args->command->name, dataset_complaint(d, said));
    if (said < count) cli_failf(args, "and %zu more like these", count - said);
    return count;
}

void ransap_leave_out(struct ransap *r, size_t index, const struct chv_err *why)
{
    if (r->left_out[index]) return;
    r->left_out[index] = 1;
    r->left_out_runs++;
    cli_progress_end();
    cli_fail(r->args, why);
}

int ransap_end(const struct ransap *r, int code)
{
    size_t count = r->dataset ? r->left_out_runs + dataset_complaints(r->dataset) : 0;
    if (code != CLI_OK || count == 0) return code;
    cli_failf(r->args, "left out what could not be read (above): %zu of %zu; the rest was used", count,
              dataset_count(r->dataset) + dataset_complaints(r->dataset));
    return CLI_NOTHING;
}

enum feature_set ransap_set(const struct ransap *r, enum model_mode mode)
{
    if (r->given) return model_feature_set(mode == MODEL_READS ? model_reads_part(r->given) : r->given);
    return mode == MODEL_READS && r->paired_set != FEATURES_PAPER ? FEATURES_READ : r->paired_set;
}

static void progress(size_t done, size_t total)
{
    cli_progress("reading runs", done, total);
}

void ransap_report(const struct cli_args *args, const struct dataset_report *report)
{
    if (report->malformed == 0) return;
    char text[400];
    snprintf(text, sizeof text, "note: %llu malformed lines were left out; the first: %s", (unsigned long long)report->malformed,
             report->first_malformed);
    cli_error_line(args->command->name, text);
}

static void left_out(void *arg, size_t index, const struct chv_err *why)
{
    ransap_leave_out(arg, index, why);
}

int ransap_samples(struct ransap *r, enum model_mode mode, bool learn, struct samples **out)
{
    struct chv_err err;
    struct dataset_options options = {.keep_artefacts = r->keep_artefacts, .skip_ns = r->skip_ns, .as_encrypted = r->as_encrypted};
    uint64_t also_from_ns = r->skip_ns ? 0 : RANSAP_ALSO_FROM_NS;
    const struct samples_watch watch = {progress, left_out, r};
    int code = samples_read(r->dataset, ransap_set(r, mode), mode, &options, &watch, out, &err);
    cli_progress_end();
    /* of "any" the other kind may do; why a run cannot be read was said */
    if ((code == -ENOENT || code == -EBADMSG) && r->paired && r->reads) return 1;
    if (code < 0) return cli_fail(r->args, &err);
    ransap_report(r->args, &(*out)->report);
    if (!learn) return 0;
    code = samples_read_also(*out, r->dataset, &options, also_from_ns, &watch, &err);
    if (code == 0 && r->encrypted && mode == MODEL_PAIRED)
        code = samples_read_encrypted(*out, r->dataset, &options, also_from_ns, &watch, &err);
    cli_progress_end();
    if (code == 0) return 0;
    samples_free(*out);
    return cli_fail(r->args, &err);
}

bool ransap_classes(const struct ransap *r, struct samples *s)
{
    const char *classes = cli_value(r->args, "--classes");
    s->two = classes ? strcmp(classes, "two") == 0 : cli_value(r->args, "--corpus") != NULL;
    if (!classes || s->two || strcmp(classes, "family") == 0) return true;
    cli_failf(r->args, "--classes '%.40s' is unknown; choose family or two", classes);
    return false;
}
