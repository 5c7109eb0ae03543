/* chronovisor plot: a recording at one glance. */
#include <string.h>

#include "cli/cli.h"
#include "search/plot/plot.h"

extern const struct cli_command cmd_plot;

static void progress(void *arg, uint64_t done, uint64_t total)
{
    cli_progress(arg, done, total);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* By --format, else by how the file name ends. */
static bool choose_format(const struct cli_args *args, const char *path, enum plot_format *out)
{
    const char *format = cli_value(args, "--format");
    if (!format) format = ends_with(path, ".png") ? "png" : ends_with(path, ".svg") ? "svg" : "";
    if (strcmp(format, "png") != 0 && strcmp(format, "svg") != 0) {
        cli_failf(args, "'%.100s' ends in neither .svg nor .png; rename it or add --format svg|png", path);
        return false;
    }
    *out = strcmp(format, "png") == 0 ? PLOT_PNG : PLOT_SVG;
    return true;
}

static bool read_size(const struct cli_args *args, const char *name, uint64_t fallback, uint64_t least, uint64_t *out)
{
    if (!cli_number(args, name, fallback, PLOT_SIZE_MAX, out)) return false;
    if (*out >= least) return true;
    cli_failf(args, "%s %llu is too small to read; at least %llu", name, (unsigned long long)*out,
              (unsigned long long)least);
    return false;
}

static void print_answer(const struct cli_args *args, const struct plot *p, const char *path)
{
    char from[CLOCK_TEXT_BYTES], to[CLOCK_TEXT_BYTES];
    if (strcmp(path, "-") == 0) return; /* the picture is on standard output */
    if (!args->json) {
        printf("%s: space %s, %s to %s, %llu reads, %llu writes, %llu gaps\n", path, p->space_name,
               clock_format(p->from_ns, from), clock_format(p->to_ns, to), (unsigned long long)p->requests[PLOT_READ],
               (unsigned long long)p->requests[PLOT_WRITE], (unsigned long long)p->gaps_total);
        return;
    }
    printf("{\"file\":");
    cli_json_string(stdout, path);
    printf(",\"space\":");
    cli_json_string(stdout, p->space_name);
    printf(",\"from\":\"%s\",\"to\":\"%s\",\"width\":%llu,\"height\":%llu,\"read_bytes\":%llu,\"written_bytes\":%llu,"
           "\"reads\":%llu,\"writes\":%llu,\"flushes\":%llu,\"gaps\":%llu,\"flushless\":%llu}\n",
           clock_format(p->from_ns, from), clock_format(p->to_ns, to), (unsigned long long)p->options.width,
           (unsigned long long)p->options.height, (unsigned long long)p->total_bytes[PLOT_READ],
           (unsigned long long)p->total_bytes[PLOT_WRITE], (unsigned long long)p->requests[PLOT_READ],
           (unsigned long long)p->requests[PLOT_WRITE], (unsigned long long)p->flushes,
           (unsigned long long)p->gaps_total, (unsigned long long)p->flushless_total);
}

static int plot_store(const struct cli_args *args, const struct chv_store *store, const char *path,
                      enum plot_format format)
{
    struct plot_options o = {.from_seq = 1, .progress = progress, .progress_arg = "reading events"};
    const struct chv_space *space = cli_space(args, store);
    if (!space) return CLI_ERROR;
    o.space = space->id;
    if (!read_size(args, "--width", 1600, PLOT_WIDTH_MIN, &o.width) ||
        !read_size(args, "--height", 1000, PLOT_HEIGHT_MIN, &o.height))
        return CLI_ERROR;
    if (cli_value(args, "--from")) {
        if (!cli_instant(args, "--from", store, &o.from_seq)) return CLI_ERROR;
        o.from_seq++; /* what happened after that instant */
    }
    if (!cli_instant(args, "--to", store, &o.to_seq)) return CLI_ERROR;
    if (o.from_seq > o.to_seq) return cli_failf(args, "nothing was recorded between --from and --to");
    const char *dir = chv_store_dir(store), *slash = strrchr(dir, '/');
    o.store_name = slash && slash[1] ? slash + 1 : dir;
    struct plot *plot;
    struct chv_err err;
    int r = plot_new(store, &o, &plot, &err);
    cli_progress_end();
    if (r < 0) return cli_fail(args, &err);
    r = plot_draw(plot, format, path, &err);
    if (r == 0) print_answer(args, plot, path);
    plot_free(plot);
    return r < 0 ? cli_fail(args, &err) : CLI_OK;
}

static int run(int argc, char **argv)
{
    struct cli_args args;
    if (!cli_parse(&cmd_plot, argc, argv, &args)) return CLI_ERROR;
    const char *path = cli_value(&args, "-o");
    enum plot_format format;
    int code = CLI_ERROR;
    if (args.count > 0) code = cli_failf(&args, "'%.60s' is not an option; the output goes after -o", args.positional[0]);
    else if (!path || !*path) code = cli_failf(&args, "say where to: -o FILE.svg or -o FILE.png");
    else if (choose_format(&args, path, &format)) {
        struct chv_store *store = cli_store_open(&args);
        if (store) code = plot_store(&args, store, path, format);
        chv_store_close(store);
    }
    cli_args_fini(&args);
    return code;
}

static const struct cli_option options[] = {
    CLI_OPT_STORE,
    CLI_OPT_SPACE,
    {"-o", "FILE", "the picture: FILE.svg or FILE.png; - is standard output (with --format)"},
    {"--format", "svg|png", "when the name does not tell"},
    {"--from", "TIME", "begin after this instant (default: the first event)"},
    {"--to", "TIME", "end at this instant (default: the last event)"},
    {"--width", "PIXELS", "of the picture (default 1600)"},
    {"--height", "PIXELS", "of the picture (default 1000)"},
    {0},
};

const struct cli_command cmd_plot = {
    .name = "plot",
    .group = "Look",
    .synopsis = "[--store DIR] [--space NAME] -o FILE.svg|FILE.png",
    .summary = "draw reads and writes over time and address, throughput, entropy",
    .example = "chronovisor plot --store evidence.chv --space disk:vda --from -1h -o hour.svg",
    .options = options,
    .run = run,
};
