# Promise: `softattn softmax` applies scale, temperature, mask and logarithm along the axis that it is told.
# shellcheck shell=sh source=/dev/null disable=SC2154 # support.sh sets the variables
. "$(dirname "$0")/support.sh"

expect_softmax() { # <tolerance> <scores> <option>...
    tolerance=$1 scores=$2
    shift 2
    expect_success softmax "$scores" -o p.npy "$@"
    expect_success compare p.npy expected.npy --tolerance "$tolerance"
}

npy zeros.npy '(2, 4)' zero zero zero zero zero zero zero zero
npy expected.npy '(2, 4)' quarter quarter quarter quarter quarter quarter quarter quarter
expect_softmax 0 zeros.npy
expect_softmax 0 zeros.npy --axis 1 --isa generic
expect_softmax 0 zeros.npy --axis -1 --threads 2
npy expected.npy '(2, 4)' half half half half half half half half
expect_softmax 0 zeros.npy --axis 0

# The last bit of log 4 and of 1/3 is not promised: 2^-23 of a value below 2 and below 1/2.
npy expected.npy '(2, 4)' minus_log_4 minus_log_4 minus_log_4 minus_log_4 \
    minus_log_4 minus_log_4 minus_log_4 minus_log_4
expect_softmax 2.4e-7 zeros.npy --log

npy wide.npy '(2, 3)' zero zero zero zero zero zero
npy expected.npy '(2, 3)' half half zero third third third
expect_softmax 1.2e-7 wide.npy --causal bottom-right
npy expected.npy '(2, 3)' one zero zero half half zero
expect_softmax 0 wide.npy --causal top-left

# Scale and temperature, of which the later counts: 0.5 * [0, 2] and [0, 2] / 2 are [0, 1].
npy scores.npy '(2,)' zero two
npy scaled.npy '(2,)' zero one
expect_success softmax scaled.npy -o expected.npy
expect_softmax 0 scores.npy --scale 0.5
expect_softmax 0 scores.npy --temperature 2
expect_softmax 0 scores.npy --temperature 9 --scale 0.5
expect_softmax 0 scores.npy --scale 9 --temperature 2
npy expected.npy '(2,)' half half
expect_softmax 0 scores.npy --scale 0

# Normalizers of equal scores: sparsemax and 1.5-entmax share 1, the sigmoid of 0 is 1/2, ReLU of 0 is 0.
npy expected.npy '(2, 4)' quarter quarter quarter quarter quarter quarter quarter quarter
expect_softmax 0 zeros.npy --normalizer sparsemax
expect_softmax 0 zeros.npy --normalizer entmax
npy expected.npy '(2, 4)' half half half half half half half half
expect_softmax 0 zeros.npy --normalizer sigmoid
npy expected.npy '(2, 4)' zero zero zero zero zero zero zero zero
expect_softmax 0 zeros.npy --normalizer relu

# The sigmoid of -ln 3 is 1/4, of 1000 it is 1. 2^-21 allows the rounded bias and three more roundings.
npy expected.npy '(2, 4)' quarter quarter quarter quarter quarter quarter quarter quarter
expect_softmax 4.8e-7 zeros.npy --normalizer sigmoid --sigmoid-bias -1.0986122886681098
expect_softmax 4.8e-7 zeros.npy --sigmoid-bias=-1.0986122886681098 --normalizer sigmoid
npy expected.npy '(2, 4)' one one one one one one one one
expect_softmax 0 zeros.npy --normalizer sigmoid --sigmoid-bias 1000

# A pipe is read as a file is, and the result may replace its input.
npy expected.npy '(2, 4)' quarter quarter quarter quarter quarter quarter quarter quarter
# shellcheck disable=SC2002 # a pipe is the point
cat zeros.npy | "$softattn" softmax /dev/stdin -o p.npy
expect_success compare p.npy expected.npy
expect_success softmax zeros.npy -o zeros.npy
expect_success compare zeros.npy expected.npy

expect_failure 'softattn: axis: ' softmax scores.npy -o refused.npy --axis 3
expect_failure 'causal' softmax scores.npy -o refused.npy --causal top-left
expect_failure 'softattn: temperature: ' softmax scores.npy -o refused.npy --temperature 0
expect_failure 'softattn: sigmoid_bias: ' softmax scores.npy -o refused.npy --normalizer sigmoid --sigmoid-bias 1e300
expect_failure 'softattn: output: ' softmax scores.npy -o refused.npy --normalizer relu --log
expect_usage_error "--normalizer: 'softmin' is not softmax, none, relu, relu-squared, sigmoid, softmax-plus-one, \
sparsemax or entmax" softmax scores.npy -o refused.npy --normalizer softmin
[ ! -e refused.npy ] || fail 'a refused problem left an output'
