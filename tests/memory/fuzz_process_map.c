/* Any bytes as the map of an acquired process: refused, or mappings and pages in order, without overlap, and each found again. */
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/process_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct process_image p;
    struct chv_err err;
    char *text = malloc(size ? size : 1); /* its own allocation, so that reading on is seen */
    if (!text) return 0;
    memcpy(text, data, size);
    if (process_image_of_map(text, size, NULL, &p, &err) == 0) {
        for (size_t i = 0; i < p.vma_count; i++) {
            if (p.vmas[i].start >= p.vmas[i].end || (i > 0 && p.vmas[i].start < p.vmas[i - 1].end)) abort();
            if (process_image_vma(&p, p.vmas[i].start) != &p.vmas[i] || process_image_vma(&p, p.vmas[i].end - 1) != &p.vmas[i]) abort();
        }
        for (size_t i = 1; i < p.pages.count; i++)
            if (p.pages.list[i].va < p.pages.list[i - 1].va + p.pages.list[i - 1].bytes) abort();
        process_image_fini(&p);
    }
    free(text);
    return 0;
}
