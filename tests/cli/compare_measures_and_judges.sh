# Promise: `softattn compare` prints both differences and fails where one is above the tolerance.
# shellcheck shell=sh source=/dev/null disable=SC2154 # support.sh sets the variables
. "$(dirname "$0")/support.sh"

expect_comparison() { # <status> <text> <a> <b> <option>...
    expected_status=$1 text=$2
    shift 2
    run compare "$@"
    [ "$status" -eq "$expected_status" ] || fail "exit status $status from: compare $*"
    grep -qxF "$text" stdout || fail "not '$text' but: $(cat stdout)"
}

npy a.npy '(2, 1)' one two
npy b.npy '(2, 1)' one one
npy special.npy '(3,)' nan infinity minus_infinity
npy numbers.npy '(3,)' nan infinity one
npy opposite.npy '(3,)' nan minus_infinity minus_infinity

expect_comparison 0 'largest difference 0, relative difference 0: within 0' a.npy a.npy
expect_comparison 1 'largest difference 1 at [1, 0], relative difference 0.707: above 0' a.npy b.npy
expect_comparison 1 'largest difference 1 at [1, 0], relative difference 0.707: above 0.9' a.npy b.npy --tolerance 0.9
expect_comparison 0 'largest difference 1 at [1, 0], relative difference 0.707: within 1' a.npy b.npy --tolerance 1
expect_comparison 0 'largest difference 0, relative difference 0: within 0' special.npy special.npy
expect_comparison 1 'largest difference inf at [2], relative difference inf: above 1e+30' \
    special.npy numbers.npy --tolerance 1e30
expect_comparison 1 'largest difference inf at [1], relative difference inf: above 1e+30' \
    special.npy opposite.npy --tolerance 1e30

npy flat.npy '(2,)' one two
npy row.npy '(1, 2)' one two
expect_failure 'flat.npy: shape (2,), but a.npy has (2, 1)' compare a.npy flat.npy
expect_failure 'row.npy: shape (1, 2), but a.npy has (2, 1)' compare a.npy row.npy
