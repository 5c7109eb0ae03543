# A corpus as a data set: its features, and manifests that are refused.
source "$CHV_SOURCE/tests/functions.sh"
requires python3
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

# a line that is no run, or a store that is none: said, and the others are as before
cp rows.csv good.csv
{ line a zip benign 11 20; echo '{"run":'; line b inplace ransomware 21 30; line b inplace ransomware 21 30; line c zip benign 11 20; line d zip benign 11 20; } >c/manifest.json
mkdir -p c/runs/d/store
expect_exit 1 chronovisor features --corpus c -o rows.csv
cmp rows.csv good.csv || fail "what cannot be read changed what can"
grep -q 'manifest.json: line 2: not a JSON' err && grep -q 'run b is named twice' err && grep -q 'c/runs/c/store' err || fail "$(cat err)"
grep -q 'could not be read (above): 4 of 6' err && (($(wc -l <err) == 5)) || fail "$(cat err)"
{ line a zip benign 11 20; line b inplace ransomware 2000 3000; line e idle benign 2000 3000; } >c/manifest.json
cp -r c/runs/b c/runs/e
expect_exit 1 chronovisor features --corpus c -o rows.csv
grep -q 'b/store: nothing was recorded between' err && (($(wc -l <err) == 2)) || fail "$(cat err)" # a machine may be idle, an attack not
{ line c zip benign 11 20; line d zip benign 11 20; } >c/manifest.json
expect_exit 2 chronovisor features --corpus c -o rows.csv

# losses: what is counted, held against the log itself. An alarm that never comes lets all of it be lost.
mkdir -p l/runs/bad l/runs/good
{
  printf 'space disk:vda 1073741824 zero\nat 1\nwrite 0 f\nwrite 4096 f\nwrite 8192 f\nflush\n'
  for i in {11..14}; do printf 'at %d.2\nread %d 512\nwrite 4096 f 0 65536\n' "$i" $((i * 512)); done
  for i in {15..40}; do printf 'at %d.1\nread %d 512\nwrite %d f 0 131072\nat %d.6\nwrite %d f 4096 4096\ntrim %d 16\n' "$i" \
    $(((i - 15) * 256)) $(((i - 15) * 256)) "$i" $((8192 + (i - 15) * 8)) $((4096 + (i - 15) * 24)); done
  echo flush
} | "$BUILD/tests/search/synth" l/runs/bad/store 4096
{
  printf 'space disk:vda 1073741824 zero\nat 1\nwrite 0 f\nflush\n'
  for i in {11..40}; do printf 'at %d.2\nread %d 512\nwrite %d f 0 131072\n' "$i" $((i * 512)) $((100000 + i * 256)); done
  echo flush
} | "$BUILD/tests/search/synth" l/runs/good/store 4096
cat >at.py <<'PY'
import json
def at(s): return int((4102444800 + s) * 10) * 10**8
PY
python3 - <<'PY'
from at import *
with open("l/manifest.json", "w") as f:
    for n in range(5):
        for bad in (True, False):
            run = {"run": f"{'bad' if bad else 'good'}{n}", "workload": "inplace" if bad else "cp", "label": "ransomware" if bad else "benign",
                   "filesystem": ("ext4", "luks")[n % 2], "begin_ns": at(11), "finish_ns": at(39), "malicious_ns": at(15.5) if bad else None,
                   "tree_files": 40, "tree_kib": 768, "store": f"runs/{'bad' if bad else 'good'}/store"}
            f.write(json.dumps(run | ({"hits": "hits.tsv"} if bad else {})) + "\n")
with open("l/hits.tsv", "w") as f:
    f.write("time_ns\tfiles\tbytes\n" + "".join(f"{at(15 + i)}\t{i}\t{i * 20000}\n" for i in range(1, 24)))
PY
chronovisor events --store l/runs/bad/store --json >events
for mode in paired read; do
  expect_exit 0 chronovisor evaluate --corpus l --model rf --features wide --mode $mode --decision 1000000,0.5,2 --json
  python3 - <<'PY' || fail "losses, $mode: $(cat out)"
from at import *
e = json.loads(open("out").read())
stood, written, over = set(), 0, 0
for ev in map(json.loads, open("events")):
    if ev["op"] not in ("write", "trim") or ev["time_ns"] >= at(49): continue
    blocks = set(range(ev["lba"] // 8, (ev["lba"] + ev["sectors"] + 7) // 8))
    if ev["time_ns"] >= at(15.5):
        written += ev["sectors"] * 512 if ev["op"] == "write" else 0
        over += 4096 * len(blocks & stood)
    stood -= blocks
    if ev["op"] == "write" and ev["time_ns"] < at(11): stood |= blocks
assert written > 1000000 and 100000 < over < written, (written, over)
l = e["losses"]
assert (l["runs"], l["found"], l["early"]) == (5, 0, 0) and l["seconds"]["median"] is None, l
for which in ("median", "p90", "worst"):
    assert l["written_bytes"][which] == written and l["overwritten_bytes"][which] == over, (l, written, over)
    assert l["files_guest"][which] == 23 and l["files_disk"][which] == 23 and l["bytes_guest"][which] == 460000, l
    assert abs(l["overwritten_share"][which] - over / (768 * 1024)) < 1e-4 and abs(l["files_guest_share"][which] - 23 / 40) < 1e-4, l
assert [f.get("losses", {}).get("runs") for f in e["families"]] == [None, 5], e["families"]
assert e["classes"] == ["benign", "ransomware"] and all(len(f["windows_named"]) == 2 and sum(f["windows_named"]) == 15 for f in e["families"]), e
assert e["macro_f1"] is None and len(e["missed"]) == 5 and [c["condition"] for c in e["conditions"]] == ["ext4", "luks"], e
assert 140 / 3600 < e["benign_hours"] < 160 / 3600 and abs(e["alarms_a_day_at_most"] * e["benign_hours"] - 71.9) < 0.1, e
PY
done
expect_exit 0 chronovisor evaluate --corpus l --model rf --features wide --mode paired --decision 1000000,0.5,2
grep -q '^  all  *0/5  .*never/never/never' out || fail "the table: $(cat out)"
# an alarm after a second of evidence: so much by then, and no more
expect_exit 0 chronovisor evaluate --corpus l --model rf --features wide --mode paired --decision 0.5,0.1,2 --json
python3 - <<'PY' || fail "losses with alarms: $(cat out)"
import json
l = json.loads(open("out").read())["losses"]
assert l["found"] + l["early"] == 5, l
assert l["written_bytes"]["worst"] < 1500000 and l["seconds"]["worst"] < 10 and l["files_disk"]["worst"] <= l["files_guest"]["worst"] < 12, l
PY
# a model that is there, on harmless runs alone: alarms a day
expect_exit 0 chronovisor train --corpus l --model rf --features wide --mode paired --no-evaluate -o l.model
mkdir g && ln -s ../l/runs g/runs && grep benign l/manifest.json >g/manifest.json
expect_exit 0 chronovisor evaluate --corpus g --model l.model --json
python3 -c 'import json; e = json.load(open("out")); assert (e["benign_runs"], e["benign_alarms"], e["ransomware_runs"]) == (5, 0, 0) and e["runs_f1"] is None and e["alarms_a_day"] == 0, e' ||
  fail "harmless runs alone: $(cat out)"
printf 'time_ns\tfiles\tbytes\n5\t1\t1\n4\t1\t1\n' >l/hits.tsv
expect_exit 1 chronovisor evaluate --corpus l --model rf --mode paired
grep -q '5 folds could not be judged' out && grep -q '(above): 5 of 10' err || fail "without its attacks: $(cat out err)"
grep -q 'l/hits.tsv: line 3: it goes back' err || fail "$(cat err)"

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
