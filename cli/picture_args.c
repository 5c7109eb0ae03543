#include "cli/picture_args.h"

#include <string.h>

const char *picture_kind(const struct picture_options *o)
{
    return o->heatmap ? "heatmap" : "gadf";
}

static bool read_kind(const struct cli_args *args, struct picture_options *o)
{
    const char *kind = cli_value(args, "--kind");
    o->heatmap = !kind || strcmp(kind, "heatmap") == 0;
    if (o->heatmap || strcmp(kind, "gadf") == 0) return true;
    cli_failf(args, "--kind '%.40s' is not heatmap or gadf", kind);
    return false;
}

static bool read_size(const struct cli_args *args, uint32_t side_max, struct picture_options *o)
{
    const char *size = cli_value(args, "--size");
    unsigned width = 224, height = 224;
    char end;
    if (size && sscanf(size, "%5ux%5u%c", &width, &height, &end) != 2) width = 0;
    o->width = width;
    o->height = height;
    if (width >= PICTURE_SIDE_MIN && width <= side_max && height >= PICTURE_SIDE_MIN && height <= side_max) return true;
    cli_failf(args, "--size '%.40s' is not WIDTHxHEIGHT, each from %u to %u", size, PICTURE_SIDE_MIN, side_max);
    return false;
}

static bool read_window(const struct cli_args *args, struct picture_options *o)
{
    uint64_t seconds;
    if (!cli_number(args, "--window", 30, PICTURE_WINDOW_SECONDS_MAX, &seconds)) return false;
    o->window_seconds = seconds ? (uint32_t)seconds : 1;
    return true;
}

static bool choose_feature(const struct cli_args *args, struct picture_options *o, const char *name, size_t length)
{
    for (size_t i = 0; i < features_count(o->set); i++) {
        const char *known = features_name(o->set, i);
        if (strlen(known) != length || strncmp(known, name, length) != 0) continue;
        if (o->colours == PICTURE_COLOURS) {
            cli_failf(args, "--features takes three names at most: the picture's colours");
            return false;
        }
        o->chosen[o->colours++] = i;
        return true;
    }
    cli_failf(args, "--features '%.*s' is neither a set nor a feature of the default set", (int)(length < 60 ? length : 60), name);
    return false;
}

/* A set's name: all of it as tiles; or up to three features of the default set as colours. */
static bool read_features(const struct cli_args *args, struct picture_options *o)
{
    const char *text = cli_value(args, "--features");
    int set = feature_set_find(text ? text : "paper");
    o->set = set >= 0 ? (enum feature_set)set : FEATURES_DEFAULT;
    for (const char *p = text; set < 0 && p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL)
        if (!choose_feature(args, o, p, strcspn(p, ","))) return false;
    return true;
}

bool picture_args(const struct cli_args *args, uint32_t side_max, struct picture_options *out)
{
    *out = (struct picture_options){0};
    return read_kind(args, out) && read_size(args, side_max, out) && read_features(args, out) && read_window(args, out);
}
