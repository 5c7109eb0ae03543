#include "cli/yara_scan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yara.h>

#include "cli/yara_rules.h"

struct yara_scan {
    YR_RULES *rules;
    YR_SCANNER *scanner;
    uint32_t block_bytes;
    yara_match_fn *fn;
    void *arg;
    struct chv_event run[YARA_RUN_BLOCKS];
    size_t count;
    size_t at, blocks; /* of the run: what is being scanned */
    struct yara_counts counts;
    uint8_t *data;
};

static int on_match(YR_SCAN_CONTEXT *context, int message, void *data, void *arg)
{
    struct yara_scan *y = arg;
    (void)context;
    if (message == CALLBACK_MSG_RULE_MATCHING)
        y->fn(y->arg, ((YR_RULE *)data)->identifier, &y->run[y->at], &y->run[y->at + y->blocks - 1]);
    return CALLBACK_CONTINUE;
}

int yara_scan_new(const char *path, uint32_t block_bytes, yara_match_fn *fn, void *arg, struct yara_scan **out,
                  struct chv_err *err)
{
    struct yara_scan *y = calloc(1, sizeof *y);
    if (!y || !(y->data = malloc((size_t)YARA_RUN_BLOCKS * block_bytes))) {
        free(y);
        return chv_err_set(err, ENOMEM, "out of memory");
    }
    y->block_bytes = block_bytes;
    y->fn = fn;
    y->arg = arg;
    if (yr_initialize() != ERROR_SUCCESS) {
        free(y->data);
        free(y);
        return chv_err_set(err, ENOMEM, "YARA does not start");
    }
    int r = yara_rules_load("--yara ", path, &y->rules, err);
    if (r == 0 && yr_scanner_create(y->rules, &y->scanner) != ERROR_SUCCESS) r = chv_err_set(err, ENOMEM, "out of memory");
    if (r < 0) {
        yara_scan_free(y);
        return r;
    }
    yr_scanner_set_callback(y->scanner, on_match, y);
    yr_scanner_set_timeout(y->scanner, YARA_SCAN_SECONDS);
    yr_scanner_set_flags(y->scanner, SCAN_FLAGS_REPORT_RULES_MATCHING | SCAN_FLAGS_NO_TRYCATCH);
    *out = y;
    return 0;
}

void yara_scan_free(struct yara_scan *y)
{
    if (!y) return;
    if (y->scanner) yr_scanner_destroy(y->scanner);
    if (y->rules) yr_rules_destroy(y->rules);
    yr_finalize();
    free(y->data);
    free(y);
}

static void scan(struct yara_scan *y, size_t at, size_t blocks)
{
    y->at = at;
    y->blocks = blocks;
    y->counts.scans++;
    int r = yr_scanner_scan_mem(y->scanner, y->data + at * y->block_bytes, blocks * y->block_bytes);
    if (r == ERROR_SCAN_TIMEOUT) y->counts.timeouts++;
}

void yara_scan_flush(struct yara_scan *y, const struct chv_store *store)
{
    size_t n = y->count, good = 0;
    struct chv_err err;
    for (size_t i = 0; i < n; i++) {
        if (chv_store_read_block(store, y->run[i].hash, y->data + i * y->block_bytes, &err) == 0) {
            scan(y, i, 1);
            good++;
        } else {
            memset(y->data + i * y->block_bytes, 0, y->block_bytes);
            y->counts.unreadable++;
        }
        y->counts.blocks++;
    }
    if (good > 1) scan(y, 0, n); /* what lies across the border of two */
    y->count = 0;
}

void yara_scan_write(struct yara_scan *y, const struct chv_store *store, const struct chv_event *e)
{
    uint32_t unit = y->block_bytes / CHV_SECTOR_BYTES;
    const struct chv_event *last = y->count ? &y->run[y->count - 1] : NULL;
    bool goes_on = last && e->flags & CHV_EVENT_CONTINUED && e->space == last->space && e->seq == last->seq + 1 &&
                   chv_event_lba(e) / unit == chv_event_lba(last) / unit + 1 && y->count < YARA_RUN_BLOCKS;
    if (last && !goes_on) yara_scan_flush(y, store);
    y->run[y->count++] = *e;
}

void yara_scan_counts(const struct yara_scan *y, struct yara_counts *out)
{
    *out = y->counts;
}
