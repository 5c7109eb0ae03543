#include "sensor/memory/linux_modules.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/linux_impl.h"

/* Where x86-64 Linux puts modules, with KASLR or without (Documentation/arch/x86/x86_64/mm.rst); their struct module lies in there, too. */
#define MODULES_FIRST UINT64_C(0xffffffffa0000000)
#define MODULES_LAST UINT64_C(0xfffffffffeffffff)
#define MEMORIES_MAX 16u
#define SCAN_BYTES (UINT32_C(1) << 20)
#define MODULE_BYTES_MAX (UINT64_C(1) << 30)

/* Linux 6.4 has an array of memories, each with its base and size; before it there were two layouts, for good and for initialisation. */
struct places {
    uint32_t list, name, state, references;
    uint32_t bases[MEMORIES_MAX], sizes[MEMORIES_MAX], count;
};

static bool field(const struct linux_kernel *k, const char *type, const char *path, uint32_t bytes, uint32_t *offset)
{
    struct btf_field f;
    *offset = LINUX_NONE;
    if (btf_field(k->btf, type, path, &f) < 0 || f.bytes < bytes || f.offset >= 65536) return false;
    *offset = f.offset;
    return true;
}

static bool find_memories(const struct linux_kernel *k, struct places *at)
{
    struct btf_field memories;
    uint32_t base, size, stride = btf_size(k->btf, "module_memory");
    if (btf_field(k->btf, "module", "mem", &memories) == 0 && stride > 0 && memories.count <= MEMORIES_MAX && memories.offset < 65536 &&
        memories.count * (uint64_t)stride <= memories.bytes && field(k, "module_memory", "base", 8, &base) &&
        field(k, "module_memory", "size", 4, &size)) {
        for (uint32_t i = 0; i < memories.count; i++) {
            at->bases[i] = memories.offset + i * stride + base;
            at->sizes[i] = memories.offset + i * stride + size;
        }
        at->count = memories.count;
        return true;
    }
    at->count = 2;
    return field(k, "module", "core_layout.base", 8, &at->bases[0]) && field(k, "module", "core_layout.size", 4, &at->sizes[0]) &&
           field(k, "module", "init_layout.base", 8, &at->bases[1]) && field(k, "module", "init_layout.size", 4, &at->sizes[1]);
}

static bool find_places(const struct linux_kernel *k, struct places *at)
{
    field(k, "module", "refcnt.counter", 4, &at->references);
    return field(k, "module", "list", 16, &at->list) && field(k, "module", "name", 16, &at->name) &&
           field(k, "module", "state", 4, &at->state) && find_memories(k, at);
}

/* False: there is no module. Its name decides, which the kernel only takes from letters, digits and the underscore. */
static bool read_module(struct linux_kernel *k, const struct places *at, uint64_t address, struct linux_module *m)
{
    uint32_t references;
    *m = (struct linux_module){.address = address, .references = INT32_MIN};
    if (!linux_u32(k, address + at->state, &m->state) || m->state > LINUX_MODULE_UNFORMED ||
        walk_read(&k->walk, address + at->name, m->name, 55) < 0 || m->name[0] == 0)
        return false;
    for (const char *c = m->name; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_' && *c != '-') return false;
    for (uint32_t i = 0; i < at->count; i++) {
        uint32_t size;
        if (!linux_u32(k, address + at->sizes[i], &size) || size > MODULE_BYTES_MAX) return false;
        m->bytes += size;
    }
    if (!linux_u64(k, address + at->bases[0], &m->base) || !linux_is_pointer(k, m->base)) return false;
    if (at->references != LINUX_NONE && linux_u32(k, address + at->references, &references) && references > 0 && references < INT32_MAX)
        m->references = (int32_t)references - 1; /* a module that is there counts itself */
    return true;
}

/* Each must point back to the one before, so no module is met twice before the head is. */
static int follow(struct linux_kernel *k, const struct places *at, uint64_t head, struct linux_module **out, size_t *count, bool *broken)
{
    uint64_t node = head, next, back;
    size_t room = 0;
    *out = NULL;
    *count = 0;
    *broken = true;
    while (linux_u64(k, node, &next)) {
        struct linux_module m;
        if (next == head) {
            *broken = false;
            break;
        }
        if (*count == LINUX_MODULES_MAX || !linux_is_pointer(k, next) || !linux_u64(k, next + 8, &back) || back != node ||
            !read_module(k, at, next - at->list, &m))
            break;
        if (*count == room) {
            room = room ? room * 2 : 64;
            struct linux_module *grown = realloc(*out, room * sizeof *grown);
            if (!grown) {
                free(*out);
                return -ENOMEM;
            }
            *out = grown;
        }
        (*out)[(*count)++] = m;
        node = next;
    }
    return 0;
}

struct search {
    const struct places *at;
    struct linux_module *list;
    size_t count;
    bool broken;
};

/* No symbol says where the list begins. But its head is in the image, and points into a module that points back to it. */
static int try_head(struct linux_kernel *k, uint64_t va, uint64_t first, struct search *s)
{
    uint64_t back;
    struct linux_module m, *list;
    size_t count;
    bool broken;
    if (!linux_u64(k, first + 8, &back) || back != va || !read_module(k, s->at, first - s->at->list, &m)) return 0;
    int r = follow(k, s->at, va, &list, &count, &broken);
    if (r < 0) return r;
    if (count > s->count) {
        free(s->list);
        s->list = list;
        s->count = count;
        s->broken = broken;
    } else {
        free(list);
    }
    return 0;
}

static int scan_image(struct linux_kernel *k, struct search *s)
{
    uint64_t *words = malloc(SCAN_BYTES);
    int r = words ? 0 : -ENOMEM;
    for (size_t i = 0; i < k->run_count && r == 0; i++)
        for (uint64_t at = 0, n; at < k->runs[i].bytes && r == 0; at += n) {
            uint64_t left = k->runs[i].bytes - at, va = k->runs[i].va + at;
            n = left < SCAN_BYTES ? left : SCAN_BYTES;
            if (walk_read_some(&k->walk, va, words, (size_t)n) == 0) continue;
            for (size_t w = 0; w < n / sizeof *words && r == 0; w++)
                if (words[w] >= MODULES_FIRST && words[w] <= MODULES_LAST && words[w] % 8 == 0)
                    r = try_head(k, va + w * sizeof *words, words[w], s);
        }
    free(words);
    return r;
}

int linux_modules(struct linux_kernel *k, struct linux_module **out, size_t *count, bool *broken, struct chv_err *err)
{
    struct places at = {.list = LINUX_NONE};
    struct search s = {.at = &at};
    if (!find_places(k, &at)) return chv_err_set(err, ENOENT, "the kernel's type information has no modules");
    if (scan_image(k, &s) < 0) {
        free(s.list);
        return chv_err_set(err, ENOMEM, "out of memory");
    }
    if (s.count == 0) return chv_err_set(err, ENOENT, "no list of modules was found; none may be loaded");
    *out = s.list;
    *count = s.count;
    *broken = s.broken;
    return 0;
}
