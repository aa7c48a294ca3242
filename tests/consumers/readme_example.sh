#!/bin/sh
# Builds and runs the README's C example exactly as it is printed there.
# usage: readme_example.sh <README.md> <file to write the example to> <arguments of pkg_config.sh after its kind>...
set -eu
readme=$1 example=$2
shift 2
awk '/^```/ { inside = $0 == "```c"; next } inside' "$readme" >"$example"
[ -s "$example" ] || { echo "$readme has no \`\`\`c block" >&2; exit 1; }
sh "$(dirname "$0")/pkg_config.sh" "$example" shared "$@"
