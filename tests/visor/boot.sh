# The whole way: firmware, chronovisor.efi, Debian's kernel as its guest on two processors; a guest with root finds nothing of the
# hypervisor; a machine without SVM, with a storage controller that is not known, or with a configuration that is not understood boots as it is.
source "$CHV_SOURCE/tests/functions.sh"
source "$SOURCE/tests/visor/machine.sh"
requires qemu-system-x86_64 busybox cpio clang lld-link
[[ -f $BUILD/visor/chronovisor.efi ]] || fail "chronovisor.efi was not built"
[[ -f $OVMF/OVMF_CODE_4M.fd ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs the package ovmf"; skip "needs the package ovmf"; }
machine_build machine "$SOURCE"/tests/visor/{intrude,pcipoke}.c

cat >task <<'T'
# the largest stretch that is reserved below 2 GiB: memory_mib, by default 32
range=$(sed -n 's/^\([0-9a-f]*\)-\([0-9a-f]*\) : Reserved$/\1 \2/p' /proc/iomem | while read -r a b; do
  [ $((0x$b - 0x$a + 1)) = 33554432 ] && echo "0x$a"; done)
echo "@@ own $range"
intrude $range 33554432 >/tmp.out
echo "@@ found $(cat /tmp.out)"
echo "@@ flags $(grep -c -w svm /proc/cpuinfo)"
echo "@@ pci $(ls /sys/bus/pci/devices | tr '\n' ' ')"
echo "@@ ports $(pcipoke 0x18 0)"
echo "@@ shown $(pcipoke 0 0)"
echo "@@ mapped $(pcipoke 0x18 ecam:0xb0000000)"
for cpu in 0 1; do echo "@@ sum $cpu $(taskset $((cpu + 1)) sha256sum /bin/busybox | cut -c1-64)"; done
# at last a system management interrupt, which this firmware has not switched on: ACPI's ports are at 600h
echo "@@ end"
pcipoke 4 port:0x630 0x21
pcipoke 1 port:0xb2 0
sleep 5
echo "@@ SMI: nothing"
T
MACHINE_SMP=2 MACHINE_CONFIG='hide 00:03.0' machine_run machine task -device e1000,addr=3,romfile=
console() { grep -a "$1" machine/console || { cat machine/console >&2; fail "the console does not say: $1"; }; }
console '^visor: 2 processors, .* memory at'
console '^visor: this machine is watched'
console '^@@ shell [0-9.]* 2$'
[[ 0x$(sed -n 's/^visor: .* memory at \([0-9a-f]*\) .*/\1/p' machine/console) == "$(sed -n 's/^@@ own //p' machine/console)" ]] ||
  { cat machine/console >&2; fail "the hypervisor's memory is not reserved"; }
console '^@@ found nothing$'
console '^@@ flags 0$'
console '^visor: 00:03.0 is hidden$'
console '^visor: processor .: SMI at .*; the machine resets$'
! grep -a '^@@ SMI: nothing' machine/console || fail "the machine goes on after an SMI"
console '^@@ pci 0000:00:00.0 0000:00:01.0 0000:00:1f'
console '^@@ ports ffffffff ffff ff$'
console '^@@ shown 29c08086 29c0 80$'
console '^@@ mapped ffffffff ffffffff$'
[[ $(grep -ac "^@@ sum . $(sha256sum "$(command -v busybox)" | cut -c1-64)$" machine/console) == 2 ]] || fail "the processors do not compute"

# A card that is no network card: nobody would hear what was recorded, so the machine boots without us, and all of it is the guest's.
echo 'echo "@@ flags $(grep -c -w svm /proc/cpuinfo)"; echo "@@ shown $(pcipoke 0 0)"' >task
MACHINE_CONFIG=$'nic 00:00.0\nkey '$(printf '%064d' 7)$'\naddress 10.0.2.15\ncollector 10.0.2.2' machine_run machine task
console 'visor: network card 00:00.0: nic: there is no driver for it, or it does not come up$'
console 'visor: not watched'
console '^@@ flags 1$'
console '^@@ shown 29c08086 29c0 80$'

MACHINE_CPU=EPYC,-svm machine_run machine task
console 'visor: the processor has no SVM'
console 'visor: not watched'
console '^@@ shell '
# the first of two has it
MACHINE_CPU=EPYC,svm=on,npt=on MACHINE_SMP=1,maxcpus=2,sockets=2 machine_run machine task -device EPYC-x86_64-cpu,svm=off,socket-id=1,core-id=0,thread-id=0
console 'visor: not watched: a processor is not as the first one$'
console '^@@ shell [0-9.]* 2$'

# What a configuration or a machine can have that is refused: it is said, and the loader starts all the same.
machine_program machine "$SOURCE/tests/visor/refused.c" "$SOURCE/visor/arch/x86/serial.c" || fail "refused.c does not compile"
refused() { # refused REASON QEMU-ARGUMENT...
  machine_run machine task "${@:2}"
  console "^visor: not watched: $1\$"
  console '^visor: @@ svm 1$'
}
# a setting that is not understood is not taken for another
MACHINE_CONFIG="sensor $(printf 'x%.0s' {1..32})" refused 'chronovisor.cfg, line 5: sensor must be 1 to 31 characters without blanks, quotes and slashes'
# a disk of which nothing would be seen: the partition's own, on virtio-blk
MACHINE_UNKNOWN=refuse refused 'storage controller 00:0[0-9].0 (class 010000) is not one that is watched'
# less memory than the ring needs, or the tables
MACHINE_CONFIG="memory_mib 16
nic 00:03.0
key $(printf '%064d' 7)
address 10.0.2.15
collector 10.0.2.2" refused 'memory_mib is too little' -device e1000,addr=3,romfile=
MACHINE_CONFIG=$'memory_mib 8\ncamera_pages 1024' refused 'memory_mib is too little'
