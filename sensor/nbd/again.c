#include "sensor/nbd/again.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { COMMAND_BYTES = 64 * 1024, WORDS = 1024 };

/* A handler takes no argument. All of it is ready beforehand: in the handler nothing but system calls is safe. */
static struct {
    char command[COMMAND_BYTES], program[4096];
    char *word[WORDS + 1];
    const char *socket;
} again;

static void on_abort(int number)
{
    (void)number;
    static const char line[] = "chronovisor record: the NBD server ended itself; starting again\n";
    static const struct timespec pause = {.tv_nsec = 100000000}; /* whoever does this again and again shall not have our processor as well */
    if (write(STDERR_FILENO, line, sizeof line - 1) < 0) { /* then without */ }
    nanosleep(&pause, NULL);
    if (again.socket) unlink(again.socket);
    sigset_t none; /* this thread's mask would become the new process's */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(again.program, again.word, environ);
}

static ssize_t read_whole(const char *path, char *to, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t n, total = 0;
    while ((size_t)total < size && (n = read(fd, to + total, size - (size_t)total)) > 0) total += n;
    close(fd);
    return total;
}

void again_after_abort(const char *socket)
{
    ssize_t n = readlink("/proc/self/exe", again.program, sizeof again.program - 1);
    ssize_t bytes = read_whole("/proc/self/cmdline", again.command, sizeof again.command);
    if (n <= 0 || bytes <= 0 || bytes == COMMAND_BYTES) return; /* the last may be cut off */
    again.program[n] = 0;
    size_t words = 0;
    for (char *at = again.command; at < again.command + bytes; at += strlen(at) + 1) {
        if (words == WORDS) return;
        again.word[words++] = at;
    }
    again.socket = socket;
    struct sigaction action = {.sa_handler = on_abort};
    sigaction(SIGABRT, &action, NULL);
}
