#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

static bool progress_wanted(void)
{
    const char *forced = getenv("CHRONOVISOR_PROGRESS");
    if (forced) return forced[0] == '1';
    return isatty(STDERR_FILENO) == 1;
}

/* The only file-scope state of the command line: one progress line, on one terminal. */
static struct {
    bool shown;
    struct timespec last;
} progress;

void cli_progress(const char *what, uint64_t done, uint64_t total)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double since = (double)(now.tv_sec - progress.last.tv_sec) + (double)(now.tv_nsec - progress.last.tv_nsec) * 1e-9;
    if ((progress.last.tv_sec != 0 && since < 0.2 && done < total) || !progress_wanted()) return;
    progress.last = now;
    progress.shown = true;
    if (total > 0)
        fprintf(stderr, "\r%s %3.0f%%  ", what, 100.0 * (double)done / (double)total);
    else
        fprintf(stderr, "\r%s %llu  ", what, (unsigned long long)done);
}

void cli_progress_end(void)
{
    if (progress.shown) fputc('\n', stderr);
    progress.shown = false;
}

void cli_error_line(const char *verb, const char *text)
{
    fprintf(stderr, "chronovisor%s%s: ", *verb ? " " : "", verb);
    /* A newline or an escape sequence in a file name must not forge lines or move the terminal's cursor. */
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            fprintf(stderr, "\\x%02x", (unsigned)*p);
        else
            fputc(*p, stderr);
    fputc('\n', stderr);
}

/* Length of the valid UTF-8 sequence at p (at most n bytes), or 0. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    size_t want = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] <= 0xdf ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4 : 0;
    if (want == 0 || want > n) return 0;
    for (size_t i = 1; i < want; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (want == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))) return 0;
    if (want == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))) return 0;
    return want;
}

void cli_json_string(FILE *out, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t left = strlen(text);
    fputc('"', out);
    while (left > 0) {
        size_t n = utf8_length(p, left);
        if (n == 1 && (*p == '"' || *p == '\\'))
            fprintf(out, "\\%c", *p);
        else if (n == 0 || *p < 0x20 || *p == 0x7f)
            fprintf(out, "\\u%04x", *p);
        else
            fwrite(p, 1, n, out);
        n = n ? n : 1;
        p += n;
        left -= n;
    }
    fputc('"', out);
}
