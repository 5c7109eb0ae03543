/* Whatever becomes of a process that stopped a guest, `cont` is said: after pause_end, SIGKILL, and a lost connection. */
#include <signal.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "sensor/memory/pause.h"
#include "tests/unit.h"

/* A QEMU of few words. Serves until `clients` have hung up; returns how often it was told to stop and to go on. The first `busy` times
 * it refuses to go on, as QEMU does while it finishes a migration. */
static void serve(int listener, int clients, bool hang_up_on_stop, int busy, int *stops, int *conts)
{
    char buf[4096];
    *stops = *conts = 0;
    while (clients-- > 0) {
        int fd = accept(listener, NULL, NULL);
        CHECK(fd >= 0);
        dprintf(fd, "{\"QMP\": {\"version\": {}}}\n");
        ssize_t n;
        while ((n = recv(fd, buf, sizeof buf - 1, 0)) > 0) {
            buf[n] = 0;
            char *id = strstr(buf, "\"id\":");
            int number = id ? atoi(id + 5) : 0;
            *conts += strstr(buf, "\"cont\"") != NULL;
            if (strstr(buf, "\"stop\"")) {
                ++*stops;
                if (hang_up_on_stop) break;
            }
            if (strstr(buf, "\"cont\"") && busy-- > 0)
                dprintf(fd, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"Migration is not finalized yet\"}, \"id\": %d}\n", number);
            else
                dprintf(fd, "{\"return\": {\"running\": true}, \"id\": %d}\n", number);
        }
        close(fd);
    }
}

enum how { END, KILLED, SIGNALLED, LOST, PROMISED, PROMISED_KILLED, PROMISED_ONLY };

static void client(const char *path, enum how how)
{
    struct qmp *qmp;
    struct pause pause;
    struct chv_err err;
    uint64_t ns;
    CHECK_OK(qmp_connect(path, &qmp, &err), err);
    if (how == LOST) {
        CHECK(pause_begin(&pause, qmp, &err) < 0);
        _exit(0);
    }
    if (how >= PROMISED) { /* somebody stops it in another way */
        CHECK_OK(pause_promise(&pause, qmp, &err), err);
        if (how == PROMISED_KILLED) raise(SIGKILL);
        pause.stopped = how == PROMISED;
        CHECK_OK(pause_end(&pause, NULL, &err), err);
        qmp_close(qmp);
        _exit(0);
    }
    CHECK_OK(pause_begin(&pause, qmp, &err), err);
    CHECK(!pause.was_stopped && pause.time_ns > 0);
    if (how == KILLED) raise(SIGKILL);
    if (how == SIGNALLED) kill(0, SIGTERM); /* our whole group, the guard is not in it */
    CHECK_OK(pause_end(&pause, &ns, &err), err);
    CHECK(ns > 0);
    CHECK_OK(pause_end(&pause, &ns, &err), err);
    qmp_close(qmp);
    _exit(0);
}

static void run(enum how how, int clients)
{
    char dir[256];
    int stops, conts, busy = how == PROMISED || how == PROMISED_KILLED ? 2 : 0;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unit_temp_dir(dir);
    snprintf(address.sun_path, sizeof address.sun_path, "%.90s/q", dir);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 4) == 0);
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        close(listener);
        setpgid(0, 0);
        client(address.sun_path, how);
    }
    serve(listener, clients, how == LOST, busy, &stops, &conts);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(how == KILLED || how == SIGNALLED || how == PROMISED_KILLED ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
    if (how < PROMISED)
        CHECK(stops == 1 && conts == 1);
    else
        CHECK(stops == 0 && (how == PROMISED_ONLY ? conts == 0 : conts >= 3)); /* until it was heard */
    close(listener);
    unit_remove_tree(dir);
}

int main(void)
{
    alarm(60);
    run(END, 1);
    run(KILLED, 1);
    run(SIGNALLED, 1);
    run(LOST, 2); /* connects anew to say it */
    run(PROMISED, 1);
    run(PROMISED_KILLED, 1);
    run(PROMISED_ONLY, 1);
    return 0;
}
