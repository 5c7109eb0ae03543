/* Any bytes as what a front-end sends: no descriptor stays open, and the device never acts on what is not checked. */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "sensor/vhost_user/device.h"
#include "tests/unit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void send_with(int fd, const uint8_t *bytes, size_t size, int file, unsigned count)
{
    union {
        struct cmsghdr align;
        uint8_t room[CMSG_SPACE(8 * sizeof(int))];
    } control;
    memset(&control, 0, sizeof control);
    struct iovec iov = {.iov_base = (void *)bytes, .iov_len = size};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    if (count) {
        h.msg_control = &control;
        h.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.align = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(count * sizeof(int))};
        for (unsigned i = 0; i < count; i++) memcpy(CMSG_DATA(&control.align) + i * sizeof file, &file, sizeof file);
    }
    if (sendmsg(fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return; /* full, or nobody reads any more */
}

/* data: pieces of one byte (descriptors and bit 7: a message's start), one of length, and so many bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int pair[2], file = memfd_create("fuzz", MFD_CLOEXEC), stop = eventfd(0, EFD_CLOEXEC);
    struct session session = {0};
    struct capture capture = {.block_bytes = 4096, .space_name = "disk:vda"};
    struct device *d;
    struct vu_msg msg;
    struct chv_err err;
    capture.disk.size_bytes = 1 << 20;
    CHECK(file >= 0 && stop >= 0 && ftruncate(file, 1 << 16) == 0);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK_OK(device_new(&session, &capture, &d, &err), err);
    for (size_t at = 0; at + 2 < size;) {
        unsigned fds = data[at] & 15;
        size_t n = data[at + 1];
        at += 2;
        if (n == 0 || n > size - at) n = size - at;
        send_with(pair[1], data + at, n, file, fds > 8 ? 8 : fds);
        at += n;
    }
    shutdown(pair[1], SHUT_WR);
    while (vu_receive(pair[0], stop, &msg, &err) > 0) {
        /* a ring that runs needs a recording behind it: fuzz-vhost_ring's and the unit tests' business */
        int r = msg.request == VU_SET_VRING_KICK ? 0 : device_message(d, &msg, &err);
        if (r < 0) CHECK(err.text[0]);
        if (r > 0) {
            CHECK(msg.size <= sizeof msg.payload);
            CHECK(vu_send_reply(pair[0], &msg, r == DEVICE_ANSWER_FD) <= 0);
        }
        vu_close(&msg);
    }
    device_free(d);
    close(pair[0]);
    close(pair[1]);
    close(stop);
    close(file);
    return 0;
}
