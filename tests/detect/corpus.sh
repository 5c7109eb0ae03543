# A corpus as a data set: its features, and manifests that are refused.
source "$CHV_SOURCE/tests/functions.sh"
mkdir -p c/runs/a c/runs/b
dd if=/dev/urandom of=f bs=4096 count=64 status=none
for run in a b; do
  {
    echo 'space disk:vda 1073741824 zero'
    for i in {1..40}; do printf 'at %d.5\nwrite %d f 0 %d\nread %d 64\n' $i $((i * 8000)) $((4096 * 40)) $((i * 16000)); done
    echo flush
  } | "$BUILD/tests/search/synth" c/runs/$run/store 4096
done
line() { # RUN WORKLOAD LABEL BEGIN FINISH: seconds of the script above
  printf '{"run":"%s","workload":"%s","label":"%s","filesystem":"ext4","begin_ns":%d000000000,"finish_ns":%d000000000,"store":"runs/%s/store"}\n' \
    "$1" "$2" "$3" $((4102444800 + $4)) $((4102444800 + $5)) "$1"
}
{ line a zip benign 11 20; line b inplace ransomware 21 30; } >c/manifest.json
expect_exit 0 chronovisor features --corpus c -o rows.csv
grep -q '^"a"' rows.csv && grep -q '^"b"' rows.csv || fail "runs are missing: $(cut -c1-80 rows.csv | head -3)"
# from its begin to ten seconds after its end
(($(grep -c '^"a"' rows.csv) <= 20)) || fail "rows of before or after the run: $(grep -c '^"a"' rows.csv)"

bad() { # WHY LINE
  printf '%s\n' "$2" >c/manifest.json
  one_line_error chronovisor features --corpus c -o bad.csv
  grep -q "$1" err || fail "expected '$1', got: $(cat err)"
}
bad 'line 1: not a JSON' '{"run":'
bad 'line 1: not a JSON' '[]'
bad 'plain names' "$(line ../a zip benign 1 2)"
bad 'plain names' '{"run":"a"}'
bad 'benign or ransomware' "$(line a zip maybe 1 2)"
bad 'begin_ns' "$(line a zip benign 2 1)"
bad 'longer than' "$(printf '{"run":"%070000d"}' 0)"
: >c/manifest.json
one_line_error chronovisor features --corpus c -o bad.csv
one_line_error chronovisor features --corpus nowhere -o bad.csv
one_line_error chronovisor features -o bad.csv
one_line_error chronovisor features --corpus c --ransap c -o bad.csv
