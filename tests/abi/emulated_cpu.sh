#!/bin/sh
# Promise: on an emulated processor the program runs to its end, and the library chose the given instruction set.
# usage: emulated_cpu.sh <qemu-x86_64> <processor model> <expected instruction set> <program>
set -eu
said=$(OPENBLAS_NUM_THREADS=1 "$1" -cpu "$2" "$4")
printf '%s\n' "$said"
case $said in
*", $3, "*) ;;
*)
    echo "on $2 the library did not choose $3" >&2
    exit 1
    ;;
esac
