#include "cli/files_at.h"

#include <stdlib.h>
#include <string.h>

bool files_at_options(const struct cli_args *args, struct files_options *options)
{
    uint64_t partition;
    if (!cli_number(args, "--partition", 0, 10000, &partition)) return false;
    if (cli_value(args, "--partition") && partition == 0) {
        cli_failf(args, "--partition counts from 1");
        return false;
    }
    *options = (struct files_options){.partition = (uint32_t)partition, .in_place = cli_flag(args, "--in-place")};
    return true;
}

bool files_at_open(const struct cli_args *args, struct files_at *at)
{
    *at = (struct files_at){0};
    struct files_options options;
    struct chv_err err;
    if (!files_at_options(args, &options)) return false;
    at->store = cli_store_open(args);
    if (!at->store) return false;
    at->space = cli_space(args, at->store);
    if (!at->space || !cli_instant(args, "--at", at->store, &at->seq)) goto err_close;
    struct chv_view_options view = {.source = cli_value(args, "--source")};
    if (chv_view_open(at->store, at->space, at->seq, &view, &at->view, &err) < 0) {
        cli_fail(args, &err);
        goto err_close;
    }
    struct files_image image = files_image_of_view(at->view);
    if (files_open(&image, &options, &at->fs, &err) < 0) {
        chv_err_prefix(&err, "%s", at->space->name);
        cli_fail(args, &err);
        goto err_close;
    }
    return true;
err_close:
    files_at_close(at);
    return false;
}

void files_at_close(struct files_at *at)
{
    files_close(at->fs);
    if (at->view) chv_view_close(at->view);
    if (at->store) chv_store_close(at->store);
    *at = (struct files_at){0};
}
