/* Any text as what QEMU's monitor prints, and as the description of a capture: what is accepted keeps its promises. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/monitor.h"
#include "sensor/memory/ram_capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct ram_layout *layout)
{
    uint64_t end = 0;
    if (layout->count > LAYOUT_RANGES_MAX) abort();
    for (size_t i = 0; i < layout->count; i++) {
        const struct ram_range *r = &layout->ranges[i];
        if (r->gpa < end || r->bytes == 0 || (r->gpa | r->bytes | r->offset) % LAYOUT_PAGE_BYTES) abort();
        if (strnlen(r->region, LAYOUT_NAME_BYTES) == LAYOUT_NAME_BYTES) abort();
        end = r->gpa + r->bytes;
        if (end > UINT64_C(1) << LAYOUT_ADDRESS_BITS) abort();
        if (layout_find(layout, r->gpa) != r || layout_find(layout, end - 1) != r) abort();
    }
    if (layout_end(layout) != end) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ram_layout layout;
    static struct vcpu cpus[4];
    static struct ram_capture capture, again;
    struct chv_err err = {.text = ""};
    char *text = malloc(size + 1);
    if (!text) abort();
    memcpy(text, data, size);
    text[size] = 0;
    if (monitor_mtree(text, &layout, &err) == 0)
        check(&layout);
    else if (!err.text[0])
        abort();
    if (monitor_registers(text, cpus, 4, &err) > 4) abort();
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    if (root && ram_capture_from_json(root, &capture, &err) == 0) {
        check(&capture.ram);
        check(&capture.others);
        json_t *back = ram_capture_to_json(&capture);
        if (!back || ram_capture_from_json(back, &again, &err) < 0) abort();
        json_t *twice = ram_capture_to_json(&again);
        if (!json_equal(back, twice)) abort();
        json_decref(back);
        json_decref(twice);
    }
    json_decref(root);
    free(text);
    return 0;
}
