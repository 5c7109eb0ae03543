#include <elf.h>
#include <string.h>

#include "sensor/memory/export.h"

_Static_assert(sizeof(Elf64_Ehdr) == EXPORT_ELF_HEADER_BYTES, "ELF header");
_Static_assert(sizeof(Elf64_Phdr) == EXPORT_ELF_SEGMENT_BYTES, "ELF program header");

/* https://github.com/504ensicsLabs/LiME, doc/README.md: the last address is inclusive. */
void export_lime_header(const struct ram_range *range, uint8_t out[EXPORT_LIME_HEADER_BYTES])
{
    const struct {
        uint32_t magic, version;
        uint64_t first, last, reserved;
    } header = {.magic = 0x4c694d45, .version = 1, .first = range->gpa, .last = range->gpa + range->bytes - 1};
    _Static_assert(sizeof header == EXPORT_LIME_HEADER_BYTES, "LiME header");
    memcpy(out, &header, sizeof header);
}

uint64_t export_elf_data_offset(const struct ram_layout *layout)
{
    uint64_t headers = EXPORT_ELF_HEADER_BYTES + (1 + (uint64_t)layout->count) * EXPORT_ELF_SEGMENT_BYTES;
    return (headers + LAYOUT_PAGE_BYTES - 1) / LAYOUT_PAGE_BYTES * LAYOUT_PAGE_BYTES;
}

size_t export_elf_headers(const struct ram_layout *layout, uint64_t data_offset, uint64_t note_offset, size_t note_bytes,
                          uint8_t *out)
{
    bool note = note_bytes > 0;
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof header,
        .e_ehsize = sizeof header,
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (Elf64_Half)(layout->count + note),
    };
    uint8_t *at = out;
    memcpy(at, &header, sizeof header);
    at += sizeof header;
    if (note) {
        Elf64_Phdr p = {.p_type = PT_NOTE, .p_offset = note_offset, .p_filesz = note_bytes, .p_memsz = note_bytes, .p_align = 4};
        memcpy(at, &p, sizeof p);
        at += sizeof p;
    }
    for (size_t i = 0; i < layout->count; i++) {
        const struct ram_range *r = &layout->ranges[i];
        Elf64_Phdr p = {.p_type = PT_LOAD, .p_flags = PF_R | PF_W | PF_X, .p_offset = data_offset, .p_vaddr = r->gpa,
                        .p_paddr = r->gpa, .p_filesz = r->bytes, .p_memsz = r->bytes, .p_align = LAYOUT_PAGE_BYTES};
        memcpy(at, &p, sizeof p);
        at += sizeof p;
        data_offset += r->bytes;
    }
    return (size_t)(at - out);
}

size_t export_vmcoreinfo(const uint8_t *page, size_t bytes)
{
    static const char name[12] = "VMCOREINFO", first[] = "OSRELEASE=";
    Elf64_Nhdr note;
    if (bytes < sizeof note + sizeof name + sizeof first) return 0;
    memcpy(&note, page, sizeof note);
    if (note.n_namesz != 11 || note.n_type != 0 || memcmp(page + sizeof note, name, sizeof name) != 0) return 0;
    size_t head = sizeof note + sizeof name;
    if (note.n_descsz < sizeof first || note.n_descsz > bytes - head) return 0;
    if (memcmp(page + head, first, sizeof first - 1) != 0) return 0;
    size_t whole = head + ((size_t)note.n_descsz + 3) / 4 * 4;
    return whole <= bytes && whole <= EXPORT_NOTE_MAX ? whole : 0;
}
