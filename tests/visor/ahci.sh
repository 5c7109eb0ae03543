# AHCI: as nvme.sh, on a SATA disk with 32 queued commands.
source "$CHV_SOURCE/tests/functions.sh"
source "$SOURCE/tests/visor/machine.sh"
requires qemu-system-x86_64 busybox cpio clang lld-link python3
[[ -f $OVMF/OVMF_CODE_4M.fd ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs the package ovmf"; skip "needs the package ovmf"; }
machine_build machine --ahci "$SOURCE/tests/visor/diskload.c" "$SOURCE/tests/visor/pcipoke.c"
seed=${CHV_SEED:-$RANDOM}
echo "seed $seed"
truncate -s 32M disk.img
cat >task <<T
for try in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/sda ] && break; sleep 0.3; done
echo 0 >/proc/sys/kernel/printk
echo "@@ depth \$(cat /sys/block/sda/device/queue_depth)"
# the controller's second way to its registers, by I/O ports, cannot be switched on
pcipoke 0xfa 4 7 >/dev/null; echo "@@ command \$(pcipoke 0xfa 4)"
# QEMU's SATA disk does not say that it reads zeros after TRIM; with discard=unmap it does
diskload /dev/sda $seed ${REQUESTS:-300} || echo "@@ load failed"
T
MACHINE_CONFIG=$'print_events 1\ntrim_reads_zeros 1' machine_run machine task -drive file=disk.img,format=raw,if=none,id=disk,discard=unmap \
  -device ide-hd,drive=disk,bus=ide.1,serial=CHV0002
! grep -a '^@@ load failed' machine/console || fail "the load"
grep -a '^@@ depth 32' machine/console || fail "commands are not queued"
"$SOURCE/tests/visor/events_match" machine/console disk.img 0:2 || { grep -av 'visor: event' machine/console >&2; fail "the events"; }
grep -qa '^@@ command .......6 ' machine/console || fail "the controller's I/O ports: $(grep -a '^@@ command' machine/console)"
