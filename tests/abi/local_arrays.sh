#!/bin/sh
# Promise: the kernels' arrays of elements are aligned like the vectors that are stored in them (VECTOR_ALIGNED of
# src/kernels/simd/simd.h), so that no kernel is slow where the stack happens to lie badly: a fault that no result shows.
# usage: local_arrays.sh <source directory of the project>
set -eu
cd "$1"

# Declarations of arrays with names of constants in their sizes; a pair of 16-bit floats is no vector.
find_unaligned() {
    grep -nE '^ +(const )?(real|float|uint16_t) ([^;]*[ *])?[a-z_0-9]+\[[^]]*[A-Z]' "$@" |
        grep -v -e 'sizeof(uint16_t)]' || true
}
selftest=$(mktemp)
trap 'rm -f "$selftest"' EXIT
printf '    real one[STRIPES];\n    VECTOR_ALIGNED real aligned[STRIPES];\n    real *to = x, two[4 * STRIPES];\n' >"$selftest"
[ "$(find_unaligned "$selftest" | wc -l)" -eq 2 ] || { echo 'the search does not find what it should'; exit 1; }
unaligned=$(find_unaligned src/kernels/template/*.h)
if [ -n "$unaligned" ]; then
    printf 'not VECTOR_ALIGNED:\n%s\n' "$unaligned"
    exit 1
fi
grep -q VECTOR_ALIGNED src/kernels/template/*.h
