#include "sensor/memory/monitor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"

/* Up to 16 hexadecimal digits, at least one; *at moves behind them. */
static bool hex_number(const char **at, uint64_t *out)
{
    uint64_t value = 0;
    int digits = 0;
    for (; digits < 16; digits++, (*at)++) {
        int d = hex_digit(**at);
        if (d < 0) break;
        value = value << 4 | (uint64_t)d;
    }
    *out = value;
    return digits > 0 && hex_digit(**at) < 0;
}

static bool literal(const char **at, const char *text)
{
    size_t n = strlen(text);
    if (strncmp(*at, text, n) != 0) return false;
    *at += n;
    return true;
}

/* Copy the line at *text (cut to size - 1) and move to the next; false at the end. */
static bool next_line(const char **text, char *line, size_t size)
{
    if (!**text) return false;
    size_t n = strcspn(*text, "\n"), kept = n < size - 1 ? n : size - 1;
    memcpy(line, *text, kept);
    line[kept] = 0;
    if (kept > 0 && line[kept - 1] == '\r') line[kept - 1] = 0;
    *text += n + ((*text)[n] == '\n');
    return true;
}

/* "  0000000000100000-000000007fffffff (prio 0, ram): m @0000000000100000 KVM"
 * 1: a range, 0: something else that maps there, -1: not such a line. */
static int mtree_range(const char *line, struct ram_range *out)
{
    const char *at = line;
    uint64_t first, last;
    *out = (struct ram_range){0};
    if (!literal(&at, "  ") || !hex_number(&at, &first) || !literal(&at, "-") || !hex_number(&at, &last)) return -1;
    if (!literal(&at, " (prio ") || last < first || last - first == UINT64_MAX) return -1;
    at += strspn(at, "-0123456789");
    if (!literal(&at, ", ")) return -1;
    const char *kind = at;
    size_t kind_bytes = strcspn(at, ")");
    at += kind_bytes;
    if (!literal(&at, "): ")) return -1;
    if (!(kind_bytes == 3 && (memcmp(kind, "ram", 3) == 0 || memcmp(kind, "rom", 3) == 0))) return 0;
    size_t name_bytes = strcspn(at, " ");
    if (name_bytes == 0 || name_bytes >= LAYOUT_NAME_BYTES) return -1;
    memcpy(out->region, at, name_bytes);
    at += name_bytes;
    if (literal(&at, " @") && !hex_number(&at, &out->offset)) return -1;
    literal(&at, " KVM");
    if (*at) return -1;
    out->gpa = first;
    out->bytes = last - first + 1;
    return 1;
}

int monitor_mtree(const char *text, struct ram_layout *out, struct chv_err *err)
{
    char line[512];
    bool wanted = false, found = false;
    out->count = 0;
    while (next_line(&text, line, sizeof line)) {
        if (strncmp(line, "FlatView", 8) == 0) {
            if (found) break;
            wanted = false;
        }
        const char *as = " AS \"memory\", root: ";
        if (strncmp(line, as, strlen(as)) == 0) wanted = found = true;
        if (!wanted || strncmp(line, "  ", 2) != 0) continue;
        struct ram_range range;
        int r = strstr(line, "No rendered FlatView") ? 0 : mtree_range(line, &range);
        if (r < 0) return chv_err_set(err, EPROTO, "QEMU's 'info mtree -f' has a line that is not known: '%.80s'", line);
        if (r == 0) continue;
        if (range.gpa % LAYOUT_PAGE_BYTES || range.bytes % LAYOUT_PAGE_BYTES) continue; /* small ROMs of devices */
        if (out->count == LAYOUT_RANGES_MAX)
            return chv_err_set(err, E2BIG, "the guest's memory has more than %u pieces", LAYOUT_RANGES_MAX);
        out->ranges[out->count++] = range;
    }
    if (!found) return chv_err_set(err, EPROTO, "QEMU's 'info mtree -f' does not describe the guest's memory");
    return layout_normalise(out, err);
}

/* The value after " NAME=" or at the start of the line. */
static bool field(const char *line, const char *name, uint64_t *out)
{
    const size_t n = strlen(name);
    for (const char *at = line; (at = strstr(at, name)); at += n) {
        if (at > line && at[-1] != ' ') continue;
        const char *value = at + n;
        return hex_number(&value, out);
    }
    return false;
}

/* "GS =0000 ffff88817bc00000 ffffffff 00000000", "IDT=     fffffe0000000000 00000fff": the base is the 16 digits. */
static bool base_of(const char *line, uint64_t *out)
{
    const char *at = strchr(line, '=') + 1;
    if (*at != ' ') at += strcspn(at, " ");
    at += strspn(at, " ");
    return hex_number(&at, out);
}

static bool register_line(const char *line, struct vcpu *cpu)
{
    uint64_t value;
    if (strncmp(line, "RIP=", 4) == 0 || strncmp(line, "EIP=", 4) == 0) {
        if (!field(line, line[0] == 'R' ? "RIP=" : "EIP=", &cpu->rip)) return false;
        if (field(line, "CPL=", &value)) cpu->cpl = (uint8_t)(value & 3);
        if (field(line, "HLT=", &value)) cpu->halted = value != 0;
    } else if (strncmp(line, "CR0=", 4) == 0) {
        return field(line, "CR0=", &cpu->cr0) && field(line, "CR3=", &cpu->cr3) && field(line, "CR4=", &cpu->cr4);
    } else if (strncmp(line, "EFER=", 5) == 0) {
        return field(line, "EFER=", &cpu->efer);
    } else if (strncmp(line, "GS =", 4) == 0) {
        return base_of(line, &cpu->gs_base);
    } else if (strncmp(line, "IDT=", 4) == 0) {
        return base_of(line, &cpu->idt_base);
    }
    return true;
}

int monitor_registers(const char *text, struct vcpu *out, size_t room, struct chv_err *err)
{
    char line[512];
    size_t count = 0;
    bool has_cr3 = true;
    while (next_line(&text, line, sizeof line)) {
        unsigned number;
        if (strncmp(line, "CPU#", 4) == 0) {
            if (sscanf(line, "CPU#%u", &number) != 1 || number != count || !has_cr3 || count == room)
                return chv_err_set(err, EPROTO, "QEMU's 'info registers -a': '%.60s' does not fit", line);
            out[count++] = (struct vcpu){0};
            has_cr3 = false;
        } else if (count > 0) {
            if (!register_line(line, &out[count - 1]))
                return chv_err_set(err, EPROTO, "QEMU's 'info registers -a' has a line that is not known: '%.80s'", line);
            has_cr3 |= strncmp(line, "CR0=", 4) == 0;
        }
    }
    if (count == 0 || !has_cr3) return chv_err_set(err, EPROTO, "QEMU's 'info registers -a' names no CR3");
    return (int)count;
}
