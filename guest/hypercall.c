/* abi/hypercall.h from inside. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest/helper.h"

#define WAIT_US 1000
#define WAITS_MAX 30000u /* half a minute without a page taken */
#define FAULTS_MAX 100u  /* the kernel was moving the page that the request lies in */

bool hypercall_key(const char *path, struct hypercall_key *key)
{
    uint8_t bytes[CHV_HYPERCALL_KEY_BYTES] = {0};
    char text[2 * sizeof bytes];
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    const char *why = fd < 0 || fstat(fd, &st) < 0 ? strerror(errno) : st.st_mode & 077 ? "others may read it; chmod 600" : NULL;
    if (!why && read(fd, text, sizeof text) != (ssize_t)sizeof text) why = "a key has 32 hexadecimal digits";
    if (fd >= 0) close(fd);
    for (size_t i = 0; !why && i < sizeof text; i++) {
        int c = tolower((unsigned char)text[i]), digit = c >= 'a' ? c - 'a' + 10 : c - '0';
        if (!isxdigit(c)) why = "a key has 32 hexadecimal digits";
        bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | (digit & 15));
    }
    if (why) fprintf(stderr, "chronovisor-helper: %s: %s\n", path, why);
    memcpy(&key->low, bytes, 8);
    memcpy(&key->high, bytes + 8, 8);
    return !why;
}

/* Where there is no hypervisor, or none that knows us: #UD is SIGILL here. File scope because handlers take no argument. */
static sigjmp_buf back;

static void on_illegal(int signal)
{
    siglongjmp(back, signal);
}

int hypercall(const struct hypercall_key *key, const struct chv_hypercall *request, uint64_t *number)
{
    struct sigaction action = {.sa_handler = on_illegal}, before;
    volatile int status = -1;
    sigaction(SIGILL, &action, &before);
    if (sigsetjmp(back, 1) == 0) {
        uint64_t rax = CHV_HYPERCALL, rdx = (uintptr_t)request;
        __asm__ volatile("vmmcall" : "+a"(rax), "+d"(rdx) : "b"(key->low), "c"(key->high) : "memory");
        status = (int)rax;
        *number = rdx;
    }
    sigaction(SIGILL, &before, NULL);
    return status;
}

int hypercall_until(const struct hypercall_key *key, uint32_t kind, const char *space, uint64_t bytes)
{
    struct chv_hypercall request = {.version = CHV_HYPERCALL_VERSION, .kind = kind, .bytes = bytes};
    uint64_t number = 0;
    int status = CHV_HYPERCALL_AGAIN;
    if (space) snprintf(request.space, sizeof request.space, "%s", space);
    for (unsigned i = 0; i < WAITS_MAX && (status == CHV_HYPERCALL_AGAIN || (status == CHV_HYPERCALL_FAULT && i < FAULTS_MAX)); i++) {
        if (i) usleep(WAIT_US);
        status = hypercall(key, &request, &number);
        if (kind == CHV_HYPERCALL_SETTLED && status == CHV_HYPERCALL_AGAIN && !request.bytes) request.bytes = number;
    }
    return status;
}

int hypercall_record(const struct hypercall_key *key, const char *space, const struct chv_hypercall_run *runs, size_t count, uint64_t *refused)
{
    struct {
        struct chv_hypercall head;
        struct chv_hypercall_run runs[CHV_HYPERCALL_RUNS];
    } request = {.head = {.version = CHV_HYPERCALL_VERSION, .kind = CHV_HYPERCALL_RECORD}};
    snprintf(request.head.space, sizeof request.head.space, "%s", space);
    uint32_t done = 0; /* pages of runs[0] */
    for (unsigned waits = 0, faults = 0; count > 0;) {
        uint64_t taken = 0;
        size_t n = count < CHV_HYPERCALL_RUNS ? count : CHV_HYPERCALL_RUNS;
        memcpy(request.runs, runs, n * sizeof *runs);
        request.runs[0].address += (uint64_t)done * CHV_HELPER_PAGE_BYTES;
        request.runs[0].frame += done;
        request.runs[0].pages -= done;
        request.head.runs = (uint32_t)n;
        int status = hypercall(key, &request.head, &taken);
        if (status < 0 || status == CHV_HYPERCALL_INVALID || status == CHV_HYPERCALL_NO_SPACE) return status;
        if (status == CHV_HYPERCALL_FAULT && ++faults > FAULTS_MAX) return status;
        if (status == CHV_HYPERCALL_NOT_RAM) ++*refused, taken++; /* it is passed over */
        waits = taken ? 0 : waits + 1;
        if (waits > WAITS_MAX) return CHV_HYPERCALL_AGAIN;
        if (!taken) usleep(WAIT_US);
        for (; taken > 0 && count > 0; runs++, count--, done = 0) {
            uint64_t left = runs->pages - done;
            if (taken < left) {
                done += (uint32_t)taken;
                break;
            }
            taken -= left;
        }
    }
    return CHV_HYPERCALL_OK;
}
