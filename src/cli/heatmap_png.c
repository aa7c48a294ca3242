/* Attention weights as a PNG file, see heatmap_png.h. */
#include "heatmap_png.h"

#include <inttypes.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "colormap.h"
#include "output_file.h"
#include "report.h"

#define LONGER_SIDE  768  /* pixels that the cells are scaled up to, about */
#define MOST_CELLS   4096 /* along a side */
#define LARGEST_CELL 48
#define GRID_FROM    8  /* pixels of a cell from which lines separate the cells */
#define BORDER       16 /* pixels around the cells */
#define BACKGROUND   255
#define RGB_BYTES    3

typedef struct picture {
    int64_t width, height; /* pixels */
    int64_t cell;          /* pixels per side of a cell, its grid line included */
    uint8_t *pixels;
} picture;

static double largest_weight(const array *weights) {
    double largest = 0.0;
    for (int64_t i = 0; i < array_count(weights); i++) {
        const double weight = array_at(weights, i);
        largest = weight > largest ? weight : largest;
    }
    return largest;
}

static void paint_cell(picture *p, int64_t row, int64_t column, const uint8_t rgb[RGB_BYTES]) {
    const int64_t side = p->cell >= GRID_FROM ? p->cell - 1 : p->cell;
    for (int64_t y = BORDER + row * p->cell; y < BORDER + row * p->cell + side; y++) {
        uint8_t *pixel = p->pixels + (y * p->width + BORDER + column * p->cell) * RGB_BYTES;
        for (int64_t x = 0; x < side; x++) {
            memcpy(pixel + x * RGB_BYTES, rgb, RGB_BYTES);
        }
    }
}

static void paint(picture *p, const array *weights) {
    const double largest = largest_weight(weights);
    const double brightness = largest > 0.0 ? 1.0 / largest : 0.0;
    for (int64_t row = 0; row < weights->shape[0]; row++) {
        for (int64_t column = 0; column < weights->shape[1]; column++) {
            uint8_t rgb[RGB_BYTES];
            colormap(array_at(weights, row * weights->shape[1] + column) * brightness, rgb);
            paint_cell(p, row, column, rgb);
        }
    }
}

static bool write_pixels(const char *path, const picture *p) {
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = (png_uint_32)p->width,
                       .height = (png_uint_32)p->height,
                       .format = PNG_FORMAT_RGB};
    FILE *file = output_open(path);
    bool encoded;
    if (file == NULL) {
        return false;
    }
    encoded = png_image_write_to_stdio(&image, file, 0, p->pixels, 0, NULL) != 0;
    return output_close(file, path) && (encoded || report(path, "%s", image.message));
}

bool heatmap_png_write(const char *path, const array *weights) {
    const int64_t rows = weights->shape[0];
    const int64_t columns = weights->shape[1];
    const int64_t longer = rows > columns ? rows : columns;
    picture p;
    bool ok;
    if (rows == 0 || columns == 0 || longer > MOST_CELLS) {
        return report(path, "a picture has 1 to %d cells along a side, not %" PRId64 " x %" PRId64,
                      MOST_CELLS, rows, columns);
    }
    p.cell = longer < LONGER_SIDE ? LONGER_SIDE / longer : 1;
    p.cell = p.cell < LARGEST_CELL ? p.cell : LARGEST_CELL;
    p.width = columns * p.cell + 2 * BORDER;
    p.height = rows * p.cell + 2 * BORDER;
    p.pixels = malloc((size_t)(p.width * p.height * RGB_BYTES));
    if (p.pixels == NULL) {
        return report(path, "no memory for a picture of %" PRId64 " x %" PRId64 " pixels", p.width, p.height);
    }
    memset(p.pixels, BACKGROUND, (size_t)(p.width * p.height * RGB_BYTES));
    paint(&p, weights);
    ok = write_pixels(path, &p);
    free(p.pixels);
    return ok;
}
