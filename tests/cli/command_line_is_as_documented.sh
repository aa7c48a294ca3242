# Promise: every command has --help with examples, the manual page names every option, and what is not documented is
# refused with exit status 2.
# shellcheck shell=sh source=/dev/null disable=SC2154 # support.sh sets the variables
. "$(dirname "$0")/support.sh"

expect_success --help
grep -q '^Examples:' stdout || fail '--help has no examples'
sed -n '/^Commands:/,/^$/p' stdout | awk 'NR > 1 && NF { print $1 }' >commands
[ "$(wc -l <commands)" -eq 6 ] || fail "not six commands: $(cat commands)"
expect_success --version
grep -q '^softattn [0-9]*\.[0-9]*\.[0-9]*$' stdout || fail "$(cat stdout)"

while read -r command; do
    expect_success "$command" --help
    grep -q "^Usage: softattn $command" stdout || fail "$command --help does not say how it is used"
    grep -Eq '^Examples?:' stdout || fail "$command --help has no example"
    grep -q "^\.Ss $command\$" "$manual" || fail "the manual page has no section on $command"
    grep -o -- '--[a-z][a-z-]*' stdout | sort -u >options
    while read -r option; do
        grep -q -- "Fl -${option#--}" "$manual" || fail "the manual page does not name $option"
    done <options
    expect_usage_error "'--no-such-option'" "$command" --no-such-option
    expect_usage_error "Try 'softattn $command --help'" "$command" one two three four five
done <commands

run
[ "$status" -eq 2 ] || fail 'no command is no usage error'
expect_usage_error 'frobnicate: unknown command' frobnicate
expect_usage_error '--frobnicate: unknown option' --frobnicate

# Missing arguments.
expect_usage_error 'takes one .npy file and -o FILE' softmax
expect_usage_error 'takes one .npy file and -o FILE' softmax a.npy
expect_usage_error 'takes one .npy file and -o FILE' softmax -o b.npy
expect_usage_error 'takes three .npy files' attend a.npy b.npy -o c.npy
expect_usage_error 'takes three .npy files' attend a.npy b.npy c.npy
expect_usage_error 'takes two .npy files' compare a.npy
expect_usage_error 'requires an argument' softmax a.npy -o

# Wrong values.
expect_usage_error "--axis: 'x' is no whole number from -8 to 7" softmax a.npy -o b.npy --axis x
expect_usage_error "--axis: '8' is no" softmax a.npy -o b.npy --axis 8
expect_usage_error "--scale: '1x' is no finite number" softmax a.npy -o b.npy --scale 1x
expect_usage_error "--scale: 'nan' is no finite number" softmax a.npy -o b.npy --scale nan
expect_usage_error "--scale: '1e999' is no finite number" attend a b c -o d --scale 1e999
expect_usage_error "--scale: '' is no finite number" attend a b c -o d --scale ''
expect_usage_error "--causal: 'left' is not none, top-left or bottom-right" attend a b c -o d --causal left
expect_usage_error "--engine: 'fast' is not auto, fused or blas" attend a b c -o d --engine fast
expect_usage_error "--color: 'red' is not auto, always or never" attend a b c -o d --color red
expect_usage_error "--threads: '1025' is no whole number from 0 to 1024" attend a b c -o d --threads 1025
expect_usage_error "--head: '-1' is no whole number" attend a b c -o d --head -1
expect_usage_error "--head: '99999999999999999999' is no" attend a b c -o d --head 99999999999999999999
expect_usage_error "--sigmoid-bias: 'inf' is no finite number" softmax a -o b --normalizer sigmoid --sigmoid-bias inf
expect_usage_error '--sigmoid-bias: is for --normalizer sigmoid, not softmax' softmax a -o b --sigmoid-bias 1
expect_usage_error '--sigmoid-bias: is for --normalizer sigmoid, not relu' attend a b c -o d --normalizer relu \
    --sigmoid-bias 1
expect_usage_error "--tolerance: 'inf' is no finite number" compare a b --tolerance inf
expect_usage_error "--dim: '0' is no whole number from 1 to 1000000" scale-study --dim 0
