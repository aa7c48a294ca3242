#!/bin/sh
# Promise: an instruction set's object exports one constant table and nothing else, keeps no state, calls nothing that
# was compiled for another instruction set, and holds no vector wider than its own.
# usage: isa_object.sh <softattn_<isa>_f32|softattn_<isa>_f64> <object>
set -eu
target=$1 object=$2
isa=${target#softattn_}
real=${isa##*_}
isa=${isa%_*}
table=softattn_kernels_${isa}_${real}

fail() {
    echo "$object: $1" >&2
    exit 1
}

exported=$(nm --defined-only --extern-only "$object" | awk '{ print $3 }')
[ "$exported" = "$table" ] || fail "it exports \"$exported\" instead of $table alone"

# A table of pointers in position-independent code lies in .data.rel.ro: constant once loaded.
section=$(objdump -t "$object" | awk -v table="$table" '$NF == table { print $(NF - (NF > 5 ? 3 : 2)) }')
case $section in
.rodata* | .data.rel.ro*) ;;
*) fail "its table lies in $section, which is not constant" ;;
esac

variables=$(nm --defined-only "$object" | awk '$2 ~ /^[bBcCsSgG]$/ { print $3 }'
    objdump -t "$object" | awk '$0 ~ / O \.(data|tdata|data\.rel)[ \t]/ || $0 ~ / O \.data\.rel\.local[ \t]/ { print $NF }')
[ -z "$variables" ] || fail "it has variables: $variables"

outside=$(nm --undefined-only "$object" | awk '{ print $2 }' |
    grep -vxE 'memcpy|memset|memmove|fmaf?|_GLOBAL_OFFSET_TABLE_|__stack_chk_fail' || true)
[ -z "$outside" ] || fail "it calls $(echo "$outside" | tr '\n' ' ')"

case $isa in
generic | sse2) sh "$(dirname "$0")/no_wide_vectors.sh" ymm "$object" ;;
avx2) sh "$(dirname "$0")/no_wide_vectors.sh" zmm "$object" ;;
esac
