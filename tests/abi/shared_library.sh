#!/bin/sh
# Promise: loading the library runs no code of ours, needs nothing but libc, libm and the BLAS it was built with, is
# never undone (nodelete) and asks for no executable stack; stripped it is smaller than 1 MiB.
# usage: shared_library.sh <libsoftattn.so> <expected SONAME> <ON|OFF: built with OpenBLAS>
set -eu
library=$1 soname=$2 openblas=$3

fail() {
    echo "$library: $1" >&2
    exit 1
}

dynamic=$(readelf -dW "$library")
case $dynamic in *"Library soname: [$soname]"*) ;; *) fail "its SONAME is not $soname" ;; esac
case $dynamic in *NODELETE*) ;; *) fail "it is not linked with -z nodelete" ;; esac
case $dynamic in *TEXTREL*) fail "it has text relocations" ;; *) ;; esac

for needed in $(printf '%s\n' "$dynamic" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    case $needed:$openblas in
    libc.* | libm.* | ld-linux* | libopenblas.*:ON) ;;
    *) fail "it needs $needed" ;;
    esac
done

# One entry each of .init_array and .fini_array is the compiler's own start-up code.
for section in .init_array .fini_array; do
    bytes=$(readelf -SW "$library" | sed 's/^ *\[ *[0-9]*\]//' | awk -v name="$section" '$1 == name { print $5 }')
    [ "${bytes:-000008}" = 000008 ] || fail "it runs code of its own at load or unload ($section: 0x$bytes bytes)"
done

case $(readelf -lW "$library" | grep GNU_STACK) in *RWE*) fail "its stack is executable" ;; *) ;; esac

stripped=$(mktemp)
trap 'rm -f "$stripped"' EXIT
strip -o "$stripped" "$library"
size=$(wc -c <"$stripped")
[ "$size" -lt 1048576 ] || fail "it has $size bytes stripped, more than 1 MiB"
