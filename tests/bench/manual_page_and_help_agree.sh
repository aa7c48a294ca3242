#!/bin/sh
# Promise: the manual page names the same modes and options as --help, no more and no less.
# usage: sh manual_page_and_help_agree.sh <softattn-bench> <softattn-bench.1> <directory for its files>
set -eu
bench=$1 manual=$2
mkdir -p "$3"
cd "$3"

"$bench" --help >help
grep -o -- '--[a-z][a-z-]*' help | sort -u >options_of_help
grep -o 'Fl -[a-z][a-z-]*' "$manual" | sed 's/^Fl -/--/' | sort -u >options_of_manual
diff -u options_of_help options_of_manual

awk '/^Measures/ { inside = 1; next } inside && !NF { exit } inside { print $1 }' help >modes_of_help
sed -n '/^The modes are$/,/^\.El$/s/^\.It Cm //p' "$manual" >modes_of_manual
diff -u modes_of_help modes_of_manual
[ -s options_of_help ] && [ -s modes_of_help ]
