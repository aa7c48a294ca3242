#!/bin/sh
# Promise: the objects hold no x86 instruction on registers of the given width or wider, so they run on older CPUs.
# usage: no_wide_vectors.sh <ymm|zmm> <object>...
set -eu
case $1 in
ymm) registers='%[yz]mm' ;;
zmm) registers='%zmm|%k[0-7]' ;;
esac
shift
for object in "$@"; do
    found=$(objdump -d --no-show-raw-insn "$object" | grep -E "$registers" | head -n 5 || true)
    if [ -n "$found" ]; then
        printf '%s:\n%s\n' "$object" "$found" >&2
        exit 1
    fi
done
