# Promise: whatever byte of a .npy file is cut off or changed, the program reads it or says in one line why not.
# shellcheck shell=sh source=/dev/null disable=SC2154 # support.sh sets the variables
. "$(dirname "$0")/support.sh"

npy good.npy '(2, 3)' zero one two zero one two
size=$(wc -c <good.npy)
data=24

expect_good_or_one_line() { # <what was done>
    run softmax x.npy -o out.npy
    case $status-$(wc -l <stderr) in
    0-0 | 1-1) ;;
    *) fail "$1: exit status $status and: $(cat stderr)" ;;
    esac
}

bytes=0
while [ "$bytes" -lt "$size" ]; do
    head -c "$bytes" good.npy >x.npy
    expect_good_or_one_line "cut after $bytes bytes"
    [ "$status" -eq 1 ] || fail "read a file cut after $bytes of $size bytes"
    bytes=$((bytes + 1))
done

at=0
while [ "$at" -lt $((size - data)) ]; do
    for byte in '\000' '\377' 9 '(' "'" ' '; do
        # shellcheck disable=SC2059 # the format is the byte
        { head -c $at good.npy && printf "$byte" && tail -c +$((at + 2)) good.npy; } >x.npy
        expect_good_or_one_line "byte $at changed to $byte"
    done
    at=$((at + 1))
done
