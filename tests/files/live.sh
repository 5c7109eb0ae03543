# A mounted ext4 recorded while it changes: the history of a file must be what was done to it, from the journal,
# without waiting for the kernel to write anything into place.
source "$CHV_SOURCE/tests/functions.sh"
requires mke2fs nbdkit nbdfuse losetup mount python3
losetup -f >/dev/null 2>&1 || { [[ ${CHV_NO_SKIP:-} && $EUID == 0 ]] && fail "needs loop devices"; skip "needs loop devices (root)"; }
truncate -s 64M disk
mke2fs -q -t ext4 disk
"$BUILD/cli/chronovisor" record --disk disk --store store --socket "$WORK/sock" >record.out 2>&1 &
recorder=$!
CLEANUP+=("kill $recorder")
wait_for 20 test -S sock
mkdir mnt && touch fused
nbdfuse "$WORK/fused" "nbd+unix:///?socket=$WORK/sock" >fuse.out 2>&1 &
fuse=$!
CLEANUP=("kill $fuse; wait $fuse" "${CLEANUP[@]}")
wait_for 20 test -s fused
loop=$(losetup -f --show fused) || { [[ $EUID == 0 ]] && fail "losetup"; skip "cannot set up a loop device"; }
CLEANUP=("losetup -d $loop" "${CLEANUP[@]}")
mount "$loop" mnt || skip "cannot mount"
CLEANUP=("umount mnt" "${CLEANUP[@]}")
instant() { sleep 0.1; date +%s.%N; sleep 0.1; } # between two steps
seq 1000 >one
seq 2000 >two
mkdir mnt/docs
cp one mnt/docs/a && sync mnt/docs/a
t1=$(instant)
cp two mnt/docs/a && sync mnt/docs/a
t2=$(instant)
chmod 600 mnt/docs/a && sync mnt/docs/a
for i in {1..50}; do echo "$i" >mnt/f$i; done
sync mnt/f50
mv mnt/docs/a mnt/docs/b && sync mnt/docs
t3=$(instant)
rm mnt/docs/b && sync mnt/docs
c() { local verb=$1; shift; chronovisor "$verb" "$@" --store store; }
check() {
  c history /docs/a --json >json
  python3 - "$(sha256sum <one | cut -c1-64)" "$(sha256sum <two | cut -c1-64)" <<'PY' || { cat json; fail "history ($1)"; }
import json, sys
rows = [json.loads(line) for line in open("json")]
# a cp may be seen half done (created empty, or truncated first): what must be there is the end of each step
kinds = [r["change"] for r in rows]
hashes = [r.get("sha256") for r in rows if r.get("sha256")]
assert kinds[0] == "created" and kinds[-1] == "renamed" and rows[-1]["renamed_to"] == "/docs/b", kinds
assert sys.argv[1] in hashes and sys.argv[2] in hashes and hashes.index(sys.argv[1]) < hashes.index(sys.argv[2]), hashes
assert rows[-2]["file"]["mode"] == "0600", rows[-2]
PY
  c cat /docs/a --at "@$t1" | cmp - one || fail "cat at the first instant ($1)"
  c cat /docs/a --at "@$t2" | cmp - two || fail "cat at the second instant ($1)"
  c ls /docs --at "@$t3" | grep -q ' b$' || fail "ls at the third instant ($1)"
  expect_exit 2 c cat /docs/b # deleted by now
  rm -rf out.$1
  c recover /docs --at "@$t3" -o out.$1 2>err
  cmp out.$1/docs/b two && [[ $(stat -c %a out.$1/docs/b) == 600 ]] || fail "recover ($1)"
}
check recording
umount mnt
losetup -d "$loop"
kill $fuse; wait $fuse || true
kill $recorder; wait $recorder || true
CLEANUP=()
check afterwards

# The short way and the long way: looking at every flush must tell the same story.
python3 "$SOURCE/tests/store/reader.py" store events >events
flushes=$(python3 -c "
import json
rows = [json.loads(line) for line in open('events')]
print(*[r['seq'] for r in rows if r['op'] == 'FLUSH'], rows[-1]['seq'])")
for seq in $flushes; do
  if c cat /docs/a --at "seq:$seq" >content 2>/dev/null; then sha256sum <content | cut -c1-64; else echo none; fi
done | uniq >long
{
  echo none
  c history /docs/a --json | python3 -c "
import json, sys
for line in sys.stdin:
    print(json.loads(line).get('sha256', 'none'))"
} | uniq >short
cmp long short || { diff long short; fail "history missed or made up a change"; }
(($(wc -l <long) >= 4)) || fail "nothing happened"
