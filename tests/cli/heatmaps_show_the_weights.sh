# Promise: the table in the terminal and the picture show the weights of the head that was asked for.
# shellcheck shell=sh source=/dev/null disable=SC2154 # support.sh sets the variables
here=$(cd "$(dirname "$0")" && pwd)
. "$here/support.sh"

q=$examples/q.npy k=$examples/k.npy v=$examples/v.npy
escape=$(printf '\033')

# The real input: head 1 as a table, shaded by characters where standard output is no terminal.
expect_success attend "$q" "$k" "$v" -o out.npy --quiet --tokens "$examples/tokens.txt" --head 1 --heatmap head1.png
sed 's/ *$//' stdout >table
diff "$here/expected_table.txt" table || fail 'the table is not the expected one'

# Coloured cells hold the same numbers.
expect_success attend "$q" "$k" "$v" -o out.npy --quiet --tokens "$examples/tokens.txt" --head 1 --color always
grep -q "$escape\[48;5;" stdout || fail 'no colours with --color always'
sed "s/$escape\[[0-9;]*m//g; s/ *\$//" stdout | tr -s ' ' >coloured
tr -d '.:=*#@+-' <table | tr -s ' ' >shaded
tr -d '.:=*#@+-' <coloured | tr -s ' ' | diff shaded - || fail 'the colours hold other numbers than the shades'

# A picture of 14 cells of 48 pixels and two borders of 16 each way; another head gives another picture.
[ "$(head -c 8 head1.png | od -An -tx1 | tr -d ' ')" = 89504e470d0a1a0a ] || fail 'no PNG signature'
[ "$(tail -c +17 head1.png | head -c 8 | od -An -tx1 | tr -d ' ')" = 000002c0000002c0 ] || fail 'not 704 x 704 pixels'
expect_success attend "$q" "$k" "$v" -o out.npy --quiet --heatmap head0.png
! cmp -s head0.png head1.png || fail 'two heads give the same picture'

# A query head shows the weights that it has with the key head it shares: zero queries look everywhere alike.
npy heads.npy '(2, 2, 1)' three three zero zero
npy shared.npy '(1, 2, 1)' zero three
printf 'left\nright\n' >words.txt
expect_success attend heads.npy shared.npy shared.npy -o out.npy --quiet --tokens words.txt --head 1
[ "$(grep -c '50.*50' stdout)" -eq 2 ] || fail "equal scores are not shown equal: $(cat stdout)"
expect_success attend heads.npy shared.npy shared.npy -o out.npy --quiet --tokens words.txt --head 0
[ "$(grep -c '100' stdout)" -eq 2 ] || fail "exp(9) to 1 is not shown as 100: $(cat stdout)"

# NaN is shown, not hidden.
npy nans.npy '(2, 1)' nan nan
expect_success attend nans.npy nans.npy nans.npy -o out.npy --quiet --tokens words.txt --heatmap nan.png
grep -q '???' stdout || fail "NaN is not shown: $(cat stdout)"

# No line is wider than 80 columns; further keys follow in further tables.
zeros=
: >many.txt
for i in $(seq 40); do
    zeros="$zeros zero"
    echo "word$i" >>many.txt
done
# shellcheck disable=SC2086 # one element per word
npy many.npy '(40, 1)' $zeros
expect_success attend many.npy many.npy many.npy -o out.npy --quiet --tokens many.txt
[ "$(awk 'length > 80' stdout | wc -l)" -eq 0 ] || fail 'a line is wider than 80 columns'
for i in $(seq 40); do
    [ "$(grep -cw "word$i" stdout)" -gt 1 ] || fail "word$i is no column or no row"
done

# Words cannot steer the terminal, and long ones are cut.
printf '\033[31mred\033]0;title\007\nabcdefghijklmnopqrstuvwxyz\n' >hostile.txt
expect_success attend heads.npy shared.npy shared.npy -o out.npy --quiet --tokens hostile.txt
! grep -q "$(printf '[\033\007]')" stdout || fail 'an escape sequence reached the terminal'
grep -q '^abcdefghijklmnop ' stdout || fail "a long word is not cut to 16 columns: $(cat stdout)"
