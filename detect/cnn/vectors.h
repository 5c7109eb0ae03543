/* The runs of a data set as pictures, and those as vectors: what a network makes of them. */
#ifndef CHV_DETECT_CNN_VECTORS_H
#define CHV_DETECT_CNN_VECTORS_H

#include "detect/cnn/network.h"
#include "detect/picture_stream.h"
#include "detect/samples.h"

#define VECTORS_BYTES_MAX (UINT64_C(1) << 30) /* of all vectors together; more are refused */

struct vectors_options {
    struct picture_options picture; /* of the size that the network was opened for */
    enum model_mode mode;
    struct dataset_options dataset; /* keep_artefacts and skip_ns count */
};

/* A row a picture, network_columns() wide; end_ns is the end of its window, active is true, `set` says nothing. The runs are
 * those that samples_read() takes; one that cannot be read is left out, and said; one without a picture has no rows. ENOENT: no
 * run suits, or none has a picture; EBADMSG: none can be read. The data set outlives it; *dropped accesses were left out of
 * crowded pictures. samples_free() ends it. */
int vectors_read(const struct dataset *d, const struct vectors_options *options, struct network *n, const struct samples_watch *watch,
                 struct samples **out, uint64_t *dropped, struct chv_err *err);

#endif
