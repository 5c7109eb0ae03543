/* A line each "name value"; one that begins with "#" is a comment. Nothing is guessed: what is not understood is refused. */
#include "visor/core/config.h"
#include "visor/core/print.h"
#include "visor/net/udp.h"

enum kind { TEXT, NAME, NUMBER, WORD, DIGITS, ADDRESS, MASK, FUNCTION };
#define AT(field) offsetof(struct config, field), sizeof(((struct config *)0)->field)
#define AN_ADDRESS "an IPv4 address"
#define A_FUNCTION "a PCI function like 00:03.0, eight of them at most"
#define YES_OR_NO "0 or 1"

static const struct setting {
    const char *name, *needs, *must; /* be; and there must be one that it needs */
    enum kind kind;
    size_t at, bytes;
    uint64_t least, most, step;
    const char *words[2]; /* for 0 and 1 */
} settings[] = {
    {"loader", NULL, "a path of at most 255 characters", TEXT, AT(loader)},
    {"options", "loader", "at most 511 characters", TEXT, AT(options)},
    {"hide", NULL, A_FUNCTION, FUNCTION, AT(hide)},
    {"memory_mib", NULL, "even, from 8 to 4096", NUMBER, AT(memory_mib), 8, 4096, 2},
    {"nic", NULL, A_FUNCTION, FUNCTION, AT(nic)},
    {"key", "nic", "64 hexadecimal digits", DIGITS, AT(key)},
    {"address", "nic", AN_ADDRESS, ADDRESS, AT(address)},
    {"mask", "nic", "the mask of an IPv4 network", MASK, AT(mask)},
    {"gateway", "nic", AN_ADDRESS, ADDRESS, AT(gateway)},
    {"collector", "nic", AN_ADDRESS, ADDRESS, AT(collector)},
    {"port", "nic", "from 1 to 65535", NUMBER, AT(port), 1, 65535, 1},
    {"sensor", "nic", "1 to 31 characters without blanks, quotes and slashes", NAME, AT(sensor)},
    {"requests", "nic", YES_OR_NO, NUMBER, AT(requests), 0, 1, 1},
    {"hypercall", "nic", "32 hexadecimal digits", DIGITS, AT(hypercall)},
    {"when_full", "nic", "wait or gap", WORD, AT(gap_when_full), .words = {"wait", "gap"}},
    {"ring_mib", "nic", "from 1 to 4096", NUMBER, AT(ring_mib), 1, 4096, 1},
    {"finish_seconds", "nic", "from 0 to 86400", NUMBER, AT(finish_seconds), 0, 86400, 1},
    {"unknown_storage", NULL, "refuse or ignore", WORD, AT(ignore_unknown), .words = {"refuse", "ignore"}},
    {"trim_reads_zeros", NULL, YES_OR_NO, NUMBER, AT(trim_reads_zeros), 0, 1, 1},
    {"camera_pages", NULL, "from 0 to 1024", NUMBER, AT(camera_pages), 0, 1024, 1},
    {"camera_period_ms", "camera_pages", "from 10 to 86400000", NUMBER, AT(camera_period_ms), 10, 86400000, 1},
    {"camera_from", "camera_pages", "a multiple of 4096", NUMBER, AT(camera_from), 0, UINT64_MAX, PAGE_BYTES},
    {"camera_bytes", "camera_pages", "a multiple of 4096", NUMBER, AT(camera_bytes), PAGE_BYTES, UINT64_MAX, PAGE_BYTES},
    {"camera_content", "camera_pages", YES_OR_NO, NUMBER, AT(camera_content), 0, 1, 1},
    {"camera_seed", "camera_pages", "a number", NUMBER, AT(camera_seed), 0, UINT64_MAX, 1},
    {"print_events", NULL, YES_OR_NO, NUMBER, AT(print_events), 0, 1, 1},
};

static void refuse(struct config *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void refuse(struct config *c, const char *format, ...)
{
    va_list args;
    if (c->why[0]) return;
    va_start(args, format);
    print_format(c->why, sizeof c->why, format, args);
    va_end(args);
}

static const struct setting *find(const char *name, size_t n)
{
    for (const struct setting *s = settings; s < settings + ARRAY_LENGTH(settings); s++)
        if (strlen(s->name) == n && !memcmp(s->name, name, n)) return s;
    return NULL;
}

static unsigned digit(char c)
{
    unsigned letter = ((unsigned char)c | 0x20u) - 'a';
    return c >= '0' && c <= '9' ? (unsigned)(c - '0') : letter < 6 ? letter + 10 : 16;
}

static bool parse_number(const char *text, uint64_t *value)
{
    unsigned base = text[0] == '0' && text[1] == 'x' ? 16 : 10;
    const char *c = base == 16 ? text + 2 : text;
    for (*value = 0; *c; c++) {
        if (digit(*c) >= base || *value > (UINT64_MAX - digit(*c)) / base) return false;
        *value = *value * base + digit(*c);
    }
    return c[-1] != 'x';
}

static bool parse_digits(const char *text, uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < 2 * bytes; i++) {
        if (digit(text[i]) > 15) return false; /* also where it ends */
        out[i / 2] = (uint8_t)(i % 2 ? out[i / 2] | digit(text[i]) : digit(text[i]) << 4);
    }
    return !text[2 * bytes];
}

/* "bb:dd.f", as lspci has them */
static bool parse_function(const char *text, uint64_t *bdf)
{
    uint8_t b[3];
    if (strlen(text) != 7 || text[2] != ':' || text[5] != '.') return false;
    const char digits[] = {text[0], text[1], text[3], text[4], '0', text[6], 0};
    if (!parse_digits(digits, b, sizeof b) || b[1] > 31 || b[2] > 7) return false;
    *bdf = (uint64_t)b[0] << 8 | (uint64_t)b[1] << 3 | b[2];
    return true;
}

/* The value to where it belongs; false if it is not what it must be. */
static bool parse(const struct setting *s, const char *text, void *field)
{
    uint64_t value = 0;
    size_t n = strlen(text);
    bool done = true;
    switch (s->kind) {
    case TEXT:
    case NAME:
        if (n >= s->bytes) return false;
        memset(field, 0, s->bytes);
        memcpy(field, text, n);
        return s->kind == TEXT || chv_wire_sensor_fits(field);
    case DIGITS: return parse_digits(text, field, s->bytes);
    case MASK: /* ones, then zeros */
        if (!udp_parse_address(text, field)) return false;
        memcpy(&value, field, 4);
        value = ~__builtin_bswap32((uint32_t)value);
        return !((value + 1) & value & UINT32_MAX);
    case ADDRESS: return udp_parse_address(text, field);
    case FUNCTION: done = parse_function(text, &value); break;
    case WORD:
        value = !strcmp(text, s->words[1]);
        done = value || !strcmp(text, s->words[0]);
        break;
    case NUMBER: done = parse_number(text, &value) && value >= s->least && value <= s->most && value % s->step == 0;
    }
    if (done) memcpy(field, &value, sizeof value);
    return done;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void take(struct config *c, unsigned number, const char *line, size_t n)
{
    char text[CONFIG_VALUE_MAX];
    size_t name = 0, at, length;
    while (name < n && !blank(line[name])) name++;
    for (at = name; at < n && blank(line[at]);) at++;
    length = n - at < sizeof text ? n - at : sizeof text - 1;
    memcpy(text, line + at, length);
    text[length] = 0;
    const struct setting *s = find(line, name);
    if (!s) {
        refuse(c, "chronovisor.cfg, line %u: nothing has this name", number);
        return;
    }
    uint64_t bit = UINT64_C(1) << (s - settings), *field = (uint64_t *)(void *)((uint8_t *)c + s->at);
    bool several = field == c->hide, sane = length && length == n - at && (!several || c->hidden < CONFIG_HIDE_MAX);
    for (size_t i = 0; i < length; i++) sane &= (text[i] >= ' ' && text[i] <= '~') || text[i] == '\t';
    if (c->given & bit && !several) refuse(c, "chronovisor.cfg, line %u: %s once more", number, s->name);
    if (!sane || !parse(s, text, several ? field + c->hidden++ : field))
        refuse(c, "chronovisor.cfg, line %u: %s must be %s", number, s->name, s->must);
    c->given |= bit;
}

bool config_has(const struct config *c, const char *name)
{
    return c->given >> (find(name, strlen(name)) - settings) & 1;
}

const char *config_read(struct config *c, const char *text, size_t bytes)
{
    static const char *const with_nic[] = {"key", "address", "collector"};
    const char *end = text + bytes, *stop;
    *c = (struct config){.sensor = "visor", .mask = {255, 255, 255}, .port = 7788, .requests = 1, .memory_mib = 32, .ring_mib = 16,
                         .finish_seconds = 30, .nic = CONFIG_NONE, .camera_period_ms = 1000, .camera_bytes = UINT64_MAX, .camera_content = 1};
    for (unsigned number = 1; text < end; text = stop + 1, number++) {
        const char *last;
        for (stop = text; stop < end && *stop != '\n';) stop++;
        while (text < stop && blank(*text)) text++;
        for (last = stop; last > text && blank(last[-1]);) last--;
        if (last > text && *text != '#') take(c, number, text, (size_t)(last - text));
    }
    for (const struct setting *s = settings; s < settings + ARRAY_LENGTH(settings); s++)
        if (s->needs && config_has(c, s->name) && !config_has(c, s->needs)) refuse(c, "chronovisor.cfg: %s without %s", s->name, s->needs);
    for (unsigned i = 0; config_has(c, "nic") && i < ARRAY_LENGTH(with_nic); i++)
        if (!config_has(c, with_nic[i])) refuse(c, "chronovisor.cfg: nic without %s", with_nic[i]);
    return c->why[0] ? c->why : NULL;
}
