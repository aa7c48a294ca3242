/*
 * The colour map is a path through OKLab (Björn Ottosson, "A perceptual color space for image processing",
 * 2020, https://bottosson.github.io/posts/oklab/): lightness grows linearly with the value, hue turns from
 * violet to yellow. The numbers of the matrices are from there.
 */
#include "colormap.h"

#include <math.h>
#include <stdlib.h>

#define DARKEST   0.20
#define LIGHTEST  0.95
#define FIRST_HUE 5.15 /* radians: violet */
#define LAST_HUE  1.85 /* yellow */

/* Colourfulness: sRGB holds 0.085 along the whole path, and more towards yellow. */
static double chroma(double value) { return 0.085 + 0.085 * value * value * value * value; }

static double srgb_from_linear(double x) {
    return x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1.0 / 2.4) - 0.055; /* IEC 61966-2-1 */
}

static double cube(double x) { return x * x * x; }

static void srgb_from_oklab(double lightness, double a, double b, uint8_t rgb[3]) {
    const double l = cube(lightness + 0.3963377774 * a + 0.2158037573 * b);
    const double m = cube(lightness - 0.1055613458 * a - 0.0638541728 * b);
    const double s = cube(lightness - 0.0894841775 * a - 1.2914855480 * b);
    const double linear[3] = {4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
                              -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
                              -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s};
    for (int channel = 0; channel < 3; channel++) {
        rgb[channel] = (uint8_t)lround(255.0 * srgb_from_linear(linear[channel]));
    }
}

void colormap(double value, uint8_t rgb[3]) {
    if (isnan(value)) {
        rgb[0] = rgb[1] = rgb[2] = 128;
    } else {
        const double t = fmin(fmax(value, 0.0), 1.0);
        const double hue = FIRST_HUE + t * (LAST_HUE - FIRST_HUE);
        srgb_from_oklab(DARKEST + t * (LIGHTEST - DARKEST), chroma(t) * cos(hue), chroma(t) * sin(hue), rgb);
    }
}

int colormap_terminal(const uint8_t rgb[3]) {
    static const int levels[6] = {0, 95, 135, 175, 215, 255}; /* of the cube in xterm */
    int color = 0;
    for (int channel = 0; channel < 3; channel++) {
        int nearest = 0;
        for (int level = 1; level < 6; level++) {
            if (abs(levels[level] - rgb[channel]) < abs(levels[nearest] - rgb[channel])) {
                nearest = level;
            }
        }
        color = 6 * color + nearest;
    }
    return 16 + color;
}
