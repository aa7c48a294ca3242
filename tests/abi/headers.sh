#!/bin/sh
# Promise: the public header compiles alone, without a warning, in C99, C11, C17, C++11 and C++17, and each
# internal header that is not a template compiles alone in C11.
# usage: headers.sh <source directory of the project> <C compiler> <C++ compiler>
set -eu
cd "$1"
c=$2 cxx=$3

compile_alone() { # <language> <standard> <compiler> <include as written>
    # Twice, so that the include guard is tested too.
    if ! printf '#include %s\n#include %s\nextern int not_empty;\n' "$4" "$4" |
        "$3" -x "$1" -std="$2" -fsyntax-only -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror \
            -Iinclude -Isrc -; then
        echo "$4 does not compile alone in $2" >&2
        exit 1
    fi
}

for standard in c99 c11 c17; do
    compile_alone c $standard "$c" '<softattn/softattn.h>'
done
for standard in c++11 c++17; do
    compile_alone c++ $standard "$cxx" '<softattn/softattn.h>'
done

for header in $(cd src && find platform kernels engine api -name '*.h' ! -path 'kernels/simd/*' \
    ! -path 'kernels/template/*'); do
    compile_alone c c11 "$c" "\"$header\""
done
