#!/bin/sh
# Promise: layers.sh accepts a legal tree and names every kind of illegal include.
# usage: layers_selftest.sh <layers.sh>
set -eu
layers=$1
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

mkdir -p "$tree/src/platform" "$tree/src/kernels/simd" "$tree/src/kernels/isa" "$tree/src/kernels/template" \
    "$tree/src/engine" "$tree/src/api" "$tree/src/cli"
file() { # <path> <include as written>...
    path=$tree/src/$1
    shift
    printf '#include %s\n' "$@" >"$path"
}
file platform/cpu.c '"cpu.h"' '"platform/memory.h"' '<xmmintrin.h>'
file kernels/simd/avx2.h '<immintrin.h>'
file kernels/isa/avx2.c '"kernels/simd/avx2.h"' '"kernels/template/softmax.h"' '"kernels/kernels.h"'
file engine/softmax.c '"kernels/kernels.h"' '"platform/threads.h"'
file api/softmax.c '"engine/softmax.h"' '<softattn/softattn.h>'
file cli/main.c '<softattn/softattn.h>' '"npy.h"'
sh "$layers" "$tree"

refused() { # <path> <include as written>
    file "$1" "$2"
    if sh "$layers" "$tree" >/dev/null; then
        echo "layers.sh lets src/$1 include $2" >&2
        exit 1
    fi
    rm "$tree/src/$1"
}
refused platform/bad.c '"kernels/kernels.h"'
refused platform/bad.c '<softattn/softattn.h>'
refused kernels/bad.c '"engine/softmax.h"'
refused kernels/isa/bad.c '"platform/cpu.h"'
refused kernels/isa/bad.c '<immintrin.h>'
refused engine/bad.c '"api/tensor.h"'
refused engine/bad.c '"kernels/simd/avx2.h"'
refused engine/bad.c '<immintrin.h>'
refused api/bad.c '"kernels/template/softmax.h"'
refused cli/bad.c '"api/tensor.h"'
