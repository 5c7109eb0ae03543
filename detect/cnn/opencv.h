/* OpenCV's DNN module behind plain C: no exception leaves it, and nothing of it is in any other file. */
#ifndef CHV_DETECT_CNN_OPENCV_H
#define CHV_DETECT_CNN_OPENCV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct opencv_net;

/* Whatever the library looks up in files and the environment the first time, looked up now; no threads, no log. 0 or -errno. */
int opencv_prepare(void);
/* An ONNX network from memory, which must stay until it is freed. -EBADMSG with a reason in `why`, -ENOMEM. */
int opencv_net_load(const void *data, size_t bytes, struct opencv_net **out, char *why, size_t why_size);
void opencv_net_free(struct opencv_net *net);
/* Choose the layer whose output is asked for: by its name, or by "" the last pooling or flattening one, or else the last.
 * The name found is written to `found`. -ENOENT with a reason. */
int opencv_net_choose(struct opencv_net *net, const char *layer, char *found, size_t found_size, char *why, size_t why_size);
/* Run it on one picture: 3 planes of height * width. *columns numbers, at most `room` (and at most one output of one picture).
 * -EBADMSG with a reason: the network cannot take such a picture, or gives no numbers; -E2BIG: more than `room`. -ENOMEM. */
int opencv_net_run(struct opencv_net *net, const float *planes, uint32_t width, uint32_t height, float *out, size_t room,
                   size_t *columns, char *why, size_t why_size);

#ifdef __cplusplus
}
#endif

#endif
