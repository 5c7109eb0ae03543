#include "sensor/import/image.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libnbd.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

#define EXTENTS_MAX 4096 /* of one block status answer that are kept */
#define STATUS_BYTES (UINT64_C(1) << 30)

struct image {
    char *path;
    uint64_t bytes;
    int fd;                   /* raw */
    bool seeks;               /* the file system knows holes */
    struct nbd_handle *nbd;   /* qcow2, NULL for raw */
    uint64_t known_at;        /* `extents` begin here */
    size_t extents;
    struct {
        uint64_t end;
        bool zeros;
    } extent[EXTENTS_MAX];
};

/* The first fields of a qcow2 header, big-endian (QEMU's docs/interop/qcow2.txt). */
struct qcow2_header {
    uint8_t magic[4];
    uint32_t version;
    uint64_t backing_file_offset;
    uint32_t backing_file_size, cluster_bits;
    uint64_t size;
    uint32_t crypt_method, l1_size;
    uint64_t l1_table_offset, refcount_table_offset;
    uint32_t refcount_table_clusters, snapshots;
    uint64_t snapshots_offset;
    uint64_t incompatible_features; /* version 3 */
};
#define QCOW2_EXTERNAL_DATA (UINT64_C(1) << 2)

static bool begins_as_qcow2(int fd)
{
    uint8_t magic[4];
    return io_pread_full(fd, magic, sizeof magic, 0) == 0 && memcmp(magic, "QFI\xfb", 4) == 0;
}

static int check_qcow2(const char *path, int fd, struct chv_err *err)
{
    struct qcow2_header h;
    if (!begins_as_qcow2(fd)) return chv_err_set(err, EINVAL, "%s: not a qcow2 image; --format raw takes it as it is", path);
    int r = io_pread_full(fd, &h, sizeof h, 0);
    if (r == -ENODATA) return chv_err_set(err, EINVAL, "%s: a qcow2 image cut off in its header", path);
    if (r < 0) return chv_err_set(err, -r, "%s: %s", path, strerror(-r));
    uint32_t version = be32toh(h.version);
    if (version != 2 && version != 3) return chv_err_set(err, EINVAL, "%s: qcow2 version %u is not known", path, version);
    if (h.backing_file_offset)
        return chv_err_set(err, EINVAL, "%s: has a backing file; flatten it first: qemu-img convert -O qcow2 %s FLAT.qcow2", path,
                           path);
    if (version == 3 && (be64toh(h.incompatible_features) & QCOW2_EXTERNAL_DATA))
        return chv_err_set(err, EINVAL, "%s: keeps its data in another file; flatten it first with qemu-img convert", path);
    if (h.crypt_method) return chv_err_set(err, EINVAL, "%s: is encrypted; decrypt it first with qemu-img convert", path);
    return 0;
}

/* What qemu-nbd complained about, or what libnbd did. */
static int nbd_failed(const struct image *image, FILE *complaints, const char *doing, struct chv_err *err)
{
    char line[256] = "";
    const char *text = nbd_get_error();
    if (complaints) {
        rewind(complaints);
        if (fgets(line, sizeof line, complaints)) line[strcspn(line, "\n")] = 0;
    }
    return chv_err_set(err, nbd_get_errno() ? nbd_get_errno() : EIO, "%s: %s: %s", image->path, doing,
                       line[0] ? line : text ? text : "unknown error");
}

/* $0: where complaints go, $1: the image. QEMU reads what lies beyond the end of a cut image as zeros: check first.
 * (qemu-img check: 3 means leaked clusters, which do no harm.) */
static const char serve_qcow2[] =
    "command -v qemu-nbd >/dev/null || { echo 'needs qemu-nbd (package qemu-utils)' >\"$0\"; exit 1; }; "
    "qemu-img check -q -f qcow2 \"$1\" >/dev/null 2>&1; "
    "case $? in 0|3) ;; *) echo \"damaged or cut short, says 'qemu-img check'\" >\"$0\"; exit 1;; esac; "
    "exec qemu-nbd --read-only --format=qcow2 -- \"$1\" 2>\"$0\"";

/* qemu-nbd is started by libnbd as our child and ends with the connection; it sees the image read-only. */
static int open_qcow2(struct image *image, struct chv_err *err)
{
    FILE *complaints = tmpfile();
    if (!complaints) return chv_err_set(err, errno, "temporary file: %s", strerror(errno));
    char fd_path[32];
    snprintf(fd_path, sizeof fd_path, "/dev/fd/%d", fileno(complaints));
    fcntl(fileno(complaints), F_SETFD, 0); /* the shell opens it by that name */
    char *argv[] = {"sh", "-c", (char *)serve_qcow2, fd_path, image->path, NULL};
    int r = 0;
    image->nbd = nbd_create();
    if (!image->nbd || nbd_add_meta_context(image->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0 ||
        nbd_connect_systemd_socket_activation(image->nbd, argv) < 0) {
        r = nbd_failed(image, complaints, "cannot be opened", err);
    } else {
        int64_t bytes = nbd_get_size(image->nbd);
        if (bytes < 0) r = nbd_failed(image, NULL, "cannot be opened", err);
        image->bytes = (uint64_t)bytes;
        image->seeks = nbd_can_meta_context(image->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 1;
    }
    fclose(complaints);
    return r;
}

static int open_raw(struct image *image, struct chv_err *err)
{
    off_t end = lseek(image->fd, 0, SEEK_END);
    if (end < 0) return chv_err_set(err, errno, "%s: %s", image->path, strerror(errno));
    image->bytes = (uint64_t)end;
    image->seeks = lseek(image->fd, 0, SEEK_DATA) >= 0 || errno == ENXIO;
    posix_fadvise(image->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    return 0;
}

static bool ends_with(const char *text, const char *ending)
{
    size_t n = strlen(text), m = strlen(ending);
    return n >= m && strcmp(text + n - m, ending) == 0;
}

int image_open(const char *path, const char *format, struct image **out, struct chv_err *err)
{
    struct image *image = calloc(1, sizeof *image);
    struct stat st;
    int r = 0;
    if (!image) return chv_err_set(err, ENOMEM, "out of memory");
    image->fd = open(path, O_RDONLY | O_CLOEXEC);
    /* an absolute path cannot be taken for a protocol ("nbd:...") */
    if (image->fd < 0 || !(image->path = realpath(path, NULL)) || fstat(image->fd, &st) < 0) {
        r = chv_err_set(err, errno, "%s: %s", path, strerror(errno));
        goto err_close;
    }
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        r = chv_err_set(err, EINVAL, "%s: neither a file nor a block device", path);
        goto err_close;
    }
    bool qcow2 = format && strcmp(format, "qcow2") == 0;
    if (!format && begins_as_qcow2(image->fd)) {
        qcow2 = ends_with(path, ".qcow2") || ends_with(path, ".qcow");
        if (!qcow2) {
            r = chv_err_set(err, EINVAL, "%s: begins like a qcow2 image; say --format qcow2 or --format raw", path);
            goto err_close;
        }
    }
    if (qcow2) r = check_qcow2(path, image->fd, err);
    if (r == 0) r = qcow2 ? open_qcow2(image, err) : open_raw(image, err);
    if (r == 0 && image->bytes == 0) r = chv_err_set(err, EINVAL, "%s: is empty", path);
    if (r < 0) goto err_close;
    *out = image;
    return 0;
err_close:
    image_close(image);
    return r;
}

void image_close(struct image *image)
{
    if (!image) return;
    if (image->nbd) nbd_close(image->nbd);
    if (image->fd >= 0) close(image->fd);
    free(image->path);
    free(image);
}

uint64_t image_bytes(const struct image *image)
{
    return image->bytes;
}

const char *image_format(const struct image *image)
{
    return image->nbd ? "qcow2" : "raw";
}

/* Each of these keeps at least the extent that begins at `offset`. */
static int raw_extents(struct image *image, uint64_t offset, struct chv_err *err)
{
    off_t data = lseek(image->fd, (off_t)offset, SEEK_DATA);
    if (data < 0 && errno != ENXIO) return chv_err_set(err, errno, "%s: %s", image->path, strerror(errno));
    bool zeros = data < 0 || (uint64_t)data > offset;
    off_t next = zeros ? data : lseek(image->fd, (off_t)offset, SEEK_HOLE);
    image->known_at = offset;
    image->extents = 1;
    image->extent[0].end = next > (off_t)offset && (uint64_t)next < image->bytes ? (uint64_t)next : image->bytes;
    image->extent[0].zeros = zeros;
    return 0;
}

static int keep_extents(void *arg, const char *context, uint64_t offset, uint32_t *entries, size_t count, int *error)
{
    struct image *image = arg;
    (void)context, (void)error;
    uint64_t at = offset;
    image->known_at = offset;
    image->extents = 0;
    for (size_t i = 0; i + 1 < count && image->extents < EXTENTS_MAX; i += 2) {
        at += entries[i];
        image->extent[image->extents].end = at < image->bytes ? at : image->bytes;
        image->extent[image->extents++].zeros = (entries[i + 1] & LIBNBD_STATE_ZERO) != 0;
    }
    return 0;
}

static int qcow2_extents(struct image *image, uint64_t offset, struct chv_err *err)
{
    uint64_t left = image->bytes - offset;
    nbd_extent_callback cb = {.callback = keep_extents, .user_data = image};
    image->extents = 0;
    if (nbd_block_status(image->nbd, left < STATUS_BYTES ? left : STATUS_BYTES, offset, cb, 0) < 0)
        return nbd_failed(image, NULL, "extents", err);
    return 0;
}

int image_extent(struct image *image, uint64_t offset, uint64_t *end, bool *zeros, struct chv_err *err)
{
    *end = image->bytes;
    *zeros = false;
    if (!image->seeks) return 0;
    bool known = image->extents > 0 && offset >= image->known_at && offset < image->extent[image->extents - 1].end;
    int r = known ? 0 : image->nbd ? qcow2_extents(image, offset, err) : raw_extents(image, offset, err);
    if (r < 0) return r;
    for (size_t i = 0; i < image->extents; i++) {
        if (offset >= image->extent[i].end) continue;
        *end = image->extent[i].end;
        *zeros = image->extent[i].zeros;
        break;
    }
    return 0;
}

int image_pread(struct image *image, void *buf, size_t bytes, uint64_t offset, struct chv_err *err)
{
    if (image->nbd)
        return nbd_pread(image->nbd, buf, bytes, offset, 0) < 0 ? nbd_failed(image, NULL, "read", err) : 0;
    int r = io_pread_full(image->fd, buf, bytes, offset);
    if (r == -ENODATA) return chv_err_set(err, EIO, "%s: became shorter while it was read", image->path);
    return r < 0 ? chv_err_set(err, -r, "%s: at byte %llu: %s", image->path, (unsigned long long)offset, strerror(-r)) : 0;
}
