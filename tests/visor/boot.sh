# The whole way: firmware, chronovisor.efi, Debian's kernel as its guest on two processors; a guest with root finds nothing of the
# hypervisor; a machine without SVM boots as it is.
source "$CHV_SOURCE/tests/functions.sh"
source "$SOURCE/tests/visor/machine.sh"
requires qemu-system-x86_64 busybox cpio clang lld-link
[[ -f $BUILD/visor/chronovisor.efi ]] || fail "chronovisor.efi was not built"
[[ -f $OVMF/OVMF_CODE_4M.fd ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs the package ovmf"; skip "needs the package ovmf"; }
machine_build machine "$SOURCE/tests/visor/intrude.c"

cat >task <<'T'
# the largest stretch that is reserved below 2 GiB: memory_mib, by default 32
range=$(sed -n 's/^\([0-9a-f]*\)-\([0-9a-f]*\) : Reserved$/\1 \2/p' /proc/iomem | while read -r a b; do
  [ $((0x$b - 0x$a + 1)) = 33554432 ] && echo "0x$a"; done)
echo "@@ own $range"
intrude $range 33554432 >/tmp.out
echo "@@ found $(cat /tmp.out)"
echo "@@ flags $(grep -c -w svm /proc/cpuinfo)"
for cpu in 0 1; do echo "@@ sum $cpu $(taskset $((cpu + 1)) sha256sum /bin/busybox | cut -c1-64)"; done
T
MACHINE_SMP=2 machine_run machine task
console() { grep -a "$1" machine/console || { cat machine/console >&2; fail "the console does not say: $1"; }; }
console '^visor: 2 processors, .* memory at'
console '^visor: this machine is watched'
console '^@@ shell [0-9.]* 2$'
[[ 0x$(sed -n 's/^visor: .* memory at \([0-9a-f]*\) .*/\1/p' machine/console) == "$(sed -n 's/^@@ own //p' machine/console)" ]] ||
  { cat machine/console >&2; fail "the hypervisor's memory is not reserved"; }
console '^@@ found nothing$'
console '^@@ flags 0$'
[[ $(grep -ac "^@@ sum . $(sha256sum "$(command -v busybox)" | cut -c1-64)$" machine/console) == 2 ]] || fail "the processors do not compute"

echo 'echo "@@ flags $(grep -c -w svm /proc/cpuinfo)"' >task
MACHINE_CPU=EPYC,-svm machine_run machine task
console 'visor: the processor has no SVM'
console 'visor: not watched'
console '^@@ shell '
