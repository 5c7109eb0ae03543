# A real Linux on a disk that is recorded over vhost-user: two processors and queues, ext4, discards, a recorder that is
# ended in the middle and one that is killed twice; then every view holds the files that the guest had. With the
# argument "packed": packed rings.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
requires qemu-system-x86_64 busybox cpio mke2fs e2fsck debugfs
source "$SOURCE/tests/guest/guest.sh"
CLEANUP+=(guest_kill recorder_kill)
recorder_kill() { [[ -z ${RECORDER:-} ]] || kill -9 "$RECORDER"; }
export CHRONOVISOR_STORE=$WORK/store
SOCKET=$WORK/vda.sock
RINGS=${1:-split} MORE=
[[ $RINGS == split ]] || MORE=,packed=on
record() {
  "$BUILD/cli/chronovisor" record --disk disk.img --vhost-user "$SOCKET" >record.out 2>>record.err &
  RECORDER=$!
  wait_for 20 test -S "$SOCKET"
}

guest_build guest
truncate -s 96M disk.img
mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 disk.img
record
cat >task <<'T'
mount -t ext4 -o discard /dev/vda /data || note "no mount"
echo "@@ packed $(cut -c 35 /sys/block/vda/device/features)"
echo "@@ id $(cat /sys/block/vda/serial) queues $(ls /sys/block/vda/mq | wc -l)"
manifest() { echo "@@ begin $1"; (cd /data && find . -type f | sort | xargs sha256sum); echo "@@ finish $1"; }
for round in 1 2 3; do
  stress /data "$round" 120
  rm -rf /data/gone
  mkdir /data/gone && dd if=/dev/urandom of=/data/gone/big bs=1M count=3 2>/dev/null
  manifest "frozen$round"
  freeze /data
  mark "frozen$round"
  thaw /data
done
fstrim /data || note "no fstrim"
T
guest_start guest task -object memory-backend-memfd,id=ram,size=256M,share=on -machine memory-backend=ram -smp 2 \
  -chardev "socket,id=vda,path=$SOCKET,reconnect=1" -device "vhost-user-blk-pci,chardev=vda,num-queues=2$MORE"
for round in 1 2 3; do
  guest_until mark "frozen$round"
  date +@%s.%N >"frozen$round.at"
  case $round in
    1) # ended in order, with the guest still there
      kill "$RECORDER"
      wait "$RECORDER" || fail "the recorder ended with $?: $(cat record.err)"
      [[ ! -e $SOCKET ]] || fail "the socket was left behind"
      record ;;
    2) # killed while requests are under way
      guest_go
      for _ in 1 2; do
        sleep 0.7
        kill -9 "$RECORDER"
        wait "$RECORDER" 2>/dev/null || true
        record
      done ;;
  esac
  [[ $round == 2 ]] || guest_go
done
guest_wait
kill "$RECORDER"
wait "$RECORDER" || fail "the recorder ended with $?: $(cat record.err)"
RECORDER=
tr -d '\r' <guest/console >console
grep -q '^@@ id vda queues 2$' console || fail "id and queues: $(grep '^@@ id' console)"
[[ $RINGS == split ]] || grep -q '^@@ packed 1$' console || fail "the guest did not use packed rings"
! grep '^@@ note' console || fail "the guest could not do all"
! grep -E 'I/O error|blk_update_request|EXT4-fs error' console || fail "the guest saw errors"
! grep 'is stopped\|sent away' record.err || fail "the recorder did not like the guest"

files=0
for point in frozen{1,2,3}; do
  at=$(cat "$point.at")
  sed -n "/^@@ begin $point\$/,/^@@ finish $point\$/{/^@@/d;p}" console >manifest
  [[ $(wc -l <manifest) -gt 20 ]] ||
    { tail -n 30 console >&2; fail "$point: the guest listed $(wc -l <manifest) files"; }
  chronovisor restore --at "$at" -o view.raw --reason "test" >/dev/null
  e2fsck -fn view.raw >fsck.out 2>&1 || { cat fsck.out >&2; fail "$point ($at): e2fsck -fn"; }
  rm -rf tree
  mkdir tree
  debugfs -R "rdump / tree" view.raw >/dev/null 2>&1
  (cd tree && sha256sum --quiet -c ../manifest) >sums 2>&1 ||
    { head -n 5 sums >&2; fail "$point ($at): contents differ"; }
  [[ $(find tree -type f | wc -l) == $(wc -l <manifest) ]] || fail "$point: more files than the guest had"
  files=$((files + $(wc -l <manifest)))
  rm -f view.raw
done
chronovisor restore -o last.raw --reason test >/dev/null
cmp last.raw disk.img || fail "the last view is not the disk"
chronovisor events --op trim >trims || true
[[ -s trims ]] || fail "no discard was recorded"
chronovisor verify >/dev/null || fail "verify"
echo "$files files in 3 views, $RINGS rings"
