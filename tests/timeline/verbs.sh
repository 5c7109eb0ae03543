# events, info, spaces, stats, diff, restore and rewind on a recorded disk: answers, bad input, what is left behind.
source "$CHV_SOURCE/tests/functions.sh"
requires qemu-img python3
make_world() { "$BUILD/tests/timeline/make-world" "$@"; }
mkdir world
make_world world 4096 3000000 42 # ends inside a block, and inside a sector
export CHRONOVISOR_STORE=$WORK/world/store
mapfile -t instants < <(ls world | sed -n 's/^image-//p' | sort -n)
[[ ${#instants[@]} == 4 ]] || fail "make-world made ${#instants[@]} images"
first=${instants[0]} second=${instants[1]} last=${instants[3]}
size=$(stat -c %s "world/image-$first")

# --- info, spaces, stats, events agree with each other and with a count of the log ---
chronovisor info --json >info
chronovisor stats --json >stats
chronovisor events --json >events
chronovisor spaces --json >spaces
python3 - "$size" <<'PY' || fail "the answers do not agree (above)"
import collections, json, sys
info = json.loads(open("info").read())
spaces = [json.loads(line) for line in open("spaces")]
stats = [json.loads(line) for line in open("stats")]
events = [json.loads(line) for line in open("events")]
assert [e["seq"] for e in events] == list(range(info["first_seq"], info["last_seq"] + 1))
assert [s["name"] for s in spaces] == ["disk:t"] and spaces[0]["size_bytes"] == int(sys.argv[1])
assert spaces[0]["source"].endswith("/world/device") and spaces[0]["rest"] == "device"
by_op = collections.Counter(e["op"] for e in events if e["space_id"] == 1)
assert stats[0]["space"] == "disk:t" and stats[0]["events"] == dict(by_op), (stats[0], by_op)
writes = [e for e in events if e["op"] == "write"]
assert stats[0]["written_bytes"] == 512 * sum(e["sectors"] for e in writes) > 0
content = [e for e in events if e["op"] in ("write", "baseline", "found")]
assert stats[0]["new_blocks"] == sum("new" in e["flags"] for e in content) > 0
assert stats[0]["duplicate_blocks"] == sum("new" not in e["flags"] for e in content) > 0
assert sum(stats[0]["written_entropy"]) == len(writes)
assert all(a["time_ns"] <= b["time_ns"] for a, b in zip(events, events[1:]))
assert info["last_seq"] == events[-1]["seq"] and not info["signed"]
PY
chronovisor info | grep '^events ' >/dev/null || fail "info for people"
chronovisor spaces | grep 'disk:t' >/dev/null || fail "spaces for people"
chronovisor stats --space disk:t | grep 'known before' >/dev/null || fail "stats for people"

# --- filters of events against the whole list ---
check_filter() { # check_filter PYTHON-CONDITION OPTIONS…
  local condition=$1; shift
  chronovisor events --json "$@" >some || true
  python3 - "$condition" <<'PY' || fail "events $*: not the events with $condition"
import json, sys
want = [e for e in map(json.loads, open("events")) if eval(sys.argv[1])]
got = [json.loads(line) for line in open("some")]
assert got == want and got, (len(got), len(want))
PY
}
check_filter 'e["op"] in ("zero", "trim")' --op zero,trim
check_filter "e['seq'] >= $second" --from "seq:$second"
check_filter "$first <= e['seq'] <= $second and e['op'] == 'write'" --from "seq:$first" --to "seq:$second" --op write
check_filter 'e["op"] in ("write","zero","trim","baseline") and e["lba"] <= 120 and e["lba"] + e["sectors"] > 100' --lba 100-120
check_filter 'e["space_id"] == 1' --space disk:t
check_filter 'e["seq"] <= 7' --limit 7
time=$(python3 -c 'import json; print([json.loads(l) for l in open("events")][200]["time"])')
check_filter "e['time'] >= '$time'" --from "$time"
check_filter "e['time'] <= '$time'" --to "$time"
expect_exit 1 chronovisor events --op gap
[[ ! -s out ]] || fail "events of no kind printed something"
[[ $(chronovisor events --limit 5 | wc -l) == 6 ]] || fail "the table has a heading and 5 rows"
for bad in "--op" "--op write,nonsense" "--op ," "--lba 5-" "--lba x" "--lba 9-3" "--limit -1" "--limit 1x" "--from yesterday" \
  "--to seq:999999999" "--space nope" "extra"; do
  # shellcheck disable=SC2086
  one_line_error chronovisor events $bad
done

# --- diff against the images ---
chronovisor diff --from "seq:$first" --to "seq:$last" --json >diff
python3 - "world/image-$first" "world/image-$last" <<'PY' || fail "diff is not the difference of the images"
import json, sys
a, b = (open(path, "rb").read() for path in sys.argv[1:])
lines = [json.loads(line) for line in open("diff")]
total, extents = lines[-1], lines[:-1]
assert total["total"] and total["extents"] == len(extents) > 3
changed = {o for o in range(0, len(a), 4096) if a[o:o + 4096] != b[o:o + 4096]}
said = {o for e in extents for o in range(e["offset"], e["offset"] + e["bytes"], 4096)}
assert changed == said and total["changed_blocks"] == len(changed)
assert total["changed_bytes"] == sum(e["bytes"] for e in extents)
assert {e["kind"] for e in extents} <= {"changed", "zeroed"}
for e in extents:
    held = b[e["offset"]:e["offset"] + e["bytes"]]
    assert (e["kind"] == "zeroed") == (not any(held)), e
PY
expect_exit 1 chronovisor diff --from "seq:$second" --to "seq:$second"
grep -q '^total: 0 bytes' out || fail "an empty diff has a total"
one_line_error chronovisor diff
one_line_error chronovisor diff --from "seq:$last" --to "seq:$first"
one_line_error chronovisor diff --from "seq:99999999"

# --- restore ---
for seq in "${instants[@]}"; do
  chronovisor restore --at "seq:$seq" -o out.raw --reason "test" >restored
  cmp out.raw "world/image-$seq" || fail "restore of seq:$seq"
  chronovisor restore --at "seq:$seq" -o - | cmp - "world/image-$seq" || fail "stream of seq:$seq"
  rm out.raw
done
chronovisor restore --at "seq:$second" -o out.qcow2 --json >restored
python3 -c 'import json; assert json.load(open("restored"))["output"] == "out.qcow2"' || fail "restore --json"
[[ $(qemu-img info --output=json out.qcow2 | python3 -c 'import json, sys; print(json.load(sys.stdin)["format"])') == qcow2 ]] || fail "not qcow2"
qemu-img compare -f raw -F qcow2 "world/image-$second" out.qcow2 >/dev/null || fail "restore to qcow2"
grep -q '"action":"restore","detail":"disk:t as of seq:'"$second"' to out.raw","reason":"test"' world/store/custody.jsonl ||
  fail "a restore that is not in the custody log"
echo precious >out.raw
one_line_error chronovisor restore -o out.raw
[[ $(cat out.raw) == precious ]] || fail "restore replaced a file unasked"
chronovisor restore --at "seq:$second" -o out.raw --force >restored
cmp out.raw "world/image-$second" || fail "restore --force"
one_line_error chronovisor restore -o out.qcow2
one_line_error chronovisor restore
one_line_error chronovisor restore -o ""
one_line_error chronovisor restore -o no/such/dir/x.raw
one_line_error chronovisor restore -o "$WORK"
one_line_error chronovisor restore -o x.raw --at tomorrow
one_line_error chronovisor restore -o x.raw extra
mv world/device world/away # blocks that were never written come from there
one_line_error chronovisor restore --at "seq:$first" -o x.raw
grep -q -- '--source' err || fail "a missing device, and no hint at --source"
one_line_error chronovisor restore --at "seq:$first" -o x.qcow2 --source world/nowhere
chronovisor restore --at "seq:$first" -o x.raw --source world/away >restored
cmp x.raw "world/image-$first" || fail "restore --source"
mv world/away world/device
[[ -z $(find . -name '*partial*') ]] || fail "partial files were left"
one_line_error bash -c '"$1" restore -o - >/dev/full' bash "$BUILD/cli/chronovisor"

# --- rewind: refused while recording, undoable, what nobody recorded is kept ---
cp world/device device-before
chronovisor rewind --to "seq:$second" --dry-run --json >plan
cmp world/device device-before || fail "a dry run wrote"
one_line_error chronovisor rewind
one_line_error chronovisor rewind --to seq:99999999
one_line_error chronovisor rewind --to "seq:$second" --source "world/image-$second.gone"
truncate -s 4096 small
one_line_error chronovisor rewind --to "seq:$second" --source small
printf 'written behind our back' | dd of=world/device bs=1 seek=$((4096 * 77)) conv=notrunc status=none
cp world/device device-before
chronovisor rewind --to "seq:$second" --json --reason "undo the damage" >rewound
cmp -n "$(stat -c %s world/device)" world/device "world/image-$second" || fail "the device is not what it was"
grep -q '"action":"rewind".*"reason":"undo the damage"' world/store/custody.jsonl || fail "no custody entry"
undo=$(python3 - <<'PY'
import json
plan, done = json.load(open("plan")), json.load(open("rewound"))
assert plan["dry_run"] and plan["unknown_blocks"] == 0 and plan["blocks"] > 10
assert done["found_blocks"] <= 1 and plan["blocks"] <= done["written_blocks"] <= plan["blocks"] + 1
print(done["undo"])
PY
) || fail "what rewind said"
chronovisor events --json --op write --from "$undo" | grep '"rewind' >/dev/null || fail "a rewind that was not recorded"
chronovisor rewind --to "$undo" >rewound
cmp world/device device-before || fail "the rewind was not undone"
grep -q '^to undo: ' rewound || fail "no way back was printed"
chronovisor restore -o now.raw >restored
cmp -n "$(stat -c %s world/device)" now.raw world/device || fail "the view of now is not the device"
python3 - world/device "$BUILD/cli/chronovisor" "$second" <<'PY' || fail "rewind did not see a lock like QEMU's"
import fcntl, os, struct, subprocess, sys
fd = os.open(sys.argv[1], os.O_RDWR)
F_OFD_SETLK = 37
fcntl.fcntl(fd, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 100, 1, 0))
r = subprocess.run([sys.argv[2], "rewind", "--to", "seq:" + sys.argv[3]], stderr=subprocess.PIPE)
assert r.returncode == 2 and r.stderr.count(b"\n") == 1 and b"in use" in r.stderr, r
PY
cmp world/device device-before || fail "a refused rewind wrote"
