/* chronovisor images: runs of a data set, or a recording, as pictures for an image classifier. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/picture_args.h"
#include "cli/ransap.h"
#include "detect/follow.h"

struct batch {
    const struct cli_args *args;
    const char *out;
    struct picture_options options;
    struct picture_stream *stream;
    uint64_t pictures;
    struct dataset_report report; /* what was malformed, of all runs */

    /* of the run being drawn */
    const char *folder;   /* its class: below `out` */
    char name[512];       /* of its pictures, but for their number */
    uint64_t begin_ns;    /* a recording's first access; 0: times are no instants */
    bool begun;
};

/* One component of a path, whatever is in the text. */
static void append_plain(char *to, size_t size, const char *text)
{
    size_t n = strlen(to);
    for (; *text && n + 1 < size; text++, n++)
        to[n] = *text == '/' || (unsigned char)*text < 0x20 || *text == 0x7f || (n == 0 && *text == '.') ? '_' : *text;
    to[n] = 0;
}

/* "dataset/original/win7-250gb-hdd/Cerber/RUN" as "Cerber/win7-250gb-hdd-RUN-000.png": a folder a class. */
static int picture_path(const struct batch *b, uint64_t window, char *path, size_t size)
{
    char folder[512] = "";
    append_plain(folder, sizeof folder, b->folder);
    int n = snprintf(path, size, "%s/%s", b->out, folder);
    if (n < 0 || (size_t)n >= size) return -ENAMETOOLONG;
    if (mkdir(path, 0777) < 0 && errno != EEXIST) return -errno;
    n = snprintf(path, size, "%s/%s/%s-%03llu.png", b->out, folder, b->name, (unsigned long long)window);
    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static void print_json(const struct batch *b, const char *path, uint64_t window)
{
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES];
    uint64_t window_ns = b->options.window_seconds * UINT64_C(1000000000), from_ns = b->begin_ns + window * window_ns;
    printf("{\"file\":");
    cli_json_string(stdout, path);
    if (b->begin_ns) printf(",\"from\":\"%s\",\"to\":\"%s\"", clock_format(from_ns, from), clock_format(from_ns + window_ns, to));
    printf("}\n");
}

static int write_picture(void *arg, const struct picture *p, uint64_t window)
{
    struct batch *b = arg;
    struct chv_err err = {0};
    char path[4096];
    int r = picture_path(b, window, path, sizeof path);
    if (r < 0) chv_err_set(&err, -r, "%s: %s", b->out, strerror(-r));
    else r = picture_write_png(p, path, &err);
    if (r < 0) {
        cli_fail(b->args, &err);
        return 1; /* said */
    }
    if (b->args->json) print_json(b, path, window);
    b->pictures++;
    return 0;
}

/* What a stream of pictures, or what feeds it, came back with. */
static int verdict(const struct batch *b, int r, const struct chv_err *err)
{
    if (r == 0) return CLI_OK;
    if (r == -ENOMEM) return cli_failf(b->args, "out of memory");
    return r < 0 ? cli_fail(b->args, err) : CLI_ERROR;
}

static int take_access(void *arg, const struct access *a)
{
    return picture_stream_push(((struct batch *)arg)->stream, a);
}

static int draw_run(struct batch *b, struct ransap *data, size_t index, const struct dataset_options *o)
{
    struct chv_err err;
    struct dataset_report report;
    const struct dataset_run *run = dataset_run(data->dataset, index);
    const char *slash = strrchr(run->path, '/');
    b->folder = run->family;
    b->name[0] = 0;
    append_plain(b->name, sizeof b->name, run->condition);
    append_plain(b->name, sizeof b->name, "-");
    append_plain(b->name, sizeof b->name, slash ? slash + 1 : run->path);
    int r = picture_stream_begin(b->stream);
    if (r == 0) r = dataset_read(data->dataset, index, o, take_access, b, &report, &err);
    if (r < 0 && r != -ENOMEM) {
        ransap_leave_out(data, index, &err);
        return CLI_OK;
    }
    if (r == 0) r = picture_stream_finish(b->stream);
    if (r == 0 && b->report.malformed == 0) memcpy(b->report.first_malformed, report.first_malformed, sizeof report.first_malformed);
    if (r == 0) b->report.malformed += report.malformed;
    return verdict(b, r, &err);
}

static int draw_dataset(struct batch *b)
{
    struct dataset_options o = {.reads_only = cli_flag(b->args, "--reads-only")};
    struct ransap data = {.args = b->args};
    int code = ransap_dataset(&data) ? CLI_OK : CLI_ERROR;
    if (code == CLI_OK && mkdir(b->out, 0777) < 0 && errno != EEXIST) code = cli_failf(b->args, "%s: %s", b->out, strerror(errno));
    for (size_t i = 0; code == CLI_OK && i < dataset_count(data.dataset); i++) {
        cli_progress("drawing", i, dataset_count(data.dataset));
        code = draw_run(b, &data, i, &o);
    }
    cli_progress_end();
    ransap_report(b->args, &b->report);
    code = ransap_end(&data, code);
    ransap_close(&data);
    return code;
}

static int take_event(void *arg, const struct chv_event *e, const struct access *a, struct chv_err *err)
{
    struct batch *b = arg;
    (void)e;
    if (!a || (a->kind != ACCESS_READ && cli_flag(b->args, "--reads-only"))) return 0;
    struct access own = *a;
    if (!b->begun) b->begin_ns = a->time_ns;
    b->begun = true;
    own.time_ns = a->time_ns > b->begin_ns ? a->time_ns - b->begin_ns : 0;
    int r = picture_stream_push(b->stream, &own);
    return r < 0 ? chv_err_set(err, -r, "%s", strerror(-r)) : r;
}

/* A space is a class, the recording a run of it. */
static int draw_store(struct batch *b)
{
    struct chv_store *store = cli_store_open(b->args);
    const struct chv_space *space = store ? cli_space(b->args, store) : NULL;
    struct follow *follow = NULL;
    struct chv_store_info info;
    struct chv_err err;
    int code = space ? CLI_OK : CLI_ERROR;
    if (code == CLI_OK && mkdir(b->out, 0777) < 0 && errno != EEXIST) code = cli_failf(b->args, "%s: %s", b->out, strerror(errno));
    if (code == CLI_OK) {
        b->folder = space->name;
        b->name[0] = 0;
        append_plain(b->name, sizeof b->name, "recorded");
        chv_store_info(store, &info);
        int r = picture_stream_begin(b->stream);
        if (r == 0) r = follow_open(store, space->id, 1, &follow, &err);
        if (r == 0) r = follow_step(follow, info.last_seq, take_event, b, &err);
        if (r == 0) r = picture_stream_finish(b->stream);
        code = verdict(b, r, &err);
    }
    follow_close(follow);
    if (store) chv_store_close(store);
    return code;
}

static int draw_all(struct batch *b)
{
    if (picture_stream_new(&b->options, write_picture, b, &b->stream) < 0) return cli_failf(b->args, "out of memory");
    int code = cli_value(b->args, "--ransap") || cli_value(b->args, "--corpus") ? draw_dataset(b) : draw_store(b);
    cli_progress_end();
    uint64_t dropped = picture_stream_dropped(b->stream);
    if (code != CLI_ERROR && !b->args->json) printf("%s: %llu pictures\n", b->out, (unsigned long long)b->pictures);
    if (dropped) fprintf(stderr, "chronovisor images: %llu accesses (gadf: rows) of crowded windows were left out\n", (unsigned long long)dropped);
    picture_stream_free(b->stream);
    return code == CLI_OK && b->pictures == 0 ? CLI_NOTHING : code;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_images, argc, argv, &args)) return CLI_ERROR;
    struct batch b = {.args = &args, .out = cli_value(&args, "-o")};
    bool dataset = cli_value(&args, "--ransap") || cli_value(&args, "--corpus");
    int code = CLI_ERROR;
    if (args.count > 0) code = cli_failf(&args, "'%.60s' is not an option; the data set goes after --ransap", args.positional[0]);
    else if (dataset && (cli_value(&args, "--store") || cli_value(&args, "--space")))
        code = cli_failf(&args, "pictures of a recording (--store, --space) or of a data set, not of both");
    else if (!b.out || !*b.out) code = cli_failf(&args, "say where to: -o FOLDER");
    else if (picture_args(&args, PICTURE_SIDE_MAX, &b.options)) code = draw_all(&b);
    cli_args_fini(&args);
    return code;
}

static const struct cli_option options[] = {
    CLI_OPT_RANSAP,
    CLI_OPT_CORPUS,
    {"--store", "DIR", "in their place, a recording (default: $CHRONOVISOR_STORE)"},
    {"--space", "NAME", "which space of it; may be left out when there is only one"},
    {"-o", "FOLDER", "where the pictures go: a folder a class, or a space"},
    CLI_OPT_KIND,
    CLI_OPT_SIZE,
    CLI_OPT_WINDOW,
    CLI_OPT_PICTURE_FEATURES,
    {"--reads-only", NULL, "leave the writes out"},
    {0},
};

const struct cli_command cmd_images = {
    .name = "images",
    .group = "Detect",
    .synopsis = "{--ransap DIR | --corpus DIR | --store DIR [--space NAME]} -o FOLDER [OPTION…]",
    .summary = "pictures of access patterns for an image classifier",
    .example = "chronovisor images --ransap ransap --kind gadf --size 224x224 -o pictures",
    .options = options,
    .run = run,
};
