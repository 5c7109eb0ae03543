#include "detect/cnn/network.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "detect/cnn/wire.h"

struct network {
    pid_t pid;
    int socket;
    uint32_t width, height;
    size_t columns;
    char layer[WIRE_LAYER_BYTES], path[160];
    float *planes; /* of the picture being sent */
};

/* In the child. Both descriptors are moved out of the way first: either may be where the other goes. */
_Noreturn static void become(const char *program, int socket, int file)
{
    sigset_t none;
    int high_socket = fcntl(socket, F_DUPFD, 10), high_file = fcntl(file, F_DUPFD, 10);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (high_socket >= 0 && high_file >= 0 && dup2(high_socket, WIRE_SOCKET_FD) >= 0 && dup2(high_file, WIRE_FILE_FD) >= 0) {
        close(high_socket);
        close(high_file);
        execl(program, "chronovisor-network", (char *)NULL);
    }
    _exit(127);
}

static int start(struct network *n, const char *program, int file, struct chv_err *err)
{
    int ends[2];
    if (access(program, X_OK) < 0) return chv_err_set(err, errno, "%.200s: %s; it comes with chronovisor", program, strerror(errno));
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return chv_err_set(err, errno, "no socket for the network: %s", strerror(errno));
    n->pid = fork();
    if (n->pid == 0) become(program, ends[1], file);
    int code = errno;
    close(ends[1]);
    n->socket = ends[0];
    if (n->pid < 0) return chv_err_set(err, code, "no process for the network: %s", strerror(code));
    struct timeval patience = {.tv_sec = NETWORK_STALL_SECONDS};
    setsockopt(n->socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return 0;
}

static int end(struct network *n)
{
    int status = 0;
    if (n->socket >= 0) close(n->socket);
    n->socket = -1;
    if (n->pid > 0) {
        /* its end of the socket is closed: let it say how it ended, but do not count on it */
        for (int i = 0; i < 100 && waitpid(n->pid, &status, WNOHANG) == 0; i++, usleep(10000))
            if (i == 99) {
                kill(n->pid, SIGKILL);
                while (waitpid(n->pid, &status, 0) < 0 && errno == EINTR) {}
            }
    }
    n->pid = 0;
    return status;
}

/* It broke off, or talked nonsense. */
static int lost(struct network *n, int reason, struct chv_err *err)
{
    if (reason == -ETIMEDOUT) kill(n->pid, SIGKILL);
    int status = end(n);
    if (reason == -ETIMEDOUT)
        return chv_err_set(err, EPROTO, "%s: no answer for %u s: this network is too large, or damaged", n->path, NETWORK_STALL_SECONDS);
    if (WIFSIGNALED(status))
        return chv_err_set(err, EPROTO, "%s: the library crashed on it (signal %d): it is damaged, or needs too much memory", n->path,
                           WTERMSIG(status));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) return chv_err_set(err, EPROTO, "chronovisor-network cannot be started");
    return chv_err_set(err, EPROTO, "%s: the library gave up on it (status %d)", n->path, WEXITSTATUS(status));
}

/* Text of the jailed program, made harmless. */
static const char *plain(char *text, size_t size)
{
    text[size - 1] = 0;
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = ' ';
    return text;
}

static int receive_answer(struct network *n, struct wire_answer *answer, struct chv_err *err)
{
    int r = wire_receive_all(n->socket, answer, sizeof *answer, NETWORK_STALL_SECONDS);
    if (r < 0) return lost(n, r, err);
    if (answer->result == 0) return 0;
    int code = answer->result < 0 && answer->result > -4096 ? -answer->result : EPROTO;
    return chv_err_set(err, code, "%s: %s", n->path, plain(answer->text, sizeof answer->text));
}

static int ask(struct network *n, const struct network_options *o, struct chv_err *err)
{
    struct wire_ask question = {.width = o->width, .height = o->height};
    struct wire_answer answer;
    if (o->layer && strlen(o->layer) >= sizeof question.layer) return chv_err_set(err, ENOENT, "the layer's name is too long");
    if (o->layer) memcpy(question.layer, o->layer, strlen(o->layer) + 1);
    int r = wire_send_all(n->socket, &question, sizeof question);
    if (r < 0) return lost(n, r, err);
    r = receive_answer(n, &answer, err);
    if (r < 0) return r;
    if (answer.columns == 0 || answer.columns > NETWORK_COLUMNS_MAX)
        return chv_err_set(err, EPROTO, "%s: a layer of %u numbers", n->path, answer.columns);
    n->columns = answer.columns;
    memcpy(n->layer, plain(answer.layer, sizeof answer.layer), sizeof n->layer);
    return 0;
}

/* Open for reading; anything but a file of a size that makes sense is refused before it is looked at. */
static int open_file(const char *path, struct chv_err *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0) {
        int r = chv_err_set(err, errno, "%.300s: %s", path, strerror(errno));
        if (fd >= 0) close(fd);
        return r;
    }
    const char *why = !S_ISREG(st.st_mode) ? "is no file" : st.st_size == 0 ? "is empty" : NULL;
    if (!why && (uint64_t)st.st_size <= NETWORK_FILE_BYTES_MAX) return fd;
    close(fd);
    if (why) return chv_err_set(err, EBADMSG, "%.300s: %s; an ONNX network is needed", path, why);
    return chv_err_set(err, EFBIG, "%.300s: larger than %u MiB, the most a network may have", path, (unsigned)(NETWORK_FILE_BYTES_MAX >> 20));
}

int network_open(const char *path, const struct network_options *o, struct network **out, struct chv_err *err)
{
    *out = NULL;
    if (o->width < 1 || o->width > NETWORK_SIDE_MAX || o->height < 1 || o->height > NETWORK_SIDE_MAX)
        return chv_err_set(err, EINVAL, "pictures of %ux%u: a side has at most %u pixels", o->width, o->height, NETWORK_SIDE_MAX);
    struct network *n = calloc(1, sizeof *n);
    float *planes = calloc((size_t)o->width * o->height * 3, sizeof *planes);
    int file = n && planes ? open_file(path, err) : chv_err_set(err, ENOMEM, "out of memory"), r = file < 0 ? file : 0;
    if (n) *n = (struct network){.socket = -1, .width = o->width, .height = o->height, .planes = planes};
    else free(planes);
    if (r == 0) {
        snprintf(n->path, sizeof n->path, "%.150s", path);
        r = start(n, o->program, file, err);
        close(file);
    }
    if (r == 0) r = ask(n, o, err);
    if (r == 0) *out = n;
    else network_close(n);
    return r;
}

void network_close(struct network *n)
{
    if (!n) return;
    end(n);
    free(n->planes);
    free(n);
}

size_t network_columns(const struct network *n)
{
    return n->columns;
}

const char *network_layer(const struct network *n)
{
    return n->layer;
}

static void scale_colours(const struct network *n, const struct picture *p)
{
    static const float mean[3] = {0.485F, 0.456F, 0.406F}, deviation[3] = {0.229F, 0.224F, 0.225F};
    size_t pixels = (size_t)n->width * n->height;
    for (size_t c = 0; c < 3; c++)
        for (size_t i = 0; i < pixels; i++) n->planes[c * pixels + i] = ((float)p->rgb[3 * i + c] / 255 - mean[c]) / deviation[c];
}

int network_run(struct network *n, const struct picture *p, float *out, struct chv_err *err)
{
    struct wire_answer answer;
    if (p->width != n->width || p->height != n->height || n->socket < 0)
        return chv_err_set(err, EINVAL, "%s: pictures of %ux%u are what it was opened for", n->path, n->width, n->height);
    scale_colours(n, p);
    int r = wire_send_all(n->socket, n->planes, (size_t)n->width * n->height * 3 * sizeof *n->planes);
    if (r < 0) return lost(n, r, err);
    r = receive_answer(n, &answer, err);
    if (r == 0) {
        r = wire_receive_all(n->socket, out, n->columns * sizeof *out, NETWORK_STALL_SECONDS);
        if (r < 0) r = lost(n, r, err);
    }
    for (size_t i = 0; r == 0 && i < n->columns; i++)
        if (!isfinite(out[i])) r = chv_err_set(err, EPROTO, "%s: its output is not finite", n->path);
    return r;
}
