/* A convolutional network that others trained, as a maker of vectors: pictures in, the output of one of its layers out.
 *
 * The file is hostile input for a large library. Neither is in this process: a program of its own runs it in a jail
 * (worker.c), and a file that crashes, stalls or starves it is an error of one line. */
#ifndef CHV_DETECT_CNN_NETWORK_H
#define CHV_DETECT_CNN_NETWORK_H

#include "chronovisor/err.h"
#include "detect/picture.h"

#define NETWORK_FILE_BYTES_MAX (UINT64_C(512) << 20) /* a larger file is refused unread */
#define NETWORK_COLUMNS_MAX 16384u                   /* of a layer's output; ResNet50 has 2048 */
#define NETWORK_SIDE_MAX 1024u                       /* of a picture, in pixels */
#define NETWORK_STALL_SECONDS 300u                   /* for loading, and for each picture */

struct network_options {
    const char *program;    /* the path of chronovisor-network */
    const char *layer;      /* NULL: the last pooling or flattening one, or else the network's output */
    uint32_t width, height; /* of the pictures */
};

struct network;
/* EBADMSG: no network, or none for such pictures; EFBIG: the file; ENOENT: no such layer; EPROTO: it broke down. */
int network_open(const char *path, const struct network_options *options, struct network **out, struct chv_err *err);
void network_close(struct network *n);
size_t network_columns(const struct network *n);
const char *network_layer(const struct network *n); /* as the library names it; plain ASCII or UTF-8, no control characters */
/* The vector of a picture of that size: out[network_columns()], all finite. Colours are scaled as networks trained on ImageNet
 * expect it (mean and deviation of its colours; torchvision's documentation of its models). After an error the network is of
 * no more use. */
int network_run(struct network *n, const struct picture *p, float *out, struct chv_err *err);

#endif
