# A journal that was not replayed yet: what is listed and read must be what e2fsck's replay makes of it.
source "$CHV_SOURCE/tests/functions.sh"
requires mke2fs debugfs e2fsck dumpe2fs python3
tool=$BUILD/tests/files/files-tool
head -c 100000 /dev/urandom >f1
seq 5000 >f2
for features in 64bit,metadata_csum ^64bit,^metadata_csum ^64bit,metadata_csum; do
  rm -f disk; truncate -s 32M disk
  mke2fs -q -t ext4 -J size=4 -b 1024 -O "$features" disk
  debugfs -w -R "write f1 kept" disk >/dev/null 2>&1
  cp disk after
  printf '%s\n' "mkdir dir" "write f2 dir/new" "rm kept" "write f1 escaped" | debugfs -w -f /dev/stdin after >/dev/null 2>&1
  # Put the blocks in which the two differ into the journal of the first, in several transactions: stale copies
  # first, one block that begins like a journal block, and one that is revoked.
  python3 - <<'PY' >commands
import random
random.seed(7)
a, b = open("disk", "rb").read(), open("after", "rb").read()
blocks = [i for i in range(len(a) // 1024) if a[i * 1024:i * 1024 + 1024] != b[i * 1024:i * 1024 + 1024]]
print("jo")
open("junk", "wb").write(random.randbytes(1024))
for i in blocks[::3]:
    print(f"jw -b {i} junk")
for i in blocks:
    open(f"block.{i}", "wb").write(b[i * 1024:i * 1024 + 1024])
    print(f"jw -b {i} block.{i}")
free = len(a) // 1024 - 50
open("magic", "wb").write(b"\xc0\x3b\x39\x98" + random.randbytes(1020))
print(f"jw -b {free} magic")
print(f"jw -b {free + 1} junk")
print(f"jw -r {free + 1}")
print("jc")
PY
  debugfs -w -f commands disk >debugfs.out 2>&1 || fail "debugfs: $(tail -n 1 debugfs.out)"
  cp disk replayed
  e2fsck -E journal_only -y replayed >/dev/null 2>&1 || [[ $? == 1 ]] || fail "e2fsck"
  cmp -s disk replayed && fail "$features: nothing was left to replay"
  "$tool" disk info | grep -q 'replayed [1-9]' || fail "$features: $("$tool" disk info)"
  "$tool" disk ls / r >ours
  "$tool" replayed ls / r >theirs
  cmp ours theirs || { diff ours theirs; fail "$features: not what e2fsck's replay gives"; }
  grep -q /dir/new ours || fail "$features: the journal's news are missing"
  "$tool" disk cat /dir/new | cmp - f2 || fail "$features: content"
  "$tool" disk cat /escaped | cmp - f1 || fail "$features: content"
done

# through a store: before the journal was written, after, and with --in-place
record=$BUILD/tests/files/files-record
"$record" store disk:a 1700000000 after
"$record" store disk:a 1700000060 disk after
chronovisor cat /dir/new --store store | cmp - f2 || fail "cat from the journal"
one_line_error chronovisor cat /dir/new --store store --in-place
chronovisor stat /dir/new --store store | grep -q 'transactions taken from its journal' || fail "stat does not mention the journal"
