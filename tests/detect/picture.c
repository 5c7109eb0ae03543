/* Heat maps and angular fields against what their definitions say of small inputs. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "detect/picture.h"
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

int main(void)
{
    struct picture p;
    struct chv_err err;
    heat();
    fields();
    CHECK(picture_init(&p, 7, 100) == -EINVAL && picture_init(&p, 100, PICTURE_SIDE_MAX + 1) == -EINVAL);
    CHECK(picture_init(&p, 224, 224) == 0);
    CHECK(picture_write_png(&p, "/nowhere/at/all.png", &err) == -EIO);
    picture_fini(&p);
    return 0;
}
