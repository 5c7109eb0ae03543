#include "store/custody.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <openssl/sha.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/io.h"

#define LINE_MAX_BYTES (64 << 10)

struct chain {
    uint8_t head[32];
    uint64_t lines, bytes; /* bytes: of whole lines */
};

/* Walk the lines; with `check`, refuse the first that does not carry the digest of the one before. */
static int walk(FILE *f, const char *path, struct chain *chain, int check, struct chv_err *err)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    int r = 0;
    memset(chain, 0, sizeof *chain);
    while (r == 0 && (n = getline(&line, &room, f)) > 0) {
        if (line[n - 1] != '\n') break; /* torn by a crash: never acknowledged */
        line[n - 1] = 0;
        if (check) {
            json_t *entry = n < LINE_MAX_BYTES ? json_loads(line, JSON_REJECT_DUPLICATES, NULL) : NULL;
            const char *prev = json_string_value(json_object_get(entry, "prev"));
            char expected[65];
            hex_format(chain->head, 32, expected);
            if (!prev || strcmp(prev, expected) != 0)
                r = chv_err_set(err, EBADMSG, "%s: line %llu does not follow from the line before it", path,
                                (unsigned long long)chain->lines + 1);
            json_decref(entry);
        }
        SHA256((const uint8_t *)line, (size_t)n - 1, chain->head);
        chain->lines++;
        chain->bytes += (uint64_t)n;
    }
    free(line);
    return r;
}

static int scan(const char *store_dir, struct chain *chain, int check, struct chv_err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/custody.jsonl", store_dir);
    memset(chain, 0, sizeof *chain);
    FILE *f = fopen(path, "re");
    if (!f) return errno == ENOENT ? 0 : chv_err_set(err, errno, "%s: %s", path, strerror(errno));
    int r = walk(f, path, chain, check, err);
    fclose(f);
    return r;
}

int custody_head(const char *store_dir, uint8_t head[32], struct chv_err *err)
{
    struct chain chain;
    int r = scan(store_dir, &chain, 0, err);
    memcpy(head, chain.head, 32);
    return r;
}

int custody_verify(const char *store_dir, uint64_t *lines, struct chv_err *err)
{
    struct chain chain;
    int r = scan(store_dir, &chain, 1, err);
    *lines = chain.lines;
    return r;
}

static char *entry_text(const char *action, const char *detail, const char *reason, const uint8_t prev[32])
{
    char when[CLOCK_TEXT_BYTES], host[256] = "", digest[65], uid[32];
    gethostname(host, sizeof host - 1);
    struct passwd *pw = getpwuid(getuid());
    snprintf(uid, sizeof uid, "%u", (unsigned)getuid());
    json_t *entry = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "time", clock_format(clock_now_ns(), when),
                              "user", pw ? pw->pw_name : uid, "host", host, "pid", (int)getpid(), "action", action,
                              "detail", detail, "reason", reason, "prev", hex_format(prev, 32, digest));
    char *text = entry ? json_dumps(entry, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(entry);
    return text;
}

int custody_append(const char *store_dir, const char *action, const char *detail, const char *reason,
                   struct chv_err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/custody.jsonl", store_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return chv_err_set(err, errno, "%s: %s", path, strerror(errno));
    FILE *f = NULL;
    char *text = NULL;
    struct chain chain;
    int r = flock(fd, LOCK_EX) < 0 ? -errno : 0;
    if (r == 0 && !(f = fdopen(dup(fd), "r"))) r = -errno;
    if (r == 0) r = walk(f, path, &chain, 0, err);
    if (r == 0 && !(text = entry_text(action, detail, reason, chain.head)))
        r = chv_err_set(err, EINVAL, "custody: the reason or a name is not UTF-8");
    if (r == 0) {
        size_t n = strlen(text);
        text[n] = '\n'; /* over the terminator; the line is written by length */
        if (ftruncate(fd, (off_t)chain.bytes) < 0) r = -errno;
        if (r == 0) r = io_real.pwrite(&io_real, fd, text, n + 1, chain.bytes);
        if (r == 0 && fsync(fd) < 0) r = -errno;
        if (r == 0 && chain.bytes == 0) r = io_real.sync_dir(&io_real, store_dir); /* its name too, the first time */
        if (r < 0) chv_err_set(err, -r, "%s: %s", path, strerror(-r));
    }
    free(text);
    if (f) fclose(f);
    close(fd);
    return r;
}
