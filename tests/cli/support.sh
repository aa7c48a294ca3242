# Read by the test scripts of this directory. It takes their arguments, moves to an empty directory of their own, and
# gives them what follows. A test ends at the first thing that is not as promised.
# shellcheck shell=sh disable=SC2034 # the variables are used by the scripts

set -eu
softattn=$1
examples=$2
manual=$3
rm -rf "$4"
mkdir -p "$4"
cd "$4"

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# Runs the program; its output goes to the files stdout and stderr, its exit status to $status.
run() {
    status=0
    "$softattn" "$@" >stdout 2>stderr || status=$?
}

expect_success() {
    run "$@"
    [ "$status" -eq 0 ] || fail "exit status $status from: softattn $*: $(cat stderr)"
    [ ! -s stderr ] || fail "softattn $* printed an error: $(cat stderr)"
}

# Exit status 1 and one line on standard error that holds the text.
expect_failure() { # <text> <argument>...
    text=$1
    shift
    run "$@"
    [ "$status" -eq 1 ] || fail "exit status $status, not 1, from: softattn $*: $(cat stderr)"
    [ "$(wc -l <stderr)" -eq 1 ] || fail "not one line from: softattn $*: $(cat stderr)"
    grep -q '^softattn: ' stderr || fail "no 'softattn: ' in front: $(cat stderr)"
    grep -qF -- "$text" stderr || fail "no '$text' in: $(cat stderr)"
}

expect_usage_error() { # <text> <argument>...
    text=$1
    shift
    run "$@"
    [ "$status" -eq 2 ] || fail "exit status $status, not 2, from: softattn $*"
    [ ! -s stdout ] || fail "softattn $* printed: $(cat stdout)"
    grep -qF -- "$text" stderr || fail "no '$text' in: $(cat stderr)"
}

# The bytes of one element of a .npy file, little-endian.
element() { # <name>
    case $1 in
    zero) printf '\000\000\000\000' ;;
    quarter) printf '\000\000\200\076' ;;
    third) printf '\253\252\252\076' ;;
    half) printf '\000\000\000\077' ;;
    one) printf '\000\000\200\077' ;;
    two) printf '\000\000\000\100' ;;
    three) printf '\000\000\100\100' ;;
    minus_log_4) printf '\030\162\261\277' ;; # -1.3862944
    nan) printf '\000\000\300\177' ;;
    infinity) printf '\000\000\200\177' ;;
    minus_infinity) printf '\000\000\200\377' ;;
    one_f64) printf '\000\000\000\000\000\000\360\077' ;;
    *) fail "there is no element $1" ;;
    esac
}

# A .npy file of format 1.0 from its header text and its elements.
npy_raw() { # <file> <header> [element]...
    file=$1 header=$2
    shift 2
    {
        printf '\223NUMPY\001\000'
        # shellcheck disable=SC2059 # the format is the header's length in two bytes
        printf "\\$(printf '%03o' $((${#header} % 256)))\\$(printf '%03o' $((${#header} / 256)))"
        printf '%s' "$header"
        for name; do
            element "$name"
        done
    } >"$file"
}

npy() { # <file> <shape> [float32 element]...
    file=$1 shape=$2
    shift 2
    npy_raw "$file" "{'descr': '<f4', 'fortran_order': False, 'shape': $shape, }" "$@"
}
