#!/bin/sh
# Runs libsoftattn on the query, key and value of a real sentence (README.md beside this file tells where they are
# from), shows the result, and checks it against one computed independently.
# usage: demo.sh <build directory>: the program is in its bin/, results go to its demo/
set -eu

examples=$(cd "$(dirname "$0")" && pwd)
softattn=$1/bin/softattn
results=$1/demo
mkdir -p "$results"

# The expected arrays are exact to 3e-15. With float32 roundings (unit 2^-24), a score's chain of 32 multiply-adds is
# off by at most 34 * 2^-24 * sum(|q||k|) / sqrt(32), which is 2.4e-5 on this input; carried through softmax and the
# sum over v that allows 9e-5 in the output. What is seen is far less, as roundings mostly cancel; a wrong scale, mask
# or head gives more than 1e-2.
tolerance=1e-4

title() {
    printf '\n== %s\n\n' "$*"
}

attend() { # [option]...
    "$softattn" attend "$examples/q.npy" "$examples/k.npy" "$examples/v.npy" -o "$results/out.npy" "$@"
}

check() { # <result>
    printf '%-8s against the expected one: ' "$1"
    "$softattn" compare "$results/$1.npy" "$examples/expected_$1.npy" --tolerance $tolerance
}

title 'The library on this machine'
"$softattn" info

title 'Attention in a trained transformer: layer 3 of all-MiniLM-L6-v2'
attend --tokens "$examples/tokens.txt" --head 1 --heatmap "$results/head-1.png"
printf '\n"she" looks at "sister"; "it", "new", "bought" and "a" look at "car".\n'
printf 'The same as a picture: %s\n\n' "$results/head-1.png"
check out
attend --quiet --weights "$results/weights.npy" --lse "$results/lse.npy"
check weights
check lse

title 'Why softmax subtracts the largest score'
"$softattn" stability

title 'Why attention divides the scores by sqrt(d)'
"$softattn" scale-study
