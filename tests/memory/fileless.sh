# fileless.sh [--other]: programs that are in memory only: seen, told from the disk's, taken out, found again, matched by rules, dated. A real guest with an ext4
# disk, looked at three times while it stands still. What the ghosts are: tests/guest/ghost.c.
source "$CHV_SOURCE/tests/functions.sh"
PATH=$PATH:/sbin:/usr/sbin
requires qemu-system-x86_64 busybox cpio python3 mke2fs
source "$SOURCE/tests/guest/guest.sh"
CLEANUP+=(guest_kill)
if [[ ${1:-} == --other ]]; then
  "$SOURCE/tests/guest/kernel" --other >/dev/null 2>kernel.err || { (($? == 1)) && skip "$(tail -n 1 kernel.err)"; fail "$(cat kernel.err)"; }
fi
guest_build guest "$@"
qmp() { python3 "$SOURCE/tests/memory/qmp_client.py" "$WORK/q" "$@" >/dev/null; }
truncate -s 32M disk.img
mke2fs -q -t ext4 -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 disk.img
cat >task <<'T'
mount -t ext4 /dev/vda /data
ghost memfd &
ghost unlinked /data &
ghost plain /data &
sleep 1
sync
mark one
ghost anonymous & anonymous=$!
ghost patched /data & patched=$!
sleep 1
sync
mark two
kill -USR1 $anonymous
kill -KILL $patched
sleep 1
mark three
T
GUEST_MEMORY=128M guest_start guest task -drive file=disk.img,format=raw,if=virtio -object memory-backend-memfd,id=m,size=128M,share=on \
  -machine memory-backend=m -qmp "unix:$WORK/q,server=on,wait=off"
declare -A seq time
for mark in one two three; do
  guest_until mark "$mark"
  qmp stop
  chronovisor import snapshot disk.img --at now --space disk:vda --store s >/dev/null
  chronovisor acquire ram --qmp q --store s --json >capture.json
  read -r "seq[$mark]" "time[$mark]" < <(python3 -c 'import json; c = json.load(open("capture.json")); print(c["last_seq"], c["begin"])')
  qmp cont
  guest_go
done
guest_kill
wait "$GUEST_PID" 2>/dev/null || true
GUEST_PID=
tr -d '\r' <guest/console | sed -n 's/^@@ ghost //p' >ghosts
pid_of() { awk -v kind="$1" '$1 == kind { print $2; exit }' ghosts; }
address_of() { awk -v kind="$1" '$1 == kind { print $3; exit }' ghosts; }

# --- listed, and no other: the plain one and everything of the guest's own is not suspicious
suspicious() { chronovisor memory suspicious --store s --json "$@"; }
suspicious --at "seq:${seq[two]}" --dates >two.json
python3 - <<'P' || fail "suspicious: $(cat two.json)"
import json
found = [json.loads(line) for line in open("two.json")]
told = sorted((p["name"], *p["reasons"]) for p in found if "reasons" in p)
assert told == [("ghost", "anonymous-executable"), ("ghost-patched", "file-differs", "written-executable"),
                ("ghost-unlinked", "deleted-executable"), ("memfd:ghost", "memfd-executable")], told
by = {p["name"]: p for p in found if "reasons" in p}
unlinked, patched = by["ghost-unlinked"], by["ghost-patched"]
assert unlinked["compared_pages"] == unlinked["present_pages"] > 100 and unlinked["differing_pages"] == 0, unlinked
assert patched["differing_pages"] == patched["written_pages"] == 1 and patched["first_differing"] == "0x404000", patched
others = [p for p in found if "not_compared" in p and "reasons" not in p]
assert {p["not_compared"] for p in others} == {"/bin/busybox", "/bin/ghost"} and all("rootfs" in p["why"] for p in others), others
P
expect_exit 0 chronovisor memory suspicious --store s --at "seq:${seq[two]}"
grep -q '^4 findings in 6 processes$' out && grep -Eq '^[0-9]+ executable pages compared with their files \(disk:vda as of seq:[0-9]+\): 1 differ$' out ||
  fail "the table: $(cat out)"
expect_exit 1 chronovisor memory suspicious --store s --at "seq:${seq[two]}" --name ghost-plain
# at an instant of the disk at which the file was not there yet, it is not guessed
expect_exit 1 chronovisor memory suspicious --store s --at "seq:${seq[two]}" --name ghost-plain --disk-at seq:5
grep -q 'not compared: /data/ghost-plain.*: on the disk it has 0 bytes then' out || fail "compared with a disk of another time: $(cat out)"

# --- dated: when its own bytes came and went
python3 - "${time[one]}" "${time[two]}" "${time[three]}" "$(address_of anonymous)" <<'P' || fail "dates: $(cat two.json)"
import json, sys
one, two, three, anonymous = sys.argv[1:]
by = {p["name"]: {int(g["address"], 16): g for g in p["pages"]} for p in map(json.loads, open("two.json")) if "reasons" in p}
payload = lambda name, at: [by[name][at + 4096 * i] for i in range(4)]
for page in payload("memfd:ghost", 0x403000):
    assert one <= page["first"] < two and page["still"] and page["disk"] is None, page
for page in payload("ghost-unlinked", 0x403000):
    assert one <= page["first"] < two and page["disk"] == "disk:vda" and page["disk_first"] < one, page
for page in payload("ghost", int(anonymous, 16)): # overwritten before the third capture
    assert two <= page["first"] < three and two <= page["last"] < three and not page["still"] and page["disk"] is None, page
(page,) = by["ghost-patched"].values()
assert two <= page["first"] < three and page["disk"] is None, page
P
expect_exit 0 chronovisor memory suspicious --store s --at "seq:${seq[two]}" --dates
grep -q 'on disk: never seen' out && grep -q 'on disk: .* only ever in memory' out || fail "dates for people: $(cat out)"

# --- taken out, and its pages found again in the captures; on the disk only the one that had a file
for kind in memfd unlinked anonymous; do
  pid=$(pid_of "$kind")
  expect_exit 0 chronovisor acquire process --store s --at "seq:${seq[two]}" --pid "$pid"
  chronovisor events --store s --space "proc:$pid" --json | python3 -c '
import json, sys
first = int(sys.argv[1], 16) // 512
for e in map(json.loads, sys.stdin):
    if e["op"] == "found" and first <= e["lba"] < first + 32: print(e["hash"], sys.argv[2])' "$(address_of "$kind")" "$kind" >hashes
  [[ $(wc -l <hashes) == 4 ]] || fail "$kind: $(wc -l <hashes) pages of its payload were acquired"
  expect_exit 0 chronovisor search --store s --hashes hashes --json
  python3 - "$kind" "$pid" "${time[one]}" "${time[two]}" "${time[three]}" <<'P' || fail "search for $kind: $(cat out)"
import json, sys
kind, pid, one, two, three = sys.argv[1:]
where = {}
for c in map(json.loads, open("out")):
    where.setdefault(c["space"], []).append(c)
assert set(where) == {"ram", "proc:" + pid} | ({"disk:vda"} if kind == "unlinked" else set()), where.keys()
for c in where["ram"]:
    begin, end = (two, three) if kind == "anonymous" else (one, two)
    assert begin <= c["from"] < end, c
    assert (c["until"] is not None and c["until"] >= three) if kind == "anonymous" else c["until"] is None, c
P
  expect_exit 0 chronovisor memory suspicious --store s --space "proc:$pid" --dates
done

# --- matched by rules, by what stands across the border of two pages
cat >rules <<'T'
rule memfd { strings: $a = "harmless ghost: memfd" condition: #a == 4 }
rule unlinked { strings: $a = "harmless ghost: unlinked" condition: #a == 4 }
rule anonymous { strings: $a = "harmless ghost: anonymous" condition: #a == 4 }
T
expect_exit 0 chronovisor memory yara rules --store s --at "seq:${seq[two]}" --json
python3 - <<'P' || fail "yara: $(cat out)"
import json
ghosts = {kind: (int(pid), int(at, 16)) for kind, pid, at, _ in map(str.split, reversed(open("ghosts").read().splitlines()))}
found = [json.loads(line) for line in open("out")]
assert len(found) == 12, len(found)
for kind in "memfd", "unlinked", "anonymous":
    pid, at = ghosts[kind]
    mine = [m for m in found if m["rule"] == kind]
    half = len("harmless ghost: " + kind) // 2
    assert {m["pid"] for m in mine} == {pid} and [int(m["address"], 16) for m in mine] == [at] + [at + 4096 * i - half for i in (1, 2, 3)], mine
    assert all("x" in m["rights"] for m in mine), mine
P
# --- what changed between two captures, and in which process
expect_exit 0 chronovisor memory diff --store s --from "seq:${seq[one]}" --to "seq:${seq[two]}" --json
python3 - <<'P' || fail "diff of one and two: $(cat out)"
import json
found = [json.loads(line) for line in open("out")]
total, found = found[-1], {p["name"]: p for p in found[:-1]}
assert {n for n, p in found.items() if p["state"] == "new"} == {"ghost", "ghost-patched"} and total["processes_new"] == 2, found.keys()
assert found["ghost"]["added"] > 100 and found["ghost"]["changed"] == 0 and not {"memfd:ghost", "ghost-plain"} & set(found), found.keys()
P
expect_exit 0 chronovisor memory diff --store s --from "seq:${seq[two]}" --to "seq:${seq[three]}" --json
python3 - "$(address_of anonymous)" <<'P' || fail "diff of two and three: $(cat out)"
import json, sys
found = [json.loads(line) for line in open("out")]
total, found = found[-1], {p["name"]: p for p in found[:-1]}
assert found["ghost-patched"]["state"] == "ended" and found["ghost-patched"]["gone"] > 100 and total["processes_ended"] == 1, found
(code,) = [r for r in found["ghost"]["regions"] if r["start"] == sys.argv[1]]
assert (code["changed"], code["added"], code["gone"], code["same"], code["state"]) == (4, 0, 0, 0, "kept"), code
P
expect_exit 0 chronovisor memory diff --store s --from "seq:${seq[two]}" --to "seq:${seq[three]}" --name ghost
grep -q 'ghost changed: ' out && grep -q 'r-xp : 4 changed$' out || fail "diff for people: $(cat out)"
expect_exit 1 chronovisor memory diff --store s --from "seq:${seq[two]}" --to "seq:${seq[two]}"
expect_exit 1 chronovisor memory diff --store s --from "seq:${seq[one]}" --name ghost-plain
one_line_error chronovisor memory diff --store s
one_line_error chronovisor memory diff --store s --from "seq:${seq[two]}" --to "seq:${seq[one]}"
one_line_error chronovisor memory diff --from seq:1 --image disk.img
one_line_error chronovisor memory diff --store s --from seq:3

# --- the disk in a store of its own: the dates ask it too
chronovisor import snapshot disk.img --at now --space disk:vda --store d >/dev/null
expect_exit 0 chronovisor memory suspicious --store s --disk-store d --disk-at now --dates --name ghost-unlinked
grep -q '127 pages as on the disk' out && grep -q 'on disk: 125 of them, disk:vda from' out || fail "--disk-store: $(cat out)"
one_line_error chronovisor memory suspicious --store s --disk-store nowhere

# --- with blocks of 512 bytes: a page was there when all of it was
chronovisor memory export --store s --at "seq:${seq[two]}" --format raw -o two.raw >/dev/null
chronovisor import snapshot disk.img --at now --space disk:vda --store small --block-size 512 >/dev/null
chronovisor import snapshot two.raw --at now --space ram --store small >/dev/null
expect_exit 0 chronovisor memory suspicious --store small --dates --name ghost-patched
grep -q 'file-differs, written-executable (1 of 1 pages, first 404000)' out && grep -q 'on disk: never seen' out || fail "512: $(cat out)"
expect_exit 0 chronovisor memory suspicious --store small --dates --name memfd:ghost
grep -q '; 4 only ever in memory' out || fail "512: $(cat out)"
rm -rf small two.raw
one_line_error chronovisor memory suspicious --store s --disk-space disk:vdb
one_line_error chronovisor memory suspicious --store s --disk-space ram
expect_exit 0 chronovisor verify --store s
rm -rf s
