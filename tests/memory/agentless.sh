# A real Linux guest, looked at from outside while it is stopped: its processes are those that /proc inside of it said.
source "$CHV_SOURCE/tests/functions.sh"
requires qemu-system-x86_64 busybox cpio python3
source "$SOURCE/tests/guest/guest.sh"
CLEANUP+=(guest_kill)

guest_build guest
"${CC:-cc}" "${GUEST_CFLAGS[@]}" -o resident "$SOURCE/tests/memory/resident.c"
GUEST_FILES=(resident)
cat >task <<'T'
cp /files/resident /bin/resident
cp /bin/resident /run/vanishing
resident pattern alpha 'two words' >/run/pattern &
resident anonymous &
resident memfd &
/run/vanishing asleep &
sleep 1
rm /run/vanishing
for i in 1 2 3; do sleep 1000 & done
sleep 1
for p in /proc/[0-9]*; do
  [ -e $p/stat ] || continue
  echo "@@ stat $(cat $p/stat)"
  echo "@@ command ${p#/proc/} $(tr '\0' ' ' <$p/cmdline)"
  sed "s|^|@@ map ${p#/proc/} |" $p/maps
done
grep '^@@ memory' /run/pattern
set -- $(grep '^@@ memory' /run/pattern)
echo "@@ sum $(dd if=/proc/$4/mem bs=4096 skip=$(($5 / 4096)) count=$(($6 / 4096)) 2>/dev/null | sha256sum)"
mark ready
T
guest_start guest task -qmp "unix:$WORK/qmp,server=on,wait=off"
guest_until mark ready
python3 - "$WORK" <<'P' || fail "QMP"
import json, socket, sys
work = sys.argv[1]
s = socket.socket(socket.AF_UNIX)
s.connect(work + "/qmp")
f = s.makefile("rw")
f.readline()
def do(command, **arguments):
    f.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
    f.flush()
    while True:
        answer = json.loads(f.readline())
        if "error" in answer:
            sys.exit(str(answer))
        if "return" in answer:
            return answer["return"]
do("qmp_capabilities")
do("stop")
do("pmemsave", val=0, size=256 << 20, filename=work + "/ram.raw")
do("dump-guest-memory", paging=False, protocol="file:" + work + "/ram.elf")
registers = do("human-monitor-command", **{"command-line": "info registers"})
open(work + "/cr3", "w").write("0x%x" % int(registers.split("CR3=")[1].split()[0], 16))
f.write(json.dumps({"execute": "quit"}) + "\n")
f.flush()
try: # hung up on before it has read that, QEMU would go on
    while s.recv(4096):
        pass
except ConnectionResetError:
    pass
P
wait "$GUEST_PID" || true
GUEST_PID=
tr -d '\r' <guest/console >console

# --- ps: from a raw file and from QEMU's ELF dump
chmod u+r ram.elf
expect_exit 0 chronovisor ps --image ram.elf --all --json
mv out elf.json
expect_exit 0 chronovisor ps --image ram.raw --all --json
cmp out elf.json || fail "an ELF dump says something else than raw memory"
mv out ps.json
python3 - <<'P' || fail "the list of processes differs"
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
listed = [json.loads(line) for line in open("ps.json")]
outside = {p["pid"]: p for p in listed if p["pid"] is not None}
assert len(inside) > 20, inside
# kworkers rename themselves, and come and go between the guest's look and ours
volatile = lambda name: name.startswith("kworker/")
missing = {p: n for p, n in inside.items() if p not in outside and not volatile(n[0])}
extra = {p: n["name"] for p, n in outside.items() if p not in inside and not volatile(n["name"])}
assert not missing and not extra, (missing, extra)
same = 0
for pid, (name, ppid) in inside.items():
    if pid not in outside: continue
    p = outside[pid]
    assert p["ppid"] == ppid, (pid, p, ppid)
    assert volatile(name) or p["name"] == name[:15], (pid, p, name)
    assert p["command"].strip() == commands[pid], (pid, p, commands[pid])
    same += 1
cr3 = open("cr3").read()
spaces = {p.get("cr3") for p in listed}
assert cr3 in spaces, (cr3, spaces)
users = [p for p in outside.values() if not p["kernel_thread"]]
assert len(users) == 8 and len({p["cr3"] for p in users}) == 8, users
print(same, "processes agree;", len(users), "have memory of their own")
P
expect_exit 0 chronovisor ps --image ram.raw
grep -q 'resident pattern alpha two words' out || fail "ps as a table"

# --- maps: as /proc/PID/maps inside
pid_of() { grep -o "^@@ stat [0-9]* ($1)" console | head -n 1 | cut -d ' ' -f 3; }
for name in init resident memfd:ghost vanishing; do
  pid=$(pid_of "$name")
  expect_exit 0 chronovisor memory maps --image ram.raw --pid "$pid" --json
  python3 - "$pid" <<'P' || fail "the mappings of $name differ"
import json, sys
inside = []
for line in open("console", errors="replace"):
    if line.startswith("@@ map %s " % sys.argv[1]):
        span, rights, offset, _, _, *path = line.split(None, 3)[3].split(None, 5)
        if (path or [""])[0].strip() != "[vsyscall]": # in the kernel's half
            inside.append((*(int(x, 16) for x in span.split("-")), rights, int(offset, 16), (path or [""])[0].strip()))
outside = [json.loads(line) for line in open("out")]
assert len(inside) > 8
outside = [(int(v["start"], 16), int(v["end"], 16), v["rights"], v["offset"], v["path"] + " (deleted)" * v["deleted"]) for v in outside]
inside = [(a, b, r, o, "" if p == "[vvar]" else p) for a, b, r, o, p in inside]
assert inside == outside, [(a, b) for a, b in zip(inside, outside) if a != b]
P
done
one_line_error chronovisor memory maps --image ram.raw --pid 99999
one_line_error chronovisor memory maps --image ram.raw --name resident
one_line_error chronovisor memory maps --image ram.raw
one_line_error chronovisor memory

# --- suspicious: the three programs that are, and no other
expect_exit 0 chronovisor memory suspicious --image ram.raw --json
python3 - <<'P' || fail "suspicious: $(cat out)"
import json
found = sorted((p["name"], *p["reasons"]) for p in map(json.loads, open("out")) if "reasons" in p)
assert found == [("memfd:ghost", "memfd-executable"), ("resident", "anonymous-executable", "writable-executable"),
                 ("vanishing", "deleted-executable")], found
P
expect_exit 1 chronovisor memory suspicious --image ram.raw --name init

# --- acquire process: page by page what the guest read in its own /proc/PID/mem
read -r _ _ _ pid address bytes < <(grep '^@@ memory pattern ' console)
sum=$(sed -n 's/^@@ sum \([0-9a-f]*\).*/\1/p' console)
expect_exit 0 chronovisor acquire process --image ram.raw --pid "$pid" --store case --json
expect_exit 0 chronovisor events --store case --space "proc:$pid" --json
python3 - "$address" "$bytes" "$sum" <<'P' || fail "an acquired process is not what it was"
import hashlib, json, sys
address, size, sum = int(sys.argv[1], 16), int(sys.argv[2]), sys.argv[3]
x = 88172645463325252
for c in b"alpha":
    x = (x * 31 + c) % 2**64
words = bytearray()
while len(words) < size:
    x ^= x >> 12
    x = (x ^ x << 25) % 2**64
    x ^= x >> 27
    words += x.to_bytes(8, "little")
assert hashlib.sha256(words).hexdigest() == sum, "the guest read something else"
pages = {e["lba"] * 512: e["hash"] for e in map(json.loads, open("out")) if e["op"] == "found"}
for at in range(0, size, 4096):
    assert pages[address + at] == hashlib.sha256(words[at:at + 4096]).hexdigest(), hex(address + at)
print(size // 4096, "pages of the pattern,", len(pages), "in all")
P
# the same again: nothing is new, but for the map
expect_exit 0 chronovisor acquire process --image ram.raw --name vanishing --store case --json
expect_exit 0 chronovisor acquire process --image ram.raw --pid "$pid" --store case --json
[[ $(python3 -c 'import json; print(json.load(open("out"))["gone_pages"])') == 0 ]] || fail "pages are gone: $(cat out)"
expect_exit 0 chronovisor events --store case --space "proc:$pid" --json
[[ $(sed -n 's/.*"lba": \([0-9]*\).*"op": "found".*/\1/p;s/.*"op": "found".*"lba": \([0-9]*\).*/\1/p' out | sort | uniq -d | wc -l) == 0 ]] || fail "a page that is the same was recorded again"
expect_exit 0 chronovisor restore --store case --space "map:$pid" -o map
python3 - "$pid" <<'P' || fail "the map: $(head -c 1000 map)"
import json, sys
lines = [json.loads(line) for line in open("map").read().rstrip("\0").splitlines()]
assert lines[0]["pid"] == int(sys.argv[1]) and lines[0]["name"] == "resident" and lines[0]["source"] == "ram.raw", lines[0]
assert sum(l["pages"] for l in lines if l["kind"] == "pages") * 4096 == lines[0]["bytes"]
assert any(l["kind"] == "mapping" and l["path"] == "[stack]" for l in lines)
P
one_line_error chronovisor acquire process --image ram.raw --pid 2 --store case
one_line_error chronovisor acquire process --image ram.raw --cr3 123000 --store case
one_line_error chronovisor acquire process --image ram.raw --cr3 zero --store case
one_line_error chronovisor acquire process --image ram.raw --store case

# --- as a core file
expect_exit 0 chronovisor acquire process --image ram.raw --pid "$pid" -o resident.core
one_line_error chronovisor acquire process --image ram.raw --pid "$pid" -o resident.core
if command -v readelf >/dev/null; then
  readelf -hlnW resident.core >elf 2>elf.err || fail "readelf: $(cat elf.err)"
  grep -q 'NT_PRSTATUS' elf && grep -q 'LOAD .* R E ' elf || fail "readelf: $(cat elf)"
fi
if command -v gdb >/dev/null; then
  gdb -nx -batch -ex "x/2xg $address" -ex bt ./resident resident.core >gdb.out 2>&1
  grep -q "pid\|resident pattern alpha" gdb.out && grep -q 'in main' gdb.out || fail "gdb: $(cat gdb.out)"
fi

# --- from a store: the machine's memory, a program in it that has no file, and where else its content is
expect_exit 0 chronovisor import snapshot ram.raw --at "@$(stat -c %Y ram.raw)" --space ram --store machine
expect_exit 0 chronovisor ps --store machine --all --json
cmp out ps.json || fail "a store says something else than the file"
expect_exit 0 chronovisor acquire process --name memfd:ghost --store machine --json
ghost=$(pid_of memfd:ghost)
expect_exit 0 chronovisor search --store machine --space "proc:$ghost" --no-names resident
grep -q "proc:$ghost" out || fail "the program that is only in memory was not found: $(cat out)"
expect_exit 0 chronovisor verify --store machine

# --- what is no memory of a Linux
head -c 40M /dev/zero >zeros
one_line_error chronovisor ps --image zeros
one_line_error chronovisor ps --image /dev/null
one_line_error chronovisor ps --image .
one_line_error chronovisor ps --image ram.raw --at now
head -c 100 ram.elf >cut
one_line_error chronovisor ps --image cut
# without its type information the kernel's processes are address spaces
python3 - <<'P'
data = open("ram.raw", "rb").read()
open("blind.raw", "wb").write(data.replace(b"\x9f\xeb\x01\x00", b"\0\0\0\0"))
P
expect_exit 0 chronovisor ps --image blind.raw --json
[[ $(grep -c '"pid": null, "cr3"' out) -ge 8 && $(grep -vc '"pid": null' out) == 0 ]] || fail "anonymous address spaces: $(cat out)"
rm blind.raw zeros
