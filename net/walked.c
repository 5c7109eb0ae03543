#include "net/walked.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int walked_add(struct walked *w, const char *name, uint64_t va, uint64_t bytes, uint8_t flags)
{
    struct walked_run *last = w->count ? &w->list[w->count - 1] : NULL;
    if (strcmp(w->name, name) != 0 || (last && va < last->va + last->bytes)) {
        w->count = w->unlisted_pages = 0;
        last = NULL;
        snprintf(w->name, sizeof w->name, "%s", name);
    }
    if (last && last->va + last->bytes == va && last->flags == flags) {
        last->bytes += bytes;
        return 0;
    }
    if (w->count == WALKED_RUNS_MAX) {
        w->unlisted_pages += bytes / CHV_WIRE_BLOCK_BYTES;
        return 0;
    }
    if (w->count == w->room) {
        size_t room = w->room ? w->room * 2 : 256;
        struct walked_run *grown = realloc(w->list, room * sizeof *grown);
        if (!grown) return -ENOMEM;
        w->list = grown;
        w->room = room;
    }
    w->list[w->count++] = (struct walked_run){va, bytes, flags};
    return 0;
}

static bool write_head(FILE *out, const struct walked *w, json_t *head)
{
    if (w->unlisted_pages > 0 && (json_object_set_new(head, "truncated", json_true()) < 0 ||
                                  json_object_set_new(head, "unlisted_pages", json_integer((json_int_t)w->unlisted_pages)) < 0))
        return false;
    return json_dumpf(head, out, JSON_COMPACT | JSON_PRESERVE_ORDER) == 0 && fputc('\n', out) != EOF;
}

char *walked_text(const struct walked *w, json_t *head)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    bool good = write_head(out, w, head);
    for (size_t i = 0; i < w->count && good; i++) {
        const struct walked_run *r = &w->list[i];
        fprintf(out, "{\"kind\":\"pages\",\"start\":\"0x%" PRIx64 "\",\"pages\":%" PRIu64 ",\"flags\":\"r%c%c%c%c%c\"}\n", r->va,
                r->bytes / CHV_WIRE_BLOCK_BYTES, r->flags & CHV_WIRE_PAGE_WRITE ? 'w' : '-', r->flags & CHV_WIRE_PAGE_EXEC ? 'x' : '-',
                r->flags & CHV_WIRE_PAGE_USER ? 'u' : '-', r->flags & CHV_WIRE_PAGE_ACCESSED ? 'a' : '-',
                r->flags & CHV_WIRE_PAGE_DIRTY ? 'd' : '-');
    }
    if (fclose(out) == 0 && good) return text;
    free(text);
    return NULL;
}

void walked_fini(struct walked *w)
{
    free(w->list);
    *w = (struct walked){0};
}
