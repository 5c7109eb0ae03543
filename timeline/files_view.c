/* A view as an image to read files from. */
#include "chronovisor/timeline.h"
#include "timeline/files.h"

static int view_pread(void *arg, void *buf, size_t bytes, uint64_t offset, struct chv_err *err)
{
    return chv_view_pread(arg, buf, bytes, offset, err);
}

struct files_image files_image_of_view(struct chv_view *view)
{
    return (struct files_image){.pread = view_pread, .arg = view, .size_bytes = chv_view_size_bytes(view)};
}
