/* Frames off the network, before anything is authenticated: a row of (length, bytes). */
#include <stdlib.h>
#include <string.h>

#include "visor/net/udp.h"

struct input {
    const uint8_t *data;
    size_t size;
};

static bool fake_send(struct nic *nic, const void *head, size_t head_bytes, const void *body, size_t body_bytes)
{
    (void)nic, (void)head, (void)body;
    return head_bytes + body_bytes <= NIC_FRAME_BYTES;
}

static size_t fake_poll(struct nic *nic, void *frame, size_t room)
{
    struct input *in = nic->bus.arg;
    if (in->size < 2) return 0;
    size_t n = (size_t)(in->data[0] | in->data[1] << 8) % (room + 1);
    in->data += 2, in->size -= 2;
    if (n > in->size) n = in->size;
    memcpy(frame, in->data, n);
    memset((uint8_t *)frame + n, 0xaa, room - n); /* what is behind it is not part of it */
    in->data += n, in->size -= n;
    return n;
}

static void on_data(void *arg, void *data, size_t n, uint64_t now_ns)
{
    (void)arg, (void)now_ns;
    if (n == 0 || n > UDP_BYTES_MAX) abort();
    memset(data, 0, n); /* may be written */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct nic nic = {.send = fake_send, .poll = fake_poll, .bus = {.arg = &in}, .mac = {2, 0, 0, 0, 0, 1}};
    struct udp_config config = {{10, 0, 0, 2}, {255, 255, 255, 0}, {10, 0, 0, 254}, {10, 0, 0, 7}, 7001, 7117};
    struct udp u;
    if (!udp_init(&u, &nic, &config)) abort();
    for (uint64_t now = 1; now < 20; now++) udp_poll(&u, now * 300000000, on_data, NULL);
    return 0;
}
