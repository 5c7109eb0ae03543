# kernels.sh LEVELS [--other]: a kernel at a place of its own choice, with page tables of 4 or 5 levels: what is found from outside,
# processes, modules, mappings and pages, is what the guest's own /proc says.
source "$CHV_SOURCE/tests/functions.sh"
requires qemu-system-x86_64 busybox cpio python3 gdb
source "$SOURCE/tests/guest/guest.sh"
CLEANUP+=(guest_kill)
levels=$1
shift
if [[ ${1:-} == --other ]]; then
  "$SOURCE/tests/guest/kernel" --other >/dev/null 2>kernel.err || { (($? == 1)) && skip "$(tail -n 1 kernel.err)"; fail "$(cat kernel.err)"; }
fi
guest_build guest "$@"
"${CC:-cc}" "${GUEST_CFLAGS[@]}" -o resident "$SOURCE/tests/memory/resident.c"
GUEST_FILES=(resident)
cat >task <<'T'
cp /files/* /bin
resident pattern alpha 'two words' >/run/pattern &
resident memfd &
sleep 1000 &
sleep 1
echo "@@ version $(uname -r) $(grep -c la57 /proc/cpuinfo) $(grep ' _text$' /proc/kallsyms)"
sed 's/^/@@ module /' /proc/modules
for p in /proc/[0-9]*; do
  [ -e $p/stat ] || continue
  echo "@@ stat $(cat $p/stat)"
  echo "@@ command ${p#/proc/} $(tr '\0' ' ' <$p/cmdline)"
done
grep '^@@ memory' /run/pattern
set -- $(grep '^@@ memory' /run/pattern)
sed "s/^/@@ map /" /proc/$4/maps
dd if=/proc/$4/mem bs=4096 skip=$(($5 / 4096)) count=$(($6 / 4096)) 2>/dev/null of=/run/copy
i=0
while [ $i -lt $(($6 / 4096)) ]; do
  echo "@@ sum $(dd if=/run/copy bs=4096 skip=$i count=1 2>/dev/null | sha256sum)"
  i=$((i + 1))
done
mark ready
T
cpu=max
[[ $levels == 5 ]] || cpu=max,-la57
GUEST_KASLR=1 GUEST_CPU=$cpu guest_start guest task -qmp "unix:$WORK/q,server=on,wait=off" \
  -object memory-backend-memfd,id=m,size=256M,share=on -machine memory-backend=m
guest_until mark ready
python3 "$SOURCE/tests/memory/qmp_client.py" q stop >/dev/null
tr -d '\r' <guest/console >console
read -r _ _ version la57 text _ < <(grep '^@@ version ' console)
[[ $la57 == $((levels - 4)) ]] || fail "the guest has not $levels levels"
[[ $text != 0000000000000000 && $text != ffffffff81000000 ]] || fail "the kernel is where it always is: $text"
read -r _ _ _ pid address bytes < <(grep '^@@ memory pattern ' console)

chronovisor ps --qmp q --all --json >ps
chronovisor memory modules --qmp q --json >modules
chronovisor memory maps --qmp q --pid "$pid" --json >maps
python3 - <<'P' || fail "Linux $version, seen from outside, differs"
import json
inside, commands = {}, {}
for line in open("console", errors="replace"):
    if line.startswith("@@ stat "):
        pid, rest = line[8:].split(" (", 1)
        name, rest = rest.rsplit(") ", 1)
        inside[int(pid)] = (name, int(rest.split()[1]))
    elif line.startswith("@@ command "):
        pid, _, command = line[11:].rstrip("\n").partition(" ")
        commands[int(pid)] = command.strip()
outside = {p["pid"]: p for p in map(json.loads, open("ps")) if p["pid"] is not None}
volatile = lambda name: name.startswith("kworker/") or name in ("dd", "sha256sum", "cat")
missing = {p: n for p, n in inside.items() if p not in outside and not volatile(n[0])}
extra = {p: n["name"] for p, n in outside.items() if p not in inside and not volatile(n["name"])}
assert len(inside) > 20 and not missing and not extra, (missing, extra)
for pid, (name, ppid) in inside.items():
    if pid in outside and not volatile(name):
        p = outside[pid]
        assert (p["name"], p["ppid"], p["command"].strip()) == (name[:15], ppid, commands[pid]), (pid, p, name, ppid, commands[pid])

states = {"Live": "live", "Loading": "loading", "Unloading": "unloading"}
want = [line.split()[2:] for line in open("console") if line.startswith("@@ module ")]
want = [(m[0], int(m[1]), int(m[2]), states[m[4]], m[5]) for m in want]
got = [(m["name"], m["bytes"], m["references"], m["state"], m["address"]) for m in map(json.loads, open("modules"))]
assert want and got == want, (got, want)

spans = []
for line in open("console", errors="replace"):
    if line.startswith("@@ map "):
        span, rights, offset, _, _, *path = line[7:].split(None, 5)
        spans.append((*(int(x, 16) for x in span.split("-")), rights, int(offset, 16), (path or [""])[0].strip()))
spans = [(a, b, r, o, "" if p.startswith("[vvar") else p) for a, b, r, o, p in spans if p != "[vsyscall]"]
maps = [(int(v["start"], 16), int(v["end"], 16), v["rights"], v["offset"], v["path"]) for v in map(json.loads, open("maps"))]
assert len(spans) > 8 and spans == maps, [x for x in zip(spans, maps) if x[0] != x[1]]
print(len(inside), "processes,", len(want), "modules and", len(maps), "mappings agree")
P

# A rootkit's oldest trick, done from outside while the guest stands still: a process is unlinked from the list of tasks. Its number remains.
python3 - <<'P' || fail "cannot hide a process"
import json, os, re, socket, struct
s = socket.socket(socket.AF_UNIX)
s.connect("q")
stream = s.makefile("rw")
stream.readline()
def ask(command, **arguments):
    stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    stream.flush()
    while "return" not in (answer := json.loads(stream.readline())):
        assert "error" not in answer, answer
    return answer["return"]
ask("qmp_capabilities")
qemu = struct.unpack("3i", s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
fd = next(n for n in os.listdir(f"/proc/{qemu}/fd") if "memory-backend-memfd" in os.readlink(f"/proc/{qemu}/fd/{n}"))
ram = os.open(f"/proc/{qemu}/fd/{fd}", os.O_RDWR)
def place(va):
    said = ask("human-monitor-command", **{"command-line": "gva2gpa 0x%x" % va})
    return int(re.search(r"gpa: (0x[0-9a-f]+)", said).group(1), 16)
tasks = [json.loads(line) for line in open("ps")]
i = next(i for i, t in enumerate(tasks) if t["name"] == "memfd:ghost")
before, it, after = (int(t["task"], 16) for t in tasks[i - 1:i + 2])
data, at = b"", it
while len(data) < 4096: # its pages need not follow each other
    n = min(4096 - at % 4096, 4096 - len(data))
    data += os.pread(ram, n, place(at))
    at += n
words = struct.unpack("<512Q", data)
offset = next(o for o in range(0, 4088, 8) if words[o // 8] == after + o and words[o // 8 + 1] == before + o)
os.pwrite(ram, struct.pack("<Q", after + offset), place(before + offset))
os.pwrite(ram, struct.pack("<Q", before + offset), place(after + offset + 8))
P
expect_exit 0 chronovisor ps --qmp q --json
[[ $(grep -c '"hidden": true' out) == 1 && $(grep '"hidden": true' out) == *'"name": "memfd:ghost"'*'"command": "innocent-name asleep'* ]] ||
  fail "the hidden process is not found: $(cat out)"
! grep -q '"hidden": true' ps || fail "processes were hidden before: $(grep '"hidden": true' ps)"
expect_exit 0 chronovisor memory maps --qmp q --name memfd:ghost

expect_exit 0 chronovisor acquire process --qmp q --pid "$pid" --store s
expect_exit 0 chronovisor events --store s --space "proc:$pid" --json
python3 - "$address" "$bytes" <<'P' || fail "Linux $version: an acquired process is not what it was"
import json, sys
address, size = int(sys.argv[1], 16), int(sys.argv[2])
pages = {e["lba"] * 512: e["hash"] for e in map(json.loads, open("out")) if e["op"] == "found"}
sums = [line.split()[2] for line in open("console") if line.startswith("@@ sum ")]
assert len(sums) == size // 4096
for i, want in enumerate(sums):
    assert pages[address + i * 4096] == want, i
P

# A debugger opens the process and sees its memory, its registers and where it is.
expect_exit 0 chronovisor acquire process --qmp q --pid "$pid" -o resident.core
gdb -nx -batch -ex "x/4xb $address" -ex "x/4xb $((address + 4096 * 299))" -ex 'info registers rip' -ex bt ./resident resident.core >gdb.out 2>&1
python3 - "$address" <<'P' || fail "gdb sees something else: $(cat gdb.out)"
import re, sys
x = 88172645463325252
for c in b"alpha":
    x = (x * 31 + c) % 2**64
data = bytearray()
while len(data) < 300 * 4096:
    x ^= x >> 12
    x = (x ^ x << 25) % 2**64
    x ^= x >> 27
    data += x.to_bytes(8, "little")
text = open("gdb.out").read()
rows = re.findall(r"^0x[0-9a-f]+:\s((?:\s*0x[0-9a-f]{2}){4})$", text, re.M)
assert [bytes(int(b, 16) for b in row.split()) for row in rows] == [data[:4], data[299 * 4096:299 * 4096 + 4]], rows
assert re.search(r"^rip\s+0x[0-9a-f]+\s+0x[0-9a-f]+ <pause", text, re.M) and "in main" in text, text
P
