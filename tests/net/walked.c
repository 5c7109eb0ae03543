/* The runs of a walk: what is one run, what begins a new walk, and what is said of more runs than are listed. */
#include "net/walked.h"
#include "tests/unit.h"

static char *text_of(const struct walked *w)
{
    json_t *head = json_pack("{s:s, s:b}", "kind", "process", "truncated", 0);
    char *text = walked_text(w, head);
    CHECK(text);
    json_decref(head);
    return text;
}

static void runs(void)
{
    struct walked w = {0};
    CHECK(walked_add(&w, "proc:cr3-1", 0x1000, 4096, 0) == 0 && walked_add(&w, "proc:cr3-1", 0x2000, 8192, 0) == 0);
    CHECK(walked_add(&w, "proc:cr3-1", 0x4000, 4096, CHV_WIRE_PAGE_WRITE | CHV_WIRE_PAGE_DIRTY) == 0);
    CHECK(walked_add(&w, "proc:cr3-1", 0x9000, 4096, CHV_WIRE_PAGE_EXEC | CHV_WIRE_PAGE_USER | CHV_WIRE_PAGE_ACCESSED) == 0 && w.count == 3);
    char *text = text_of(&w);
    CHECK(!strcmp(text, "{\"kind\":\"process\",\"truncated\":false}\n"
                        "{\"kind\":\"pages\",\"start\":\"0x1000\",\"pages\":3,\"flags\":\"r-----\"}\n"
                        "{\"kind\":\"pages\",\"start\":\"0x4000\",\"pages\":1,\"flags\":\"rw---d\"}\n"
                        "{\"kind\":\"pages\",\"start\":\"0x9000\",\"pages\":1,\"flags\":\"r-xua-\"}\n"));
    free(text);
    CHECK(walked_add(&w, "proc:cr3-1", 0x1000, 4096, 0) == 0 && w.count == 1); /* again from the beginning */
    CHECK(walked_add(&w, "proc:cr3-2", 0x2000, 4096, 0) == 0 && w.count == 1 && !strcmp(w.name, "proc:cr3-2"));
    walked_fini(&w);
}

static void too_many(void)
{
    struct walked w = {0};
    const uint64_t all = WALKED_RUNS_MAX + 5;
    for (uint64_t i = 0; i < all; i++) CHECK(walked_add(&w, "proc:cr3-1", i * 16384, 8192, 0) == 0);
    CHECK(w.count == WALKED_RUNS_MAX && w.unlisted_pages == 10);
    char *text = text_of(&w), *end = strchr(text, '\n');
    *end = 0;
    CHECK(!strcmp(text, "{\"kind\":\"process\",\"truncated\":true,\"unlisted_pages\":10}"));
    free(text);
    CHECK(walked_add(&w, "proc:cr3-1", 0, 4096, 0) == 0 && w.count == 1 && !w.unlisted_pages);
    walked_fini(&w);
}

int main(void)
{
    runs();
    too_many();
    return 0;
}
