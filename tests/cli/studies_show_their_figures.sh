# Promise: `info`, `stability` and `scale-study` show what they say they show.
# shellcheck shell=sh source=/dev/null disable=SC2154 # support.sh sets the variables
. "$(dirname "$0")/support.sh"

expect_success info
grep -q '^version   [0-9]*\.[0-9]*\.[0-9]*$' stdout || fail "no version: $(cat stdout)"
grep -q '^isa       .* generic' stdout || fail "generic is not listed: $(cat stdout)"
grep -Eq '^blas      (openblas|internal)$' stdout || fail "no BLAS: $(cat stdout)"
grep -Eq '^threads   [0-9]+ \(usable CPUs: [1-9][0-9]*\)$' stdout || fail "no threads: $(cat stdout)"
SOFTATTN_ISA=generic SOFTATTN_NUM_THREADS=3 "$softattn" info >stdout
grep -q '^isa       generic (' stdout || fail "SOFTATTN_ISA has no effect: $(cat stdout)"
grep -q '^threads   3 (' stdout || fail "SOFTATTN_NUM_THREADS has no effect: $(cat stdout)"

# exp(10000) and exp(200) are above the largest float, 3.4e38.
expect_success stability
tr -s ' ' <stdout >table
for row in 'score 10000 200 1' 'exp(score) inf inf 2.71828' 'exp(score) / sum NaN NaN 0' 'softmax 1 0 0' \
    'log-softmax 0 -9800 -9999'; do
    grep -qxF "$row" table || fail "no row '$row' in: $(cat stdout)"
done

# Scores of 512-dimensional normal vectors have standard deviation sqrt(512) = 22.6; of 64000 scores that share 64
# keys the estimate is within 5 % (its own deviation is below 1 %).
figure() { # <row> <column of the table>
    awk -v row="$1" -v column="$2" '$1 == row { print $column }' stdout
}
within() { # <figure> <least> <most>
    awk -v x="$1" -v least="$2" -v most="$3" 'BEGIN { exit !(x != "" && x >= least && x <= most) }' ||
        fail "'$1' is not between $2 and $3"
}
for seed in 1 2 3; do
    expect_success scale-study --seed $seed
    within "$(figure 1 2)" 21.5 23.8
    within "$(figure 'sqrt(d)' 2)" 0.95 1.05
    within "$(figure d 2)" 0.042 0.047
    within "$(figure 1 3)" 0.8 1              # one key takes nearly all
    within "$(figure 1 4)" 0 0.5
    within "$(figure d 3)" 0.0156 0.02        # nearly 1/64 each
    within "$(figure d 4)" 4.14 4.1589        # log 64 = 4.15888
    within "$(figure 'sqrt(d)' 4)" 3.4 3.9    # in between: log 64 - 1/2 for normal scores and many keys
done
expect_success scale-study --dim 1 --keys 1 --queries 1
[ "$(figure 'sqrt(d)' 3)" = 1.0000 ] || fail "one key does not get all the weight: $(cat stdout)"
expect_success scale-study --seed 5
mv stdout first
expect_success scale-study --seed 5
cmp first stdout || fail 'the same seed gives other figures'
