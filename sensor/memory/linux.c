#include "sensor/memory/linux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sensor/memory/linux_impl.h"

/* Where x86-64 Linux maps its image, wherever in there KASLR put it (Documentation/arch/x86/x86_64/mm.rst). */
#define IMAGE_FIRST UINT64_C(0xffffffff80000000)
#define IMAGE_LAST UINT64_C(0xffffffffbfffffff)
#define IMAGE_BYTES_MAX (UINT64_C(256) << 20) /* scanned at most */
#define SCAN_BYTES (UINT32_C(1) << 20)
#define BTF_BYTES_MIN 65536u /* a kernel's own, not a module's or a program's */

bool linux_u64(struct linux_kernel *k, uint64_t va, uint64_t *out)
{
    return walk_read(&k->walk, va, out, sizeof *out) == 0;
}

bool linux_u32(struct linux_kernel *k, uint64_t va, uint32_t *out)
{
    return walk_read(&k->walk, va, out, sizeof *out) == 0;
}

static int collect_run(void *arg, const struct walk_leaf *leaf)
{
    struct linux_kernel *k = arg;
    struct linux_run *last = k->run_count ? &k->runs[k->run_count - 1] : NULL;
    uint64_t va = leaf->va > IMAGE_FIRST ? leaf->va : IMAGE_FIRST;
    if (leaf->pa >= physmem_end(k->mem)) return 0;
    if (last && last->va + last->bytes == va) {
        last->bytes += leaf->bytes;
        return 0;
    }
    if (k->run_count == LINUX_RUNS_MAX) return 1;
    k->runs[k->run_count++] = (struct linux_run){va, leaf->bytes};
    return 0;
}

int linux_scan(struct linux_kernel *k, const void *needle, size_t bytes, linux_hit_fn *fn, void *arg)
{
    uint8_t *buf = malloc(SCAN_BYTES);
    if (!buf) return -ENOMEM;
    uint64_t budget = IMAGE_BYTES_MAX;
    int r = 0;
    for (size_t i = 0; i < k->run_count && r == 0; i++) {
        const struct linux_run *run = &k->runs[i];
        for (uint64_t at = 0; at + bytes <= run->bytes && r == 0 && budget > 0;) {
            size_t n = run->bytes - at < SCAN_BYTES ? (size_t)(run->bytes - at) : SCAN_BYTES;
            walk_read_some(&k->walk, run->va + at, buf, n);
            for (uint8_t *p = buf; r == 0 && (p = memmem(p, n - (size_t)(p - buf), needle, bytes)); p++)
                r = fn(k, run->va + at + (uint64_t)(p - buf), arg);
            at += n > bytes ? n - bytes + 1 : n; /* a hit may lie across the border */
            budget -= budget < n ? budget : n;
        }
    }
    free(buf);
    return r;
}

static int try_btf(struct linux_kernel *k, uint64_t va, void *arg)
{
    uint8_t header[BTF_HEADER_BYTES];
    struct chv_err *err = arg;
    size_t bytes = walk_read(&k->walk, va, header, sizeof header) == 0 ? btf_length(header) : 0;
    if (bytes < BTF_BYTES_MIN) return 0;
    uint8_t *data = malloc(bytes);
    if (!data) return -ENOMEM;
    if (walk_read(&k->walk, va, data, bytes) == 0 && btf_parse(data, bytes, &k->btf, err) == 0 &&
        linux_offsets_fill(k->btf, &k->at, err) < 0) {
        btf_free(k->btf);
        k->btf = NULL;
    }
    free(data);
    return k->btf ? 1 : 0;
}

/* The idle task of the first processor is in the image, has number 0 and begins the list of all tasks. */
static int try_init_task(struct linux_kernel *k, uint64_t va, void *arg)
{
    (void)arg;
    uint64_t task = va - k->at.task_comm, next, back, mm;
    uint32_t pid, tgid;
    if (task % 8 != 0 || !linux_u32(k, task + k->at.task_pid, &pid) || !linux_u32(k, task + k->at.task_tgid, &tgid) ||
        !linux_u64(k, task + k->at.task_mm, &mm) || pid != 0 || tgid != 0 || mm != 0)
        return 0;
    if (!linux_u64(k, task + k->at.task_tasks, &next) || !linux_is_pointer(k, next) || !linux_u64(k, next + 8, &back) ||
        back != task + k->at.task_tasks)
        return 0;
    k->init_task = task;
    return 1;
}

static int read_banner(struct linux_kernel *k, uint64_t va, void *arg)
{
    (void)arg;
    walk_read_some(&k->walk, va, k->banner, sizeof k->banner - 1);
    k->banner[strcspn(k->banner, "\n")] = 0;
    /* "%s" formats begin alike */
    return strchr(k->banner, '%') || k->banner[strlen("Linux version ")] < '0' || k->banner[strlen("Linux version ")] > '9' ? 0 : 1;
}

/* The family's members share the kernel's half, but a freed one may have been overwritten further down: take one that works. */
static bool find_image(struct linux_kernel *k)
{
    struct walk *w = malloc(sizeof *w);
    if (!w) return false;
    for (size_t i = 0; i < k->roots->count && i < 16 && k->run_count == 0; i++) {
        roots_walk(k->roots, k->mem, &k->roots->list[i], w);
        walk_each(w, IMAGE_FIRST, IMAGE_LAST, walk_tables_max(k->mem), collect_run, k);
        roots_walk(k->roots, k->mem, &k->roots->list[i], &k->walk);
    }
    free(w);
    return k->run_count > 0;
}

int linux_open(struct physmem *mem, const struct roots *roots, struct linux_kernel **out, struct chv_err *err)
{
    static const uint8_t btf_begin[] = {0x9f, 0xeb, 1, 0}; /* magic, version, flags */
    struct chv_err why = {0};
    struct linux_kernel *k = calloc(1, sizeof *k);
    if (!k) return chv_err_set(err, ENOMEM, "out of memory");
    k->mem = mem;
    k->roots = roots;
    int r;
    if (!find_image(k)) {
        r = chv_err_set(err, ENOENT, "nothing is mapped where Linux has its image");
        goto err_close;
    }
    r = linux_scan(k, btf_begin, sizeof btf_begin, try_btf, &why);
    if (r != 1) {
        r = chv_err_set(err, ENOENT, "no type information of a Linux kernel (BTF) in its image%s%s", why.text[0] ? ": " : "", why.text);
        goto err_close;
    }
    r = linux_scan(k, "swapper", 7, try_init_task, NULL);
    if (r != 1) {
        r = chv_err_set(err, ENOENT, "the kernel's first task was not found in its image");
        goto err_close;
    }
    if (linux_scan(k, "Linux version ", 14, read_banner, NULL) != 1) k->banner[0] = 0;
    *out = k;
    return 0;
err_close:
    linux_close(k);
    return r;
}

void linux_close(struct linux_kernel *k)
{
    if (!k) return;
    btf_free(k->btf);
    free(k);
}

const char *linux_banner(const struct linux_kernel *k)
{
    return k->banner;
}
