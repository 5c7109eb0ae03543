/* The hypervisor's small parts: lines, memory, configuration. */
#include "tests/visor/fake.h"
#include "visor/core/clock.h"
#include "visor/core/config.h"
#include "visor/core/memory.h"

__attribute__((format(printf, 2, 3))) static const char *formatted(size_t size, const char *format, ...)
{
    static char text[64];
    va_list args;
    memset(text, '#', sizeof text);
    va_start(args, format);
    size_t n = print_format(text, size, format, args);
    va_end(args);
    CHECK(n < size && strlen(text) == n);
    return text;
}

static void lines(void)
{
    CHECK(!strcmp(formatted(64, "a%sc %u %x", "b", 42u, 0xbeefu), "abc 42 beef"));
    CHECK(!strcmp(formatted(64, "%016llx|%5u|%03u%%%x", 0xfee00000ull, 12u, 7u, 15u), "00000000fee00000|   12|007%f"));
    CHECK(!strcmp(formatted(64, "%s %llu", "", (unsigned long long)UINT64_MAX), " 18446744073709551615"));
    CHECK(!strcmp(formatted(4, "abcdef"), "abc"));
    CHECK(!strcmp(formatted(1, "%u", 5u), ""));

    fake_console_clear();
    print("hello %u", 1u);
    CHECK(!strcmp(fake_console, "visor: hello 1\r\n"));
    char big[2 * PRINT_MAX];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = 0;
    fake_console_clear();
    print("%s", big);
    CHECK(strlen(fake_console) < PRINT_MAX && strstr(fake_console, "x\r\n"));
}

static void memory(void)
{
    static _Alignas(4096) unsigned char arena[3 * 4096];
    memset(arena, 0xaa, sizeof arena);
    memory_init((uintptr_t)arena, sizeof arena);
    unsigned char *a = memory_alloc(10, 1), *b = memory_alloc(4096, 4096);
    CHECK(a == arena && b == arena + 4096 && !a[0] && !b[4095] && arena[4095] == 0xaa);
    CHECK(memory_left() == 4096);
}

#define WIRE "nic 00:06.0\nkey " KEY "\naddress 10.0.2.15\ncollector 10.0.2.2\n"
#define KEY "00112233445566778899aAbBcCdDeEfF00112233445566778899aabbccddeeff"

static const char *read_text(struct config *c, const char *text)
{
    return config_read(c, text, strlen(text));
}

/* What each setting may be, what it is without a line, and where it ends up. */
static void configuration(void)
{
    struct config c;
    CHECK(!read_text(&c, "") && !read_text(&c, "# nothing\n \t\r\n\n#"));
    CHECK(c.nic == CONFIG_NONE && !c.hidden && !c.loader[0] && !strcmp(c.sensor, "visor") && c.memory_mib == 32 && c.port == 7788);
    CHECK(c.requests && !c.gap_when_full && c.ring_mib == 16 && c.finish_seconds == 30 && !c.ignore_unknown && c.camera_content);
    CHECK(!memcmp(c.mask, "\xff\xff\xff\0", 4) && !c.camera_pages && c.camera_bytes == UINT64_MAX && !config_has(&c, "hypercall"));
    CHECK(!read_text(&c, WIRE "  options  a b  c\t\r\nloader \\EFI\\x.efi \r\nhide 00:03.0\nhide ff:1f.7\nmask 255.255.240.0\ngateway 10.0.2.3\n"
                         "port 0xffff\nsensor " "a234567890123456789012345678901\nrequests 0\nhypercall 0102030405060708090a0b0c0d0e0f10\n"
                         "when_full gap\nring_mib 1\nfinish_seconds 0\nunknown_storage ignore\nmemory_mib 4096\ntrim_reads_zeros 1\n"
                         "camera_pages 1024\ncamera_period_ms 10\ncamera_from 0x10000000\ncamera_bytes 4096\ncamera_content 0\n"
                         "camera_seed 18446744073709551615\nprint_events 1"));
    CHECK(!strcmp(c.loader, "\\EFI\\x.efi") && !strcmp(c.options, "a b  c") && c.hidden == 2 && c.hide[0] == 3 << 3 && c.hide[1] == 0xffff);
    CHECK(c.nic == 6 << 3 && c.key[10] == 0xaa && c.key[31] == 0xff && !memcmp(c.address, "\x0a\0\x02\x0f", 4) && c.collector[3] == 2);
    CHECK(c.mask[2] == 240 && c.gateway[3] == 3 && c.port == 65535 && strlen(c.sensor) == 31 && !c.requests && c.gap_when_full);
    CHECK(config_has(&c, "hypercall") && c.hypercall[0] == UINT64_C(0x0807060504030201) && c.ring_mib == 1 && !c.finish_seconds);
    CHECK(c.ignore_unknown && c.memory_mib == 4096 && c.trim_reads_zeros && c.camera_pages == 1024 && c.camera_period_ms == 10);
    CHECK(c.camera_from == 0x10000000 && c.camera_bytes == 4096 && !c.camera_content && c.camera_seed == UINT64_MAX && c.print_events);
}

/* What is not one of these is refused with its line, and nothing is taken for something else. */
static void refusals(void)
{
    static const struct {
        const char *line, *why;
    } cases[] = {
        {"sensor a2345678901234567890123456789012", "sensor must be 1 to 31"}, {"sensor a b", "sensor must be"}, {"sensor \"a", "sensor must be"},
        {"mask 255.255.255", "mask must be"}, {"mask 255.0.255.0", "mask must be"}, {"mask 255.255.255.0.", "mask must be"},
        {"gateway 10.0.2.256", "gateway must be"}, {"gateway", "gateway must be"}, {"gateway gone", "gateway must be"},
        {"masc 255.255.255.0", "nothing has this name"}, {"Mask 255.255.255.0", "nothing has this name"}, {"mask=1.2.3.4", "nothing has this name"},
        {"port 0", "port must be from 1 to 65535"}, {"port 65536", "port must be"}, {"port 7788 # the usual one", "port must be"},
        {"port -1", "port must be"}, {"port 0x", "port must be"}, {"port 12a", "port must be"}, {"port 18446744073709551617", "port must be"},
        {"requests yes", "requests must be 0 or 1"}, {"requests 2", "requests must be"}, {"when_full Gap", "when_full must be wait or gap"},
        {"key " KEY, "key once more"}, {"nic 00:07.0", "nic once more"}, {"hide 00:20.0", "hide must be"}, {"hide 00:03.8", "hide must be"},
        {"hide 0:03.0", "hide must be"}, {"hide 00:03", "hide must be"}, {"hide 00:03.00", "hide must be"}, {"hide zz:03.0", "hide must be"},
        {"hypercall 0011", "hypercall must be 32"}, {"hypercall " KEY, "hypercall must be"}, {"ring_mib 0", "ring_mib must be"},
        {"memory_mib 31", "memory_mib must be even"}, {"memory_mib 6", "memory_mib must be"}, {"memory_mib 4098", "memory_mib must be"},
        {"unknown_storage warn", "unknown_storage must be"}, {"trim_reads_zeros on", "trim_reads_zeros must be"},
        {"camera_pages 1025", "camera_pages must be"}, {"camera_seed x", "camera_seed must be"}, {"print_events 2", "print_events must be"},
        {"finish_seconds 1 hour", "finish_seconds must be"}, {"loader \\EFI\\\xc3\xa4.efi", "loader must be"}, {"options a\x01", "options must be"},
    };
    char text[2048], want[128];
    struct config c;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        snprintf(text, sizeof text, WIRE "%s\r\nloader \\x\noptions y\nnonsense 1", cases[i].line);
        snprintf(want, sizeof want, "chronovisor.cfg, line 5: %s", cases[i].why);
        const char *why = read_text(&c, text);
        CHECK(why && !strncmp(why, want, strlen(want)) && strlen(why) < sizeof c.why - 1);
        if (strncmp(cases[i].line, "loader", 6)) CHECK(!strcmp(c.loader, "\\x")); /* the machine goes on with its own */
    }
    for (size_t n = 250; n < 800; n += 5) { /* too long for where it goes */
        memset(text, 'x', sizeof text);
        memcpy(text, "loader ", 7);
        CHECK(!config_read(&c, text, n) == (n <= 7 + 255));
        memcpy(text, "loader y\noptions ", 17);
        CHECK(!config_read(&c, text, n) == (n <= 17 + 511));
    }
    for (unsigned n = 1; n <= CONFIG_HIDE_MAX + 1; n++) {
        for (unsigned i = 0; i < n; i++) memcpy(text + 13 * i, "hide 00:03.0\n", 13);
        CHECK(!config_read(&c, text, 13 * n) == (n <= CONFIG_HIDE_MAX) && c.hidden <= CONFIG_HIDE_MAX);
    }
    /* what is of no use without another */
    CHECK(!strcmp(read_text(&c, "collector 10.0.2.2"), "chronovisor.cfg: collector without nic"));
    CHECK(!strcmp(read_text(&c, "options a"), "chronovisor.cfg: options without loader"));
    CHECK(!strcmp(read_text(&c, "camera_content 0"), "chronovisor.cfg: camera_content without camera_pages"));
    CHECK(!strcmp(read_text(&c, "nic 00:06.0\naddress 10.0.2.15\ncollector 10.0.2.2"), "chronovisor.cfg: nic without key"));
    CHECK(!strcmp(read_text(&c, "nic 00:06.0\nkey " KEY), "chronovisor.cfg: nic without address"));
    CHECK(config_read(&c, "n\0i\0c\0", 6) && config_read(&c, "\xef\xbb\xbfnic 00:06.0", 14) && config_read(&c, "print_events 1\0", 15));
    for (size_t n = 0; n < sizeof WIRE; n++) { /* cut off anywhere */
        char *copy = malloc(n + 1);
        memcpy(copy, WIRE, n);
        CHECK(!config_read(&c, copy, n) == (!n || n >= sizeof WIRE - 2));
        free(copy);
    }
}

/* Against timegm, every day from 1970 to 2200. */
static void dates(void)
{
    for (time_t t = 0; t < (time_t)230 * 365 * 86400; t += 86399) {
        struct tm d;
        gmtime_r(&t, &d);
        unsigned seconds = (unsigned)(d.tm_hour * 3600 + d.tm_min * 60 + d.tm_sec);
        uint64_t ns = clock_from_date((unsigned)d.tm_year + 1900, (unsigned)d.tm_mon + 1, (unsigned)d.tm_mday, seconds, 7);
        CHECK(ns == (uint64_t)t * 1000000000 + 7);
    }
    CHECK(!clock_from_date(2026, 13, 1, 0, 0) && !clock_from_date(1969, 1, 1, 0, 0) && !clock_from_date(2026, 1, 0, 0, 0));
    clock_init(3000000000, 0, 5);
    uint64_t a = clock_ns(), b = clock_ns();
    CHECK(a <= b && a > 5);
}

int main(void)
{
    lines();
    memory();
    configuration();
    refusals();
    dates();
    return 0;
}
