# fio's own verification inside a real Linux, on ext4, on a disk that is recorded over vhost-user, while the recorder is
# killed and started again: every block has its checksum, at once and after a remount, and in the store's last view.
# CHV_FIO_MIB: how much each of the three jobs writes, twice (default 4); the recorder is killed two times a MiB.
# Arguments go to `record`.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
requires qemu-system-x86_64 busybox cpio mke2fs e2fsck debugfs fio
source "$SOURCE/tests/guest/guest.sh"
source "$SOURCE/corpus/tools.sh"
CLEANUP+=(guest_kill recorder_kill)
recorder_kill() { [[ -z ${RECORDER:-} ]] || kill -9 "$RECORDER"; }
export CHRONOVISOR_STORE=$WORK/store
SOCKET=$WORK/vda.sock
MIB=${CHV_FIO_MIB:-4}
GUEST_SECONDS=$((240 + 20 * MIB)) GUEST_MEMORY=384M
record() {
  "$BUILD/cli/chronovisor" record --disk disk.img --vhost-user "$SOCKET" "$@" >record.out 2>>record.err &
  RECORDER=$!
  wait_for 20 test -S "$SOCKET"
}

guest_build guest
mkdir root
program_copy root "$(readlink -f "$(command -v fio)")"
ln -s usr/lib usr/lib64 root/
image_pack root tools.img
truncate -s "$((32 + 4 * MIB))M" disk.img
mke2fs -q -t ext4 -E lazy_itable_init=0,lazy_journal_init=0 disk.img
record "$@"

# Three jobs at once, each with files of its own: 4 KiB past the page cache at depth 32; sizes that are no whole blocks
# of the store, which means reading what is around them; through the page cache, with flushes. The second time has
# another checksum, so that a block which still holds the first is found.
cat >task <<T
mkdir /tools
mount -t ext4 -o ro /dev/vdb /tools && ln -s tools/usr /usr && ln -s tools/lib /lib && ln -s tools/lib64 /lib64
mount -t ext4 -o discard /dev/vda /data || note "no mount"
cat >/tmp/jobs <<J
[global]
directory=/data
size=${MIB}M
verify_fatal=1
[deep]
rw=randwrite
bs=4k
ioengine=libaio
direct=1
iodepth=32
[uneven]
rw=randwrite
bs=2560
ioengine=libaio
direct=1
iodepth=32
[cached]
rw=randwrite
bs=16k
ioengine=psync
fsync=16
J
jobs() { # jobs CHECKSUM [LINE]
  sed "1a verify=\$1" /tmp/jobs >/tmp/these
  [ -z "\$2" ] || sed -i "1a \$2" /tmp/these
  /usr/bin/fio --output-format=terse --terse-version=3 /tmp/these >/tmp/out 2>&1 && echo "@@ good \$* \$(grep -c '^3;fio' /tmp/out)" || echo "@@ bad \$*"
}
mark ready
jobs crc32
jobs crc32c
umount /data || note "no umount"
mount -t ext4 -o discard /dev/vda /data || note "no second mount"
jobs crc32c verify_only=1
jobs crc32 verify_only=1 # what was there before
mark verified
T
guest_start guest task -object memory-backend-memfd,id=ram,size=$GUEST_MEMORY,share=on -machine memory-backend=ram -smp 2 \
  -chardev "socket,id=vda,path=$SOCKET,reconnect=1" -device "vhost-user-blk-pci,chardev=vda,num-queues=2" \
  -drive file=tools.img,format=raw,if=virtio,readonly=on
guest_until mark ready
guest_go
kills=0
while ((kills < 2 * MIB)) && ! grep -q '^@@ mark verified' guest/console; do
  sleep 0.$((RANDOM % 7 + 3))
  kill -9 "$RECORDER"
  wait "$RECORDER" 2>/dev/null || true
  record "$@"
  kills=$((kills + 1))
  sleep 1 # QEMU looks for it once a second
done
guest_until mark verified
guest_go
guest_wait
kill "$RECORDER"
wait "$RECORDER" || fail "the recorder ended with $?: $(cat record.err)"
RECORDER=
tr -d '\r' <guest/console >console
! grep '^@@ note' console || { tail -n 30 console >&2; fail "the guest could not do all"; }
grep '^@@ \(good\|bad\)' console >did
diff did - <<<'@@ good crc32 3
@@ good crc32c 3
@@ good crc32c verify_only=1 3
@@ bad crc32 verify_only=1' || { tail -n 30 console >&2; fail "fio"; }
! grep -E 'I/O error|blk_update_request|EXT4-fs error' console || fail "the guest saw errors"
! grep 'is stopped\|sent away' record.err || fail "the recorder did not like the guest"

chronovisor restore -o last.raw --reason test >/dev/null
cmp last.raw disk.img || fail "the last view is not the disk"
e2fsck -fn last.raw >fsck.out 2>&1 || { cat fsck.out >&2; fail "e2fsck -fn of the last view"; }
chronovisor verify >/dev/null || fail "verify"
((kills > 2)) || fail "the recorder was killed only $kills times"
echo "$MIB MiB a job, the recorder killed $kills times"
