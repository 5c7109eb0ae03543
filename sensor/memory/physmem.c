#include "sensor/memory/physmem.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

enum { PAGE = PHYSMEM_PAGE_BYTES };
#define LIME_MAGIC 0x4c694d45u
#define ADDRESS_END (UINT64_C(1) << 52) /* x86-64 has 52 physical address bits */

struct physmem {
    int fd;                /* of an image; -1: none of our own */
    struct chv_view *view; /* borrowed */
    size_t count;
    uint64_t bytes;
    struct physmem_range ranges[PHYSMEM_RANGES_MAX];
};

/* Whole pages inside the file only; ranges come in order of base, and the next begins after the last. */
static bool add_range(struct physmem *m, uint64_t base, uint64_t bytes, uint64_t offset, uint64_t file_bytes)
{
    if (offset > file_bytes || base >= ADDRESS_END || base % PAGE) return true; /* holds nothing */
    if (bytes > file_bytes - offset) bytes = file_bytes - offset;
    if (bytes > ADDRESS_END - base) bytes = ADDRESS_END - base;
    bytes -= bytes % PAGE;
    if (bytes == 0) return true;
    size_t at = m->count;
    while (at > 0 && m->ranges[at - 1].base > base) at--;
    if (at > 0 && m->ranges[at - 1].base + m->ranges[at - 1].bytes > base) return true; /* the first one counts */
    if (at < m->count && base + bytes > m->ranges[at].base) return true;
    if (m->count == PHYSMEM_RANGES_MAX) return false;
    memmove(&m->ranges[at + 1], &m->ranges[at], (m->count - at) * sizeof *m->ranges);
    m->ranges[at] = (struct physmem_range){base, bytes, offset, m->fd};
    m->count++;
    m->bytes += bytes;
    return true;
}

static int elf_ranges(struct physmem *m, const Elf64_Ehdr *h, uint64_t file_bytes, const char *path, struct chv_err *err)
{
    uint32_t count = h->e_phnum;
    if (h->e_machine != EM_X86_64 || h->e_phentsize != sizeof(Elf64_Phdr))
        return chv_err_set(err, EINVAL, "%s: an ELF file, but no core of an x86-64 machine", path);
    if (count == PN_XNUM) { /* the number is in section 0 */
        Elf64_Shdr section;
        if (io_pread_full(m->fd, &section, sizeof section, h->e_shoff) < 0)
            return chv_err_set(err, EINVAL, "%s: the number of program headers is outside of the file", path);
        count = section.sh_info;
    }
    for (uint32_t i = 0; i < count && i < 65536; i++) {
        Elf64_Phdr p;
        if (io_pread_full(m->fd, &p, sizeof p, h->e_phoff + (uint64_t)i * sizeof p) < 0)
            return chv_err_set(err, EINVAL, "%s: program header %u is outside of the file", path, i);
        if (p.p_type == PT_LOAD && !add_range(m, p.p_paddr, p.p_filesz, p.p_offset, file_bytes))
            return chv_err_set(err, E2BIG, "%s: more than %u ranges of memory", path, PHYSMEM_RANGES_MAX);
    }
    return 0;
}

/* LiME: a header of 32 bytes (magic, version, first and last address, reserved) before each range. */
static int lime_ranges(struct physmem *m, uint64_t file_bytes, const char *path, struct chv_err *err)
{
    struct {
        uint32_t magic, version;
        uint64_t first, last, reserved;
    } h;
    for (uint64_t at = 0; file_bytes - at >= sizeof h;) {
        if (io_pread_full(m->fd, &h, sizeof h, at) < 0 || h.magic != LIME_MAGIC || h.last < h.first)
            return chv_err_set(err, EINVAL, "%s: a LiME dump with a wrong header at byte %llu", path, (unsigned long long)at);
        uint64_t bytes = h.last - h.first + 1;
        at += sizeof h;
        if (!add_range(m, h.first, bytes, at, file_bytes))
            return chv_err_set(err, E2BIG, "%s: more than %u ranges of memory", path, PHYSMEM_RANGES_MAX);
        if (bytes == 0 || bytes > file_bytes - at) break;
        at += bytes;
    }
    return 0;
}

static int image_ranges(struct physmem *m, uint64_t bytes, const char *path, struct chv_err *err)
{
    Elf64_Ehdr h;
    if (io_pread_full(m->fd, &h, sizeof h, 0) < 0)
        return chv_err_set(err, ENODATA, "%s: %llu bytes are no memory", path, (unsigned long long)bytes);
    uint32_t magic;
    memcpy(&magic, &h, sizeof magic);
    int r = 0;
    if (memcmp(h.e_ident, ELFMAG, SELFMAG) == 0 && h.e_ident[EI_CLASS] == ELFCLASS64 && h.e_type == ET_CORE)
        r = elf_ranges(m, &h, bytes, path, err);
    else if (magic == LIME_MAGIC)
        r = lime_ranges(m, bytes, path, err);
    else
        add_range(m, 0, bytes, 0, bytes);
    if (r == 0 && m->count == 0) r = chv_err_set(err, ENODATA, "%s: holds no page of memory", path);
    return r;
}

int physmem_open_image(const char *path, struct physmem **out, struct chv_err *err)
{
    struct stat st;
    struct physmem *m = calloc(1, sizeof *m);
    if (!m) return chv_err_set(err, ENOMEM, "out of memory");
    int r;
    m->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (m->fd < 0 || fstat(m->fd, &st) < 0) {
        r = chv_err_set(err, errno, "%s: %s", path, strerror(errno));
        goto err_close;
    }
    if (!S_ISREG(st.st_mode)) {
        r = chv_err_set(err, EINVAL, "%s: not a regular file", path);
        goto err_close;
    }
    r = image_ranges(m, (uint64_t)st.st_size, path, err);
    if (r < 0) goto err_close;
    *out = m;
    return 0;
err_close:
    physmem_close(m);
    return r;
}

int physmem_open_view(struct chv_view *view, struct physmem **out, struct chv_err *err)
{
    struct physmem *m = calloc(1, sizeof *m);
    if (!m) return chv_err_set(err, ENOMEM, "out of memory");
    m->fd = -1;
    m->view = view;
    add_range(m, 0, chv_view_size_bytes(view), 0, chv_view_size_bytes(view));
    if (m->count == 0) {
        free(m);
        return chv_err_set(err, ENODATA, "the space holds no page of memory");
    }
    *out = m;
    return 0;
}

int physmem_open_ranges(const struct physmem_range *ranges, size_t count, struct physmem **out, struct chv_err *err)
{
    struct physmem *m = calloc(1, sizeof *m);
    if (!m) return chv_err_set(err, ENOMEM, "out of memory");
    m->fd = -1;
    for (size_t i = 0; i < count; i++) {
        if (!add_range(m, ranges[i].base, ranges[i].bytes, ranges[i].offset, UINT64_MAX)) {
            free(m);
            return chv_err_set(err, E2BIG, "more than %u ranges of memory", PHYSMEM_RANGES_MAX);
        }
        if (m->count > 0) m->ranges[m->count - 1].fd = ranges[i].fd;
    }
    if (m->count == 0) {
        free(m);
        return chv_err_set(err, ENODATA, "the guest has no page of memory");
    }
    *out = m;
    return 0;
}

void physmem_close(struct physmem *mem)
{
    if (!mem) return;
    if (mem->fd >= 0) close(mem->fd);
    free(mem);
}

size_t physmem_ranges(const struct physmem *mem, const struct physmem_range **out)
{
    *out = mem->ranges;
    return mem->count;
}

uint64_t physmem_bytes(const struct physmem *mem)
{
    return mem->bytes;
}

uint64_t physmem_end(const struct physmem *mem)
{
    return mem->ranges[mem->count - 1].base + mem->ranges[mem->count - 1].bytes;
}

static const struct physmem_range *find_range(const struct physmem *m, uint64_t address)
{
    size_t low = 0, high = m->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (address >= m->ranges[middle].base + m->ranges[middle].bytes)
            low = middle + 1;
        else
            high = middle;
    }
    return low < m->count && address >= m->ranges[low].base ? &m->ranges[low] : NULL;
}

bool physmem_is_ram(const struct physmem *mem, uint64_t address, uint64_t bytes)
{
    while (bytes > 0) {
        const struct physmem_range *range = find_range(mem, address);
        if (!range) return false;
        uint64_t left = range->bytes - (address - range->base), n = left < bytes ? left : bytes;
        address += n;
        bytes -= n;
    }
    return true;
}

bool physmem_shared(const struct physmem *mem)
{
    return mem->view == NULL; /* pread has no state */
}

int physmem_read(struct physmem *mem, uint64_t address, void *buf, size_t bytes)
{
    for (uint8_t *p = buf; bytes > 0;) {
        const struct physmem_range *range = find_range(mem, address);
        if (!range) return -EFAULT;
        uint64_t inside = address - range->base, left = range->bytes - inside;
        size_t n = left < bytes ? (size_t)left : bytes;
        int r = mem->view ? chv_view_pread(mem->view, p, n, range->offset + inside, NULL)
                          : io_pread_full(range->fd, p, n, range->offset + inside);
        if (r < 0) return -EIO;
        p += n;
        address += n;
        bytes -= n;
    }
    return 0;
}
