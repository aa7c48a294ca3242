#!/bin/sh
# Installs the build into a staging directory, then moves the tree to where the other consumer tests look for it.
# usage: install.sh <cmake> <build dir> <source dir> <install prefix> <tree>
set -eu
cmake=$1 build=$2 source=$3 prefix=$4 tree=$5

stage=$tree.stage
rm -rf "$tree" "$stage"
DESTDIR=$stage "$cmake" --install "$build" >/dev/null
mv "$stage$prefix" "$tree"

if readelf -dW "$tree"/*/libsoftattn.so* "$tree"/*/*/libsoftattn.so* 2>/dev/null | grep -E 'RPATH|RUNPATH'; then
    echo "the installed library has a run path" >&2
    exit 1
fi

# A tree that can be moved names neither the place it was built in nor the one it was installed to.
if grep -rnF --include='*.pc' --include='*.cmake' --include='*.h' -e "$build" -e "$source" -e "$stage" "$tree"; then
    echo "the installed files above name the build machine's directories" >&2
    exit 1
fi

# Every file belongs to one component, and none to another as well.
parts=$tree.parts
rm -rf "$parts"
for component in runtime development programs; do
    mkdir -p "$parts/$component$prefix"
    DESTDIR=$parts/$component "$cmake" --install "$build" --component "$component" >/dev/null
    (cd "$parts/$component$prefix" && find . ! -type d)
done | sort >"$tree.files"
if ! (cd "$tree" && find . ! -type d) | sort | diff "$tree.files" -; then
    echo "the files above are in no component, or in two" >&2
    exit 1
fi
