/* chronovisor images: a data set's runs as pictures for an image classifier. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/ransap.h"
#include "detect/features.h"
#include "detect/picture.h"

#define WINDOW_ACCESSES_MAX (4u << 20) /* 128 MiB; what a window has beyond is left out, and said */
#define WINDOW_SECONDS_MAX 3600u

struct batch {
    const struct cli_args *args;
    const char *out;
    bool heatmap;
    uint64_t width, height, window_ns;
    enum feature_set set;
    size_t chosen[3], channels; /* of the set's features; channels 0: all of them, as tiles */

    /* of the run being read */
    const struct dataset_run *run;
    uint64_t window, dropped, pictures;
    struct access *accesses;
    size_t count, room;
    double *rows; /* rows of the window, FEATURES_MAX each */
    size_t row_count;
    struct features *features;
    int error;
};

/* "dataset/original/win7-250gb-hdd/Cerber/RUN" as "Cerber/win7-250gb-hdd-RUN-000.png": a folder a class. */
static int picture_path(const struct batch *b, char *path, size_t size)
{
    const char *slash = strrchr(b->run->path, '/');
    int n = snprintf(path, size, "%s/%s", b->out, b->run->family);
    if (n < 0 || (size_t)n >= size) return -ENAMETOOLONG;
    if (mkdir(path, 0777) < 0 && errno != EEXIST) return -errno;
    n = snprintf(path, size, "%s/%s/%s-%s-%03llu.png", b->out, b->run->family, b->run->condition,
                 slash ? slash + 1 : b->run->path, (unsigned long long)b->window);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int draw_fields(const struct batch *b, struct picture *p)
{
    size_t channels = b->channels ? b->channels : features_count(b->set);
    double *series = malloc(channels * (b->row_count ? b->row_count : 1) * sizeof *series);
    if (!series) return -ENOMEM;
    for (size_t c = 0; c < channels; c++)
        for (size_t i = 0; i < b->row_count; i++)
            series[c * b->row_count + i] = b->rows[i * FEATURES_MAX + (b->channels ? b->chosen[c] : c)];
    int r = picture_gadf(p, series, channels, b->row_count);
    free(series);
    return r;
}

/* The window is complete: draw it, unless nothing happened in it. */
static int flush_window(struct batch *b)
{
    int r = 0;
    if (b->heatmap ? b->count > 0 : b->row_count > 0) {
        struct picture p;
        struct chv_err err = {0};
        char path[4096];
        r = picture_init(&p, (uint32_t)b->width, (uint32_t)b->height);
        if (r == 0)
            r = b->heatmap ? picture_heatmap(&p, b->accesses, b->count, b->window * b->window_ns, (b->window + 1) * b->window_ns)
                           : draw_fields(b, &p);
        if (r == 0) r = picture_path(b, path, sizeof path);
        if (r < 0) chv_err_set(&err, -r, "%s: %s", b->out, strerror(-r));
        if (r == 0) r = picture_write_png(&p, path, &err);
        if (r < 0) cli_fail(b->args, &err);
        else if (b->args->json) printf("{\"file\":"), cli_json_string(stdout, path), printf("}\n");
        b->pictures += r == 0;
        picture_fini(&p);
    }
    b->count = b->row_count = 0;
    return r;
}

static int to_window(struct batch *b, uint64_t time_ns)
{
    uint64_t window = time_ns / b->window_ns;
    int r = window != b->window ? flush_window(b) : 0;
    b->window = window;
    return r;
}

static void take_row(void *arg, const struct feature_row *row)
{
    struct batch *b = arg;
    if (b->error == 0) b->error = to_window(b, row->end_ns - 1);
    memcpy(b->rows + b->row_count * FEATURES_MAX, row->x, sizeof row->x);
    b->row_count++;
}

static int take_access(void *arg, const struct access *a)
{
    struct batch *b = arg;
    if (!b->heatmap) {
        features_push(b->features, a, take_row, b);
        return b->error;
    }
    int r = to_window(b, a->time_ns);
    if (b->count == b->room && b->room < WINDOW_ACCESSES_MAX) {
        size_t room = b->room ? 2 * b->room : 4096;
        struct access *grown = realloc(b->accesses, room * sizeof *grown);
        if (!grown) return -ENOMEM;
        b->accesses = grown;
        b->room = room;
    }
    if (b->count < b->room) b->accesses[b->count++] = *a;
    else b->dropped++;
    return r;
}

static int draw_run(struct batch *b, const struct dataset *d, size_t index, const struct dataset_options *o)
{
    struct chv_err err;
    struct dataset_report report;
    b->run = dataset_run(d, index);
    b->window = b->count = b->row_count = 0;
    b->error = 0;
    features_free(b->features);
    b->features = features_new(b->set);
    if (!b->features) return cli_failf(b->args, "out of memory");
    int r = dataset_read(d, index, o, take_access, b, &report, &err);
    if (r < 0 && r != b->error) return cli_fail(b->args, &err);
    if (r == 0 && !b->heatmap) features_finish(b->features, take_row, b);
    if (r == 0) r = b->error;
    if (r == 0) r = flush_window(b);
    return r < 0 ? CLI_ERROR : CLI_OK;
}

static bool read_kind(struct batch *b)
{
    const char *kind = cli_value(b->args, "--kind");
    b->heatmap = !kind || strcmp(kind, "heatmap") == 0;
    if (b->heatmap || strcmp(kind, "gadf") == 0) return true;
    cli_failf(b->args, "--kind '%.40s' is not heatmap or gadf", kind);
    return false;
}

static bool read_size(struct batch *b)
{
    const char *size = cli_value(b->args, "--size");
    unsigned width = 224, height = 224;
    char end;
    if (size && sscanf(size, "%5ux%5u%c", &width, &height, &end) != 2) width = 0;
    b->width = width;
    b->height = height;
    if (width >= PICTURE_SIDE_MIN && width <= PICTURE_SIDE_MAX && height >= PICTURE_SIDE_MIN && height <= PICTURE_SIDE_MAX)
        return true;
    cli_failf(b->args, "--size '%.40s' is not WIDTHxHEIGHT, each from %u to %u", size, PICTURE_SIDE_MIN, PICTURE_SIDE_MAX);
    return false;
}

static bool choose_feature(struct batch *b, const char *name, size_t length)
{
    for (size_t i = 0; i < features_count(b->set); i++) {
        const char *known = features_name(b->set, i);
        if (strlen(known) != length || strncmp(known, name, length) != 0) continue;
        if (b->channels == 3) {
            cli_failf(b->args, "--features takes three names at most: the picture's colours");
            return false;
        }
        b->chosen[b->channels++] = i;
        return true;
    }
    cli_failf(b->args, "--features '%.*s' is neither a set nor a feature of the default set", (int)(length < 60 ? length : 60), name);
    return false;
}

/* A set's name: all of it as tiles; or up to three features of the default set as colours. */
static bool read_features(struct batch *b)
{
    const char *text = cli_value(b->args, "--features");
    int set = feature_set_find(text ? text : "paper");
    b->set = set >= 0 ? (enum feature_set)set : FEATURES_DEFAULT;
    for (const char *p = text; set < 0 && p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (!choose_feature(b, p, strcspn(p, ","))) return false;
    return true;
}

static int draw_all(struct batch *b, const char *dir)
{
    struct dataset_options o = {.reads_only = cli_flag(b->args, "--reads-only")};
    struct dataset *d;
    struct chv_err err;
    if (dataset_open(dir, &d, &err) < 0) return cli_fail(b->args, &err);
    ransap_complaints(b->args, d);
    int code = CLI_OK;
    if (mkdir(b->out, 0777) < 0 && errno != EEXIST) code = cli_failf(b->args, "%s: %s", b->out, strerror(errno));
    for (size_t i = 0; code == CLI_OK && i < dataset_count(d); i++) {
        cli_progress("drawing", i, dataset_count(d));
        code = draw_run(b, d, i, &o);
    }
    cli_progress_end();
    if (code == CLI_OK && !b->args->json) printf("%s: %llu pictures\n", b->out, (unsigned long long)b->pictures);
    if (b->dropped) fprintf(stderr, "chronovisor images: %llu accesses of crowded windows were left out\n", (unsigned long long)b->dropped);
    dataset_close(d);
    return code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_images, argc, argv, &args)) return CLI_ERROR;
    struct batch b = {.args = &args, .out = cli_value(&args, "-o")};
    const char *dir = cli_value(&args, "--ransap");
    uint64_t seconds;
    int code = CLI_ERROR;
    if (args.count > 0) code = cli_failf(&args, "'%.60s' is not an option; the data set goes after --ransap", args.positional[0]);
    else if (!dir || !*dir) code = cli_failf(&args, "say which data set: --ransap DIR, which holds dataset/");
    else if (!b.out || !*b.out) code = cli_failf(&args, "say where to: -o FOLDER");
    else if (read_kind(&b) && read_size(&b) && read_features(&b) && cli_number(&args, "--window", 30, WINDOW_SECONDS_MAX, &seconds)) {
        b.window_ns = (seconds ? seconds : 1) * UINT64_C(1000000000);
        b.rows = malloc((seconds + 2) * FEATURES_MAX * sizeof *b.rows);
        code = b.rows ? draw_all(&b, dir) : cli_failf(&args, "out of memory");
    }
    features_free(b.features);
    free(b.accesses);
    free(b.rows);
    cli_args_fini(&args);
    return code;
}

static const struct cli_option options[] = {
    {"--ransap", "DIR", "the data set; DIR holds dataset/"},
    {"-o", "FOLDER", "where the pictures go: a folder a class"},
    {"--kind", "heatmap|gadf", "time × address, or Gramian angular fields of features (default: heatmap)"},
    {"--size", "WIDTHxHEIGHT", "of a picture (default 224x224)"},
    {"--window", "SECONDS", "a picture for each so many seconds of a run (default 30)"},
    {"--features", "SET|NAME,…", "gadf: a feature set as tiles, or up to three features as colours (default: paper)"},
    {"--reads-only", NULL, "leave the writes out"},
    {0},
};

const struct cli_command cmd_images = {
    .name = "images",
    .group = "Detect",
    .synopsis = "--ransap DIR -o FOLDER [OPTION…]",
    .summary = "pictures of access patterns for an image classifier",
    .example = "chronovisor images --ransap ransap --kind gadf --size 224x224 -o pictures",
    .options = options,
    .run = run,
};
