/* Heat maps and angular fields against what their definitions say of small inputs. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "detect/picture_stream.h"
#include "tests/unit.h"

static const uint8_t *pixel(const struct picture *p, uint32_t x, uint32_t y)
{
    return p->rgb + 3 * (y * p->width + x);
}

static void heat(void)
{
    struct picture p;
    CHECK(picture_init(&p, 16, 8) == 0);
    const struct access a[] = {
        {.time_ns = 0, .lba = 1000, .sectors = 8, .kind = ACCESS_READ},
        {.time_ns = 7999, .lba = 9000, .sectors = 8, .kind = ACCESS_WRITE, .flags = ACCESS_ENTROPY, .entropy = 65535},
        {.time_ns = 4000, .lba = 1000, .sectors = 8, .kind = ACCESS_WRITE, .flags = ACCESS_ENTROPY, .entropy = 0},
        {.time_ns = 8000, .lba = 5000, .sectors = 8, .kind = ACCESS_WRITE}, /* after the end */
    };
    CHECK(picture_heatmap(&p, a, 4, 0, 8000) == 0);
    CHECK(pixel(&p, 0, 0)[0] == 255 && pixel(&p, 0, 0)[2] == 255);        /* read: grey, left, first row */
    CHECK(pixel(&p, 15, 7)[0] == 255 && pixel(&p, 15, 7)[2] == 0);        /* high entropy: red, right, last row */
    CHECK(pixel(&p, 8, 4)[0] == 0 && pixel(&p, 8, 4)[2] == 255);          /* low entropy: blue */
    int lit = 0;
    for (uint32_t i = 0; i < 16 * 8; i++) lit += p.rgb[3 * i] || p.rgb[3 * i + 2];
    CHECK(lit == 3);
    CHECK(picture_heatmap(&p, NULL, 0, 0, 0) == 0);
    picture_fini(&p);
}

static void fields(void)
{
    struct picture p;
    double series[6 * 32];
    CHECK(picture_init(&p, 32, 32) == 0);
    for (int i = 0; i < 6 * 32; i++) series[i] = sin(i * 0.7) * (i % 32);
    CHECK(picture_gadf(&p, series, 1, 32) == 0);
    double low = INFINITY, high = -INFINITY, phi[32];
    for (int i = 0; i < 32; i++) low = fmin(low, series[i]), high = fmax(high, series[i]);
    for (int i = 0; i < 32; i++) phi[i] = acos((2 * series[i] - high - low) / (high - low));
    for (uint32_t i = 0; i < 32; i++)
        for (uint32_t j = 0; j < 32; j++)
            CHECK(fabs(pixel(&p, j, i)[1] / 255.0 - (sin(phi[i] - phi[j]) + 1) / 2) < 0.004);
    for (int i = 0; i < 32; i++) series[i] = 7; /* constant: no angle differs */
    CHECK(picture_gadf(&p, series, 1, 32) == 0);
    CHECK(pixel(&p, 3, 17)[0] == 128);
    CHECK(picture_gadf(&p, series, 6, 32) == 0 && picture_gadf(&p, series, 3, 5) == 0 && picture_gadf(&p, series, 5, 0) == 0);
    picture_fini(&p);
}

struct seen {
    uint64_t windows[8];
    size_t count;
    int answer;
};

static int note(void *arg, const struct picture *p, uint64_t window)
{
    struct seen *seen = arg;
    CHECK(p->width == 8 && p->height == 16 && seen->count < 8);
    seen->windows[seen->count++] = window;
    return seen->answer;
}

static void push(struct picture_stream *s, uint64_t time_ns, int wanted)
{
    struct access a = {.time_ns = time_ns, .lba = 8 * (time_ns % 1000), .sectors = 8, .kind = ACCESS_WRITE, .flags = ACCESS_ENTROPY};
    CHECK(picture_stream_push(s, &a) == wanted);
}

static void streams(bool heatmap)
{
    const uint64_t second = 1000000000;
    struct seen seen = {.count = 0};
    struct picture_options o = {.width = 8, .height = 16, .window_seconds = 100, .heatmap = heatmap, .set = FEATURES_WIDE};
    struct picture_stream *s;
    CHECK(picture_stream_new(&o, note, &seen, &s) == 0);
    for (uint64_t t = 0; t < 100; t++) push(s, t * second, 0); /* more rows than are at first room for */
    push(s, 950 * second, 0);
    CHECK(picture_stream_finish(s) == 0);
    CHECK(seen.windows[0] == 0 && seen.windows[seen.count - 1] == 9);
    CHECK(heatmap ? seen.count == 2 : seen.count >= 2 && seen.count <= 3); /* rows go on for a minute after an access */

    /* the same again is another stream; what the callee says ends it, until the next */
    seen = (struct seen){.answer = 7};
    CHECK(picture_stream_begin(s) == 0);
    push(s, 1, 0);
    push(s, 500 * second, heatmap ? 7 : 0); /* a row comes when its second is over */
    push(s, 501 * second, 7);
    CHECK(picture_stream_finish(s) == 7 && seen.count == 1);
    seen = (struct seen){.count = 0};
    CHECK(picture_stream_begin(s) == 0 && picture_stream_finish(s) == 0 && seen.count == 0);

    /* a window that holds more than fits: drawn from what does, and what does not is counted */
    CHECK(picture_stream_begin(s) == 0);
    for (uint64_t i = 0; heatmap && i < PICTURE_ACCESSES_MAX + 10; i++) push(s, i, 0);
    CHECK(picture_stream_finish(s) == 0 && seen.count == heatmap && picture_stream_dropped(s) == (heatmap ? 10 : 0));
    picture_stream_free(s);

    o.window_seconds = 0;
    CHECK(picture_stream_new(&o, note, &seen, &s) == -EINVAL);
    o.window_seconds = 1, o.colours = 1, o.chosen[0] = FEATURES_MAX;
    CHECK(picture_stream_new(&o, note, &seen, &s) == -EINVAL);
}

int main(void)
{
    struct picture p;
    struct chv_err err;
    heat();
    fields();
    streams(true);
    streams(false);
    CHECK(picture_init(&p, 7, 100) == -EINVAL && picture_init(&p, 100, PICTURE_SIDE_MAX + 1) == -EINVAL);
    CHECK(picture_init(&p, 224, 224) == 0);
    CHECK(picture_write_png(&p, "/nowhere/at/all.png", &err) == -EIO);
    picture_fini(&p);
    return 0;
}
