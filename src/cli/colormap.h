/* A perceptually uniform colour map: equal steps of value look like equal steps of brightness. */
#ifndef CLI_COLORMAP_H
#define CLI_COLORMAP_H

#include <stdint.h>

/* Red, green and blue (sRGB) of value in 0 … 1: dark violet over teal to light yellow. NaN is mid grey. */
void colormap(double value, uint8_t rgb[3]);

/* The nearest colour of the 6x6x6 cube of a 256-colour terminal, 16 … 231. */
int colormap_terminal(const uint8_t rgb[3]);

#endif
