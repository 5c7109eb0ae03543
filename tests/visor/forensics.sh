# Memory of a watched machine, on both roads: a program in the guest passes a process's pages by VMMCALL, and the collector asks for all of
# RAM and for one address space, with nobody's help. What the guest says its memory holds is what the store has; hostile calls get nothing.
source "$CHV_SOURCE/tests/functions.sh"
MACHINE_SECONDS=240
source "$SOURCE/tests/visor/machine.sh"
requires qemu-system-x86_64 busybox cpio clang lld-link openssl python3
[[ -f $OVMF/OVMF_CODE_4M.fd ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs the package ovmf"; skip "needs the package ovmf"; }
machine_build machine "$SOURCE/tests/visor/calls.c" "$SOURCE/tests/memory/resident.c"
cp "$BUILD/guest/chronovisor-helper" machine/root/bin/
openssl rand -hex 32 >key && chmod 600 key
openssl rand -hex 16 >machine/root/hypercall.key && chmod 600 machine/root/hypercall.key
truncate -s 16M disk.img # also how the guest and this script talk
"$BUILD/cli/chronovisor" collect --udp 127.0.0.1:0 --key key --store store --json --rest zero >log 2>log.err &
collector=$!
CLEANUP+=("kill -9 $collector")
wait_for 20 grep -q '"listening"' log
port=$(sed -n 's/.*"listening", "text": "127.0.0.1:\([0-9]*\)".*/\1/p' log)
cat >task <<'T'
echo 0 >/proc/sys/kernel/printk
range=$(sed -n 's/^\([0-9a-f]*\)-\([0-9a-f]*\) : Reserved$/\1 \2/p' /proc/iomem | while read -r a b; do
  [ $((0x$b - 0x$a + 1)) = 33554432 ] && echo "0x$a"; done)
echo "@@ own $range"
resident pattern alpha >/run.pattern &
sleep 1
cat /run.pattern
set -- $(cat /run.pattern)
echo "@@ sum $(dd if=/proc/$4/mem bs=4096 skip=$(($5 / 4096)) count=300 2>/dev/null | sha256sum | cut -c1-64)"
chronovisor-helper --record $4 --key /hypercall.key --freeze && echo "@@ recorded"
echo "@@ found $(calls /hypercall.key $range 33554432)"
echo "@@ measured $(calls /hypercall.key measure)"
printf 'ready %s %s\n' $4 $5 | dd of=/dev/nvme0n1 conv=fsync,notrunc 2>/dev/null
until dd if=/dev/nvme0n1 bs=4096 skip=1 count=1 2>/dev/null | grep -q go; do
  dd if=/dev/urandom of=/dev/nvme0n1 bs=64k seek=1 count=8 conv=fsync 2>/dev/null
  echo 3 >/proc/sys/vm/drop_caches
  sleep 0.3
done
T
# shellcheck disable=SC2016 # at the end
CLEANUP+=('kill $(<qemu.pid)')
(MACHINE_CONFIG="nic 00:06.0
address 10.0.2.15
collector 10.0.2.2
port $port
sensor endpoint
key $(<key)
hypercall $(<machine/root/hypercall.key)" machine_run machine task -netdev user,id=net -device "e1000e,netdev=net,addr=6,romfile=" \
  -pidfile "$WORK/qemu.pid" -drive file=disk.img,format=raw,if=none,id=disk -device nvme,drive=disk,serial=CHV0001,addr=5 || touch failed) &
machine=$!
go() { printf go | dd of=disk.img bs=4096 seek=1 conv=notrunc status=none; }
give_up() { go; wait "$machine" || true; cat machine/console log log.err >&2; fail "$*"; }
# the console comes at the end; the disk is there at once
for ((i = 0; i < MACHINE_SECONDS * 2; i++)); do
  head -c 5 disk.img | grep -qa ready || test -e failed && break
  sleep 0.5
done
read -r word pid address < <(head -n 1 disk.img) || true
[[ $word == ready ]] || give_up "the guest does not come so far"

# --- nobody's help: all of RAM, the process in it, and its address space once more, walked by the hypervisor
chronovisor acquire ram --visor --store store --json >ram-result.json || give_up "acquire ram"
chronovisor ps --store store --json >ps.json || give_up "ps"
cr3=$(python3 -c 'import json, sys; print(next(p["cr3"] for p in map(json.loads, open("ps.json")) if p["pid"] == int(sys.argv[1])))' "$pid") ||
  give_up "the process is not in the memory"
chronovisor acquire process --visor --cr3 "$cr3" --store store --json >walk.json || give_up "acquire process"
go
wait "$machine" || true
[[ ! -e failed ]] || fail "the machine"
grep -a '^visor: wire: .* 0 lost' machine/console || { cat machine/console log >&2; fail "the wire"; }
console() { grep -a "$1" machine/console || { cat machine/console >&2; fail "the console does not say: $1"; }; }
console '^visor: hypercalls: for who has the key$'
console '^proc:[0-9]*: .* 0 refused; durable at the collector$'
console '^@@ recorded$'
console '^@@ found nothing$'
console '^@@ measured call'
kill "$collector"
wait "$collector" || { cat log log.err >&2; fail "the collector failed"; }
chronovisor verify --store store >/dev/null || fail "verify"

for space in "proc:$pid" "proc:cr3-${cr3#0x}" ram; do chronovisor events --store store --space "$space" --json >"$space.json"; done
for space in "map:$pid" "map:cr3-${cr3#0x}"; do chronovisor restore --store store --space "$space" -o "$space.text" >/dev/null; done
own=$(sed -n 's/^@@ own //p' machine/console)
python3 - "$pid" "${cr3#0x}" "$address" "$own" <<'P' || fail "the store is not what the guest's memory was"
import hashlib, json, sys
pid, cr3, address, own = int(sys.argv[1]), sys.argv[2], int(sys.argv[3], 16), int(sys.argv[4], 16)
x, mask, pattern = 88172645463325252, 2**64 - 1, b""  # as resident.c has it
for c in b"alpha":
    x = (x * 31 + c) & mask
words = []
for _ in range(300 * 512):
    x ^= x >> 12
    x = (x ^ x << 25) & mask
    x ^= x >> 27
    words.append(x)
pattern = b"".join(w.to_bytes(8, "little") for w in words)
assert f"@@ sum {hashlib.sha256(pattern).hexdigest()}" in open("machine/console", errors="replace").read()
sums = [hashlib.sha256(pattern[i * 4096:][:4096]).hexdigest() for i in range(300)]
called, walked = ({e["lba"] * 512: e["hash"] for e in map(json.loads, open(f"proc:{name}.json")) if e["op"] == "found"} for name in (pid, "cr3-" + cr3))
for i, want in enumerate(sums):
    assert called[address + i * 4096] == walked[address + i * 4096] == want, hex(address + i * 4096)
maps = {name: [json.loads(l) for l in open(f"map:{name}.text").read().rstrip("\0").splitlines()] for name in (str(pid), "cr3-" + cr3)}
head = maps[str(pid)][0]
assert head["road"] == "hypercall" and head["name"] == "resident" and head["pid"] == pid and head["refused_pages"] == 0 and head["held"], head
assert maps["cr3-" + cr3][0]["road"] == "visor"
def pages(lines):
    return {int(l["start"], 16) + i * 4096: l["flags"] for l in lines if l["kind"] == "pages" for i in range(l["pages"])}
a, b = pages(maps[str(pid)]), pages(maps["cr3-" + cr3])
assert all(a[address + i * 4096][:3] == b[address + i * 4096][:3] == "rw-" for i in range(300))
missing = set(a) - set(b)
assert len(missing) <= 4, missing  # the process went on in between; the kernel's clock
differ = [va for va in called.keys() & walked.keys() if called[va] != walked[va]]
assert len(differ) <= 8, [hex(v) for v in differ]
# nothing of the hypervisor's memory, and everything else
size = 33554432
ram = list(map(json.loads, open("ram.json")))
assert not [e for e in ram if e["op"] in ("found", "zero") and e["lba"] * 512 < own + size and (e["lba"] + e["sectors"]) * 512 > own]
print(len(called), "pages by hypercall,", len(walked), "walked")
P
cat ram-result.json walk.json
