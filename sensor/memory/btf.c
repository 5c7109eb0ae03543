#include "sensor/memory/btf.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define BTF_MAGIC 0xeb9fu
#define TYPES_MAX (1u << 20)
#define MEMBERS_MAX (1u << 16) /* looked at for one name */
enum { DEPTH_MAX = 16, SCRATCH_WORDS = 3 };

enum kind { INT = 1, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC,
            FLOAT, DECL_TAG, TYPE_TAG, ENUM64, KIND_MAX = ENUM64 };

struct btf_header {
    uint16_t magic;
    uint8_t version, flags;
    uint32_t header_bytes, type_offset, type_bytes, string_offset, string_bytes;
};
_Static_assert(sizeof(struct btf_header) == BTF_HEADER_BYTES, "as in the kernel's btf.h");

struct btf_type {
    uint32_t name;        /* offset among the strings */
    uint32_t info;        /* bits 0-15 count, 24-28 kind, 31 flag */
    uint32_t size_or_type;
};

struct btf_member {
    uint32_t name, type;
    uint32_t offset; /* in bits; with the flag of its struct: bits 0-23, and 24-31 the size of a bit field */
};

struct btf_array {
    uint32_t type, index_type, count;
};

struct btf {
    uint32_t count;       /* types; ids are 1..count - 1, 0 is void */
    uint32_t *offsets;    /* by id, into types */
    uint8_t *types;
    char *strings;
    uint32_t string_bytes;
};

static unsigned kind_of(const struct btf_type *t)
{
    return t->info >> 24 & 31;
}

static unsigned member_count(const struct btf_type *t)
{
    return t->info & 0xffff;
}

/* Bytes after the type's own 12; kinds that are not known cannot be skipped. */
static bool extra_bytes(const struct btf_type *t, size_t *bytes)
{
    static const uint8_t fixed[KIND_MAX + 1] = {[INT] = 4, [ARRAY] = 12, [VAR] = 4, [DECL_TAG] = 4};
    static const uint8_t each[KIND_MAX + 1] = {[STRUCT] = 12, [UNION] = 12, [ENUM] = 8, [FUNC_PROTO] = 8, [DATASEC] = 12,
                                               [ENUM64] = 12};
    unsigned kind = kind_of(t);
    if (kind == 0 || kind > KIND_MAX) return false;
    *bytes = fixed[kind] + (size_t)each[kind] * member_count(t);
    return true;
}

size_t btf_length(const void *header)
{
    struct btf_header h;
    memcpy(&h, header, sizeof h);
    if (h.magic != BTF_MAGIC || h.version != 1 || h.flags != 0 || h.header_bytes < sizeof h || h.header_bytes > 256) return 0;
    uint64_t types_end = (uint64_t)h.type_offset + h.type_bytes, strings_end = (uint64_t)h.string_offset + h.string_bytes;
    uint64_t end = h.header_bytes + (types_end > strings_end ? types_end : strings_end);
    if (h.type_offset % 4 || h.type_bytes < sizeof(struct btf_type) || h.string_bytes == 0 || end > BTF_BYTES_MAX) return 0;
    /* one after the other, in whatever order */
    if (types_end > h.string_offset && strings_end > h.type_offset) return 0;
    return (size_t)end;
}

/* The type `id`, copied. The id was checked. */
static struct btf_type type_at(const struct btf *b, uint32_t id)
{
    struct btf_type t;
    memcpy(&t, b->types + b->offsets[id], sizeof t);
    return t;
}

static void words_at(const struct btf *b, uint32_t id, unsigned index, uint32_t words[SCRATCH_WORDS])
{
    memcpy(words, b->types + b->offsets[id] + sizeof(struct btf_type) + (size_t)index * SCRATCH_WORDS * 4, SCRATCH_WORDS * 4);
}

static struct btf_member member_at(const struct btf *b, uint32_t id, unsigned index)
{
    uint32_t w[SCRATCH_WORDS];
    words_at(b, id, index, w);
    return (struct btf_member){w[0], w[1], w[2]};
}

static struct btf_array array_at(const struct btf *b, uint32_t id)
{
    uint32_t w[SCRATCH_WORDS];
    words_at(b, id, 0, w);
    return (struct btf_array){w[0], w[1], w[2]};
}

static bool refers(unsigned kind)
{
    return kind == PTR || kind == TYPEDEF || kind == VOLATILE || kind == CONST || kind == RESTRICT || kind == FUNC ||
           kind == FUNC_PROTO || kind == VAR || kind == DECL_TAG || kind == TYPE_TAG;
}

/* Names and references of one type point inside. */
static bool type_is_sound(const struct btf *b, uint32_t id)
{
    struct btf_type t = type_at(b, id);
    unsigned kind = kind_of(&t);
    if (t.name >= b->string_bytes || (refers(kind) && t.size_or_type >= b->count)) return false;
    if (kind == ARRAY) {
        struct btf_array a = array_at(b, id);
        return a.type < b->count && a.index_type < b->count;
    }
    if (kind != STRUCT && kind != UNION) return true;
    for (unsigned i = 0; i < member_count(&t); i++) {
        struct btf_member m = member_at(b, id, i);
        if (m.name >= b->string_bytes || m.type >= b->count) return false;
    }
    return true;
}

/* Where each type begins. Returns the number of types with void, or 0. */
static uint32_t index_types(const uint8_t *types, size_t bytes, uint32_t *offsets)
{
    uint32_t count = 1;
    for (size_t at = 0; at < bytes; count++) {
        struct btf_type t;
        size_t extra;
        if (count == TYPES_MAX || bytes - at < sizeof t) return 0;
        memcpy(&t, types + at, sizeof t);
        if (!extra_bytes(&t, &extra) || extra > bytes - at - sizeof t) return 0;
        if (offsets) offsets[count] = (uint32_t)at;
        at += sizeof t + extra;
    }
    return count;
}

int btf_parse(const void *data, size_t bytes, struct btf **out, struct chv_err *err)
{
    struct btf_header h;
    size_t length = bytes >= sizeof h ? btf_length(data) : 0;
    if (length == 0 || length > bytes) return chv_err_set(err, EBADMSG, "no BTF, or cut off");
    memcpy(&h, data, sizeof h);
    const uint8_t *types = (const uint8_t *)data + h.header_bytes + h.type_offset;
    const char *strings = (const char *)data + h.header_bytes + h.string_offset;
    if (strings[0] != 0 || strings[h.string_bytes - 1] != 0)
        return chv_err_set(err, EBADMSG, "BTF: strings do not begin and end with a NUL");
    uint32_t count = index_types(types, h.type_bytes, NULL);
    if (count == 0) return chv_err_set(err, EBADMSG, "BTF: a type of no known kind, or cut off");
    struct btf *b = calloc(1, sizeof *b);
    if (!b) return chv_err_set(err, ENOMEM, "out of memory");
    b->count = count;
    b->string_bytes = h.string_bytes;
    b->offsets = calloc(count, sizeof *b->offsets);
    b->types = malloc(h.type_bytes);
    b->strings = malloc(h.string_bytes);
    if (!b->offsets || !b->types || !b->strings) {
        btf_free(b);
        return chv_err_set(err, ENOMEM, "out of memory");
    }
    memcpy(b->types, types, h.type_bytes);
    memcpy(b->strings, strings, h.string_bytes);
    index_types(b->types, h.type_bytes, b->offsets);
    for (uint32_t id = 1; id < count; id++)
        if (!type_is_sound(b, id)) {
            btf_free(b);
            return chv_err_set(err, EBADMSG, "BTF: type %u refers to what is not there", id);
        }
    *out = b;
    return 0;
}

void btf_free(struct btf *btf)
{
    if (!btf) return;
    free(btf->offsets);
    free(btf->types);
    free(btf->strings);
    free(btf);
}

uint32_t btf_types(const struct btf *btf)
{
    return btf->count;
}

static bool named(const struct btf *b, uint32_t name, const char *text, size_t length)
{
    const char *s = b->strings + name; /* ends with a NUL inside of the strings */
    return strncmp(s, text, length) == 0 && s[length] == 0;
}

static uint32_t find(const struct btf *b, const char *name)
{
    for (uint32_t id = 1; id < b->count; id++) {
        struct btf_type t = type_at(b, id);
        if ((kind_of(&t) == STRUCT || kind_of(&t) == UNION) && named(b, t.name, name, strlen(name))) return id;
    }
    return 0;
}

/* Past const, volatile, typedef and the like. 0: void, or too many of them. */
static uint32_t strip(const struct btf *b, uint32_t id)
{
    for (int depth = 0; id != 0 && depth < DEPTH_MAX; depth++) {
        struct btf_type t = type_at(b, id);
        unsigned kind = kind_of(&t);
        if (kind != TYPEDEF && kind != VOLATILE && kind != CONST && kind != RESTRICT && kind != TYPE_TAG) return id;
        id = t.size_or_type;
    }
    return 0;
}

/* Size of a type, its number of elements when it is an array (of arrays: all of them). 0 when there is none. */
static uint32_t size_of(const struct btf *b, uint32_t id, uint32_t *count)
{
    uint64_t elements = 1, size = 0;
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        id = strip(b, id);
        if (id == 0) return 0;
        struct btf_type t = type_at(b, id);
        if (kind_of(&t) != ARRAY) {
            unsigned kind = kind_of(&t);
            if (kind == PTR) size = 8;
            bool sized = kind == INT || kind == STRUCT || kind == UNION || kind == ENUM || kind == ENUM64 || kind == FLOAT;
            if (sized) size = t.size_or_type;
            break;
        }
        struct btf_array a = array_at(b, id);
        elements *= a.count;
        if (elements > UINT32_MAX) return 0;
        id = a.type;
    }
    *count = (uint32_t)elements;
    return elements * size > UINT32_MAX ? 0 : (uint32_t)(elements * size);
}

/* A member by name, also inside of anonymous ones. *base grows by the offset of what was looked into. Returns its type.
 * *budget bounds the members looked at: a struct may claim to hold itself many times. */
static uint32_t find_member(const struct btf *b, uint32_t id, const char *name, size_t length, unsigned *budget, int depth,
                            uint64_t *base)
{
    struct btf_type t = type_at(b, id);
    if ((kind_of(&t) != STRUCT && kind_of(&t) != UNION) || depth == DEPTH_MAX) return 0;
    bool bits = t.info >> 31;
    for (unsigned i = 0; i < member_count(&t) && *budget > 0; i++) {
        --*budget;
        struct btf_member m = member_at(b, id, i);
        uint32_t bit = bits ? m.offset & 0xffffff : m.offset;
        bool anonymous = b->strings[m.name] == 0;
        bool hit = !anonymous && named(b, m.name, name, length);
        if ((!anonymous && !hit) || bit % 8 != 0 || (bits && m.offset >> 24 != 0)) continue;
        uint64_t inside = *base + bit / 8;
        uint32_t type = hit ? m.type : strip(b, m.type);
        if (!hit && type != 0) type = find_member(b, type, name, length, budget, depth + 1, &inside);
        if (type != 0) {
            *base = inside;
            return type;
        }
    }
    return 0;
}

int btf_field(const struct btf *btf, const char *type, const char *path, struct btf_field *out)
{
    uint32_t id = find(btf, type), whole = btf_size(btf, type);
    uint64_t offset = 0;
    while (id != 0) {
        size_t length = strcspn(path, ".");
        unsigned budget = MEMBERS_MAX;
        id = find_member(btf, id, path, length, &budget, 0, &offset);
        if (id == 0) return -ENOENT;
        if (path[length] == 0) break;
        path += length + 1;
        id = strip(btf, id);
    }
    if (id == 0) return -ENOENT;
    *out = (struct btf_field){.count = 1};
    out->bytes = size_of(btf, id, &out->count);
    if (offset > whole || out->bytes > whole - offset) return -ENOENT; /* outside of the struct it is in */
    out->offset = (uint32_t)offset;
    return 0;
}

uint32_t btf_size(const struct btf *btf, const char *type)
{
    uint32_t id = find(btf, type);
    if (id == 0) return 0;
    struct btf_type t = type_at(btf, id);
    return t.size_or_type;
}
