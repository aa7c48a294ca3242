#!/bin/sh
# Promise: the kernels' arrays of elements are aligned like the vectors that are stored in them (VECTOR_ALIGNED of
# src/kernels/simd/simd.h), so that no kernel is slow where the stack happens to lie badly: a fault that no result shows.
# usage: local_arrays.sh <source directory of the project>
set -eu
cd "$1"

# Declarations of arrays whose sizes are names; a pair of 16-bit floats is no vector.
unaligned=$(grep -nE '^ +(const )?(real|float|uint16_t) [a-z_0-9]+\[[A-Z]' src/kernels/template/*.h |
    grep -v 'sizeof(uint16_t)]' || true)
if [ -n "$unaligned" ]; then
    printf 'not VECTOR_ALIGNED:\n%s\n' "$unaligned"
    exit 1
fi
grep -q VECTOR_ALIGNED src/kernels/template/*.h
