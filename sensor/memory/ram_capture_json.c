#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "sensor/memory/ram_capture.h"

static const char *const mode_names[] = {[CAPTURE_LIVE] = "live", [CAPTURE_PAUSED] = "paused", [CAPTURE_COW] = "cow"};

const char *ram_capture_mode_name(enum ram_capture_mode mode)
{
    return mode_names[mode];
}

int ram_capture_mode_parse(const char *text)
{
    for (int i = 0; i < (int)(sizeof mode_names / sizeof *mode_names); i++)
        if (strcmp(text, mode_names[i]) == 0) return i;
    return -EINVAL;
}

/* --- writing: addresses and registers as text, since JSON's numbers end at 2^53 for many readers ------------- */

static void put_hex(json_t *object, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "0x%llx", (unsigned long long)value);
    json_object_set_new(object, key, json_string(text));
}

static json_t *ranges_to_json(const struct ram_layout *layout)
{
    json_t *list = json_array();
    for (size_t i = 0; i < layout->count; i++) {
        const struct ram_range *r = &layout->ranges[i];
        json_t *one = json_object();
        put_hex(one, "address", r->gpa);
        json_object_set_new(one, "bytes", json_integer((json_int_t)r->bytes));
        json_object_set_new(one, "region", json_string(r->region));
        put_hex(one, "offset", r->offset);
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *vcpus_to_json(const struct ram_capture *c)
{
    json_t *list = json_array();
    for (size_t i = 0; i < c->vcpus; i++) {
        const struct vcpu *v = &c->vcpu[i];
        json_t *one = json_object();
        put_hex(one, "cr0", v->cr0);
        put_hex(one, "cr3", v->cr3);
        put_hex(one, "cr4", v->cr4);
        put_hex(one, "efer", v->efer);
        put_hex(one, "rip", v->rip);
        put_hex(one, "gs_base", v->gs_base);
        put_hex(one, "idt_base", v->idt_base);
        json_object_set_new(one, "cpl", json_integer(v->cpl));
        json_object_set_new(one, "halted", json_boolean(v->halted));
        json_array_append_new(list, one);
    }
    return list;
}

json_t *ram_capture_to_json(const struct ram_capture *c)
{
    char begin[CLOCK_TEXT_BYTES], end[CLOCK_TEXT_BYTES] = "";
    clock_format(c->begin_ns, begin);
    if (c->end_ns) clock_format(c->end_ns, end);
    return json_pack("{s:i, s:s, s:s, s:b, s:b, s:s, s:I, s:s, s:I, s:I, s:s, s:o, s:o, s:o}", "capture", 1, "space", c->space,
                     "mode", ram_capture_mode_name(c->mode), "complete", c->complete, "was_stopped", c->was_stopped, "begin", begin,
                     "begin_ns", (json_int_t)c->begin_ns, "end", end, "end_ns", (json_int_t)c->end_ns, "pause_ns",
                     (json_int_t)c->pause_ns, "qemu", c->qemu, "ranges", ranges_to_json(&c->ram), "not_captured",
                     ranges_to_json(&c->others), "vcpus", vcpus_to_json(c));
}

/* --- reading: the store is on a disk that others may have written to --------------------------------------- */

static bool get_hex(const json_t *object, const char *key, uint64_t *out)
{
    const char *text = json_string_value(json_object_get(object, key));
    size_t n = text && strncmp(text, "0x", 2) == 0 ? strlen(text + 2) : 0;
    if (n == 0 || n > 16) return false;
    *out = 0;
    for (text += 2; *text; text++) {
        int d = hex_digit(*text);
        if (d < 0) return false;
        *out = *out << 4 | (uint64_t)d;
    }
    return true;
}

static bool get_number(const json_t *object, const char *key, uint64_t *out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool get_text(const json_t *object, const char *key, char *to, size_t size)
{
    const char *text = json_string_value(json_object_get(object, key));
    if (!text || strlen(text) >= size) return false;
    strcpy(to, text);
    return true;
}

static int get_ranges(const json_t *root, const char *key, struct ram_layout *out, struct chv_err *err)
{
    const json_t *list = json_object_get(root, key);
    if (!json_is_array(list) || json_array_size(list) > LAYOUT_RANGES_MAX) return chv_err_set(err, EPROTO, "no list of %s", key);
    out->count = json_array_size(list);
    for (size_t i = 0; i < out->count; i++) {
        const json_t *one = json_array_get(list, i);
        struct ram_range *r = &out->ranges[i];
        if (!get_hex(one, "address", &r->gpa) || !get_number(one, "bytes", &r->bytes) ||
            !get_text(one, "region", r->region, sizeof r->region) || !get_hex(one, "offset", &r->offset))
            return chv_err_set(err, EPROTO, "entry %zu of %s is damaged", i, key);
    }
    return layout_normalise(out, err);
}

static int get_vcpus(const json_t *root, struct ram_capture *out, struct chv_err *err)
{
    const json_t *list = json_object_get(root, "vcpus");
    if (!json_is_array(list) || json_array_size(list) > LAYOUT_VCPUS_MAX) return chv_err_set(err, EPROTO, "no list of vcpus");
    out->vcpus = json_array_size(list);
    for (size_t i = 0; i < out->vcpus; i++) {
        const json_t *one = json_array_get(list, i);
        struct vcpu *v = &out->vcpu[i];
        uint64_t cpl;
        if (!get_hex(one, "cr0", &v->cr0) || !get_hex(one, "cr3", &v->cr3) || !get_hex(one, "cr4", &v->cr4) ||
            !get_hex(one, "efer", &v->efer) || !get_hex(one, "rip", &v->rip) || !get_hex(one, "gs_base", &v->gs_base) ||
            !get_hex(one, "idt_base", &v->idt_base) || !get_number(one, "cpl", &cpl) || cpl > 3)
            return chv_err_set(err, EPROTO, "processor %zu is damaged", i);
        v->cpl = (uint8_t)cpl;
        v->halted = json_is_true(json_object_get(one, "halted"));
    }
    return 0;
}

int ram_capture_from_json(const json_t *root, struct ram_capture *out, struct chv_err *err)
{
    char mode[16];
    uint64_t version;
    memset(out, 0, sizeof *out);
    if (!get_number(root, "capture", &version) || version != 1)
        return chv_err_set(err, EPROTO, "not the description of a capture of version 1");
    if (!get_text(root, "space", out->space, sizeof out->space) || !get_text(root, "mode", mode, sizeof mode) ||
        !get_text(root, "qemu", out->qemu, sizeof out->qemu) || !get_number(root, "begin_ns", &out->begin_ns) ||
        !get_number(root, "end_ns", &out->end_ns) || !get_number(root, "pause_ns", &out->pause_ns))
        return chv_err_set(err, EPROTO, "the description of the capture is damaged");
    int number = ram_capture_mode_parse(mode);
    if (number < 0) return chv_err_set(err, EPROTO, "mode '%s' is not known", mode);
    out->mode = (enum ram_capture_mode)number;
    out->complete = json_is_true(json_object_get(root, "complete"));
    out->was_stopped = json_is_true(json_object_get(root, "was_stopped"));
    int r = get_ranges(root, "ranges", &out->ram, err);
    if (r == 0) r = get_ranges(root, "not_captured", &out->others, err);
    return r < 0 ? r : get_vcpus(root, out, err);
}
