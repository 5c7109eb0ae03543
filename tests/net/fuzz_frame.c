/* Frames to both ends of the wire. The input is a row of (type, length, bytes): types 1 to 4 and 7 with the high bit set are sealed
 * under a live session's keys, as by a sensor that means harm, 5 and 6 with it as by such a collector; without it they arrive as they
 * are. */
#include "tests/net/network.h"

#define LENGTH_BYTES 2

static struct network net;

static void check(struct network *n, const struct chv_wire_record *record, const void *content)
{
    volatile uint8_t sum = 0;
    (void)n;
    for (size_t i = 0; i < record->bytes; i++) sum = (uint8_t)(sum + ((const uint8_t *)content)[i]);
}

static void seal_up(uint8_t type, const uint8_t *data, size_t n)
{
    memcpy(net.sender.frame + sizeof(struct chv_frame_header), data, n);
    sender_send_sealed(&net.sender, type, n);
}

static void seal_down(uint8_t type, const uint8_t *data, size_t n)
{
    uint8_t frame[CHV_WIRE_FRAME_BYTES_MAX];
    struct receiver *r = &net.receiver;
    if (!r->live.id) return;
    struct chv_frame_header h = {{'C', 'W'}, CHV_WIRE_VERSION, type, r->live.id, r->counter_out++};
    memcpy(frame, &h, sizeof h);
    memcpy(frame + sizeof h, data, n);
    CHECK(seal_close(&r->live.out, h.counter, frame, sizeof h, frame + sizeof h, n) == 0);
    sender_receive(&net.sender, frame, sizeof h + n + CHV_WIRE_TAG_BYTES, net.now_ns);
}

static void plain(const uint8_t *data, size_t n, bool up)
{
    uint8_t *copy = malloc(n ? n : 1); /* so that a byte beyond it is seen */
    memcpy(copy, data, n);
    if (up)
        CHECK(receiver_frame(&net.receiver, copy, n) == 0);
    else
        sender_receive(&net.sender, copy, n, net.now_ns);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct chv_device d = {.name = "disk:a", .bytes = 1 << 20};
    uint8_t content[4096] = {7};
    struct chv_wire_record w = {.lba_lo = 8, .op = 2, .sectors = 8};
    network_init(&net, 5, 64 * 512, 512, true);
    net.check = check;
    net.hostile = true;
    sender_device(&net.sender, &d);
    for (int i = 0; i < 8; i++) {
        sender_record(&net.sender, &w, content, net.now_ns);
        network_tick(&net);
    }
    while (size > LENGTH_BYTES) {
        size_t n = (size_t)(data[1] | data[2] << 8) % 1500;
        uint8_t type = data[0];
        data += 3, size -= size > 3 ? 3 : size;
        if (n > size) n = size;
        if (type & 0x80)
            (type & 0x7f) == CHV_FRAME_ACK || (type & 0x7f) == CHV_FRAME_REQUEST ? seal_down(type & 0x7f, data, n)
                                                                                  : seal_up(type & 0x7f, data, n);
        else
            plain(data, n, type & 1);
        network_tick(&net);
        data += n, size -= n;
    }
    for (int i = 0; i < 20; i++) network_tick(&net);
    network_fini(&net);
    return 0;
}
