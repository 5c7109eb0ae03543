/* The worker that parses: it is in jail, and whatever happens to it is an error of one call and nothing more.
 *
 *   files-worker IMAGE      an ext4 image with a file /kept that holds "kept\n" */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "tests/unit.h"
#include "timeline/files.h"

static struct {
    int fd;
    int signal_at_read; /* send this to the worker when it asks for a block, then no more */
    bool refuse;        /* no block can be had */
} disk;

static pid_t worker_pid(void)
{
    char path[64], text[64] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read(fd, text, sizeof text - 1) >= 0);
    close(fd);
    return (pid_t)strtol(text, NULL, 10);
}

static int disk_pread(void *arg, void *buf, size_t bytes, uint64_t offset, struct chv_err *err)
{
    (void)arg;
    if (disk.signal_at_read) {
        kill(worker_pid(), disk.signal_at_read);
        disk.signal_at_read = 0;
    }
    if (disk.refuse) return chv_err_set(err, EIO, "block %llu is unknown", (unsigned long long)offset / 4096);
    return pread(disk.fd, buf, bytes, (off_t)offset) == (ssize_t)bytes ? 0 : chv_err_set(err, EIO, "short read");
}

static int take(void *arg, uint64_t offset, const void *data, size_t bytes)
{
    CHECK(offset == 0 && bytes == 5);
    memcpy(arg, data, 5);
    return 0;
}

static int stop(void *arg, const struct files_entry *e)
{
    (void)e;
    ++*(int *)arg;
    return 7;
}

static int count(void *arg, const struct files_entry *e)
{
    (void)e;
    ++*(int *)arg;
    return 0;
}

static void reads_fine(struct files_fs *fs)
{
    struct chv_err err;
    char text[6] = "";
    uint64_t size;
    CHECK_OK(files_read(fs, "/kept", false, take, text, &size, &err), err);
    CHECK(size == 5 && strcmp(text, "kept\n") == 0);
}

static int descriptors(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    DIR *d = opendir(path);
    int n = 0;
    if (!d) return -1; /* not dumpable: only root may look */
    for (struct dirent *e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void in_jail(bool sanitized)
{
    char path[64], status[4096] = "";
    pid_t pid = worker_pid();
    CHECK(pid > 0);
    if (sanitized) return;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read(fd, status, sizeof status - 1) > 0);
    close(fd);
    CHECK(strstr(status, "Seccomp:\t2") && strstr(status, "NoNewPrivs:\t1"));
    CHECK(descriptors(pid) <= 4); /* /dev/null three times, and the socket */
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    struct stat st;
    struct chv_err err;
    struct files_fs *fs;
    int n = 0;
    disk.fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    CHECK(disk.fd >= 0 && fstat(disk.fd, &st) == 0);
    struct files_image image = {.pread = disk_pread, .size_bytes = (uint64_t)st.st_size};
    struct files_options options = {.stall_seconds = 1};
    CHECK_OK(files_open(&image, &options, &fs, &err), err);
    in_jail(getenv("CHV_SANITIZED") != NULL);
    reads_fine(fs);

    /* it dies in the middle of a request: that call says so, the next has a new worker */
    for (int i = 0; i < 2; i++) {
        const int signals[2] = {SIGSEGV, SIGKILL};
        disk.signal_at_read = signals[i];
        CHECK(files_list(fs, "/", FILES_LIST_RECURSE | FILES_LIST_DELETED, 0, count, &n, &err) == -EPROTO);
        CHECK(strstr(err.text, "damaged") && !strchr(err.text, '\n'));
        disk.signal_at_read = 0;
        reads_fine(fs);
    }
    /* it stops answering */
    CHECK(files_stat(fs, "/", count, &n, &err) == 0);
    disk.signal_at_read = SIGSTOP;
    CHECK(files_list(fs, "/", FILES_LIST_RECURSE | FILES_LIST_DELETED, 0, count, &n, &err) == -EPROTO);
    CHECK(strstr(err.text, "no progress"));
    disk.signal_at_read = 0;
    reads_fine(fs);

    /* the caller has enough: its value comes back, and the next call works */
    n = 0;
    CHECK(files_list(fs, "/", 0, 0, stop, &n, &err) == 7 && n == 1);
    reads_fine(fs);
    CHECK(files_list(fs, "/", 0, 1, count, &n, &err) == -EOVERFLOW);

    /* what cannot be read is not what is not there */
    CHECK_OK(files_reopen(fs, NULL, 0, &err), err);
    files_close(fs);
    CHECK_OK(files_open(&image, &options, &fs, &err), err);
    disk.refuse = true;
    CHECK(files_read(fs, "/kept", false, take, NULL, NULL, &err) == -EIO && strstr(err.text, "is unknown"));
    disk.refuse = false;
    CHECK(files_read(fs, "/no/such", false, take, NULL, NULL, &err) == -ENOENT);
    CHECK(files_read(fs, "inode:4294967295", false, take, NULL, NULL, &err) == -ENOENT);
    CHECK(files_read(fs, "/", false, take, NULL, NULL, &err) == -EISDIR);
    files_close(fs);
    disk.refuse = true;
    CHECK(files_open(&image, &options, &fs, &err) == -EIO && strstr(err.text, "is unknown"));
    files_close(NULL);
    close(disk.fd);
    return 0;
}
