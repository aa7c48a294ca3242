# Promise: a file that cannot be read or written gives exit status 1 and one line that says which and why.
# shellcheck shell=sh source=/dev/null disable=SC2154 # support.sh sets the variables
. "$(dirname "$0")/support.sh"

expect_wrong() { # <what is said about x.npy>
    expect_failure "softattn: x.npy: $1" softmax x.npy -o out.npy
    [ ! -e out.npy ] || fail "a wrong file left an output: $1"
}

header() { # <header text> <what is said>
    npy_raw x.npy "$1" zero zero
    expect_wrong "$2"
}

# Not a file, or not this kind of file.
expect_wrong 'No such file or directory'
mkdir x.npy
expect_wrong 'Is a directory'
rmdir x.npy
: >x.npy
expect_wrong 'not a .npy file'
printf 'hello, this is text' >x.npy
expect_wrong 'not a .npy file'
printf '\223NUMPY' >x.npy
expect_wrong 'not a .npy file'
printf '\223NUMPY\003\000\000\000\000\000' >x.npy
expect_wrong '.npy format 3.0; only 1.0 and 2.0 are read'
printf '\223NUMPY\001\001\000\000' >x.npy
expect_wrong '.npy format 1.1; only 1.0 and 2.0 are read'

# Truncated, or too long.
printf '\223NUMPY\001\000\100' >x.npy
expect_wrong 'ends inside the header'
printf '\223NUMPY\001\000\100\000{' >x.npy
expect_wrong 'ends inside the header'
printf '\223NUMPY\002\000\377\377\377\377{' >x.npy
expect_wrong 'says that its header has 4294967295 bytes'
npy x.npy '(2,)' zero
expect_wrong 'ends after 4 of 8 data bytes'
npy x.npy '(2,)'
expect_wrong 'ends after 0 of 8 data bytes'
npy x.npy '(2,)' zero zero zero
expect_wrong 'goes on after its 8 data bytes'

# Huge sizes: no memory is taken for what is not there, and no product overflows.
npy x.npy '(1099511627776,)' zero zero
expect_wrong 'ends after 8 of 4398046511104 data bytes'
npy x.npy '(4294967296, 4294967296)' zero zero
expect_wrong 'shape (4294967296, 4294967296) is larger than any memory'
npy x.npy '(2147483648, 2147483648, 2)' zero zero
expect_wrong 'shape (2147483648, 2147483648, 2) is larger than any memory'
npy x.npy '(9223372036854775807,)' zero zero
expect_wrong 'shape (9223372036854775807,) is larger than any memory'
npy x.npy '(9223372036854775808,)' zero zero
expect_wrong 'its header has a size of more than 63 bits'
npy x.npy '(99999999999999999999999999,)' zero zero
expect_wrong 'its header has a size of more than 63 bits'
npy x.npy '(1, 1, 1, 1, 1, 1, 1, 1, 1)' zero
expect_wrong 'more than 8 dimensions'

# Kinds of arrays that are not read.
header "{'descr': '<f4', 'fortran_order': True, 'shape': (2,), }" 'Fortran order'
header "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }" "type '>f4' is big-endian"
header "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }" "type '<i4'; only"
header "{'descr': '<f2', 'fortran_order': False, 'shape': (2,), }" "type '<f2'; only"
header "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }" "type '|O'; only"
header "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }" 'its elements are structures'

# Headers that are none.
header '' 'its header is no dictionary'
header '[]' 'its header is no dictionary'
header '{' 'its header is no dictionary'
header '{}' "its header lacks one of 'descr', 'fortran_order' and 'shape'"
header "{'descr': '<f4', 'shape': (2,), }" "its header lacks one of"
header "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}" 'its header has an unknown key'
header "{'descr': '<f4', 'descr': '<f4', 'shape': (2,), }" 'its header says the same key twice'
header "{'descr': '<f4' 'fortran_order': False, 'shape': (2,), }" 'its header is no dictionary'
header "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } x" 'its header goes on after the dictionary'
header "{'descr': 4, 'fortran_order': False, 'shape': (2,), }" "its header has no readable 'descr'"
header "{'descr': '<f4$(printf '\033')', 'fortran_order': False, 'shape': (2,), }" "its header has no readable 'descr'"
header "{'descr': '<f4, 'fortran_order': False, 'shape': (2,), }" 'its header is no dictionary'
header "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,), }" "its header has a 'fortran_order' that is no bool"
for shape in '2' '(2)' '(,)' '(2' '(2,,)' '(-2,)' '(2.0,)' '(2 1)' '[2]' "('2',)"; do
    header "{'descr': '<f4', 'fortran_order': False, 'shape': $shape, }" \
        'its header has a shape that is no tuple of sizes'
done

# The same words for each operand of attention and each side of a comparison.
npy good.npy '(2, 1)' zero zero
: >x.npy
expect_failure 'softattn: x.npy: not a .npy file' attend x.npy good.npy good.npy -o out.npy
expect_failure 'softattn: x.npy: not a .npy file' attend good.npy x.npy good.npy -o out.npy
expect_failure 'softattn: x.npy: not a .npy file' attend good.npy good.npy x.npy -o out.npy
expect_failure 'softattn: x.npy: not a .npy file' compare x.npy good.npy
expect_failure 'softattn: x.npy: not a .npy file' compare good.npy x.npy

# Other spellings of a good header are read.
npy_raw x.npy "{\"shape\":(2,1),\"fortran_order\":False,\"descr\":\"<f4\"}" zero zero
expect_success compare x.npy good.npy
printf '\223NUMPY\002\000\070\000\000\000%-55s\n\000\000\000\000' \
    "{'descr': '<f4', 'fortran_order': False, 'shape': ()}" >x.npy
expect_success compare x.npy x.npy

# Outputs that cannot be written.
expect_failure 'softattn: missing/out.npy: No such file or directory' softmax good.npy -o missing/out.npy
expect_failure 'softattn: missing/w.png: No such file or directory' attend good.npy good.npy good.npy -o out.npy \
    --quiet --heatmap missing/w.png
if [ -c /dev/full ]; then
    expect_failure 'softattn: /dev/full: No space left on device' softmax good.npy -o /dev/full
    expect_failure 'softattn: /dev/full: No space left on device' attend good.npy good.npy good.npy -o out.npy \
        --quiet --heatmap /dev/full
    [ -c /dev/full ] || fail 'the device was removed'
    status=0
    "$softattn" stability >/dev/full 2>stderr || status=$?
    [ "$status" -eq 1 ] || fail "exit status $status where standard output is full"
fi

# Wrong token files.
printf 'a\nb\n' >two.txt
expect_success attend good.npy good.npy good.npy -o out.npy --quiet --tokens two.txt
for tokens in '' 'a\n' 'a\nb\nc\n'; do
    # shellcheck disable=SC2059 # the format is the file
    printf "$tokens" >x.txt
    expect_failure 'lines than the 2 tokens of the sequence' attend good.npy good.npy good.npy -o out.npy --quiet \
        --tokens x.txt
done
expect_failure 'x.txt: a line is longer' attend good.npy good.npy good.npy -o out.npy --quiet --tokens "$(
    tr '\0' 'a' </dev/zero | head -c 100000 >x.txt
    echo x.txt
)"
npy single.npy '(1, 1)' zero
expect_failure 'two.txt: a word names a query and a key, but they are 1 and 2' attend single.npy good.npy good.npy -o out.npy --quiet \
    --tokens two.txt
