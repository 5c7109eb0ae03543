/* What the verbs that draw share: which picture, of what. */
#ifndef CHV_CLI_PICTURE_ARGS_H
#define CHV_CLI_PICTURE_ARGS_H

#include "cli/cli.h"
#include "detect/picture_stream.h"

/* --kind, --size, --window, --features. side_max: of --size. false after one line. */
bool picture_args(const struct cli_args *args, uint32_t side_max, struct picture_options *out);
const char *picture_kind(const struct picture_options *o);

#define CLI_OPT_KIND {"--kind", "heatmap|gadf", "time × address, or Gramian angular fields of features (default: heatmap)"}
#define CLI_OPT_SIZE {"--size", "WIDTHxHEIGHT", "of a picture (default 224x224)"}
#define CLI_OPT_WINDOW {"--window", "SECONDS", "a picture for each so many seconds of a run (default 30)"}
#define CLI_OPT_PICTURE_FEATURES \
    {"--features", "SET|NAME,…", "gadf: a feature set as tiles, or up to three features as colours (default: paper)"}

#endif
