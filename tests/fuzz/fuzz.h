/*
 * What the fuzz targets share. A target makes a legal problem of its bytes, runs it, compares with the oracle,
 * runs it again elsewhere and expects the same bits; it aborts where something is wrong.
 */
#ifndef TEST_FUZZ_FUZZ_H
#define TEST_FUZZ_FUZZ_H

#include "arrays.h"

#include <stddef.h>
#include <stdint.h>

/* The target: libFuzzer's name for it. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts with the text, which describes the problem, and the last detail text unless `holds`. */
void fuzz_expect(bool holds, const char *what, const char *problem);

/* Sets an element now and then to something that floating-point numbers are special for. */
void fuzz_spoil(test_array *array, random_source *random);

/* 64 bits that tell what all elements hold. */
uint64_t fuzz_hash(const test_array *array, uint64_t hash);

#endif
