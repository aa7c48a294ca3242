#!/bin/sh
# Builds and runs a program as pkg-config says, against the shared library or, where only that is there, the static.
# usage: pkg_config.sh <program.c> <shared|static> <C compiler> <tree> <libdir in it> <expected version>
set -eu
source=$1 kind=$2 compiler=$3 tree=$4 libdir=$5 version=$6

if [ "$kind" = static ]; then
    static_tree="$tree static only"
    rm -rf "$static_tree"
    cp -R "$tree" "$static_tree"
    tree=$static_tree
    rm "$tree/$libdir"/libsoftattn.so*
    static_option=--static
else
    static_option=
fi
PKG_CONFIG_PATH=$tree/$libdir/pkgconfig
export PKG_CONFIG_PATH

found=$(pkg-config --modversion softattn)
if [ "$found" != "$version" ]; then
    echo "softattn.pc says version $found, the library is $version" >&2
    exit 1
fi

# pkg-config quotes the spaces in its answer for the shell, hence eval.
eval "set -- $(pkg-config --cflags --libs $static_option softattn)"
program=$tree/$(basename "$source" .c)
"$compiler" -std=c99 -Wall -Wextra -Wpedantic -Wconversion -Werror -o "$program" "$source" "$@"

if [ "$kind" = shared ]; then
    LD_LIBRARY_PATH=$tree/$libdir "$program"
else
    "$program"
fi
