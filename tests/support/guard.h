/*
 * Memory that catches every access outside it: a block flush against an unreadable page on one side, with
 * sentinel bytes up to an unreadable page on the other.
 */
#ifndef TEST_SUPPORT_GUARD_H
#define TEST_SUPPORT_GUARD_H

#include <stdbool.h>
#include <stddef.h>

/* What every byte holds before it is written: as a float a NaN, as a mask "visible", so reading it shows. No
 * arithmetic produces a number of only these bytes, so an element left unwritten shows as well. */
#define GUARD_SENTINEL 0xff

typedef enum guard_side {
    GUARD_AFTER, /* the byte after the block is unreadable */
    GUARD_BEFORE /* the byte before the block is unreadable */
} guard_side;

typedef struct guard_block {
    unsigned char *data;
    size_t bytes;
    unsigned char *mapping;
    size_t mapping_bytes;
} guard_block;

/* Fills the block with sentinels. An empty block's data is an address that must not be read. alignment: a
 * power of two, at most a page; with GUARD_AFTER, up to alignment - 1 sentinel bytes lie between the block
 * and the page. */
void guard_create(guard_block *block, size_t bytes, size_t alignment, guard_side side);
void guard_destroy(guard_block *block);

/* Whether the sentinels around the block are as they were. */
bool guard_surroundings_untouched(const guard_block *block);

/* An address, aligned to a page, where nothing can be read or written for a megabyte. */
void *guard_forbidden(void);

#endif
