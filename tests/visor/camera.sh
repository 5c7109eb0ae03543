# The camera, with content and without: a sample of memory, with 32 MiB in it that the kernel leaves alone, is touched in known ways on two processors; the store
# says what was done, and the guest computes as without it.
source "$CHV_SOURCE/tests/functions.sh"
MACHINE_SECONDS=${MACHINE_SECONDS:-280}
source "$SOURCE/tests/visor/machine.sh"
requires qemu-system-x86_64 busybox cpio clang lld-link openssl python3
[[ -f $OVMF/OVMF_CODE_4M.fd ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs the package ovmf"; skip "needs the package ovmf"; }
machine_build machine "$SOURCE/tests/visor/memtouch.c"
openssl rand -hex 32 >key && chmod 600 key
console() { grep -a "$1" machine/console || { cat machine/console >&2; fail "the console does not say: $1"; }; }
watched() { # STORE PROCESSORS PAGES OPTIONS CONFIGURATION: one machine, of whose memory PAGES from 256 MiB on are left to memtouch alone
  local collector port
  "$BUILD/cli/chronovisor" collect --udp 127.0.0.1:0 --key key --store "$1" --json --rest zero >log 2>log.err &
  collector=$!
  CLEANUP+=("kill -9 $collector")
  wait_for 20 grep -q '"listening"' log
  port=$(sed -n 's/.*"listening", "text": "127.0.0.1:\([0-9]*\)".*/\1/p' log)
  cat >task <<T2
echo 0 >/proc/sys/kernel/printk
echo "@@ touched \$(memtouch $first $3 1000)"
for cpu in 0 1; do [ \$cpu -lt $2 ] && echo "@@ sum \$cpu \$(taskset \$((cpu + 1)) sha256sum /bin/busybox | cut -c1-64)"; done
T2
  MACHINE_OPTIONS=$4 MACHINE_SMP=$2 MACHINE_CONFIG="nic 00:06.0
address 10.0.2.15
collector 10.0.2.2
port $port
sensor endpoint
camera_period_ms 200
ring_mib 12
key $(<key)
$5" machine_run machine task -netdev user,id=net -device "virtio-net-pci,netdev=net,addr=6,romfile="
  console '^visor: camera: .* faults, .* 0 of them not in a gap yet$'
  console '^visor: wire: .* 0 lost'
  console '^@@ touched fine$'
  [[ $(grep -ac "^@@ sum . $(sha256sum "$(command -v busybox)" | cut -c1-64)$" machine/console) == "$2" ]] || fail "the processors do not compute"
  kill "$collector"
  wait "$collector" || { cat log log.err >&2; fail "the collector failed"; }
}

# The sample is of all memory: the kernel's own, what it gives to programs, and 32 MiB that are left to memtouch alone
first=0x10000000 pages=8192
# shellcheck disable=SC2016 # the kernel's own dollar
watched store 2 $pages 'nokaslr memmap=32M$0x10000000' 'camera_pages 1024'
console '^visor: camera: 1024 of [0-9]* pages, every 200 ms$'
[[ ! ${CHV_KEEP:-} ]] || cp -r store "$CHV_KEEP"
chronovisor verify --store store >/dev/null || fail "verify"
chronovisor stats --store store --space ram
chronovisor events --store store --space ram --json >events || fail "no events"
python3 - events "$first" "$pages" <<'P' || fail "the events"
import hashlib, json, re, sys
first, pages = int(sys.argv[2], 0) // 512, int(sys.argv[3])
letters = {"read": "R", "write": "W", "found": "F", "gap": "G"}
done, last, counts, bad = {}, {}, {}, 0
for line in open(sys.argv[1]):
    e = json.loads(line)
    counts[e["op"]] = counts.get(e["op"], 0) + 1
    page = (e["lba"] - first) // 8
    if e["op"] == "space" or not 0 <= page < pages:
        continue
    done[page] = done.get(page, "") + ("X" if "execute" in e["flags"] else letters[e["op"]])
    if e["op"] == "write":
        last[page] = e["hash"]
# a page is read back at the end, a period later; one period may end, and another begin, in the middle of anything
way = ["R+", "W+R+", "W+X+", "R[RW]*WR+", None, "[RW]*W[RW]*"]
for page, kinds in sorted(done.items()):
    want = way[page % 6]
    if not want or not re.fullmatch(want, kinds):
        print(f"page {page}: {kinds}, not {want}")
        bad = 1
    if page % 6 in (1, 3) and last[page] != hashlib.sha256(bytes((page + i * 7 + i // 256) % 256 for i in range(4096))).hexdigest():
        print(f"page {page}: other content")
        bad = 1
print(f"{len(done)} pages of {pages}: {' '.join(sorted(set(done.values())))}; all: {counts}")
ways = {page % 6 for page in done}
if ways != {0, 1, 2, 3, 5}:
    print(f"ways {ways}")
    bad = 1
sys.exit(bad)
P

# Nothing of what memory held leaves the machine: that a page was written, and the entropy of what was. A small sample of memtouch's memory only.
# shellcheck disable=SC2016
watched unkept 1 600 'nokaslr memmap=32M$0x10000000' "camera_content 0
camera_pages 100
camera_from $first
camera_bytes 2457600"
console '^visor: camera: 100 of 600 pages, every 200 ms$'
chronovisor verify --store unkept >/dev/null || fail "verify"
chronovisor events --store unkept --space ram --json >events || fail "no events"
python3 - events "$first" 600 <<'P' || fail "the events without content"
import json, sys
first, pages = int(sys.argv[2], 0) // 512, int(sys.argv[3])
seen = {}
for e in map(json.loads, open(sys.argv[1])):
    if e["op"] == "space":
        continue
    page = (e["lba"] - first) // 8
    assert 0 <= page < pages and e["op"] in ("read", "gap"), e
    assert e["op"] == "read" or e["entropy"] >= 0, e
    seen.setdefault(page, []).append(e)
ways = {page % 6 for page in seen}
assert len(seen) > 60 and ways == {0, 1, 2, 3, 5}, (len(seen), ways)
for page, events in seen.items():
    gaps = [e for e in events if e["op"] == "gap"]
    assert bool(gaps) == (page % 6 != 0), (page, events)
    if page % 6 in (1, 3):
        assert gaps[-1]["entropy"] == 8, (page, gaps)  # each byte as often as any other
print(f"{len(seen)} pages without content: {sum(len(v) for v in seen.values())} events")
P
