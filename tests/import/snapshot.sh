# import snapshot: images, raw and qcow2, one after another; restored and compared.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
requires python3 qemu-img
reader() { python3 "$SOURCE/tests/store/reader.py" "$@"; }
at() { printf '@%d' $((1700000000 + $1)); }
# same STORE N IMG: the disk as of snapshot N is this image (which may end inside a sector)
same() {
  chronovisor restore --force --store "$1" --space disk:a --at "$(at "$2")" -o got.img >/dev/null
  reader "$1" image disk:a "@$((1700000000 + $2))000000000" -o reader.img
  cmp got.img reader.img || fail "$1: the readers differ at snapshot $2"
  truncate -s %512 "$3"
  cmp got.img "$3" || fail "$1: not the image of snapshot $2"
}
count() { reader "$1" events | grep -c "\"op\": \"$2\"" || true; }

for block in 4096 512; do
  s=s.$block
  size=$((2 * 1024 * 1024 + 1000)) # neither a multiple of 4096 nor of 512
  # 1: data in the middle and at the very end, holes, zeros written as data
  rm -f 1.img; truncate -s $size 1.img
  dd if=/dev/urandom of=1.img bs=4096 seek=20 count=30 conv=notrunc status=none
  dd if=/dev/zero of=1.img bs=4096 seek=100 count=10 conv=notrunc status=none
  dd if=/dev/urandom of=1.img bs=1 seek=$((size - 300)) count=300 conv=notrunc status=none
  chronovisor import snapshot 1.img --at "$(at 1)" --space disk:a --block-size $block --store $s >out
  same $s 1 1.img
  [[ $(count $s FOUND) == $((30 * 4096 / block + 1)) && $(count $s ZERO) == 0 ]] || fail "zeros in a new space made events"
  # 2: the same again makes no event at all
  chronovisor import snapshot 1.img --at "$(at 2)" --space disk:a --store $s --json >out
  [[ $(count $s FOUND) == $((30 * 4096 / block + 1)) && $(count $s ZERO) == 0 && $(count $s SPACE) == 1 ]] || fail "the same image made events"
  same $s 2 1.img
  # 3: as qcow2: two blocks change, five become zeros
  cp 1.img 3.img
  dd if=/dev/urandom of=3.img bs=4096 seek=25 count=2 conv=notrunc status=none
  dd if=/dev/zero of=3.img bs=4096 seek=30 count=5 conv=notrunc status=none
  qemu-img convert -f raw -O qcow2 3.img 3.qcow2
  chronovisor import snapshot 3.qcow2 --at "$(at 3)" --space disk:a --store $s >out
  same $s 3 3.img
  [[ $(count $s FOUND) == $((32 * 4096 / block + 1)) && $(count $s ZERO) == 1 ]] || fail "not only the changed blocks: $(count $s FOUND) $(count $s ZERO)"
  # 4: shrunk, 5: grown again with other content beyond the old end, 6: grown with zeros there
  head -c $((150 * 4096 + 512)) 3.img >4.img
  chronovisor import snapshot 4.img --at "$(at 4)" --space disk:a --store $s >out
  same $s 4 4.img
  cp 4.img 5.img; truncate -s $((160 * 4096)) 5.img
  chronovisor import snapshot 5.img --at "$(at 5)" --space disk:a --store $s >out
  same $s 5 5.img
  cp 4.img 6.img; head -c 100000 /dev/urandom >>6.img; truncate -s $((700 * 4096 + 512)) 6.img
  chronovisor import snapshot 6.img --at "$(at 6)" --space disk:a --store $s >out
  for n in 6 5 4 3; do same $s $n $n.img; done
  same $s 1 1.img
  reader $s verify || fail "the second reader finds faults"
  chronovisor verify --store $s >out || fail "verify: $(cat out)"
done
grep -q '"action":"import snapshot".*6.img (raw' s.4096/custody.jsonl || fail "no custody line"

# A space that rests on a recorded device: only what differs from the device is recorded, and the past stays.
python3 "$SOURCE/tests/import/make_log.py" dev.log 4096 $((300 * 4096)) 20 5
head -c $((300 * 4096)) /dev/urandom >dev.img
chronovisor import blklogwrites dev.log --store dev --space disk:a --base dev.img --start "$(at 0)" >out
chronovisor restore --force --store dev --at "$(at 1)" -o before.img >/dev/null
cp before.img after.img
dd if=/dev/urandom of=after.img bs=4096 seek=280 count=3 conv=notrunc status=none
dd if=/dev/zero of=after.img bs=4096 seek=290 count=3 conv=notrunc status=none
found=$(count dev FOUND)
chronovisor import snapshot after.img --store dev --space disk:a --at "$(at 2)" >out
chronovisor restore --force --store dev --at "$(at 2)" -o got.img >/dev/null; cmp got.img after.img
chronovisor restore --force --store dev --at "$(at 1)" -o got.img >/dev/null; cmp got.img before.img
[[ $(($(count dev FOUND) - found)) -le 3 ]] || fail "blocks that did not change became events"

# Bad input: one line, exit 2, nothing changed.
before=$(sha256sum s.4096/log/* s.4096/custody.jsonl)
try() { one_line_error chronovisor import snapshot "$@" --store s.4096; [[ $(sha256sum s.4096/log/* s.4096/custody.jsonl) == "$before" ]] || fail "changed by: $*"; }
try 1.img --space disk:a --at "$(at 5)"; grep -q 'before the last event' err || fail "$(cat err)"
try 1.img --space disk:a --at 2500-01-01; grep -q future err || fail "$(cat err)"
try 1.img --space disk:a
try 1.img --at now
try nothing.img --space disk:a --at now
try /dev/zero --space disk:a --at now
try . --space disk:a --at now
: >empty.img; try empty.img --space disk:a --at now
cp 3.qcow2 disguised.img; try disguised.img --space disk:a --at now; grep -q -- '--format' err || fail "$(cat err)"
try 1.img --format qcow2 --space disk:a --at now
try 1.img --format vmdk --space disk:a --at now
try 1.img --base 1.img --space disk:a --at now
qemu-img create -q -f qcow2 -b "$PWD/3.qcow2" -F qcow2 backed.qcow2
try backed.qcow2 --space disk:a --at now; grep -q 'backing file' err || fail "$(cat err)"
head -c 3000 3.qcow2 >cut.qcow2; try cut.qcow2 --space disk:a --at now
head -c 60 3.qcow2 >cut.qcow2; try cut.qcow2 --space disk:a --at now
one_line_error chronovisor import snapshot 1.img --space disk:a --at now --block-size 1024 --store fresh
[[ ! -e fresh ]] || fail "a refused import made a store"
# as raw, the disguised image is only bytes
chronovisor import snapshot disguised.img --format raw --store raw --space disk:a --at now >out
chronovisor restore --force --store raw --at now -o got.img >/dev/null
truncate -s %512 disguised.img; cmp got.img disguised.img

# What is not indexed yet is read twice, by the look before and by the recorder, and not once more for each that asks.
head -c $((24 << 20)) /dev/urandom >tail.img
chronovisor import snapshot tail.img --space disk:a --at now --store tail >/dev/null
python3 - "$BUILD/cli/chronovisor" "$(stat -c %s tail/packs/*.pack)" <<'P' || fail "packs are read too often"
import re, subprocess, sys
def read(): return int(re.search(r"rchar: (\d+)", open("/proc/self/io").read()).group(1))
before = read()
subprocess.run([sys.argv[1], "import", "snapshot", "tail.img", "--space", "disk:a", "--at", "now", "--store", "tail"], check=True, stdout=subprocess.DEVNULL)
packs = (read() - before - (24 << 20)) / int(sys.argv[2])
print(f"a second import read its image and {packs:.2f} times the pack")
sys.exit(not 1 < packs < 2.6)
P
rm tail.img
