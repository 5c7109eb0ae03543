/* The helper's client against peers of all kinds: one that answers, one that is silent, lies, stops in the middle, or was talking to another. */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "sensor/memory/helper.h"
#include "tests/unit.h"

static const struct physmem_range ram[] = {{0, 1 << 20, 0, -1}, {1 << 20, 1 << 20, 0, -1}, {UINT64_C(1) << 32, 1 << 20, 0, -1}};

enum behaviour { GOOD, LEFTOVER, LIES, LOSES, CUTS, REFUSES };

struct peer {
    int listener;
    enum behaviour how;
};

static void put(int fd, struct chv_helper_frame frame, const void *payload, size_t bytes)
{
    frame.magic = CHV_HELPER_MAGIC;
    frame.version = CHV_HELPER_VERSION;
    frame.bytes = (uint32_t)bytes;
    CHECK(send(fd, &frame, sizeof frame, MSG_NOSIGNAL) == sizeof frame);
    CHECK(bytes == 0 || send(fd, payload, bytes, MSG_NOSIGNAL) == (ssize_t)bytes);
}

static void answer_pages(int fd, const struct chv_helper_frame *q, enum behaviour how)
{
    struct {
        struct chv_helper_mapping m;
        char path[8];
        struct chv_helper_mapping heap;
        char heap_path[8];
    } maps = {{0x1000, 0x200000, 0x3000, CHV_HELPER_READ | CHV_HELPER_EXEC, 5}, "/a/bc", {0x200000, 0x300000, 0, 3, 6}, "[heap]"};
    struct chv_helper_run list[] = {
        {0x1000, 0, 2, CHV_HELPER_PRESENT | CHV_HELPER_READ | CHV_HELPER_EXEC | CHV_HELPER_FILE},
        {0x3000, 0x80, 0x100, CHV_HELPER_PRESENT | CHV_HELPER_READ}, /* across two ranges */
        {0x200000, 0, 3, CHV_HELPER_SWAPPED}, {0x203000, 0, 4, CHV_HELPER_SWAPPED}, {0x207000, 0, 1, CHV_HELPER_UNSEEN},
        {0x210000, 0x200, 1, CHV_HELPER_PRESENT | CHV_HELPER_WRITE}, /* no RAM there */
        {0x220000, 0x100000, 1, CHV_HELPER_PRESENT | CHV_HELPER_WRITE | CHV_HELPER_SOFT_DIRTY},
    };
    struct chv_helper_frame f = {.id = q->id, .pid = q->pid, .kind = CHV_HELPER_MAPPINGS};
    if (how == REFUSES) {
        put(fd, (struct chv_helper_frame){.id = q->id, .pid = q->pid, .kind = CHV_HELPER_END, .status = ESRCH}, NULL, 0);
        return;
    }
    put(fd, f, &maps, sizeof maps);
    f.kind = CHV_HELPER_RUNS;
    if (how == LIES) list[2].va = 0x1000; /* goes back */
    put(fd, f, list, sizeof list);
    if (how == CUTS) {
        shutdown(fd, SHUT_RDWR);
        return;
    }
    f.kind = CHV_HELPER_END;
    f.flags = CHV_HELPER_HELD;
    f.value = how == LOSES ? 100 : 9;
    put(fd, f, NULL, 0);
}

static void *serve(void *arg)
{
    struct peer *peer = arg;
    struct chv_helper_frame q;
    int fd = accept(peer->listener, NULL, NULL);
    CHECK(fd >= 0);
    if (peer->how == LEFTOVER) { /* half of an answer to somebody else, in which frames are looked for */
        uint8_t rubbish[5000];
        memset(rubbish, 'C', sizeof rubbish);
        CHECK(send(fd, rubbish, sizeof rubbish, 0) == sizeof rubbish);
        put(fd, (struct chv_helper_frame){.id = 0, .kind = CHV_HELPER_END}, NULL, 0);
    }
    while (recv(fd, &q, sizeof q, MSG_WAITALL) == sizeof q) {
        struct chv_helper_process p[] = {{1, 0, 0, 0, "init"}, {2, 0, 0, CHV_HELPER_KERNEL_THREAD, "kthreaddkthreadd"}};
        struct chv_helper_frame f = {.id = q.id, .kind = CHV_HELPER_PROCESSES};
        CHECK(q.magic == CHV_HELPER_MAGIC);
        if (q.kind == CHV_HELPER_LIST) put(fd, f, p, sizeof p);
        f.kind = CHV_HELPER_END;
        f.value = q.kind == CHV_HELPER_LIST ? 2 : 0;
        if (q.kind == CHV_HELPER_PAGES)
            answer_pages(fd, &q, peer->how);
        else
            put(fd, f, NULL, 0);
    }
    close(fd);
    return NULL;
}

static void check_good(const struct helper_pages *p)
{
    CHECK(p->vma_count == 2 && strcmp(p->vmas[0].path, "/a/bc") == 0 && p->vmas[0].offset == 0x3000 && p->vmas[1].heap && !p->vmas[1].path);
    CHECK(p->pages.count == 3 && p->pages.bytes == (2 + 0x100 + 1) * 4096 && p->held && !p->torn);
    CHECK(p->pages.list[0].flags == (WALK_USER | WALK_EXEC | PAGE_FILE) && p->pages.list[0].pa == 0);
    CHECK(p->pages.list[2].pa == UINT64_C(1) << 32 && p->pages.list[2].flags == (WALK_USER | WALK_WRITE | WALK_DIRTY | PAGE_ANONYMOUS));
    CHECK(p->refused_pages == 1 && p->swapped_pages == 7 && p->unseen_pages == 1 && p->absent_count == 2);
    CHECK(p->absent[0].va == 0x200000 && p->absent[0].bytes == 7 * 4096 && !p->absent[0].unseen && p->absent[1].unseen);
}

static void with_peer(const char *dir, enum behaviour how)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct peer peer = {.how = how, .listener = socket(AF_UNIX, SOCK_STREAM, 0)};
    struct helper *h;
    struct helper_pages pages;
    struct linux_task *tasks;
    struct physmem *mem;
    struct chv_err err;
    pthread_t thread;
    uint64_t ns;
    size_t count;
    snprintf(address.sun_path, sizeof address.sun_path, "%.80s/%d", dir, (int)how);
    CHECK(bind(peer.listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(peer.listener, 1) == 0);
    CHECK(pthread_create(&thread, NULL, serve, &peer) == 0);
    CHECK_OK(physmem_open_ranges(ram, 3, &mem, &err), err);
    CHECK_OK(helper_connect(address.sun_path, &h, &err), err);
    CHECK_OK(helper_ping(h, &ns, &err), err);
    CHECK_OK(helper_tasks(h, &tasks, &count, &err), err);
    CHECK(count == 2 && tasks[0].mm != 0 && tasks[1].mm == 0 && strcmp(tasks[1].name, "kthreaddkthread") == 0);
    free(tasks);
    static const int want[] = {[LIES] = -EPROTO, [LOSES] = -EPROTO, [CUTS] = -EPIPE, [REFUSES] = -ESRCH};
    int r = helper_translate(h, 42, true, mem, &pages, &err);
    CHECK(r == want[how]);
    if (r == 0) {
        check_good(&pages);
        helper_pages_fini(&pages);
        CHECK_OK(helper_release(h, &err), err);
    }
    helper_close(h);
    physmem_close(mem);
    pthread_join(thread, NULL);
    close(peer.listener);
}

static void test_moved(void)
{
    struct page_run before[] = {{0x1000, 0x10000, 0x4000, 1}, {0x9000, 0x20000, 0x1000, 1}},
                    after[] = {{0x1000, 0x10000, 0x1000, 2}, {0x3000, 0x12000, 0x1000, 1}, {0x4000, 0x50000, 0x1000, 1}};
    struct pages b = {.list = before, .count = 2}, a = {.list = after, .count = 3}, moved;
    CHECK(pages_moved(&b, &b, &moved) == 0 && moved.count == 0);
    CHECK(pages_moved(&b, &a, &moved) == 0 && moved.count == 3 && moved.bytes == 0x3000);
    CHECK(moved.list[0].va == 0x2000 && moved.list[1].va == 0x4000 && moved.list[2].va == 0x9000);
    pages_free(&moved);
}

int main(void)
{
    char dir[256];
    struct helper *h;
    struct chv_err err;
    unit_temp_dir(dir);
    for (int how = GOOD; how <= REFUSES; how++) with_peer(dir, (enum behaviour)how);
    CHECK(helper_connect("/nowhere", &h, &err) == -ENOENT);
    test_moved();
    unit_remove_tree(dir);
    return 0;
}
