#include "cli/alarm_send.h"

#include <curl/curl.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

struct alarm_send {
    CURL *curl;
    struct curl_slist *headers;
    const char *url;
};

static size_t swallow(char *data, size_t size, size_t count, void *arg)
{
    (void)data, (void)arg;
    return size * count;
}

int alarm_send_new(const char *url, long seconds, struct alarm_send **out, struct chv_err *err)
{
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return chv_err_set(err, EINVAL, "--webhook '%.60s' begins with neither http:// nor https://", url);
    struct alarm_send *s = calloc(1, sizeof *s);
    if (!s) return chv_err_set(err, ENOMEM, "out of memory");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    s->url = url;
    s->curl = curl_easy_init();
    s->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (!s->curl || !s->headers || curl_easy_setopt(s->curl, CURLOPT_URL, url) != CURLE_OK) {
        alarm_send_free(s);
        return chv_err_set(err, EINVAL, "--webhook '%.60s' is no URL that can be used", url);
    }
    curl_easy_setopt(s->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(s->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->curl, CURLOPT_TIMEOUT, seconds);
    curl_easy_setopt(s->curl, CURLOPT_CONNECTTIMEOUT, seconds);
    curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, s->headers);
    curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, swallow);
    curl_easy_setopt(s->curl, CURLOPT_USERAGENT, "chronovisor");
    *out = s;
    return 0;
}

void alarm_send_free(struct alarm_send *s)
{
    if (!s) return;
    if (s->curl) curl_easy_cleanup(s->curl);
    curl_slist_free_all(s->headers);
    free(s);
}

int alarm_send(struct alarm_send *s, const char *json, struct chv_err *err)
{
    long status = 0;
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDS, json);
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDSIZE, (long)strlen(json));
    CURLcode code = curl_easy_perform(s->curl);
    if (code != CURLE_OK)
        return chv_err_set(err, EIO, "--webhook %.200s: %s; the alarm is in the output", s->url, curl_easy_strerror(code));
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 != 2)
        return chv_err_set(err, EIO, "--webhook %.200s: the server answered %ld; the alarm is in the output", s->url, status);
    return 0;
}

static void become_command(const char *command, int in)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    dup2(in, STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

int alarm_exec(const char *command, const char *json, unsigned seconds, struct chv_err *err)
{
    /* a file, not a pipe: a command that does not read holds nobody up */
    int in = memfd_create("alarm", MFD_CLOEXEC), status = 0;
    size_t bytes = strlen(json);
    if (in < 0 || write(in, json, bytes) != (ssize_t)bytes || write(in, "\n", 1) != 1 || lseek(in, 0, SEEK_SET) < 0) {
        if (in >= 0) close(in);
        return chv_err_set(err, EIO, "--exec: %s", strerror(errno));
    }
    pid_t pid = fork();
    if (pid == 0) become_command(command, in);
    close(in);
    if (pid < 0) return chv_err_set(err, errno, "--exec: fork: %s", strerror(errno));
    uint64_t until = clock_monotonic_ns() + seconds * UINT64_C(1000000000);
    const struct timespec pause = {.tv_nsec = 20000000};
    bool killed = false;
    pid_t got;
    while ((got = waitpid(pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        if (!killed && clock_monotonic_ns() > until) {
            killed = true;
            kill(-pid, SIGKILL);
        }
        nanosleep(&pause, NULL);
    }
    if (killed) return chv_err_set(err, EIO, "--exec '%.100s': did not end in %u s and was killed", command, seconds);
    if (got == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
    return chv_err_set(err, EIO, "--exec '%.100s': failed with %d", command,
                       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}
