# The program itself: what it says without a verb, with a wrong one, and when its output cannot be written.
source "$CHV_SOURCE/tests/functions.sh"
expect_exit 2 chronovisor
grep -q '^usage: chronovisor VERB' err || fail "no usage on standard error"
expect_exit 0 chronovisor --help
grep -q '^usage: chronovisor VERB' out || fail "no usage on standard output"
expect_exit 0 chronovisor --version
[[ $(cat out) =~ ^chronovisor\ [0-9]+\.[0-9]+\.[0-9]+\  ]] || fail "--version said: $(cat out)"
one_line_error chronovisor frobnicate
one_line_error chronovisor $'no\nverb'
one_line_error chronovisor ''
one_line_error env -u CHRONOVISOR_STORE "$BUILD/cli/chronovisor" info
one_line_error chronovisor info --store
one_line_error chronovisor info --json=1
one_line_error chronovisor info --store /dev/null
one_line_error bash -c '"$1" --help >/dev/full' bash "$BUILD/cli/chronovisor"
