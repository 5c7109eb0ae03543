# A process acquired with the helper's list and without it, from a guest that runs: the same pages, and those that the guest sees itself.
source "$CHV_SOURCE/tests/functions.sh"
requires qemu-system-x86_64 busybox cpio python3
source "$SOURCE/tests/guest/guest.sh"
CLEANUP+=(guest_kill)

guest_build guest
"${CC:-cc}" "${GUEST_CFLAGS[@]}" -o resident "$SOURCE/tests/memory/resident.c"
GUEST_FILES=(resident "$BUILD/guest/chronovisor-helper")
truncate -s 64M swap
cat >task <<'T'
cp /files/* /bin
mkswap /dev/vda >/dev/null && swapon /dev/vda
chronovisor-helper &
resident pattern alpha >/run/pattern &
resident paged beta >/run/paged &
sleep 1
grep -h '^@@ memory' /run/pattern /run/paged
set -- $(cat /run/pattern)
dd if=/proc/$4/mem bs=4096 skip=$(($5 / 4096)) count=$(($6 / 4096)) 2>/dev/null of=/run/copy
i=0
while [ $i -lt $(($6 / 4096)) ]; do
  echo "@@ sum $(dd if=/run/copy bs=4096 skip=$i count=1 2>/dev/null | sha256sum)"
  i=$((i + 1))
done
for p in /proc/[0-9]*; do echo "@@ stat $(cat $p/stat)"; done
mark ready
while :; do echo "@@ state $(cut -d ' ' -f 3 /proc/$4/stat)"; sleep 0.2; done
T
guest_start guest task -object memory-backend-memfd,id=m,size=256M,share=on -machine memory-backend=m \
  -drive file=swap,if=virtio,format=raw -qmp "unix:$WORK/q,server=on,wait=off" \
  -device virtio-serial-pci -chardev "socket,id=h,path=$WORK/h,server=on,wait=off" \
  -device virtserialport,chardev=h,name=org.chronovisor.helper
qmp() { python3 "$SOURCE/tests/memory/qmp_client.py" "$WORK/q" "$@" >/dev/null; }
guest_until mark ready
tr -d '\r' <guest/console >console
read -r _ _ _ pid address bytes < <(grep '^@@ memory pattern ' console)
read -r _ _ _ paged _ < <(grep '^@@ memory paged ' console)

# --- what the helper lists is what /proc says
expect_exit 0 chronovisor ps --helper h --all --json
python3 - <<'P' || fail "the helper's list differs: $(cat out)"
import json
inside = {}
for line in open("console", errors="replace"):
    if line.startswith("@@ stat "):
        pid, rest = line[8:].split(" (", 1)
        name, rest = rest.rsplit(") ", 1)
        inside[int(pid)] = (name, int(rest.split()[1]))
listed = {p["pid"]: p for p in map(json.loads, open("out"))}
stable = {p: v for p, v in inside.items() if not v[0].startswith("kworker/") and v[0] not in ("sleep", "cat")}
assert len(stable) > 20 and all((listed[p]["name"], listed[p]["ppid"]) == (n[:15], parent) for p, (n, parent) in stable.items())
assert {p for p, v in listed.items() if not v["kernel_thread"]} >= {1}, listed
P

# --- one process, held: and it goes on afterwards
guest_go
expect_exit 0 chronovisor acquire process --qmp q --helper h --freeze --pid "$pid" --store inside --json
python3 - <<'P' || fail "with the helper: $(cat out)"
import json
r = json.load(open("out"))
assert r["road"] == "helper" and r["held"] and not r["torn"] and r["pages"] >= 300, r
assert r["moved_pages"] == r["refused_pages"] == r["unreadable_pages"] == r["unseen_pages"] == 0, r
P
sleep 1
[[ $(tr -d '\r' <guest/console | grep '^@@ state' | tail -n 1) == '@@ state S' ]] || fail "the process does not go on: $(tail -n 3 guest/console)"

# --- the other road, the guest standing still for it
expect_exit 0 chronovisor acquire process --qmp q --mode paused --pid "$pid" --store outside --json
grep -q '"pause_ns": [1-9]' out || fail "no pause: $(cat out)"
for road in inside outside; do
  expect_exit 0 chronovisor events --store "$road" --space "proc:$pid" --json
  mv out "$road.json"
  expect_exit 0 chronovisor restore --store "$road" --space "map:$pid" -o "$road.map"
done
python3 - "$address" "$bytes" "$pid" <<'P' || fail "the two roads differ"
import json, sys
address, size, pid = int(sys.argv[1], 16), int(sys.argv[2]), int(sys.argv[3])
pages, maps = {}, {}
for road in ("inside", "outside"):
    pages[road] = {e["lba"] * 512: e["hash"] for e in map(json.loads, open(road + ".json")) if e["op"] == "found"}
    maps[road] = [json.loads(line) for line in open(road + ".map").read().rstrip("\0").splitlines()]
sums = [line.split()[2] for line in open("console") if line.startswith("@@ sum ")]
assert len(sums) == size // 4096 == 300
for i, want in enumerate(sums):
    for road in pages:
        assert pages[road][address + i * 4096] == want, (road, i)
# the kernel's clock, mapped into every process, never keeps still
inside, outside = pages["inside"], pages["outside"]
spans = {road: [(int(m["start"], 16), int(m["end"], 16), m["rights"], m["offset"], m["path"]) for m in lines if m["kind"] == "mapping"]
         for road, lines in maps.items()}
assert spans["inside"] == spans["outside"], spans
clock = min(s[0] for s in spans["inside"] if s[4] == "[vdso]") - 4 * 4096
differ = [va for va in inside.keys() | outside.keys() if inside.get(va) != outside.get(va) and not clock <= va < clock + 4 * 4096]
assert not differ, [hex(va) for va in differ]
head = maps["inside"][0]
assert head["road"] == "helper" and head["held"] and head["name"] == "resident" and head["pid"] == pid, head
assert maps["outside"][0]["road"] == "agentless"
print(len(inside), "pages, the same on both roads")
P

# --- pages that are not in memory are said to be so
expect_exit 0 chronovisor acquire process --qmp q --helper h --pid "$paged" --store inside --json
expect_exit 0 chronovisor restore --store inside --space "map:$paged" -o paged.map
python3 - out <<'P' || fail "swapped pages: $(head -c 600 paged.map)"
import json
lines = [json.loads(line) for line in open("paged.map").read().rstrip("\0").splitlines()]
swapped = sum(l["pages"] for l in lines if l["kind"] == "swapped")
assert 50 <= swapped == lines[0]["swapped_pages"] and not lines[0]["held"], lines[0]
P
expect_exit 0 chronovisor verify --store inside
expect_exit 0 chronovisor acquire process --qmp q --helper h --name init --freeze -o init.core
grep -q 'could not be held' err || fail "process 1 was held: $(cat err)"

# --- refusals, each one line
one_line_error chronovisor acquire process --qmp q --helper h --pid 999999 --store no
one_line_error chronovisor acquire process --qmp q --helper h --pid 2 --store no
one_line_error chronovisor acquire process --qmp q --helper h --store no
one_line_error chronovisor acquire process --qmp q --helper h --cr3 1000 --store no
one_line_error chronovisor acquire process --qmp q --helper h --mode paused --pid 1 --store no
one_line_error chronovisor acquire process --helper h --pid 1 --store no --image swap
one_line_error chronovisor acquire process --qmp q --helper no-socket --pid 1 --store no
one_line_error chronovisor acquire process --qmp q --freeze --pid 1 --store no
one_line_error chronovisor ps --helper no-socket
[[ ! -e no ]] || fail "a refused call made a store"
