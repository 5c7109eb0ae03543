/* The way out, in tight loops.
 *
 *   wire seal            one JSON object, MB/s of content on one core: sender (records to sealed frames), seal (the cipher alone),
 *                        openssl (its ChaCha20-Poly1305 of the same frames)
 *   wire send PORT KEYFILE BLOCKS IMAGE   IMAGE's blocks to a collector at 127.0.0.1; seconds until all are durable */
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "visor/out/aead.h"
#include "visor/out/sender.h"

#define SECONDS 1.0
#define BODY (sizeof(struct chv_data) + CHV_WIRE_CHUNK_BYTES)

static void die(const char *what)
{
    perror(what);
    exit(2);
}

static struct sender *make(const char *key_path, sender_transmit *transmit, void *arg, uint64_t bytes)
{
    struct sender *s = malloc(sizeof *s);
    struct sender_config config = {.sensor = "bench", .transmit = transmit, .arg = arg};
    struct chv_device d = {.name = "disk:bench", .bytes = bytes, .rest = CHV_REST_ZERO};
    char text[64] = {0};
    int fd = key_path ? open(key_path, O_RDONLY) : -1;
    if (key_path && (fd < 0 || read(fd, text, 64) != 64 || hex_parse(text, config.key, 32) < 0)) die(key_path);
    if (fd >= 0) close(fd);
    size_t n = sender_memory(&config, 8 << 20);
    void *ring = malloc(n);
    if (ring) memset(ring, 1, n); /* its pages are there before the clock runs */
    if (!s || !ring || getrandom(config.seed, 32, 0) != 32 || sender_init(s, &config, ring, n) < 0 || sender_device(s, &d) != 0) die("sender");
    return s;
}

static bool nowhere(void *arg, const void *frame, size_t n)
{
    *(uint64_t *)arg += n + (size_t)((const uint8_t *)frame)[n - 1];
    return true;
}

/* A collector that has everything: its acknowledgement is sealed, opened and taken in as any. */
static void acknowledge(struct sender *s, uint64_t counter)
{
    uint8_t frame[sizeof(struct chv_frame_header) + sizeof(struct chv_ack) + 16], nonce[12] = {0};
    struct chv_frame_header h = {{'C', 'W'}, CHV_WIRE_VERSION, CHV_FRAME_ACK, s->session, counter};
    struct chv_ack a = {.records = s->next > s->tail ? s->chunks[s->next % s->capacity].first_record - 1 : 0, .next_chunk = s->next,
                        .highest = s->counter - 1, .generation = 1, .window = CHV_WIRE_WINDOW};
    if (a.records >= s->next_record) a.records = s->next_record - 1;
    if (s->next < s->head) a.records--; /* the last one may end in a chunk that was not sent */
    memcpy(frame, &h, sizeof h);
    memcpy(frame + sizeof h, &a, sizeof a);
    memcpy(nonce + 4, &counter, 8);
    aead_seal(s->key_in, nonce, frame, sizeof h, frame + sizeof h, sizeof a);
    sender_receive(s, frame, sizeof frame, 0);
}

static double sender_rate(void)
{
    uint64_t sum = 0, blocks = 0, counter = 0, begun = clock_monotonic_ns();
    struct sender *s = make(NULL, nowhere, &sum, UINT64_C(1) << 40);
    uint8_t *content = malloc(64 << 20);
    memset(content, 7, 64 << 20);
    s->state = SENDER_RUNNING;
    s->session = s->acknowledged = 1;
    s->window = s->congestion = CHV_WIRE_WINDOW;
    double seconds;
    do {
        for (int i = 0; i < 256; i++, blocks++) { /* out of a guest's memory: not from the cache */
            struct chv_wire_record r = {.lba_lo = (uint32_t)blocks * 8 % (1u << 30), .op = CHV_OP_WRITE, .sectors = 8};
            if (sender_record(s, &r, content + blocks % 16384 * 4096, 1) != SENDER_OK) die("sender_record");
            if (i % 8 == 7) sender_poll(s, 1);
        }
        acknowledge(s, counter++);
        seconds = (double)(clock_monotonic_ns() - begun) / 1e9;
    } while (seconds < SECONDS);
    if (sum == 0 || s->stats.refused) die("the collector of the benchmark was not believed");
    return (double)s->stats.frames * CHV_WIRE_CHUNK_BYTES / 1e6 / seconds;
}

static double seal_rate(bool openssl)
{
    uint8_t key[32] = {1}, nonce[12] = {0}, frame[16 + BODY + 16] = {0};
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    EVP_EncryptInit_ex(ctx, EVP_chacha20_poly1305(), NULL, key, NULL);
    uint64_t frames = 0, begun = clock_monotonic_ns();
    double seconds;
    do {
        for (int i = 0; i < 256; i++, frames++) {
            memcpy(nonce + 4, &frames, 8);
            int out;
            if (!openssl) {
                aead_seal(key, nonce, frame, 16, frame + 16, BODY);
            } else if (EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, nonce) != 1 || EVP_EncryptUpdate(ctx, NULL, &out, frame, 16) != 1 ||
                       EVP_EncryptUpdate(ctx, frame + 16, &out, frame + 16, BODY) != 1 ||
                       EVP_EncryptFinal_ex(ctx, frame + 16 + BODY, &out) != 1 ||
                       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, frame + 16 + BODY) != 1) {
                die("openssl");
            }
        }
        seconds = (double)(clock_monotonic_ns() - begun) / 1e9;
    } while (seconds < SECONDS);
    EVP_CIPHER_CTX_free(ctx);
    return (double)frames * CHV_WIRE_CHUNK_BYTES / 1e6 / seconds;
}

static bool to_socket(void *arg, const void *frame, size_t n)
{
    return send(*(int *)arg, frame, n, MSG_DONTWAIT) == (ssize_t)n;
}

static void pump(struct sender *s, int fd, int wait_ms)
{
    uint8_t frame[2048];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;
    sender_poll(s, clock_monotonic_ns());
    if (wait_ms) poll(&p, 1, wait_ms);
    while ((n = recv(fd, frame, sizeof frame, MSG_DONTWAIT)) > 0) sender_receive(s, frame, (size_t)n, clock_monotonic_ns());
}

static int send_image(char **argv)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[0])), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    uint64_t blocks = strtoull(argv[2], NULL, 0);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), image = open(argv[3], O_RDONLY);
    if (fd < 0 || image < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) die(argv[3]);
    struct sender *s = make(argv[1], to_socket, &fd, blocks * 4096);
    uint8_t content[4096];
    uint64_t begun = clock_monotonic_ns();
    for (uint64_t b = 0; b < blocks; b++) {
        struct chv_wire_record r = {.time_ns = clock_now_ns(), .lba_lo = (uint32_t)(b * 8), .op = CHV_OP_WRITE, .sectors = 8};
        if (pread(image, content, sizeof content, (off_t)(b * 4096)) != sizeof content) die("image");
        while (sender_record(s, &r, content, clock_monotonic_ns()) == SENDER_BUSY) pump(s, fd, 1);
        if (b % 16 == 15) pump(s, fd, 0);
    }
    while (!sender_settled(s)) pump(s, fd, 1);
    printf("{\"seconds\": %.4f, \"frames\": %llu, \"again\": %llu}\n", (double)(clock_monotonic_ns() - begun) / 1e9,
           (unsigned long long)s->stats.frames, (unsigned long long)s->stats.frames_again);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "send") == 0) return send_image(argv + 2);
    if (argc != 2 || strcmp(argv[1], "seal") != 0) {
        fprintf(stderr, "usage: wire seal | wire send PORT KEYFILE BLOCKS IMAGE\n");
        return 2;
    }
    printf("{\"sender\": %.1f, \"seal\": %.1f, \"openssl\": %.1f}\n", sender_rate(), seal_rate(false), seal_rate(true));
    return 0;
}
