# A real ext4 under load in a real guest: views at frozen points pass e2fsck as they are, views at plain flushes after their
# journal is replayed, and every file in every view has the digest that the guest computed at that moment.
source "$CHV_SOURCE/tests/functions.sh"
requires qemu-system-x86_64 busybox cpio mke2fs e2fsck debugfs
source "$SOURCE/tests/guest/guest.sh"
CLEANUP+=(guest_kill recorder_kill)
recorder_kill() { [[ -z ${RECORDER:-} ]] || kill "$RECORDER"; }
export CHRONOVISOR_STORE=$WORK/store

guest_build guest
truncate -s 96M disk.img
mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 disk.img
"$BUILD/cli/chronovisor" record --disk disk.img --socket "$WORK/nbd.sock" >record.out 2>record.err &
RECORDER=$!
wait_for 20 test -S "$WORK/nbd.sock"

cat >task <<'T'
mount -t ext4 /dev/vda /data
manifest() { echo "@@ begin $1"; (cd /data && find . -type f | sort | xargs sha256sum); echo "@@ finish $1"; }
for round in 1 2 3; do
  stress /data "$round" 120
  manifest "frozen$round"
  freeze /data
  mark "frozen$round"
  thaw /data
  stress /data "1$round" 60
  manifest "flushed$round"
  sync
  mark "flushed$round"
done
T
guest_start guest task -blockdev "driver=nbd,node-name=d,server.type=unix,server.path=$WORK/nbd.sock,export=vda,discard=unmap" \
  -device virtio-blk-pci,drive=d
for round in 1 2 3; do
  for kind in frozen flushed; do
    guest_until mark "$kind$round"
    # An instant by the clock: what the guest did not flush yet is in the recorder's hands, and in the log a moment later.
    date +@%s.%N >"$kind$round.at"
    guest_go
  done
done
guest_wait
kill "$RECORDER"
wait "$RECORDER" || fail "the recorder ended with $?: $(cat record.err)"
RECORDER=
tr -d '\r' <guest/console >console

files=0
for point in {frozen,flushed}{1,2,3}; do
  at=$(cat "$point.at")
  sed -n "/^@@ begin $point\$/,/^@@ finish $point\$/{/^@@/d;p}" console >manifest
  [[ $(wc -l <manifest) -gt 20 ]] || { tail -n 30 console >&2; fail "$point: the guest listed $(wc -l <manifest) files"; }
  chronovisor restore --at "$at" -o view.raw --reason "test" >/dev/null
  if [[ $point == flushed* ]]; then # mounted: the journal holds what is not in place yet
    e2fsck -fy -E journal_only view.raw >fsck.out 2>&1 || [[ $? == 1 ]] || { cat fsck.out >&2; fail "$point ($at): the journal"; }
  fi
  e2fsck -fn view.raw >fsck.out 2>&1 || { cat fsck.out >&2; fail "$point ($at): e2fsck -fn"; }
  rm -rf tree
  mkdir tree
  debugfs -R "rdump / tree" view.raw >/dev/null 2>&1
  (cd tree && sha256sum --quiet -c ../manifest) >sums 2>&1 || { head -n 5 sums >&2; fail "$point ($at): contents differ"; }
  [[ $(find tree -type f | wc -l) == $(wc -l <manifest) ]] || fail "$point: more files than the guest had"
  files=$((files + $(wc -l <manifest)))
  if [[ $point == frozen* ]]; then # the same through our own reader of file systems
    read -r digest path < <(shuf -n 1 --random-source=view.raw manifest)
    [[ $(chronovisor cat --at "$at" "${path#.}" | sha256sum | cut -d' ' -f1) == "$digest" ]] ||
      fail "$point: chronovisor cat ${path#.}"
  fi
  rm -f view.raw
done
chronovisor verify >/dev/null || fail "verify"
echo "$files files in 6 views"
