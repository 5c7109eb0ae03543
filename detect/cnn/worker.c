/* chronovisor-network: runs one network in a jail. A network's file is a program for a large library that parses it; both stay
 * in here, and what comes out are numbers. Started by network.c; see wire.h for what it is asked. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/jail.h"
#include "detect/cnn/network.h"
#include "detect/cnn/opencv.h"
#include "detect/cnn/wire.h"

struct worker {
    struct wire_ask ask;
    struct wire_answer answer;
    struct opencv_net *net;
    float *planes, *out;
};

static int fail(struct worker *w, int code, const char *text)
{
    w->answer.result = -code;
    snprintf(w->answer.text, sizeof w->answer.text, "%s", text);
    return -code;
}

/* The file is mapped, not read: the descriptor goes, and its pages are the system's to keep or drop. */
static const void *map_file(size_t *bytes)
{
    struct stat st;
    if (fstat(WIRE_FILE_FD, &st) < 0 || st.st_size <= 0 || (uint64_t)st.st_size > NETWORK_FILE_BYTES_MAX) return NULL;
    void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, WIRE_FILE_FD, 0);
    *bytes = (size_t)st.st_size;
    return data == MAP_FAILED ? NULL : data;
}

static int run(struct worker *w)
{
    size_t columns = 0;
    int r = opencv_net_run(w->net, w->planes, w->ask.width, w->ask.height, w->out, NETWORK_COLUMNS_MAX, &columns, w->answer.text,
                           sizeof w->answer.text);
    w->answer.result = r;
    w->answer.columns = (uint32_t)columns;
    return r;
}

/* Load it and run it once on a black picture: then it is known to work, and how many numbers it gives. */
static int start(struct worker *w, const void *data, size_t bytes)
{
    size_t pixels = (size_t)w->ask.width * w->ask.height;
    if (w->ask.width > NETWORK_SIDE_MAX || w->ask.height > NETWORK_SIDE_MAX || pixels == 0) return fail(w, EINVAL, "the picture's size");
    w->ask.layer[sizeof w->ask.layer - 1] = 0;
    w->planes = calloc(3 * pixels, sizeof *w->planes);
    w->out = calloc(NETWORK_COLUMNS_MAX, sizeof *w->out);
    if (!w->planes || !w->out) return fail(w, ENOMEM, "out of memory");
    char why[300] = "";
    int r = opencv_net_load(data, bytes, &w->net, why, sizeof why);
    if (r < 0) snprintf(w->answer.text, sizeof w->answer.text, "no ONNX network that can be run here: %s", why);
    if (r == 0)
        r = opencv_net_choose(w->net, w->ask.layer, w->answer.layer, sizeof w->answer.layer, w->answer.text, sizeof w->answer.text);
    w->answer.result = r;
    return r < 0 ? r : run(w);
}

int main(void)
{
    static struct worker w;
    size_t bytes = 0;
    if (wire_receive_all(WIRE_SOCKET_FD, &w.ask, sizeof w.ask, 0) < 0) {
        fputs("chronovisor-network: 'chronovisor cnn' runs this; it is of no use alone\n", stderr);
        return 2;
    }
    const void *data = map_file(&bytes);
    int r = data ? opencv_prepare() : -EIO;
    /* what is parsed, what of it is kept, and what is computed: each about the size of the file, for networks that are mostly weights */
    jail_enter(WIRE_SOCKET_FD, &(struct jail){.memory_bytes = (UINT64_C(2) << 30) + 8 * (uint64_t)bytes});
    r = r < 0 ? fail(&w, -r, "the file cannot be read") : start(&w, data, bytes);
    if (wire_send_all(WIRE_SOCKET_FD, &w.answer, sizeof w.answer) < 0 || r < 0) return 1;
    size_t picture = 3 * sizeof *w.planes * w.ask.width * w.ask.height;
    uint32_t columns = w.answer.columns;
    while (wire_receive_all(WIRE_SOCKET_FD, w.planes, picture, 0) == 0) {
        if (run(&w) == 0 && w.answer.columns != columns) fail(&w, EBADMSG, "the layer's output changes its size");
        if (wire_send_all(WIRE_SOCKET_FD, &w.answer, sizeof w.answer) < 0 || w.answer.result < 0) return 1;
        if (wire_send_all(WIRE_SOCKET_FD, w.out, columns * sizeof *w.out) < 0) return 1;
    }
    return 0;
}
