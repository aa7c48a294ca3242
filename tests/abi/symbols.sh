#!/bin/sh
# Promise: the shared library exports exactly the functions of symbols.txt, each declared in the public header, and no
# global symbol of the static library can collide with a user's. Adding a function is adding a line; a line only goes
# when the SONAME changes.
# usage: symbols.sh <libsoftattn.so> <libsoftattn.a> <source directory of the project>
set -eu
shared=$1 static=$2 source=$3
listed=$(LC_ALL=C sort "$source/tests/abi/symbols.txt")

# Version nodes are absolute symbols (A) of their own.
exported=$(nm -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort)
declared=$(grep -o 'softattn_[a-z0-9_]*(' "$source/include/softattn/softattn.h" | tr -d '(' | LC_ALL=C sort -u)

if [ "$exported" != "$listed" ]; then
    printf 'The shared library exports:\n%s\n\nsymbols.txt lists:\n%s\n' "$exported" "$listed" >&2
    exit 1
fi
if [ "$declared" != "$listed" ]; then
    printf 'The public header declares:\n%s\n\nsymbols.txt lists:\n%s\n' "$declared" "$listed" >&2
    exit 1
fi

foreign=$(nm --defined-only --extern-only "$static" | awk 'NF == 3 && $3 !~ /^softattn_/ { print $3 }')
if [ -n "$foreign" ]; then
    printf 'Global symbols of the static library without the prefix softattn_:\n%s\n' "$foreign" >&2
    exit 1
fi
