#include "tests/store/emu.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "tests/unit.h"

#define PIECE 512u
#define FDS 4096

enum kind { OPEN, WRITE, TRUNCATE, SYNC, SYNC_DIR, RENAME, UNLINK };

struct step {
    enum kind kind;
    size_t inode;           /* OPEN of an existing file does not make one */
    bool created, truncated;
    uint64_t offset, bytes; /* WRITE; TRUNCATE: bytes */
    uint8_t *data;
    char *name, *to;        /* relative to the store; SYNC_DIR: "" is the store itself */
};

/* A file as the disk has it for certain, and the steps since that may or may not have arrived. */
struct inode {
    uint8_t *data;
    uint64_t bytes;
    size_t *pending, pending_count;
};

struct name {
    char *path;
    size_t inode;
};

struct names {
    struct name *list;
    size_t count;
};

struct emu {
    struct io io;
    char dir[256];
    pthread_mutex_t lock;
    struct step *steps;
    size_t count, room;
    size_t inodes_made;
    size_t fd_inode[FDS];
    struct names now;       /* names at the end of the trace */
    /* replaying */
    size_t replayed;
    struct inode *inodes;
    size_t inode_count;
    struct names durable;
    size_t *pending_names, pending_name_count;
};

static void *must(void *p)
{
    CHECK(p);
    return p;
}

static struct name *names_find(const struct names *n, const char *path)
{
    for (size_t i = 0; i < n->count; i++)
        if (strcmp(n->list[i].path, path) == 0) return &n->list[i];
    return NULL;
}

static void names_drop(struct names *n, const char *path)
{
    struct name *old = names_find(n, path);
    if (!old) return;
    free(old->path);
    *old = n->list[--n->count];
}

static void names_set(struct names *n, const char *path, size_t inode)
{
    names_drop(n, path);
    n->list = must(realloc(n->list, (n->count + 1) * sizeof *n->list));
    n->list[n->count++] = (struct name){must(strdup(path)), inode};
}

static void names_free(struct names *n)
{
    while (n->count) names_drop(n, n->list[0].path);
    free(n->list);
    n->list = NULL;
}

static void names_copy(struct names *to, const struct names *from)
{
    *to = (struct names){0};
    for (size_t i = 0; i < from->count; i++) names_set(to, from->list[i].path, from->list[i].inode);
}

/* What a name step does to a directory. */
static void names_apply(struct names *n, const struct step *s)
{
    if (s->kind == OPEN) names_set(n, s->name, s->inode);
    if (s->kind == UNLINK) names_drop(n, s->name);
    if (s->kind == RENAME) {
        names_drop(n, s->name);
        names_set(n, s->to, s->inode);
    }
}

/* --- tracing -------------------------------------------------------------------------------------------- */

static struct emu *emu_of(const struct io *io)
{
    return (struct emu *)(uintptr_t)io;
}

static const char *below(const struct emu *emu, const char *path)
{
    size_t n = strlen(emu->dir);
    CHECK(strncmp(path, emu->dir, n) == 0);
    path += n;
    while (*path == '/') path++;
    return path;
}

static struct step *add(struct emu *emu, enum kind kind)
{
    if (emu->count == emu->room) {
        emu->room = emu->room ? 2 * emu->room : 1024;
        emu->steps = must(realloc(emu->steps, emu->room * sizeof *emu->steps));
    }
    emu->steps[emu->count] = (struct step){.kind = kind};
    return &emu->steps[emu->count++];
}

static int emu_open(const struct io *io, const char *path, int flags, mode_t mode)
{
    struct emu *emu = emu_of(io);
    pthread_mutex_lock(&emu->lock);
    int fd = io_real.open(&io_real, path, flags, mode);
    if (fd >= 0) {
        CHECK(fd < FDS);
        const char *name = below(emu, path);
        struct name *old = names_find(&emu->now, name);
        size_t inode = old ? old->inode : emu->inodes_made++;
        if (!old || flags & O_TRUNC) {
            struct step *s = add(emu, OPEN);
            s->inode = inode;
            s->created = !old;
            s->truncated = flags & O_TRUNC;
            s->name = must(strdup(name));
            if (!old) names_set(&emu->now, name, inode);
        }
        emu->fd_inode[fd] = inode;
    }
    pthread_mutex_unlock(&emu->lock);
    return fd;
}

static int emu_pwrite(const struct io *io, int fd, const void *buf, size_t bytes, uint64_t offset)
{
    struct emu *emu = emu_of(io);
    pthread_mutex_lock(&emu->lock);
    struct step *s = add(emu, WRITE);
    s->inode = emu->fd_inode[fd];
    s->offset = offset;
    s->bytes = bytes;
    s->data = must(malloc(bytes + 1));
    memcpy(s->data, buf, bytes);
    int r = io_real.pwrite(&io_real, fd, buf, bytes, offset);
    pthread_mutex_unlock(&emu->lock);
    return r;
}

static int emu_truncate(const struct io *io, int fd, uint64_t bytes)
{
    struct emu *emu = emu_of(io);
    pthread_mutex_lock(&emu->lock);
    struct step *s = add(emu, TRUNCATE);
    s->inode = emu->fd_inode[fd];
    s->bytes = bytes;
    int r = io_real.truncate(&io_real, fd, bytes);
    pthread_mutex_unlock(&emu->lock);
    return r;
}

/* The disk is emulated: nothing has to reach the real one. */
static int emu_datasync(const struct io *io, int fd)
{
    struct emu *emu = emu_of(io);
    pthread_mutex_lock(&emu->lock);
    add(emu, SYNC)->inode = emu->fd_inode[fd];
    pthread_mutex_unlock(&emu->lock);
    return 0;
}

static int emu_sync_dir(const struct io *io, const char *path)
{
    struct emu *emu = emu_of(io);
    pthread_mutex_lock(&emu->lock);
    struct step *s = add(emu, SYNC_DIR);
    s->name = must(strdup(below(emu, path)));
    pthread_mutex_unlock(&emu->lock);
    return 0;
}

static int emu_rename(const struct io *io, const char *from, const char *to)
{
    struct emu *emu = emu_of(io);
    pthread_mutex_lock(&emu->lock);
    int r = io_real.rename(&io_real, from, to);
    if (r == 0) {
        struct step *s = add(emu, RENAME);
        s->name = must(strdup(below(emu, from)));
        s->to = must(strdup(below(emu, to)));
        s->inode = names_find(&emu->now, s->name)->inode;
        names_apply(&emu->now, s);
    }
    pthread_mutex_unlock(&emu->lock);
    return r;
}

static int emu_unlink(const struct io *io, const char *path)
{
    struct emu *emu = emu_of(io);
    pthread_mutex_lock(&emu->lock);
    int r = io_real.unlink(&io_real, path);
    if (r == 0) {
        struct step *s = add(emu, UNLINK);
        s->name = must(strdup(below(emu, path)));
        names_apply(&emu->now, s);
    }
    pthread_mutex_unlock(&emu->lock);
    return r;
}

static int emu_close(const struct io *io, int fd)
{
    (void)io;
    return io_real.close(&io_real, fd);
}

/* Take a folder's files as they are: synced long ago. */
static void take_folder(struct emu *emu, const char *folder)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", emu->dir, folder);
    DIR *d = opendir(path);
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));) {
        char name[300], *text;
        struct stat st;
        snprintf(name, sizeof name, "%s%s%s", folder, *folder ? "/" : "", e->d_name);
        snprintf(path, sizeof path, "%s/%s", emu->dir, name);
        if (strcmp(name, "queue") == 0 || strcmp(name, "lock") == 0) continue; /* neither is of the disk's business */
        CHECK(stat(path, &st) == 0);
        if (!S_ISREG(st.st_mode)) continue;
        struct inode inode = {0};
        size_t bytes;
        CHECK(io_read_file(path, 1 << 30, &text, &bytes) == 0);
        inode.data = (uint8_t *)text;
        inode.bytes = bytes;
        emu->inodes = must(realloc(emu->inodes, (emu->inode_count + 1) * sizeof inode));
        emu->inodes[emu->inode_count] = inode;
        names_set(&emu->now, name, emu->inode_count);
        names_set(&emu->durable, name, emu->inode_count++);
    }
    closedir(d);
}

struct emu *emu_new(const char *dir)
{
    struct emu *emu = must(calloc(1, sizeof *emu));
    emu->io = (struct io){emu_open, emu_pwrite, emu_truncate, emu_datasync, emu_sync_dir, emu_rename, emu_unlink, emu_close};
    snprintf(emu->dir, sizeof emu->dir, "%s", dir);
    pthread_mutex_init(&emu->lock, NULL);
    take_folder(emu, "");
    take_folder(emu, "log");
    take_folder(emu, "packs");
    take_folder(emu, "index");
    emu->inodes_made = emu->inode_count;
    return emu;
}

void emu_free(struct emu *emu)
{
    for (size_t i = 0; i < emu->count; i++) {
        free(emu->steps[i].data);
        free(emu->steps[i].name);
        free(emu->steps[i].to);
    }
    for (size_t i = 0; i < emu->inode_count; i++) {
        free(emu->inodes[i].data);
        free(emu->inodes[i].pending);
    }
    names_free(&emu->now);
    names_free(&emu->durable);
    free(emu->pending_names);
    free(emu->inodes);
    free(emu->steps);
    pthread_mutex_destroy(&emu->lock);
    free(emu);
}

const struct io *emu_io(struct emu *emu)
{
    return &emu->io;
}

size_t emu_steps(struct emu *emu)
{
    pthread_mutex_lock(&emu->lock);
    size_t n = emu->count;
    pthread_mutex_unlock(&emu->lock);
    return n;
}

const char *emu_describe(const struct emu *emu, size_t step, char text[200])
{
    static const char *const kinds[] = {"open", "write", "truncate", "sync", "sync-dir", "rename", "unlink"};
    const struct step *s = &emu->steps[step];
    snprintf(text, 200, "%s %.60s inode %zu, %llu bytes at %llu", kinds[s->kind], s->to ? s->to : s->name ? s->name : "",
             s->inode, (unsigned long long)s->bytes, (unsigned long long)s->offset);
    return text;
}

int emu_step_is_edge(const struct emu *emu, size_t step)
{
    return emu->steps[step].kind != WRITE;
}

/* --- power cuts ----------------------------------------------------------------------------------------- */

static void grow(struct inode *f, uint64_t bytes)
{
    if (bytes <= f->bytes) return;
    f->data = must(realloc(f->data, bytes + 1));
    memset(f->data + f->bytes, 0, bytes - f->bytes);
    f->bytes = bytes;
}

static void apply(struct inode *f, const struct step *s)
{
    if (s->kind == OPEN) f->bytes = 0;
    if (s->kind == TRUNCATE) {
        grow(f, s->bytes);
        f->bytes = s->bytes;
    }
    if (s->kind == WRITE) {
        grow(f, s->offset + s->bytes);
        memcpy(f->data + s->offset, s->data, s->bytes);
    }
}

static void pend(size_t **list, size_t *count, size_t step)
{
    *list = must(realloc(*list, (*count + 1) * sizeof **list));
    (*list)[(*count)++] = step;
}

/* The directory that holds a name: "log", "index", ..., or "". */
static bool in_dir(const char *name, const char *dir)
{
    const char *slash = strchr(name, '/');
    size_t n = slash ? (size_t)(slash - name) : 0;
    return strlen(dir) == n && strncmp(name, dir, n) == 0;
}

static void sync_names(struct emu *emu, const char *dir)
{
    size_t kept = 0;
    for (size_t i = 0; i < emu->pending_name_count; i++) {
        const struct step *s = &emu->steps[emu->pending_names[i]];
        if (in_dir(s->name, dir))
            names_apply(&emu->durable, s);
        else
            emu->pending_names[kept++] = emu->pending_names[i];
    }
    emu->pending_name_count = kept;
}

static void replay(struct emu *emu, size_t steps)
{
    CHECK(steps >= emu->replayed && steps <= emu->count);
    for (; emu->replayed < steps; emu->replayed++) {
        const struct step *s = &emu->steps[emu->replayed];
        if (s->kind == OPEN && s->created) {
            CHECK(s->inode == emu->inode_count);
            emu->inodes = must(realloc(emu->inodes, (emu->inode_count + 1) * sizeof *emu->inodes));
            emu->inodes[emu->inode_count++] = (struct inode){0};
        }
        struct inode *f = s->inode < emu->inode_count ? &emu->inodes[s->inode] : NULL;
        if (s->kind == WRITE || s->kind == TRUNCATE || (s->kind == OPEN && s->truncated && !s->created))
            pend(&f->pending, &f->pending_count, emu->replayed);
        if ((s->kind == OPEN && s->created) || s->kind == RENAME || s->kind == UNLINK)
            pend(&emu->pending_names, &emu->pending_name_count, emu->replayed);
        if (s->kind == SYNC_DIR) sync_names(emu, s->name);
        if (s->kind == SYNC) {
            for (size_t i = 0; i < f->pending_count; i++) apply(f, &emu->steps[f->pending[i]]);
            f->pending_count = 0;
        }
    }
}

/* One version of a file that the disk could hold. */
static struct inode arrived(const struct emu *emu, const struct inode *f, enum emu_luck luck, uint64_t *seed)
{
    struct inode out = {0};
    uint64_t most = f->bytes;
    for (size_t i = 0; i < f->pending_count; i++) {
        const struct step *s = &emu->steps[f->pending[i]];
        if (s->kind == WRITE && s->offset + s->bytes > most) most = s->offset + s->bytes;
    }
    grow(&out, most + 1);
    if (luck == EMU_ANY && unit_random(seed) % 2)
        for (uint64_t i = f->bytes; i < most; i++) out.data[i] = (uint8_t)(0x5a + i);
    if (f->bytes) memcpy(out.data, f->data, f->bytes);
    size_t all = f->pending_count;
    size_t whole = luck == EMU_NOTHING ? 0 : luck == EMU_EVERYTHING ? all : unit_random(seed) % (all + 1);
    uint64_t bytes = f->bytes, salt = unit_random(seed);
    for (size_t i = 0; i < all; i++) {
        const struct step *s = &emu->steps[f->pending[i]];
        uint64_t torn = s->kind == WRITE && luck == EMU_IN_ORDER && i == whole
                            ? (s->offset + unit_random(seed) % (s->bytes + 1)) / PIECE * PIECE : 0;
        if (s->kind != WRITE) {
            if (i < whole) {
                if (s->bytes < bytes) memset(out.data + s->bytes, 0, bytes - s->bytes);
                bytes = s->bytes; /* OPEN: 0 */
            }
            continue;
        }
        for (uint64_t at = s->offset, end; at < s->offset + s->bytes; at = end) {
            end = (at / PIECE + 1) * PIECE;
            if (end > s->offset + s->bytes) end = s->offset + s->bytes;
            uint64_t piece = at / PIECE * 2654435761u ^ salt; /* which version of this piece arrived? */
            bool here = luck == EMU_ANY ? i < unit_random(&piece) % (all + 1) : i < whole || end <= torn;
            if (here) memcpy(out.data + at, s->data + (at - s->offset), end - at);
            if (here && luck != EMU_ANY && end > bytes) bytes = end;
        }
        if (luck == EMU_ANY && i < whole && s->offset + s->bytes > bytes) bytes = s->offset + s->bytes;
    }
    out.bytes = bytes;
    return out;
}

void emu_build(struct emu *emu, size_t steps, enum emu_luck luck, uint64_t *seed, const char *to)
{
    static const char *const folders[] = {"log", "packs", "index"};
    struct names names;
    char path[600];
    replay(emu, steps);
    names_copy(&names, &emu->durable);
    for (size_t d = 0; d < 4; d++) {
        const char *dir = d < 3 ? folders[d] : "";
        snprintf(path, sizeof path, "%s/%s", to, dir);
        if (d < 3) CHECK(mkdir(path, 0700) == 0);
        size_t mine = 0, i = 0;
        for (size_t k = 0; k < emu->pending_name_count; k++) mine += in_dir(emu->steps[emu->pending_names[k]].name, dir);
        size_t take = luck == EMU_NOTHING ? 0 : luck == EMU_EVERYTHING ? mine : unit_random(seed) % (mine + 1);
        for (size_t k = 0; k < emu->pending_name_count && i < take; k++) {
            const struct step *s = &emu->steps[emu->pending_names[k]];
            if (!in_dir(s->name, dir)) continue;
            names_apply(&names, s);
            i++;
        }
    }
    for (size_t i = 0; i < names.count; i++) {
        struct inode f = arrived(emu, &emu->inodes[names.list[i].inode], luck, seed);
        snprintf(path, sizeof path, "%s/%s", to, names.list[i].path);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK(io_real.pwrite(&io_real, fd, f.data, f.bytes, 0) == 0);
        close(fd);
        free(f.data);
    }
    names_free(&names);
}
