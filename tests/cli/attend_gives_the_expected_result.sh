# Promise: `softattn attend` computes attention as defined, on the real input and on cases small enough to know.
# shellcheck shell=sh source=/dev/null disable=SC2154 # support.sh sets the variables
. "$(dirname "$0")/support.sh"

q=$examples/q.npy k=$examples/k.npy v=$examples/v.npy
tolerance=1e-4 # what float32 may be off on this input; docs/examples/demo.sh derives it

for options in '' '--engine blas' '--isa generic' '--threads 2' '--threads 0 --quiet'; do
    # shellcheck disable=SC2086 # one word per option
    expect_success attend "$q" "$k" "$v" -o out.npy --weights weights.npy --lse lse.npy $options
    for result in out weights lse; do
        expect_success compare $result.npy "$examples/expected_$result.npy" --tolerance $tolerance
    done
done

# The header is byte for byte the one that NumPy wrote for the same type and shape.
head -c 128 out.npy >header
head -c 128 "$q" >expected_header
cmp header expected_header

# --quiet says nothing; otherwise one line tells what ran.
expect_success attend "$q" "$k" "$v" -o quiet.npy --quiet
[ ! -s stdout ] || fail "--quiet printed: $(cat stdout)"
expect_success attend "$q" "$k" "$v" -o out.npy --isa generic
[ "$(wc -l <stdout)" -eq 1 ] || fail "not one line about the run: $(cat stdout)"
grep -q '^isa generic, .* engine .*, threads 1: .* ms, .* GFLOP/s (best of [0-9]*)$' stdout || fail "$(cat stdout)"

# Equal scores: the output is the mean of the visible values.
npy two.npy '(2, 1)' zero zero
npy one.npy '(1, 1)' zero
npy values.npy '(2, 1)' one three
expect_attention() { # <expected file> <query> <option>...
    expected=$1 query=$2
    shift 2
    expect_success attend "$query" two.npy values.npy -o mean.npy --quiet "$@"
    expect_success compare mean.npy "$expected"
}
npy expected.npy '(2, 1)' two two
expect_attention expected.npy two.npy
expect_attention expected.npy two.npy --causal none --scale -3
npy expected.npy '(2, 1)' one two
expect_attention expected.npy two.npy --causal top-left
expect_attention expected.npy two.npy --causal bottom-right
npy expected.npy '(1, 1)' one
expect_attention expected.npy one.npy --causal top-left
npy expected.npy '(1, 1)' two
expect_attention expected.npy one.npy --causal bottom-right

# --scale 0 makes all scores equal, whatever the input.
npy ones.npy '(2, 1)' one three
npy expected.npy '(2, 1)' two two
expect_attention expected.npy ones.npy --scale 0

# The sigmoid of -ln 3 is 1/4: a quarter of 1 + 3. 2^-21 allows the rounded bias and three more roundings.
npy expected.npy '(2, 1)' one one
expect_success attend two.npy two.npy values.npy -o quarters.npy --quiet --normalizer sigmoid \
    --sigmoid-bias -1.0986122886681098 --weights quarter_weights.npy
expect_success compare quarters.npy expected.npy --tolerance 4.8e-7
npy expected.npy '(2, 2)' quarter quarter quarter quarter
expect_success compare quarter_weights.npy expected.npy --tolerance 4.8e-7

# Two query heads share one key and value head.
npy heads.npy '(2, 1, 1)' one three
npy shared.npy '(1, 1, 1)' two
expect_success attend heads.npy shared.npy shared.npy -o grouped.npy --quiet
npy expected.npy '(2, 1, 1)' two two
expect_success compare grouped.npy expected.npy

# float64 in, float64 out.
npy_raw double.npy "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }" one_f64
expect_success attend double.npy double.npy double.npy -o double_out.npy --quiet
expect_success compare double_out.npy double.npy
[ "$(tail -c 8 double_out.npy | od -An -tx1 | tr -d ' ')" = 000000000000f03f ] || fail 'float64 result is not 1.0'

# What does not fit together is refused in one line, and nothing is written.
npy flat.npy '(2,)' zero zero
expect_failure 'flat.npy: rank 1; ' attend flat.npy two.npy values.npy -o refused.npy
expect_failure 'softattn: k: ' attend two.npy double.npy values.npy -o refused.npy
expect_failure 'softattn: k: ' attend "$q" two.npy values.npy -o refused.npy
expect_failure 'softattn: isa: ' attend two.npy two.npy values.npy -o refused.npy --isa no-such-isa
expect_failure '--head: there is no head 12 ' attend "$q" "$k" "$v" -o refused.npy --heatmap x.png --head 12
expect_failure 'softattn: weights: ' attend two.npy two.npy two.npy -o refused.npy --weights w.npy --engine fused
expect_failure 'softattn: lse: ' attend two.npy two.npy two.npy -o refused.npy --lse l.npy --normalizer relu
npy_raw no_batch.npy "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1, 1, 1), }"
expect_failure '--head: there is no head 0 ' attend no_batch.npy no_batch.npy no_batch.npy -o refused.npy \
    --heatmap x.png
[ ! -e refused.npy ] || fail 'a refused problem left an output'
