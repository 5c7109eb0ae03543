/* chronovisor models: what model files say of themselves. */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hex.h"
#include "cli/cli.h"
#include "detect/model.h"

static const struct cli_option options[] = {{0}};

/* What a part is for; `encrypted`: it is that for encrypted disks. */
static const char *mode_name(const struct model *m, bool encrypted)
{
    return encrypted ? "encrypted" : model_mode(m) == MODEL_READS ? "read" : "paired";
}

static void print_json(const char *file, const struct model *m, bool encrypted)
{
    struct model_facts facts;
    char digest[65];
    const struct decision *d = model_decision(m);
    model_facts(m, &facts);
    printf("{\"file\": ");
    cli_json_string(stdout, file);
    printf(", \"kind\": \"%s\", \"mode\": \"%s\", \"feature_set\": \"%s\", \"features\": %zu, \"rows\": %llu, \"runs\": %llu, \"seed\": %llu, "
           "\"table_sha256\": \"%s\", \"decision\": {\"threshold\": %.6g, \"drift\": %.6g, \"cap\": %.6g}, \"classes\": [",
           model_kind_name(model_kind(m)), mode_name(m, encrypted), feature_set_name(model_feature_set(m)),
           features_count(model_feature_set(m)), (unsigned long long)facts.rows, (unsigned long long)facts.runs,
           (unsigned long long)facts.seed, hex_format(facts.table_sha256, 32, digest), d->threshold, d->drift, d->cap);
    for (size_t c = 0; c < model_class_count(m); c++) {
        printf("%s{\"name\": ", c ? ", " : "");
        cli_json_string(stdout, model_class_name(m, c));
        printf(", \"ransomware\": %s}", model_class_is_ransomware(m, c) ? "true" : "false");
    }
    printf("], \"command\": ");
    cli_json_string(stdout, facts.command ? facts.command : "");
    printf(", \"metrics\": %s}\n", facts.metrics_json ? facts.metrics_json : "{}");
}

static double number(const json_t *metrics, const char *name)
{
    const json_t *value = json_object_get(metrics, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* Those that train writes; of others what there is. */
static void print_metrics(const char *text)
{
    json_t *m = text ? json_loads(text, 0, NULL) : NULL;
    if (json_is_integer(json_object_get(m, "ransomware_runs")))
        printf("  metrics, runs left out in %.0f folds: %.0f of %.0f ransomware found, %.0f of %.0f benign with a false alarm; F1 of runs %.3f,\n"
               "    of windows %.3f, ROC AUC %.3f; to the alarm median %.1f s, p90 %.1f s\n",
               number(m, "folds"), number(m, "detected"), number(m, "ransomware_runs"), number(m, "false_alarms"), number(m, "benign_runs"),
               number(m, "runs_f1"), number(m, "f1"), number(m, "roc_auc"), number(m, "seconds_to_alarm_median"),
               number(m, "seconds_to_alarm_p90"));
    else if (json_object_size(m) > 0)
        printf("  metrics: %s\n", text);
    json_decref(m);
}

static void print_table(const char *file, const struct model *m, bool encrypted)
{
    struct model_facts facts;
    char digest[65];
    const struct decision *d = model_decision(m);
    model_facts(m, &facts);
    printf("%s\n  %s for %s, %zu features (%s)\n  learned from %llu rows of %llu runs, SHA-256 %.16s…, seed %llu\n  alarm at %.3g, drift "
           "%.3g, cap %.3g\n  classes (* ransomware):",
           file, model_kind_name(model_kind(m)), encrypted ? "disks that are encrypted" : model_mode(m) == MODEL_READS ? "read-only streams" : "paired streams",
           features_count(model_feature_set(m)), feature_set_name(model_feature_set(m)), (unsigned long long)facts.rows,
           (unsigned long long)facts.runs, hex_format(facts.table_sha256, 32, digest), (unsigned long long)facts.seed, d->threshold,
           d->drift, d->cap);
    for (size_t c = 0; c < model_class_count(m); c++) printf(" %s%s", model_class_is_ransomware(m, c) ? "*" : "", model_class_name(m, c));
    printf("\n  by: %s\n", facts.command ? facts.command : "(unknown)");
    print_metrics(facts.metrics_json);
}

static int show(const struct cli_args *args, const char *file)
{
    struct model *m = NULL;
    struct chv_err err;
    if (model_load(file, &m, &err) < 0) return cli_fail(args, &err);
    void (*print)(const char *, const struct model *, bool) = args->json ? print_json : print_table;
    print(file, m, false);
    if (model_part(m, true) != m) print(file, model_part(m, true), true);
    if (model_mode(m) == MODEL_PAIRED && model_reads_part(m)) print(file, model_reads_part(m), false);
    model_free(m);
    return CLI_OK;
}

static int only_models(const struct dirent *e)
{
    size_t n = strlen(e->d_name);
    return n > 6 && strcmp(e->d_name + n - 6, ".model") == 0;
}

static int show_folder(const struct cli_args *args, const char *dir)
{
    struct dirent **names;
    int count = scandir(dir, &names, only_models, alphasort), code = CLI_NOTHING;
    if (count < 0) return cli_failf(args, "%s: %s", dir, strerror(errno));
    for (int i = 0; i < count; i++) {
        char path[4096];
        if ((size_t)snprintf(path, sizeof path, "%s/%s", dir, names[i]->d_name) < sizeof path && code != CLI_ERROR) code = show(args, path);
        free(names[i]);
    }
    free(names);
    return code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_models, argc, argv, &args)) return CLI_ERROR;
    int code = args.count == 0 ? cli_failf(&args, "name model files, or folders with *.model files") : CLI_NOTHING;
    for (int i = 0; i < args.count && (i == 0 || code != CLI_ERROR); i++) {
        struct stat st;
        bool folder = stat(args.positional[i], &st) == 0 && S_ISDIR(st.st_mode);
        int one = folder ? show_folder(&args, args.positional[i]) : show(&args, args.positional[i]);
        code = one == CLI_NOTHING ? code : one;
    }
    cli_args_fini(&args);
    return code;
}

const struct cli_command cmd_models = {
    .name = "models",
    .group = "Detect",
    .synopsis = "FILE…",
    .summary = "what model files say of themselves",
    .example = "chronovisor models ransap.model",
    .options = options,
    .run = run,
};
