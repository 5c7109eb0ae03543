#include "qtest.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#define ARGUMENTS_MAX 64

static void *shared_file(const char *path, uint64_t bytes)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED);
    close(fd);
    return map;
}

static char left_over[256]; /* the folder, for a test that fails */

static void remove_left_over(void)
{
    unit_remove_tree(left_over);
}

void qtest_prepare(struct qtest *q)
{
    char path[300];
    if (system("command -v qemu-system-x86_64 >/dev/null") != 0) {
        bool must = getenv("CHV_NO_SKIP") != NULL;
        fprintf(stderr, "%s: no qemu-system-x86_64\n", must ? "FAIL" : "SKIP");
        exit(must ? 1 : 77);
    }
    *q = (struct qtest){.fd = -1};
    unit_temp_dir(q->dir);
    if (!*left_over) atexit(remove_left_over);
    memcpy(left_over, q->dir, sizeof left_over);
    snprintf(path, sizeof path, "%s/ram", q->dir);
    q->ram = shared_file(path, QTEST_RAM_BYTES);

    /* Debian's QEMU has no accelerator "qtest": its processor is there, and sleeps (cli; hlt; jmp to the hlt). */
    snprintf(path, sizeof path, "%s/rom", q->dir);
    uint8_t *rom = shared_file(path, 65536);
    memcpy(rom + 65536 - 16, "\xfa\xf4\xeb\xfd", 4);
    munmap(rom, 65536);
}

uint8_t *qtest_image(struct qtest *q, const char *name, uint64_t bytes)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", q->dir, name);
    return shared_file(path, bytes);
}

static void start_process(struct qtest *q, const char *const *arguments)
{
    static const char *const first[] = {"qemu-system-x86_64", "-nodefaults", "-display", "none", "-accel", "tcg", "-bios", "@rom", "-M",
        "q35,memory-backend=m", "-qtest", "unix:@socket", "-qtest-log", "none", "-m", "128M",
        "-object", "memory-backend-file,id=m,size=128M,share=on,mem-path=@ram"};
    static char text[ARGUMENTS_MAX][512];
    char *argv[ARGUMENTS_MAX + 1];
    unsigned n = 0;
    for (unsigned i = 0; i < sizeof first / sizeof *first + 64 && n < ARGUMENTS_MAX; i++) {
        const char *word = i < sizeof first / sizeof *first ? first[i] : arguments[i - sizeof first / sizeof *first], *mark;
        if (!word) break;
        mark = strchr(word, '@');
        int before = mark ? (int)(mark - word) : (int)strlen(word);
        snprintf(text[n], sizeof text[n], "%.*s%s%s%s", before, word, mark ? q->dir : "", mark ? "/" : "", mark ? mark + 1 : "");
        argv[n] = text[n], n++;
    }
    argv[n] = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves no QEMU behind */
    execvp(argv[0], argv);
    perror(argv[0]);
    _exit(127);
}

void qtest_start(struct qtest *q, const char *const *arguments)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%.90s/socket", q->dir);
    CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0);
    q->pid = fork();
    CHECK(q->pid >= 0);
    if (!q->pid) start_process(q, arguments);
    for (int status; (q->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0; usleep(1000))
        CHECK(errno == EAGAIN && waitpid(q->pid, &status, WNOHANG) == 0); /* QEMU has ended: it said why */
    close(listener);
    CHECK((q->in = fdopen(dup(q->fd), "r")));
}

/* One command, one answer; IRQ lines come in between. */
static uint64_t ask(struct qtest *q, const char *command)
{
    char line[256];
    unsigned long long value = 0;
    size_t n = strlen(command);
    CHECK(write(q->fd, command, n) == (ssize_t)n);
    do {
        if (!fgets(line, sizeof line, q->in)) {
            fprintf(stderr, "QEMU has gone at: %s", command);
            exit(1);
        }
    } while (strncmp(line, "IRQ", 3) == 0);
    CHECK(strncmp(line, "OK", 2) == 0);
    sscanf(line, "OK %lli", (long long *)&value);
    return value;
}

static uint64_t askf(struct qtest *q, const char *format, uint64_t a, uint64_t b)
{
    char command[128];
    snprintf(command, sizeof command, format, (unsigned long long)a, (unsigned long long)b);
    return ask(q, command);
}

void qtest_pci(struct qtest *q, unsigned device, unsigned function, unsigned bar)
{
    uint64_t config = 0x80000000u | device << 11 | function << 8;
    q->base = 0xe0000000u;
    askf(q, "outl 0xcf8 0x%llx\n", config | (0x10 + bar * 4), 0);
    askf(q, "outl 0xcfc 0x%llx\n", q->base, 0);
    askf(q, "outl 0xcf8 0x%llx\n", config | 0x04, 0);
    askf(q, "outl 0xcfc 0x%llx\n", 0x6, 0);
}

void qtest_stop(struct qtest *q)
{
    int status;
    fclose(q->in);
    close(q->fd);
    kill(q->pid, SIGTERM);
    waitpid(q->pid, &status, 0);
    unit_remove_tree(q->dir);
}

uint32_t qtest_read(struct rig *rig, uint64_t offset)
{
    struct qtest *q = rig->device;
    return (uint32_t)askf(q, "readl 0x%llx\n", q->base + offset, 0);
}

void qtest_write(struct rig *rig, uint64_t offset, unsigned width, uint64_t value)
{
    struct qtest *q = rig->device;
    askf(q, width == 8 ? "writeq 0x%llx 0x%llx\n" : "writel 0x%llx 0x%llx\n", q->base + offset, value);
}

void qtest_settle(struct rig *rig)
{
    (void)rig;
    usleep(100);
}
