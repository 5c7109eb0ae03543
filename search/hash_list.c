/* One line at a time, never trusting it. The format is told by the lines themselves:
 *
 *   %%%% HASHDEEP-1.0          then "%%%% size,md5,sha256,filename": comma-separated rows
 *   HEX [ *]NAME               a hash and perhaps a name; "NAME offset A-B" gives the place in it
 *   HEX TAB HEX TAB N          hashdb: file hash, block hash, number of the block from 1
 *   { "block_hash": HEX, … }   hashdb export; {"file_hash": …} rows describe sources and are passed over
 *
 * Blank lines and lines that begin with # are ignored. */
#include "search/hash_list.h"

#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"

#define LINE_MAX_BYTES (1u << 20)
#define COLUMNS_MAX 8

enum column { COLUMN_SIZE, COLUMN_MD5, COLUMN_SHA256, COLUMN_OTHER, COLUMN_NAME };

struct hash_list {
    FILE *in;
    char *label;
    uint32_t block_bytes;
    char *line;
    size_t capacity;
    uint64_t line_number;
    bool hashdeep;
    enum column columns[COLUMNS_MAX];
    size_t column_count;
    char name[80]; /* of a JSON row's source */
};

struct hash_list *hash_list_new(FILE *in, const char *label, uint32_t block_bytes)
{
    struct hash_list *list = calloc(1, sizeof *list);
    if (!list) return NULL;
    list->in = in;
    list->label = strdup(label);
    list->block_bytes = block_bytes;
    list->capacity = 512;
    list->line = malloc(list->capacity);
    if (list->label && list->line) return list;
    hash_list_free(list);
    return NULL;
}

void hash_list_free(struct hash_list *list)
{
    if (!list) return;
    free(list->label);
    free(list->line);
    free(list);
}

__attribute__((format(printf, 3, 4))) static int bad_line(const struct hash_list *list, struct chv_err *err,
                                                          const char *fmt, ...)
{
    char text[360];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    /* what came from the file may hold anything: keep the message one printable line */
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    return chv_err_set(err, EINVAL, "%.80s:%llu: %s", list->label, (unsigned long long)list->line_number, text);
}

/* Returns 1 with list->line (without its end), 0 at the end of the file, or -errno. */
static int read_line(struct hash_list *list, struct chv_err *err)
{
    size_t n = 0;
    int c;
    list->line_number++;
    while ((c = getc_unlocked(list->in)) != EOF && c != '\n') {
        if (c == 0) return bad_line(list, err, "a NUL byte: this is no text file");
        if (n + 2 > list->capacity) {
            if (list->capacity >= LINE_MAX_BYTES)
                return bad_line(list, err, "a line of more than %u bytes: this is no hash list", LINE_MAX_BYTES);
            char *grown = realloc(list->line, 2 * list->capacity);
            if (!grown) return chv_err_set(err, ENOMEM, "out of memory");
            list->line = grown;
            list->capacity *= 2;
        }
        list->line[n++] = (char)c;
    }
    if (c == EOF && ferror(list->in))
        return chv_err_set(err, errno ? errno : EIO, "%s: reading failed: %s", list->label, strerror(errno));
    if (c == EOF && n == 0) return 0;
    while (n > 0 && (list->line[n - 1] == '\r' || list->line[n - 1] == ' ')) n--;
    list->line[n] = 0;
    return 1;
}

static size_t hex_run(const char *text)
{
    size_t n = 0;
    while (isxdigit((unsigned char)text[n])) n++;
    return n;
}

/* Takes the hash at `text` (`digits` long) into the entry by its length. */
static int take_hash(struct hash_list *list, const char *text, size_t digits, struct hash_entry *out,
                     struct chv_err *err)
{
    if (digits == 2 * CHV_HASH_BYTES) {
        out->has_sha256 = true;
        hex_parse(text, out->sha256, CHV_HASH_BYTES);
    } else if (digits == 2 * MD5_BYTES) {
        out->has_md5 = true;
        hex_parse(text, out->md5, MD5_BYTES);
    } else if (digits == 40) {
        return bad_line(list, err, "a SHA-1; blocks are known by SHA-256 or MD5 only");
    } else {
        return bad_line(list, err, "'%.40s' is no SHA-256 or MD5 in hexadecimal", text);
    }
    return 1;
}

static bool parse_u64(const char *text, char end, uint64_t *out)
{
    char *stop;
    errno = 0;
    if (!isdigit((unsigned char)text[0])) return false;
    *out = strtoull(text, &stop, 10);
    return errno == 0 && *stop == end;
}

static int take_size(struct hash_list *list, uint64_t size, struct hash_entry *out, struct chv_err *err)
{
    if (size > list->block_bytes)
        return bad_line(list, err, "a hash of %llu bytes, but this store has blocks of %u: make the list with -p %u",
                        (unsigned long long)size, list->block_bytes, list->block_bytes);
    out->too_short = size < list->block_bytes;
    return 1;
}

/* "NAME offset A-B", as md5deep and hashdeep -p write it: cut off and noted. */
static int take_name(struct hash_list *list, char *name, struct hash_entry *out, struct chv_err *err)
{
    out->name = name;
    char *mark = NULL;
    for (char *p = name; (p = strstr(p, " offset ")) != NULL; p++) mark = p;
    if (!mark) return 1;
    char *dash = strchr(mark + 8, '-');
    uint64_t first, last;
    if (!dash || !parse_u64(dash + 1, 0, &last) || !parse_u64(mark + 8, '-', &first)) return 1; /* just a name */
    if (last < first || last - first == UINT64_MAX)
        return bad_line(list, err, "offset %llu-%llu runs backwards", (unsigned long long)first,
                        (unsigned long long)last);
    *mark = 0;
    out->has_offset = true;
    out->offset = first;
    return take_size(list, last - first + 1, out, err);
}

static int parse_plain(struct hash_list *list, struct hash_entry *out, struct chv_err *err)
{
    char *line = list->line;
    while (isblank((unsigned char)*line)) line++;
    size_t digits = hex_run(line);
    char *rest = line + digits;
    if (*rest == '\t' && hex_run(rest + 1) >= 2 * MD5_BYTES && rest[1 + hex_run(rest + 1)] == '\t') {
        char *block = rest + 1;
        size_t block_digits = hex_run(block);
        uint64_t number;
        if (!parse_u64(block + block_digits + 1, 0, &number) || number == 0 ||
            number - 1 > UINT64_MAX / list->block_bytes)
            return bad_line(list, err, "'%.40s' is no block number (from 1)", block + block_digits + 1);
        *rest = 0;
        out->name = line;
        out->has_offset = true;
        out->offset = (number - 1) * list->block_bytes;
        return take_hash(list, block, block_digits, out, err);
    }
    if (*rest && !isblank((unsigned char)*rest))
        return bad_line(list, err, "'%.40s' is no SHA-256 or MD5 in hexadecimal", line);
    int r = take_hash(list, line, digits, out, err);
    if (r < 0) return r;
    while (isblank((unsigned char)*rest)) rest++;
    if (*rest == '*') rest++;
    return take_name(list, rest, out, err);
}

static int parse_hashdeep_columns(struct hash_list *list, struct chv_err *err)
{
    char *at = list->line + 4;
    while (isblank((unsigned char)*at)) at++;
    list->column_count = 0;
    bool hash = false;
    for (char *save = NULL, *word = strtok_r(at, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
        if (list->column_count == COLUMNS_MAX) return bad_line(list, err, "too many columns");
        enum column c = strcmp(word, "size") == 0       ? COLUMN_SIZE
                        : strcmp(word, "md5") == 0      ? COLUMN_MD5
                        : strcmp(word, "sha256") == 0   ? COLUMN_SHA256
                        : strcmp(word, "sha-256") == 0  ? COLUMN_SHA256
                        : strcmp(word, "filename") == 0 ? COLUMN_NAME
                                                        : COLUMN_OTHER;
        hash |= c == COLUMN_MD5 || c == COLUMN_SHA256;
        list->columns[list->column_count++] = c;
    }
    if (list->column_count < 2 || list->columns[0] != COLUMN_SIZE ||
        list->columns[list->column_count - 1] != COLUMN_NAME)
        return bad_line(list, err, "hashdeep columns begin with size and end with filename");
    if (!hash) return bad_line(list, err, "no md5 or sha256 column: make the list with -c sha256 (or -c md5)");
    return 1;
}

static int parse_hashdeep(struct hash_list *list, struct hash_entry *out, struct chv_err *err)
{
    if (list->column_count == 0) return bad_line(list, err, "the line of column names (%%%%%%%% size,…) is missing");
    char *at = list->line;
    uint64_t size = 0;
    for (size_t i = 0; i < list->column_count; i++) {
        if (list->columns[i] == COLUMN_NAME) {
            int r = take_size(list, size, out, err);
            return r < 0 ? r : take_name(list, at, out, err);
        }
        char *comma = strchr(at, ',');
        if (!comma) return bad_line(list, err, "fewer columns than the header names");
        size_t digits = hex_run(at);
        size_t want = list->columns[i] == COLUMN_MD5 ? 2 * MD5_BYTES : 2 * CHV_HASH_BYTES;
        if (list->columns[i] == COLUMN_SIZE && !parse_u64(at, ',', &size))
            return bad_line(list, err, "'%.20s' is no size", at);
        if (list->columns[i] == COLUMN_MD5 || list->columns[i] == COLUMN_SHA256) {
            if (digits != want || at + digits != comma)
                return bad_line(list, err, "'%.70s' is no %s in hexadecimal", at,
                                list->columns[i] == COLUMN_MD5 ? "MD5" : "SHA-256");
            take_hash(list, at, digits, out, err);
        }
        at = comma + 1;
    }
    return bad_line(list, err, "no file name");
}

/* Returns 1, 0 for a row that is no block, or -errno. */
static int parse_json(struct hash_list *list, struct hash_entry *out, struct chv_err *err)
{
    json_error_t fault;
    json_t *root = json_loads(list->line, JSON_REJECT_DUPLICATES, &fault);
    if (!root) return bad_line(list, err, "not JSON: %s", fault.text);
    int r = 0;
    const char *block = json_string_value(json_object_get(root, "block_hash"));
    if (block) {
        size_t digits = hex_run(block);
        r = block[digits] ? bad_line(list, err, "block_hash '%.70s' is not hexadecimal", block)
                          : take_hash(list, block, digits, out, err);
        json_t *sources = json_object_get(root, "source_sub_counts");
        if (!sources) sources = json_object_get(root, "source_offsets");
        const char *source = json_string_value(json_array_get(sources, 0));
        const char *tag = json_string_value(json_object_get(root, "block_label"));
        snprintf(list->name, sizeof list->name, "%.70s", source ? source : tag ? tag : "");
        out->name = list->name;
    } else if (!json_object_get(root, "file_hash")) {
        r = bad_line(list, err, "neither block_hash nor file_hash: this is no hashdb export");
    }
    json_decref(root);
    return r;
}

int hash_list_next(struct hash_list *list, struct hash_entry *out, struct chv_err *err)
{
    for (;;) {
        int r = read_line(list, err);
        if (r <= 0) return r;
        *out = (struct hash_entry){.name = "", .line = list->line_number};
        const char *line = list->line;
        size_t blank = strspn(line, " \t");
        if (!line[blank] || line[0] == '#') continue;
        if (strncmp(line, "%%%%", 4) == 0) {
            if (list->hashdeep) {
                r = parse_hashdeep_columns(list, err);
            } else if (strcmp(line + 4 + strspn(line + 4, " "), "HASHDEEP-1.0") == 0) {
                list->hashdeep = true;
            } else {
                r = bad_line(list, err, "'%.40s' is no header known here (%%%%%%%% HASHDEEP-1.0)", line);
            }
            if (r < 0) return r;
            continue;
        }
        r = list->hashdeep       ? parse_hashdeep(list, out, err)
            : line[blank] == '{' ? parse_json(list, out, err)
                                 : parse_plain(list, out, err);
        if (r != 0) return r;
    }
}
