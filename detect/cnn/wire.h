/* What the program that runs a network is asked, and answers, over a stream socket. Both ends are of one build, so structs and floats
 * travel as they are; the caller still takes nothing that comes back for granted. First one ask, one answer; then for each
 * picture 3 * width * height floats, and an answer with `columns` floats behind it when its result is 0. */
#ifndef CHV_DETECT_CNN_WIRE_H
#define CHV_DETECT_CNN_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_SOCKET_FD 3 /* of the program, when it starts */
#define WIRE_FILE_FD 4   /* the network's file, open for reading */
#define WIRE_LAYER_BYTES 256u

struct wire_ask {
    uint32_t width, height;       /* pixels */
    char layer[WIRE_LAYER_BYTES]; /* empty: the usual one */
};

struct wire_answer {
    int32_t result;               /* 0 or -errno, with a text */
    uint32_t columns;             /* of the layer's output */
    char layer[WIRE_LAYER_BYTES]; /* whose output it is */
    char text[400];
};

/* 0 or -errno; a closed socket is -EPIPE, so many seconds without a byte -ETIMEDOUT (0: wait for ever). */
int wire_send_all(int socket, const void *data, size_t bytes);
int wire_receive_all(int socket, void *data, size_t bytes, unsigned stall_seconds);

#endif
