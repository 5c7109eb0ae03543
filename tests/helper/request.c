/* The helper's ear and mouth: requests among rubbish, answers in whole frames, lines of /proc/PID/maps, and this very process translated. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "guest/helper.h"
#include "tests/unit.h"

static void test_requests(void)
{
    struct chv_helper_frame good = {.magic = CHV_HELPER_MAGIC, .version = 1, .kind = CHV_HELPER_PAGES, .pid = 7, .id = 99, .flags = 1}, out;
    struct chv_helper_frame bad[] = {good, good, good, good, good, good};
    bad[0].version = 2, bad[1].pid = 0, bad[2].pid = CHV_HELPER_PID_MAX + 1, bad[3].flags = 2, bad[4].bytes = 1, bad[5].kind = 5;
    for (size_t cut = 1; cut < sizeof good; cut++)
        for (size_t b = 0; b < sizeof bad / sizeof *bad; b++) {
            uint8_t stream[3 * sizeof good + 3];
            struct request_reader reader = {.have = 0};
            memcpy(stream, "CHV", 3); /* begins like a request */
            memcpy(stream + 3, &bad[b], sizeof good);
            memcpy(stream + 3 + sizeof good, &good, sizeof good);
            memcpy(stream + 3 + 2 * sizeof good, &good, sizeof good);
            int found = 0;
            for (size_t at = 0; at < sizeof stream; at += cut) {
                const uint8_t *p = stream + at;
                size_t left = sizeof stream - at < cut ? sizeof stream - at : cut;
                while (request_next(&reader, &p, &left, &out)) {
                    CHECK(memcmp(&out, &good, sizeof good) == 0);
                    found++;
                }
                CHECK(left == 0);
            }
            CHECK(found == 2);
        }
}

static void test_mappings(void)
{
    struct mapping m;
    char file[] = "7000-8000 r-xs 0001f000 08:01 1234        /usr/lib/a b (deleted)", anonymous[] = "1000-3000 rw-p 00000000 00:00 0 ";
    CHECK(mapping_parse(file, &m) && m.start == 0x7000 && m.end == 0x8000 && m.offset == 0x1f000);
    CHECK(m.flags == (CHV_HELPER_READ | CHV_HELPER_EXEC | CHV_HELPER_SHARED | CHV_HELPER_DELETED));
    CHECK(m.path_bytes == 12 && memcmp(m.path, "/usr/lib/a b", 12) == 0);
    CHECK(mapping_parse(anonymous, &m) && m.path_bytes == 0 && m.flags == (CHV_HELPER_READ | CHV_HELPER_WRITE));
    const char *const wrong[] = {"", "1000", "1000-", "2000-1000 r-xp 0 00:00 0 ", "1000-2000 r-x", "1000-2000 r-xp 0", "1001-2000 r-xp 0 00:00 0 "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char line[64];
        snprintf(line, sizeof line, "%s", wrong[i]);
        CHECK(!mapping_parse(line, &m));
    }
}

/* All of what is written into the other end. */
static size_t drain(int fd, uint8_t *data, size_t room)
{
    size_t have = 0;
    ssize_t n;
    while (have < room && (n = recv(fd, data + have, room - have, MSG_DONTWAIT)) > 0) have += (size_t)n;
    return have;
}

static void test_self(void)
{
    static struct answer a;
    static uint8_t data[1 << 20];
    struct chv_helper_frame request = {.id = 5, .pid = (uint32_t)getpid()}, f;
    int pair[2], big = 1 << 20;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
    answer_begin(&a, pair[0], &request);
    int status = translate(&a, getpid());
    CHECK(status == 0 || status == EPERM); /* EPERM: frames are for root */
    answer_end(&a, status);
    CHECK(a.error == 0);
    size_t bytes = drain(pair[1], data, sizeof data), at = 0, mappings = 0, runs = 0;
    for (bool ended = false; !ended; at += sizeof f + f.bytes) {
        CHECK(bytes - at >= sizeof f);
        memcpy(&f, data + at, sizeof f);
        CHECK(f.magic == CHV_HELPER_MAGIC && f.id == 5 && f.pid == request.pid && f.bytes <= CHV_HELPER_PAYLOAD_MAX);
        mappings += f.kind == CHV_HELPER_MAPPINGS;
        if (f.kind == CHV_HELPER_RUNS) runs += f.bytes / sizeof(struct chv_helper_run);
        ended = f.kind == CHV_HELPER_END;
    }
    CHECK(at == bytes && f.value == a.sent && mappings > 0 && (status == EPERM || runs > 0));

    close(pair[1]); /* nobody listens any more: given up at once */
    signal(SIGPIPE, SIG_IGN);
    answer_begin(&a, pair[0], &request);
    answer_end(&a, 0);
    CHECK(a.error < 0);
    close(pair[0]);
    CHECK(translate(&a, INT32_MAX) == ESRCH);
}

static bool runs(pid_t pid)
{
    char path[64], state;
    struct chv_helper_process p;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    CHECK(procfs_stat(path, &p, &state) && p.pid == (uint32_t)pid);
    return state != 'T';
}

static void test_hold(void)
{
    struct hold h = {0};
    pid_t pid = fork();
    if (pid == 0)
        for (;;) pause();
    CHECK(pid > 0 && !hold_take(&h, getpid()) && !hold_take(&h, 1));
    CHECK(hold_take(&h, pid) && !runs(pid) && hold_take(&h, pid));
    hold_expire(&h);
    CHECK(!runs(pid));
    hold_release(&h);
    usleep(20000);
    CHECK(runs(pid) && h.pid == 0);
    kill(pid, SIGSTOP); /* somebody else's stop is left alone */
    while (runs(pid)) usleep(1000);
    CHECK(hold_take(&h, pid));
    hold_release(&h);
    usleep(20000);
    CHECK(!runs(pid));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static bool soon(pid_t pid)
{
    for (int tries = 0; !runs(pid) && tries < 1000; tries++) usleep(10000);
    return runs(pid);
}

/* Who holds is killed, alone or with all of its group but the child: what was held goes on. */
static void test_hold_killed(int signal_number)
{
    int told[2];
    char byte;
    pid_t pid = fork();
    if (pid == 0)
        for (;;) pause();
    CHECK(pid > 0 && pipe(told) == 0);
    pid_t helper = fork();
    CHECK(helper >= 0);
    if (helper == 0) {
        struct hold h = {0};
        setpgid(0, 0);
        if (!hold_take(&h, pid) || !hold_take(&h, pid) || write(told[1], "", 1) != 1) _exit(1);
        for (;;) pause();
    }
    close(told[1]);
    CHECK(read(told[0], &byte, 1) == 1);
    CHECK(!runs(pid));
    CHECK(kill(signal_number == SIGKILL ? helper : -helper, signal_number) == 0 && waitpid(helper, NULL, 0) == helper);
    CHECK(read(told[0], &byte, 1) == 0); /* the child has nothing of the helper's open */
    CHECK(soon(pid));
    close(told[0]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int main(void)
{
    test_requests();
    test_mappings();
    test_self();
    test_hold();
    test_hold_killed(SIGKILL);
    test_hold_killed(SIGTERM);
    return 0;
}
