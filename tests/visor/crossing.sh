# Interrupts whose delivery the camera interrupts, while others come that go first: none is lost, none comes twice.
source "$CHV_SOURCE/tests/functions.sh"
source "$SOURCE/tests/visor/machine.sh"
requires qemu-system-x86_64 cpio clang lld-link
[[ -f $OVMF/OVMF_CODE_4M.fd ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs the package ovmf"; skip "needs the package ovmf"; }
machine_program machine "$SOURCE/tests/visor/crossing.c" "$SOURCE/visor/arch/x86/serial.c" || fail "crossing.c does not compile"
touch task
MACHINE_SMP=2 MACHINE_CONFIG='camera_pages 1
camera_period_ms 10
camera_from 0x10000000
camera_bytes 4096' machine_run machine task
grep -a '^visor: @@ crossing: all,' machine/console || { cat machine/console >&2; fail "interrupts"; }
grep -aE '^visor: camera: [0-9]{2,} faults' machine/console || { cat machine/console >&2; fail "the camera interrupted none"; }
