# The store's disk is full: the guest's writes fail, nothing is acknowledged that is not recorded, what was is not lost.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
source "$CHV_SOURCE/tests/sensor/functions.sh"
requires python3 unshare
if [[ -z ${CHV_IN_MOUNT_SPACE:-} ]]; then
  unshare -m true 2>/dev/null || skip "no mount name spaces here"
  CHV_IN_MOUNT_SPACE=1 unshare -m bash "$SOURCE/tests/sensor/full.sh"
  exit
fi
mkdir st
mount -t tmpfs -o size=40M tmpfs st
CLEANUP+=("umount -l $WORK/st")
head -c 64M /dev/urandom >d.img
start_record --disk d.img --queue 4M
python3 "$SOURCE/tests/sensor/flusher.py" "$SOCKET" 1 state >flusher.out || fail "the client"
grep -q 'error 28' flusher.out || fail "not ENOSPC: $(cat flusher.out)"
# still there for reading; a second write fails as well
nbdinfo --size "$URI" >/dev/null
stop_record 1
grep -qi 'no space' record.err || fail "the reason was not said"
mount -o remount,size=200M st
start_record --disk d.img --queue 4M
python3 "$SOURCE/tests/sensor/flusher.py" "$SOCKET" 0 state check || fail "lost"
stop_record
same_as_disk d.img disk:vda
chronovisor verify --store st >/dev/null || fail "verify"
