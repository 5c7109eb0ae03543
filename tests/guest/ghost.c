/* ghost: a stand-in for malware that has no file. It does nothing but sit in memory in the ways that such malware does: no network, no
 * persistence, no access to other processes, nothing but sleep and one sum. It runs only in the throwaway guest (decoy_guard.c).
 *
 *   ghost memfd            copies itself into a memfd and runs that copy
 *   ghost unlinked DIR     copies itself to DIR, runs the copy, which unlinks its own file
 *   ghost anonymous        puts code that computes 3 x + 1 into anonymous memory and runs it from there; SIGUSR1: other bytes
 *   ghost patched DIR      copies itself to DIR, runs the copy, which changes its own code in memory
 *   ghost plain DIR        copies itself to DIR and runs the copy: what is not suspicious
 *
 * Each has a payload of its own: 4 pages of random bytes with the words "harmless ghost: KIND" at the beginning and across each border
 * of two pages, in executable memory. In the program's file they are filled with int3, so a payload is where its ghost is, and
 * nowhere else. Lines that begin with "@@" are for the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decoy.h"

enum { PAGE = 4096, PAYLOAD_BYTES = 4 * PAGE, FILE_BYTES_MAX = 16 << 20 };

/* Among the code, so that its pages are executable. */
__asm__(".pushsection .text.payload,\"ax\",@progbits\n.balign 4096\npayload: .fill 16384,1,0xcc\n.popsection\n");
extern const uint8_t payload[PAYLOAD_BYTES] __attribute__((visibility("hidden")));

static volatile sig_atomic_t asked;

static void on_signal(int signal)
{
    asked = signal;
}

/* The words are kept one letter on, so that they stand in the payload only. */
static void make_payload(uint8_t *to, const char *kind)
{
    static const char shifted[] = "ibsnmftt!hiptu;!";
    char words[64];
    size_t n = 0;
    for (; shifted[n]; n++) words[n] = (char)(shifted[n] - 1);
    snprintf(words + n, sizeof words - n, "%s", kind);
    n = strlen(words);
    for (size_t at = 0; at < PAYLOAD_BYTES; at += 256)
        if (getrandom(to + at, 256, 0) != 256) die(2, "getrandom: %s", strerror(errno));
    memcpy(to, words, n);
    for (size_t border = PAGE; border < PAYLOAD_BYTES; border += PAGE) memcpy(to + border - n / 2, words, n);
}

/* This program's file with a payload in it; *bytes is its size. */
static uint8_t *own_copy(const char *kind, size_t *bytes)
{
    struct stat st;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size > FILE_BYTES_MAX) die(2, "/proc/self/exe: not readable");
    *bytes = (size_t)st.st_size;
    uint8_t *data = malloc(*bytes);
    for (size_t at = 0; data && at < *bytes;) {
        ssize_t n = read(fd, data + at, *bytes - at);
        if (n <= 0) die(2, "/proc/self/exe: %s", n < 0 ? strerror(errno) : "short");
        at += (size_t)n;
    }
    uint8_t *place = data ? memmem(data, *bytes, payload, PAYLOAD_BYTES) : NULL;
    if (!place) die(2, "the payload's place was not found in /proc/self/exe");
    make_payload(place, kind);
    close(fd);
    return data;
}

static void put(int fd, const uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t n = write(fd, data + at, bytes - at);
        if (n <= 0) die(2, "writing the copy: %s", n < 0 ? strerror(errno) : "short");
        at += (size_t)n;
    }
}

static void tell(const char *kind, const void *address)
{
    printf("@@ ghost %s %d 0x%llx %d\n", kind, (int)getpid(), (unsigned long long)(uintptr_t)address, PAYLOAD_BYTES);
    fflush(stdout);
}

static void run_memfd(void)
{
    size_t bytes;
    const uint8_t *data = own_copy("memfd", &bytes);
    int fd = memfd_create("ghost", MFD_CLOEXEC);
    if (fd < 0) die(2, "memfd_create: %s", strerror(errno));
    put(fd, data, bytes);
    char *const argv[] = {"innocent", "asleep", "memfd", NULL}, *const env[] = {NULL};
    fexecve(fd, argv, env);
    die(2, "fexecve: %s", strerror(errno));
}

static void run_copy(const char *kind, const char *dir)
{
    char path[512];
    size_t bytes;
    const uint8_t *data = own_copy(kind, &bytes);
    snprintf(path, sizeof path, "%s/ghost-%s", dir, kind);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
    if (fd < 0) die(2, "%s: %s", path, strerror(errno));
    put(fd, data, bytes);
    if (fsync(fd) < 0 || close(fd) < 0) die(2, "%s: %s", path, strerror(errno));
    execl(path, path, "asleep", kind, NULL);
    die(2, "%s: %s", path, strerror(errno));
}

static void patch_own_code(void)
{
    uint8_t *page = (uint8_t *)(uintptr_t)payload + PAGE;
    if (mprotect(page, PAGE, PROT_READ | PROT_WRITE) < 0) die(2, "mprotect: %s", strerror(errno));
    memcpy(page + 512, "changed in memory", 17);
    if (mprotect(page, PAGE, PROT_READ | PROT_EXEC) < 0) die(2, "mprotect: %s", strerror(errno));
}

static void sit(const char *kind, const volatile uint8_t *place)
{
    unsigned sum = 0;
    for (size_t at = 0; at < PAYLOAD_BYTES; at += PAGE) sum += place[at]; /* so that its pages are there */
    if (sum == 0) die(2, "no payload");
    tell(kind, (const void *)(uintptr_t)place);
    for (;;) {
        pause();
        if (asked) return;
    }
}

static void asleep(const char *kind, const char *path)
{
    if (strcmp(kind, "unlinked") == 0 && unlink(path) < 0) die(2, "%s: %s", path, strerror(errno));
    if (strcmp(kind, "patched") == 0) patch_own_code();
    for (;;) sit(kind, payload);
}

static void run_anonymous(void)
{
    static const uint8_t code[] = {0x8d, 0x44, 0x7f, 0x01, 0xc3}; /* lea eax, [rdi + rdi * 2 + 1]; ret */
    uint8_t *p = mmap(NULL, PAYLOAD_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) die(2, "mmap: %s", strerror(errno));
    for (;; asked = 0) {
        make_payload(p, "anonymous");
        memcpy(p + 256, code, sizeof code);
        if (mprotect(p, PAYLOAD_BYTES, PROT_READ | PROT_EXEC) < 0) die(2, "mprotect: %s", strerror(errno));
        int (*compute)(int);
        void *entry = p + 256;
        memcpy(&compute, &entry, sizeof compute);
        if (compute(13) != 40) die(2, "the code computes something else");
        sit("anonymous", p);
        if (mprotect(p, PAYLOAD_BYTES, PROT_READ | PROT_WRITE) < 0) die(2, "mprotect: %s", strerror(errno));
    }
}

int main(int argc, char **argv)
{
    guard();
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    const char *verb = argc > 1 ? argv[1] : "";
    if (argc == 2 && strcmp(verb, "memfd") == 0) run_memfd();
    if (argc == 2 && strcmp(verb, "anonymous") == 0) run_anonymous();
    if (argc == 3 && strcmp(verb, "asleep") == 0) asleep(argv[2], argv[0]);
    if (argc == 3 && (strcmp(verb, "unlinked") == 0 || strcmp(verb, "patched") == 0 || strcmp(verb, "plain") == 0)) run_copy(verb, argv[2]);
    die(2, "usage: ghost memfd | anonymous | unlinked DIR | patched DIR | plain DIR");
}
