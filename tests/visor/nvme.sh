# NVMe: Debian's driver under the hypervisor, 32 requests at once, on one processor and on two: each block that was written was seen
# before the device had it, and the last event of each says what the disk holds. With two, all page tables have five levels, nested ones too.
source "$CHV_SOURCE/tests/functions.sh"
source "$SOURCE/tests/visor/machine.sh"
requires qemu-system-x86_64 busybox cpio clang lld-link python3
[[ -f $OVMF/OVMF_CODE_4M.fd ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs the package ovmf"; skip "needs the package ovmf"; }
machine_build machine "$SOURCE"/tests/visor/{diskload,pcipoke}.c
machine_efi levels.efi "$SOURCE"/tests/visor/levels.c "$SOURCE"/visor/boot/file.c "$SOURCE"/visor/arch/x86/serial.c || fail "levels.c does not compile"
seed=${CHV_SEED:-$RANDOM}
echo "seed $seed"
levels=4 first='' model=EPYC,+svm,+npt
for processors in 1 2; do
  truncate -s 0 disk.img && truncate -s 32M disk.img
  cat >task <<T
echo 0 >/proc/sys/kernel/printk
diskload /dev/nvme0n1 $seed ${REQUESTS:-400} || echo "@@ load failed"
# The controller's registers somewhere else: still watched there, which shows in a capability that is kept from the guest (bit 57: memory
# of its own). Then the driver puts them back.
echo 1 >/sys/bus/pci/devices/0000:00:05.0/remove
pcipoke 0x28 0x10 0x00800004 >/dev/null
echo "@@ moved \$(pcipoke 0 mem:0xe000800004) from \$(pcipoke 0 mem:0xe000104004)"
echo 1 >/sys/bus/pci/rescan
for try in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/nvme0n1 ] && break; sleep 0.2; done
diskload /dev/nvme0n1 1$seed 50 || echo "@@ load failed"
echo "@@ processors of five levels \$(grep -c -w la57 /proc/cpuinfo)"
T
  MACHINE_FIRST=$first MACHINE_CPU=$model MACHINE_SMP=$processors MACHINE_CONFIG='print_events 1' machine_run machine task \
    -drive file=disk.img,format=raw,if=none,id=disk,discard=unmap -device nvme,drive=disk,serial=CHV0001,addr=5,cmb_size_mb=1
  grep -qa "^visor: $processors processors, .* in $levels levels" machine/console && grep -qa "^@@ processors of five levels $((levels == 5 ? processors : 0))$" machine/console ||
    { grep -av 'visor: event' machine/console >&2; fail "page tables"; }
  ! grep -a '^@@ load failed' machine/console || fail "the load on $processors processors"
  moved=$(sed -n 's/^@@ moved \([0-9a-f]*\) from \(ffffffff\|00000000\)$/\1/p' machine/console)
  [[ $moved && $moved != ffffffff && $((0x$moved >> 25 & 1)) == 0 ]] ||
    { grep -av 'visor: event' machine/console >&2; fail "registers that were moved are not watched"; }
  "$SOURCE/tests/visor/events_match" machine/console disk.img || { head -n 40 machine/console >&2; fail "$processors processors"; }
  levels=5 first=$PWD/levels.efi model=max,+svm,+npt
done
