/* A colour scale that is even to the eye: a path through OKLab (B. Ottosson, 2020) with lightness falling
 * in equal steps and hue turning in equal steps from yellow over green and blue to purple. */
#include <math.h>

#include "search/plot/plot.h"

static double linear_to_srgb(double x)
{
    return x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1 / 2.4) - 0.055;
}

static double srgb_to_linear(double x)
{
    return x <= 0.04045 ? x / 12.92 : pow((x + 0.055) / 1.055, 2.4);
}

static bool oklab_to_srgb(const double lab[3], double rgb[3])
{
    double l = lab[0] + 0.3963377774 * lab[1] + 0.2158037573 * lab[2];
    double m = lab[0] - 0.1055613458 * lab[1] - 0.0638541728 * lab[2];
    double s = lab[0] - 0.0894841775 * lab[1] - 1.2914855480 * lab[2];
    l = l * l * l, m = m * m * m, s = s * s * s;
    double linear[3] = {
        4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
        -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
        -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s,
    };
    bool inside = true;
    for (int i = 0; i < 3; i++) {
        if (linear[i] < -1e-6 || linear[i] > 1 + 1e-6) inside = false;
        double x = linear[i] < 0 ? 0 : linear[i] > 1 ? 1 : linear[i];
        rgb[i] = linear_to_srgb(x);
    }
    return inside;
}

void colour_oklab(const double rgb[3], double lab[3])
{
    double r = srgb_to_linear(rgb[0]), g = srgb_to_linear(rgb[1]), b = srgb_to_linear(rgb[2]);
    double l = cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
    double m = cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
    double s = cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
    lab[0] = 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s;
    lab[1] = 1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s;
    lab[2] = 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s;
}

void colour_scale(double t, double rgb[3])
{
    const double turn = 3.14159265358979323846 / 180;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    double lightness = 0.87 - 0.62 * t, hue = (105 + 200 * t) * turn, chroma = 0.13;
    double lab[3] = {lightness, 0, 0};
    do { /* the widest chroma that screens can show, up to the one wanted */
        lab[1] = chroma * cos(hue);
        lab[2] = chroma * sin(hue);
        chroma -= 0.002;
    } while (!oklab_to_srgb(lab, rgb) && chroma > 0);
}
