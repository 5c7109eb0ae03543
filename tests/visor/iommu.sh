# DMA: a device that the guest programs reaches the hypervisor's memory where there is no IOMMU, and does not where there is one, nor can
# it switch that off. NVMe and SATA under it, on two processors, recorded through the hypervisor's own card: the store is the disks.
# pt=off: without it QEMU 10.0's IOMMU neither translates (its "nodma" region is never switched off) nor lets the IOAPIC's interrupts through.
source "$CHV_SOURCE/tests/functions.sh"
source "$SOURCE/tests/visor/machine.sh"
requires qemu-system-x86_64 busybox cpio clang lld-link openssl python3
[[ -f $OVMF/OVMF_CODE_4M.fd ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs the package ovmf"; skip "needs the package ovmf"; }
machine_build machine --files "$SOURCE"/tests/visor/{diskload,edu,pcipoke}.c
sed -i '/^virtio/,$d' machine/root/modules/order # SATA and NVMe are enough
grep -q '^nvme.ko$' machine/root/modules/order || fail "no driver for NVMe"
MACHINE_SECONDS=270
openssl rand -hex 32 >key && chmod 600 key
seed=${CHV_SEED:-$RANDOM}
echo "seed $seed"
mark=$(printf '0x%08x%08x' 0x43485631 $((seed + 0x10000)))

cat >attack <<T
echo 0 >/proc/sys/kernel/printk
own=\$(sed -n 's/^\([0-9a-f]*\)-\([0-9a-f]*\) : Reserved$/\1 \2/p' /proc/iomem | while read -r a b; do
  [ \$((0x\$b - 0x\$a + 1)) = 33554432 ] && echo "0x\$a"; done)
last=\$(printf '0x%x' \$((own + 33554432 - 4096)))
echo "@@ own \$own"
echo "@@ self \$(edu read self)"
echo "@@ image \$(edu read \$own)"
echo "@@ write \$(edu write \$last $mark)"
echo "@@ written \$(edu read \$last)"
T
# What stands at the end of the hypervisor's memory when the machine is off; its beginning is a program's: MZ.
in_memory() {
  python3 - ram "$(sed -n 's/^@@ own //p' machine/console)" <<'P'
import sys
with open(sys.argv[1], "rb") as ram:
    own = int(sys.argv[2], 16)
    ram.seek(own)
    assert ram.read(2) == b"MZ", "this is not the hypervisor's memory"
    ram.seek(own + (32 << 20) - 4096)
    print("0x%016x" % int.from_bytes(ram.read(8), "little"))
P
}
run() {
  rm -f ram
  machine_run machine "$@" -object memory-backend-file,id=ram,size=512M,mem-path=ram,share=on -machine memory-backend=ram \
    -device edu,addr=8,dma_mask=0xffffffffff
}
said() { grep -qa "$1" machine/console || { cat machine/console >&2; fail "the console does not say: $1"; }; }

run attack
said '^@@ self 0123456789abcdef$'
said '^@@ image .*5a4d$'
said "^@@ written ${mark#0x}$"
[[ $(in_memory) == "$mark" ]] || fail "without an IOMMU the device should have written: $(in_memory)"

truncate -s 32M nvme.img sata.img
"$BUILD/cli/chronovisor" collect --udp 127.0.0.1:0 --key key --store store --json --rest zero >log 2>log.err &
collector=$!
CLEANUP+=("kill -9 $collector")
wait_for 20 grep -q '"listening"' log
port=$(sed -n 's/.*"listening", "text": "127.0.0.1:\([0-9]*\)".*/\1/p' log)
cat attack - >task <<T
base=0xfed80000 # where QEMU has its registers
echo "@@ registers \$(pcipoke 0 mem:0xfed80018) \$(edu read \$base) \$(edu write 0xfed80018 0)"
echo "@@ after \$(edu read \$own)"
echo "@@ tables \$(ls /sys/firmware/acpi/tables | tr '\n' ' ')"
echo "@@ vendors \$(cat /sys/bus/pci/devices/*/vendor | tr '\n' ' ')"
for try in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/sda ] && [ -b /dev/nvme0n1 ] && break; sleep 0.3; done
diskload /dev/nvme0n1 $seed 80 || echo "@@ load failed"
diskload /dev/sda 1$seed 60 || echo "@@ load failed"
echo "@@ at last \$(edu read \$own)"
T
MACHINE_SMP=2 MACHINE_CONFIG="nic 00:06.0
address 10.0.2.15
collector 10.0.2.2
port $port
sensor endpoint
trim_reads_zeros 1
key $(<key)" run task -device amd-iommu,pt=off -drive file=nvme.img,format=raw,if=none,id=nvme,discard=unmap \
  -device nvme,drive=nvme,serial=CHV0001,addr=5 -drive file=sata.img,format=raw,if=none,id=sata,discard=unmap \
  -device ide-hd,drive=sata,bus=ide.1,serial=CHV0002 -netdev user,id=net -device e1000e,netdev=net,addr=6,romfile=
said "^visor: iommu: 1, the hypervisor's$"
said '^@@ self 0123456789abcdef$'
for what in image written after 'at last'; do said "^@@ $what 0000000000000000$"; done
[[ $(in_memory) != "$mark" ]] || fail "the device wrote into the hypervisor's memory"
said '^@@ registers ffffffff 0000000000000000 done$'
said '^@@ tables .*FACP'
! grep -a '^@@ tables .*IVRS' machine/console || fail "the guest knows of the IOMMU"
! grep -a '^@@ vendors .*0x1022' machine/console || fail "the guest sees the IOMMU's PCI function"
! grep -a '^@@ load failed' machine/console || fail "the load"
said '^visor: wire: .* 0 lost'
kill "$collector"
wait "$collector" || { cat log log.err >&2; fail "the collector failed"; }
for disk in nvme:CHV0001n1 sata:CHV0002; do
  chronovisor restore --store store --space "disk:${disk#*:}" -o restored.img --force >/dev/null || fail "restore $disk"
  cmp restored.img "${disk%:*}.img" || fail "$disk: the store is not what was written"
done
python3 - log <<'P' || fail "gaps, or frames that are not the sensor's"
import json, sys
last = json.loads(open(sys.argv[1]).readlines()[-1])
print(last)
sys.exit(any(last[k] for k in ("gaps", "forged", "malformed")))
P
