#!/bin/sh
# Promise: the includes of src/ point only downward (docs/architecture.md), and no layer knows what it must not know.
# usage: layers.sh <source directory of the project>
set -eu
cd "$1"

# What the files of a folder may include of ours, beside their own folder and the public header:
#   src/platform   nothing, not even the public header: it could serve any program
#   src/kernels    the platform; its folders simd/, template/ and isa/ each other, downward, and kernels.h
#   src/engine     the platform, and the kernels through kernels.h: never an instruction set
#   src/api        everything below it except the kernels' folders
#   src/cli        nothing
# shellcheck disable=SC2016 # the dollars are awk's
find src -name '*.[ch]' | sort | xargs awk '
    function allowed(file, header) {
        if (header !~ /\//) return 1 # its own folder
        if (header ~ /^softattn\//) return file !~ /^src\/(platform|kernels\/(simd|template|isa))\//
        if (file ~ /^src\/platform\//) return header ~ /^platform\//
        if (file ~ /^src\/kernels\/simd\//) return header ~ /^kernels\/simd\//
        if (file ~ /^src\/kernels\/template\//) return header ~ /^kernels\/(simd\/|template\/|kernels\.h$)/
        if (file ~ /^src\/kernels\/isa\//) return header ~ /^kernels\/(simd\/|template\/|kernels\.h$)/
        if (file ~ /^src\/kernels\//) return header ~ /^(platform\/|kernels\/[^\/]*$)/
        if (file ~ /^src\/engine\//) return header ~ /^(platform\/|kernels\/[^\/]*$|engine\/)/
        if (file ~ /^src\/api\//) return header ~ /^(platform\/|kernels\/[^\/]*$|engine\/|api\/)/
        return 0
    }
    match($0, /^[ \t]*#[ \t]*include[ \t]*["<][^">]+[">]/) {
        header = substr($0, RSTART, RLENGTH)
        own = header ~ /"/ || header ~ /<softattn\//
        sub(/^[^"<]*["<]/, "", header)
        sub(/[">]$/, "", header)
        if (own && !allowed(FILENAME, header)) {
            printf "%s:%d: may not include \"%s\"\n", FILENAME, FNR, header
            bad = 1
        }
        # The vector headers know the instruction sets; the platform sets control registers and pauses.
        if (header ~ /^(.mmintrin|immintrin|x86intrin|arm_neon|arm_sve|riscv_vector)\.h$/ &&
            FILENAME !~ /^src\/(kernels\/simd|platform)\//) {
            printf "%s:%d: only src/kernels/simd and src/platform may include <%s>\n", FILENAME, FNR, header
            bad = 1
        }
    }
    END { exit bad }
'
