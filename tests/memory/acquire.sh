# A real guest's memory: first and second capture, search, the paused capture and exports against QEMU's own pmemsave,
# refusals, and the guest goes on whatever becomes of us.
source "$CHV_SOURCE/tests/functions.sh"
requires qemu-system-x86_64 busybox cpio python3 readelf
source "$SOURCE/tests/guest/guest.sh"
CLEANUP+=(guest_kill)
guest_build guest
qmp() { python3 "$SOURCE/tests/memory/qmp_client.py" "$WORK/q" "$@"; }
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }
status() { qmp query-status | python3 -c 'import json,sys; print(json.load(sys.stdin)["status"])'; }

# Two known contents: one is there from the beginning, the other comes later.
head -c 300000 /dev/urandom >early
head -c 200000 /dev/urandom >late
# shellcheck disable=SC2016 # for the guest
{ echo 'cat /files/early >/run/early; mark early'; echo 'cat /files/late >/run/late; rm /run/early; mark late'
  echo 'i=0; while [ ! -e /run/never ]; do i=$((i + 1)); echo $i >/run/counter; usleep 1000; done'; } >task
python3 -c 'import sys; d = bytearray(open("late", "rb").read()); sys.stdout.buffer.write(bytes(b ^ 0x5a for b in d))' >late.veiled
sed -i 's|^cat /files/late >/run/late|tr "\\000-\\377" "$(cat /files/table)" </files/late.veiled >/run/late|' task
python3 -c 'print("".join("\\%03o" % (b ^ 0x5a) for b in range(256)), end="")' >table
GUEST_FILES=(early late.veiled table)
# 128 MiB below 4 GiB and the rest above, as q35 does it with more than 2 GiB.
GUEST_MEMORY=384M guest_start guest task -object memory-backend-memfd,id=m,size=384M,share=on \
  -machine memory-backend=m,max-ram-below-4g=128M \
  -qmp "unix:$WORK/q,server=on,wait=off"
guest_until mark early

chronovisor acquire ram --qmp q --store s --json >first.json
[[ $(field first.json first) == True && $(field first.json complete) == True && $(field first.json mode) == live ]] || fail "first"
python3 - <<'P' || fail "layout"
import json
c = json.load(open("first.json"))
assert [(r["address"], r["bytes"]) for r in c["ranges"]] == [("0x0", 128 << 20), ("0x100000000", 256 << 20)], c["ranges"]
assert c["scanned_bytes"] == 384 << 20 and c["hole_bytes"] > 128 << 20 and c["pause_ns"] == 0
assert len(c["vcpus"]) == 1 and int(c["vcpus"][0]["cr3"], 16) % 4096 == 0 and int(c["vcpus"][0]["cr3"], 16) > 0
P
expect_exit 0 chronovisor search early --store s --space ram
expect_exit 1 chronovisor search late --store s --space ram
first=$(field first.json last_seq)
# A live capture says of each page when it was read, a paused one has one instant (below).
times() { chronovisor events --store s --json | python3 -c '
import json, sys
first, last = int(sys.argv[1]), int(sys.argv[2])
print(len({e["time"] for e in map(json.loads, sys.stdin) if first < e["seq"] <= last and e["op"] in ("found", "zero")}))' "$@"; }
[[ $(times 0 "$first") -gt 10 ]] || fail "a live capture of one instant"

guest_go
guest_until mark late
chronovisor acquire ram --qmp q --store s --mode paused --reason 'second look' --json >second.json
[[ $(times "$first" "$(field second.json last_seq)") == 1 ]] || fail "a paused capture of many instants"
[[ $(field second.json first) == False && $(field second.json mode) == paused && $(status) == running ]] || fail "second"
python3 - <<'P' || fail "the second capture"
import json
a, b = json.load(open("first.json")), json.load(open("second.json"))
assert 0 < b["changed_blocks"] < a["changed_blocks"] / 2 and b["same_blocks"] > 0, b
assert b["pause_ns"] > 0 and 0 < b["copied_bytes"] <= b["scanned_bytes"] - b["hole_bytes"], b
P
expect_exit 0 chronovisor search late --store s --space ram
expect_exit 0 chronovisor diff --store s --space ram --from "seq:$first"
tail -n 1 out | grep -q 'blocks changed' || fail "diff"
grep -q 'second look' s/custody.jsonl || fail "custody"

# While it stands still, ours and QEMU's own are the same, byte for byte; and it is left standing.
guest_go # it changes memory all the time now
sleep 1
qmp stop >/dev/null
chronovisor acquire ram --qmp q --store s --mode paused --json >third.json
[[ $(field third.json was_stopped) == True && $(field third.json pause_ns) == 0 && $(status) == paused ]] || fail "was stopped"
qmp pmemsave "{\"val\": 0, \"size\": $((128 << 20)), \"filename\": \"$WORK/low\"}" \
  pmemsave "{\"val\": $((4 << 30)), \"size\": $((256 << 20)), \"filename\": \"$WORK/high\"}" >/dev/null
chronovisor restore --store s --space ram -o ram.raw >/dev/null
cmp -n $((128 << 20)) ram.raw low || fail "below 4 GiB differs from pmemsave"
cmp -i $((4 << 30)):0 ram.raw high || fail "above 4 GiB differs from pmemsave"
[[ $(stat -c %s ram.raw) == $(((4 << 30) + (256 << 20))) ]] || fail "size"
for format in raw lime elf; do
  chronovisor memory export --store s --format "$format" -o "export.$format" --json >export.json
  [[ $(field export.json memory_bytes) == $((384 << 20)) && $(field export.json ranges) == 2 ]] || fail "export.json"
  python3 "$SOURCE/tests/memory/check_export.py" "$format" "export.$format" 0="$WORK/low" 0x100000000="$WORK/high" || fail "$format"
  [[ $(stat -c %a "export.$format") == 600 && $(stat -c %b "export.$format") -lt 600000 ]] || fail "$format: mode or holes"
done
readelf -lWn export.elf >headers 2>/dev/null
[[ $(grep -c ' LOAD ' headers) == 2 ]] || fail "readelf: LOAD"
grep -q 'VMCOREINFO' headers || fail "readelf: note"
one_line_error chronovisor memory export --store s --format raw -o export.raw
one_line_error chronovisor memory export --store s --format qcow2 -o other
one_line_error chronovisor memory export --store s --format raw -o other --space disk:vda
one_line_error chronovisor memory export --store s --format raw -o other --at seq:1
[[ ! -e other ]] || fail "a refusal made a file"
chronovisor memory export --store s --format raw -o export.raw --force --at "seq:$first" >/dev/null
rm low high export.*
third=$(field third.json last_seq)
chronovisor acquire ram --qmp q --store s --json >same.json # nothing happened in between
[[ $(field same.json changed_blocks) == 0 && $(field same.json zeroed_blocks) == 0 ]] || fail "an unchanged memory changed"
expect_exit 1 chronovisor diff --store s --space ram --from "seq:$third"

# Killed at any time: it goes on. (tests/memory/pause.c kills at the worst one.)
qmp cont >/dev/null
for delay in 0.1 0.2 0.3; do
  timeout -s KILL "$delay" "$BUILD/cli/chronovisor" acquire ram --qmp q --store s --mode paused >/dev/null 2>&1 || true
  wait_for 10 eval '[[ $(status) == running ]]'
done
for delay in 0.15 0.3; do
  timeout -s TERM "$delay" "$BUILD/cli/chronovisor" acquire ram --qmp q --store s --mode paused >/dev/null 2>&1 || true
  [[ $(status) == running ]] || fail "ended by SIGTERM, and the guest stands still"
done
chronovisor acquire ram --qmp q --store s >/dev/null
chronovisor verify --store s >/dev/null

# Refused, and nothing is made.
one_line_error chronovisor acquire ram --store new
one_line_error chronovisor acquire ram --qmp nowhere --store new
one_line_error chronovisor acquire disk --qmp q --store new
one_line_error chronovisor acquire ram --qmp q --store new --mode frozen
one_line_error chronovisor acquire ram --qmp q --store new --pid $$
one_line_error chronovisor acquire ram --qmp q --store new --space capture:ram
[[ ! -e new ]] || fail "a refusal made a store"
rm -rf s ram.raw # the second reader would take minutes for a space of 4 GiB
guest_kill
wait "$GUEST_PID" 2>/dev/null || true
qemu-system-x86_64 -M q35 -accel tcg -m 64M -nodefaults -display none -S -qmp "unix:$WORK/q2,server=on,wait=off" &
GUEST_PID=$!
wait_for 10 test -S q2
one_line_error chronovisor acquire ram --qmp q2 --store new
grep -q 'memory-backend-memfd' err || fail "says not how to start QEMU"
[[ ! -e new ]] || fail "a refusal made a store"
guest_kill
wait "$GUEST_PID" 2>/dev/null || true

# A file as backend, and blocks of 512 bytes.
rm -f q2
qemu-system-x86_64 -M q35,memory-backend=m -accel tcg -m 16M -nodefaults -display none -S -qmp "unix:$WORK/q2,server=on,wait=off" \
  -object "memory-backend-file,id=m,size=16M,mem-path=$WORK/backend,share=on" &
GUEST_PID=$!
wait_for 10 test -S q2
chronovisor acquire ram --qmp q2 --store small --block-size 512 >/dev/null
chronovisor restore --store small --space ram -o small.raw >/dev/null
cmp small.raw backend || fail "the restored memory is not the backend's file"
