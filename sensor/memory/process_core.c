#include "sensor/memory/process_core.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = PHYSMEM_PAGE_BYTES, CHUNK_BYTES = 256 << 10 };
#define RIGHTS (WALK_WRITE | WALK_EXEC)

/* Runs that follow each other with the same rights are one segment. Returns where the next one begins. */
static size_t segment_end(const struct pages *pages, size_t first, uint64_t *bytes)
{
    size_t i = first + 1;
    *bytes = pages->list[first].bytes;
    for (; i < pages->count && pages->list[i].va == pages->list[first].va + *bytes &&
           ((pages->list[i].flags ^ pages->list[first].flags) & RIGHTS) == 0; i++)
        *bytes += pages->list[i].bytes;
    return i;
}

static int write_all(int fd, const void *data, size_t bytes, const char *path, struct chv_err *err)
{
    for (const char *p = data; bytes > 0;) {
        ssize_t n = write(fd, p, bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return chv_err_set(err, n < 0 ? errno : EIO, "%s: %s", path, strerror(n < 0 ? errno : EIO));
        p += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* More than 65534 program headers do not fit the header's field: their number is then in section header 0. */
static int write_headers(const struct process_core *c, int fd, const char *path, uint64_t segments, const char *notes, size_t note_bytes,
                         struct chv_err *err)
{
    uint64_t headers = segments + 1;
    bool many = headers >= PN_XNUM;
    Elf64_Shdr section = {.sh_info = (uint32_t)headers};
    Elf64_Ehdr h = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT}, .e_type = ET_CORE,
                    .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_ehsize = sizeof h, .e_phentsize = sizeof(Elf64_Phdr),
                    .e_phnum = many ? PN_XNUM : (uint16_t)headers, .e_phoff = sizeof h + (many ? sizeof section : 0)};
    if (many) {
        h.e_shoff = sizeof h;
        h.e_shentsize = sizeof section;
        h.e_shnum = 1;
    }
    uint64_t at = h.e_phoff + headers * sizeof(Elf64_Phdr), data = (at + note_bytes + PAGE - 1) / PAGE * PAGE, bytes;
    Elf64_Phdr note = {.p_type = PT_NOTE, .p_offset = at, .p_filesz = note_bytes, .p_align = 4};
    int r = write_all(fd, &h, sizeof h, path, err);
    if (r == 0 && many) r = write_all(fd, &section, sizeof section, path, err);
    if (r == 0) r = write_all(fd, &note, sizeof note, path, err);
    for (size_t i = 0, end; i < c->pages->count && r == 0; i = end) {
        end = segment_end(c->pages, i, &bytes);
        const struct page_run *run = &c->pages->list[i];
        Elf64_Phdr load = {.p_type = PT_LOAD, .p_flags = PF_R | (run->flags & WALK_WRITE ? PF_W : 0u) | (run->flags & WALK_EXEC ? PF_X : 0u),
                           .p_offset = data, .p_vaddr = run->va, .p_filesz = bytes, .p_memsz = bytes, .p_align = PAGE};
        r = write_all(fd, &load, sizeof load, path, err);
        data += bytes;
    }
    if (r == 0) r = write_all(fd, notes, note_bytes, path, err);
    static const char zeros[PAGE];
    uint64_t written = at + note_bytes;
    return r < 0 ? r : write_all(fd, zeros, (size_t)((PAGE - written % PAGE) % PAGE), path, err);
}

static int write_pages(const struct process_core *c, int fd, const char *path, struct process_core_result *out, struct chv_err *err)
{
    uint8_t *buf = malloc(CHUNK_BYTES);
    int r = buf ? 0 : chv_err_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < c->pages->count && r == 0; i++) {
        const struct page_run *run = &c->pages->list[i];
        for (uint64_t at = 0; at < run->bytes && r == 0;) {
            size_t n = run->bytes - at < CHUNK_BYTES ? (size_t)(run->bytes - at) : CHUNK_BYTES;
            if (physmem_read(c->mem, run->pa + at, buf, n) < 0)
                for (size_t p = 0; p < n; p += PAGE)
                    if (physmem_read(c->mem, run->pa + at + p, buf + p, PAGE) < 0) {
                        memset(buf + p, 0, PAGE);
                        out->unreadable_pages++;
                    }
            r = write_all(fd, buf, n, path, err);
            at += n;
            out->bytes += n;
        }
    }
    free(buf);
    return r;
}

int process_core_write(const struct process_core *core, const char *path, struct process_core_result *out, struct chv_err *err)
{
    char *notes = NULL;
    size_t note_bytes = 0;
    uint64_t bytes;
    *out = (struct process_core_result){0};
    for (size_t i = 0; i < core->pages->count; i = segment_end(core->pages, i, &bytes)) out->segments++;
    if (process_core_notes(core, &notes, &note_bytes) < 0) return chv_err_set(err, ENOMEM, "out of memory");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* another one's memory: not for everybody */
    int r = fd < 0 ? chv_err_set(err, errno, "%s: %s", path, strerror(errno)) : 0;
    if (r == 0) r = write_headers(core, fd, path, out->segments, notes, note_bytes, err);
    if (r == 0) r = write_pages(core, fd, path, out, err);
    if (fd >= 0 && close(fd) < 0 && r == 0) r = chv_err_set(err, errno, "%s: %s", path, strerror(errno));
    if (fd >= 0 && r < 0) unlink(path);
    free(notes);
    return r;
}
