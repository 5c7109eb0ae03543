# The whole way: Debian's NVMe driver writes under the hypervisor, whose own network card (which the guest does not see) sends what it saw
# to a collector; the collector's store, restored, is the disk. With one card on one processor that has page tables of five levels, which the
# guest uses; with another on two that have not.
source "$CHV_SOURCE/tests/functions.sh"
source "$SOURCE/tests/visor/machine.sh"
requires qemu-system-x86_64 busybox cpio clang lld-link openssl python3
[[ -f $OVMF/OVMF_CODE_4M.fd ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs the package ovmf"; skip "needs the package ovmf"; }
machine_build machine "$SOURCE/tests/visor/diskload.c"
openssl rand -hex 32 >key && chmod 600 key
seed=${CHV_SEED:-$RANDOM}
echo "seed $seed"
counter() { python3 -c 'import json,sys; print(json.loads(open("log").readlines()[-1])[sys.argv[1]])' "$1"; }

processors=1 model=max,+svm,+npt five=1
for card in ${CARDS:-e1000e virtio-net-pci}; do
  rm -f log disk.img
  truncate -s 32M disk.img
  "$BUILD/cli/chronovisor" collect --udp 127.0.0.1:0 --key key --store "store-$card" --json --rest zero >log 2>log.err &
  collector=$!
  CLEANUP+=("kill -9 $collector")
  wait_for 20 grep -q '"listening"' log
  port=$(sed -n 's/.*"listening", "text": "127.0.0.1:\([0-9]*\)".*/\1/p' log)
  cat >task <<T
echo 0 >/proc/sys/kernel/printk
diskload /dev/nvme0n1 $seed ${REQUESTS:-400} || echo "@@ load failed"
echo "@@ five levels \$(grep -c -w la57 /proc/cpuinfo)"
echo "@@ network \$(ls /sys/class/net | tr '\n' ' ')"
T
  MACHINE_CPU=$model MACHINE_SMP=$processors MACHINE_CONFIG="nic 00:06.0
address 10.0.2.15
collector 10.0.2.2
port $port
sensor endpoint
key $(<key)" machine_run machine task -drive file=disk.img,format=raw,if=none,id=disk,discard=unmap \
    -device nvme,drive=disk,serial=CHV0001,addr=5 -netdev user,id=net -device "$card,netdev=net,addr=6,romfile="
  ! grep -a '^@@ load failed' machine/console || fail "$card: the load"
  grep -qa '^@@ network lo $' machine/console || { cat machine/console >&2; fail "$card: the guest sees the card"; }
  grep -qa "^@@ five levels $five\$" machine/console || { cat machine/console >&2; fail "$card: page tables"; }
  grep -a '^visor: wire: .* 0 lost' machine/console || { cat machine/console log >&2; fail "$card: the wire"; }
  kill "$collector"
  wait "$collector" || { cat log log.err >&2; fail "$card: the collector failed"; }
  [[ $(counter gaps) == 0 && $(counter forged) == 0 && $(counter malformed) == 0 ]] || { cat log; fail "$card: counters"; }
  space=$(chronovisor stats --store "store-$card" --json | grep -o 'disk:[A-Za-z0-9]*' | head -n 1)
  chronovisor restore --store "store-$card" --space "$space" -o restored.img --force >/dev/null
  cmp restored.img disk.img || fail "$card: the store is not what was written"
  chronovisor verify --store "store-$card" >/dev/null || fail "$card: verify"
  echo "$card on $processors: $(counter records) records"
  processors=2 model=EPYC,+svm,+npt five=0
done
