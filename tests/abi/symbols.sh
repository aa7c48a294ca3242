#!/bin/sh
# Promise: the shared library exports exactly the functions of symbols.txt, each declared in the public header, and no
# global symbol of the static library can collide with a user's. Adding a function is adding a line; a line only goes
# when the SONAME changes.
# usage: symbols.sh <libsoftattn.so> <libsoftattn.a> <source directory of the project>
set -eu
shared=$1 static=$2 source=$3
LC_ALL=C
export LC_ALL
lists=$(mktemp -d)
trap 'rm -rf "$lists"' EXIT

sort "$source/tests/abi/symbols.txt" >"$lists/symbols.txt"
grep -o 'softattn_[a-z0-9_]*(' "$source/include/softattn/softattn.h" | tr -d '(' | sort -u >"$lists/public header"
# The version's own name is an absolute symbol (A).
nm -D --defined-only "$shared" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >"$lists/shared library"

cd "$lists"
for found in 'public header' 'shared library'; do
    if ! diff symbols.txt "$found" >difference; then
        echo "symbols.txt (<) and the $found (>) differ:" >&2
        grep '^[<>]' difference >&2
        exit 1
    fi
done
cd "$OLDPWD"

foreign=$(nm --defined-only --extern-only "$static" | awk 'NF == 3 && $3 !~ /^softattn_/ { print $3 }')
if [ -n "$foreign" ]; then
    printf 'Global symbols of the static library without the prefix softattn_:\n%s\n' "$foreign" >&2
    exit 1
fi
