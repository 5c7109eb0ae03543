/* The headers that other tools read, byte by byte: LiME's and ELF's; and which page is a VMCOREINFO note. */
#include <elf.h>

#include "sensor/memory/export.h"
#include "tests/unit.h"

enum { PAGE = LAYOUT_PAGE_BYTES };

static uint64_t little(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;) value = value << 8 | at[i];
    return value;
}

/* https://github.com/504ensicsLabs/LiME: "EMiL", version 1, first and last address (that one included), 8 bytes of zeros. */
static void lime(void)
{
    uint8_t h[EXPORT_LIME_HEADER_BYTES];
    const struct ram_range range = {.gpa = UINT64_C(0x100000000), .bytes = 3 * PAGE};
    memset(h, 0xff, sizeof h);
    export_lime_header(&range, h);
    CHECK(memcmp(h, "EMiL\1\0\0\0", 8) == 0);
    CHECK(little(h + 8, 8) == UINT64_C(0x100000000) && little(h + 16, 8) == UINT64_C(0x100002fff) && little(h + 24, 8) == 0);
}

static const struct ram_layout two = {.count = 2, .ranges = {{.gpa = 0, .bytes = 2 * PAGE}, {.gpa = UINT64_C(0x100000000), .bytes = PAGE}}};

static void check_load(const uint8_t *p, uint64_t address, uint64_t bytes, uint64_t offset)
{
    CHECK(little(p, 4) == PT_LOAD && little(p + 4, 4) == (PF_R | PF_W | PF_X));
    CHECK(little(p + 8, 8) == offset && offset % PAGE == 0);
    CHECK(little(p + 24, 8) == address); /* p_paddr */
    CHECK(little(p + 32, 8) == bytes && little(p + 40, 8) == bytes);
}

static void elf(size_t note_bytes)
{
    uint8_t h[EXPORT_ELF_HEADER_BYTES + 3 * EXPORT_ELF_SEGMENT_BYTES];
    const uint64_t data = export_elf_data_offset(&two), note_offset = data + 3 * PAGE;
    CHECK(data == PAGE);
    memset(h, 0xff, sizeof h);
    size_t segments = note_bytes ? 3 : 2, n = export_elf_headers(&two, data, note_offset, note_bytes, h);
    CHECK(n == 64 + segments * 56 && n <= data);
    CHECK(memcmp(h, "\177ELF\2\1\1", 7) == 0 && little(h + 16, 2) == ET_CORE && little(h + 18, 2) == EM_X86_64 && little(h + 20, 4) == 1);
    CHECK(little(h + 32, 8) == 64 && little(h + 52, 2) == 64 && little(h + 54, 2) == 56 && little(h + 56, 2) == segments);
    const uint8_t *p = h + 64;
    if (note_bytes) {
        CHECK(little(p, 4) == PT_NOTE && little(p + 8, 8) == note_offset && little(p + 32, 8) == note_bytes);
        p += 56;
    }
    check_load(p, 0, 2 * PAGE, PAGE);
    check_load(p + 56, UINT64_C(0x100000000), PAGE, 3 * PAGE);
}

/* The headers of the most ranges there can be are one piece before the data. */
static void many_ranges(void)
{
    static struct ram_layout all = {.count = LAYOUT_RANGES_MAX};
    static uint8_t h[EXPORT_ELF_HEADER_BYTES + (1 + LAYOUT_RANGES_MAX) * EXPORT_ELF_SEGMENT_BYTES];
    for (size_t i = 0; i < all.count; i++) all.ranges[i] = (struct ram_range){.gpa = 2 * i * PAGE, .bytes = PAGE};
    uint64_t data = export_elf_data_offset(&all);
    CHECK(export_elf_headers(&all, data, 0, 8, h) == sizeof h && data >= sizeof h && data % PAGE == 0);
    check_load(h + sizeof h - 56, 2 * 255 * PAGE, PAGE, data + 255 * PAGE);
}

static void vmcoreinfo(void)
{
    uint8_t page[PAGE] = {0};
    const char text[] = "OSRELEASE=6.1.0\nPAGESIZE=4096\n";
    const Elf64_Nhdr note = {.n_namesz = 11, .n_descsz = sizeof text - 1};
    memcpy(page, &note, sizeof note);
    memcpy(page + sizeof note, "VMCOREINFO", 11);
    memcpy(page + sizeof note + 12, text, sizeof text - 1);
    CHECK(export_vmcoreinfo(page, PAGE) == sizeof note + 12 + (sizeof text - 1 + 3) / 4 * 4);
    CHECK(export_vmcoreinfo(page, 30) == 0);
    for (uint32_t bytes = PAGE - 24; bytes <= PAGE - 23; bytes++) { /* just as long as the page, and longer */
        memcpy(page + 4, &bytes, 4);
        CHECK(export_vmcoreinfo(page, PAGE) == (bytes == PAGE - 24 ? PAGE : 0));
    }
    memset(page + 4, 0xff, 4);
    CHECK(export_vmcoreinfo(page, PAGE) == 0);
    memcpy(page, &note, sizeof note);
    page[sizeof note] = 'v';
    CHECK(export_vmcoreinfo(page, PAGE) == 0);
}

int main(void)
{
    lime();
    elf(0);
    elf(2048);
    many_ranges();
    vmcoreinfo();
    CHECK(export_format_parse("lime") == EXPORT_LIME && export_format_parse("qcow2") < 0);
    return 0;
}
