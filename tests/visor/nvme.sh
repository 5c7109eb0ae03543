# NVMe: Debian's driver under the hypervisor, 32 requests at once, on one processor and on two: each block that was written was seen
# before the device had it, and the last event of each says what the disk holds.
source "$CHV_SOURCE/tests/functions.sh"
source "$SOURCE/tests/visor/machine.sh"
requires qemu-system-x86_64 busybox cpio clang lld-link python3
[[ -f $OVMF/OVMF_CODE_4M.fd ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs the package ovmf"; skip "needs the package ovmf"; }
machine_build machine "$SOURCE/tests/visor/diskload.c"
seed=${CHV_SEED:-$RANDOM}
echo "seed $seed"
for processors in 1 2; do
  truncate -s 0 disk.img && truncate -s 32M disk.img
  cat >task <<T
echo 0 >/proc/sys/kernel/printk
diskload /dev/nvme0n1 $seed ${REQUESTS:-400} || echo "@@ load failed"
echo "@@ done"
T
  MACHINE_SMP=$processors MACHINE_CONFIG='print_events 1' machine_run machine task \
    -drive file=disk.img,format=raw,if=none,id=disk,discard=unmap -device nvme,drive=disk,serial=CHV0001
  ! grep -a '^@@ load failed' machine/console || fail "the load on $processors processors"
  "$SOURCE/tests/visor/events_match" machine/console disk.img || { head -n 40 machine/console >&2; fail "$processors processors"; }
done
