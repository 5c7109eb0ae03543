#include "cli/record_detect.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/alarm_out.h"
#include "cli/watch_list.h"
#include "cli/yara_scan.h"
#include "detect/model.h"

#define PAUSE_SECONDS_MAX 60u
#define STEADY_SECONDS 60u /* ran so long: the next pause is a short one again */

static const char *const passed[] = {"--watch", "--yara", "--on-alarm", "--ecs", "--webhook", "--exec"};

bool record_detect_wanted(const struct cli_args *args, bool *good)
{
    *good = true;
    if (cli_value(args, "--detect") || cli_value(args, "--watch") || cli_value(args, "--yara")) return true;
    for (size_t i = 0; *good && i < sizeof passed / sizeof *passed; i++)
        if (cli_value(args, passed[i])) {
            cli_failf(args, "%s is about alarms: add --detect MODEL", passed[i]);
            *good = false;
        }
    if (*good && cli_flag(args, "--syslog")) {
        cli_failf(args, "--syslog is about alarms: add --detect MODEL");
        *good = false;
    }
    return false;
}

static void no_match(void *arg, const char *rule, const struct chv_event *first, const struct chv_event *last)
{
    (void)arg, (void)rule, (void)first, (void)last;
}

bool record_detect_check(const struct cli_args *args, uint32_t block_bytes)
{
    const char *model_path = cli_value(args, "--detect"), *watch_path = cli_value(args, "--watch");
    const char *yara_path = cli_value(args, "--yara"), *on_alarm = cli_value(args, "--on-alarm");
    const struct alarm_out_options o = {.ecs = cli_value(args, "--ecs"), .webhook = cli_value(args, "--webhook")};
    struct alarm_out *out = NULL;
    struct model *model = NULL;
    struct watch_list *watch = NULL;
    struct yara_scan *yara = NULL;
    struct chv_err err;
    uint64_t ignored;
    int r = 0;
    if (on_alarm && strcmp(on_alarm, "log") != 0 && strcmp(on_alarm, "hold") != 0)
        r = chv_err_set(&err, EINVAL, "--on-alarm '%.40s' is neither log nor hold", on_alarm);
    const char *reads = cli_value(args, "--reads");
    if (r == 0 && model_path && reads && strcmp(reads, "off") == 0)
        r = chv_err_set(&err, EINVAL, "--detect judges what is overwritten after it was read: leave --reads off out");
    if (r == 0 && model_path) r = model_load(model_path, &model, &err);
    if (r == 0 && watch_path) r = watch_list_load(watch_path, block_bytes, &watch, &ignored, &err);
    if (r == 0 && yara_path) r = yara_scan_new(yara_path, block_bytes, no_match, NULL, &yara, &err);
    if (r == 0) r = alarm_out_open(&o, &out, &err);
    alarm_out_close(out);
    yara_scan_free(yara);
    watch_list_free(watch);
    model_free(model);
    if (r < 0) cli_fail(args, &err);
    return r == 0;
}

/* --- the process that watches over it ------------------------------------------------------------------------------ */

static pid_t start(const struct cli_args *args, const char *store_dir, const char *from)
{
    const char *argv[32] = {"chronovisor", "detect", "--follow", "--store", store_dir};
    int n = 5;
    if (cli_value(args, "--detect")) argv[n++] = "--model", argv[n++] = cli_value(args, "--detect");
    if (from) argv[n++] = "--from", argv[n++] = from;
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        if (cli_value(args, passed[i])) argv[n++] = passed[i], argv[n++] = cli_value(args, passed[i]);
    if (cli_flag(args, "--syslog")) argv[n++] = "--syslog";
    pid_t self = getpid(), pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != self) _exit(0);
    execv("/proc/self/exe", (char *const *)argv);
    _exit(127);
}

/* Until the recording ends: that sends this process SIGTERM, kill -9 as well, and its death sends detection one, which then
 * looks at what is left and ends. */
static void watch_over(const struct cli_args *args, const char *store_dir, const char *from)
{
    unsigned pause = 1;
    for (;; from = NULL) { /* after a death from now on: what was looked at may be what it died of */
        uint64_t begun = clock_monotonic_ns();
        int status = 0;
        pid_t pid = start(args, store_dir, from);
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
        if (clock_monotonic_ns() - begun > STEADY_SECONDS * UINT64_C(1000000000)) pause = 1;
        fprintf(stderr, "chronovisor record: detection ended (%s %d); it starts again in %u s\n",
                WIFSIGNALED(status) ? "signal" : "exit status", WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                pause);
        sleep(pause);
        pause = 2 * pause < PAUSE_SECONDS_MAX ? 2 * pause : PAUSE_SECONDS_MAX;
    }
}

bool record_detect_start(const struct cli_args *args, const char *store_dir)
{
    struct chv_store *store;
    struct chv_store_info info;
    struct chv_err err;
    char from[32];
    if (chv_store_open(store_dir, &store, &err) < 0) {
        cli_fail(args, &err);
        return false;
    }
    chv_store_info(store, &info);
    chv_store_close(store);
    snprintf(from, sizeof from, "seq:%llu", (unsigned long long)info.last_seq + 1);
    fflush(NULL);
    pid_t self = getpid(), pid = fork();
    if (pid < 0) cli_failf(args, "fork: %s", strerror(errno));
    if (pid != 0) return pid > 0;
    setpgid(0, 0); /* the terminal's ^C is for the recording: detection sees it to its end */
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() == self) watch_over(args, store_dir, from);
    _exit(0);
}
