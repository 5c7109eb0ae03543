# The whole way: Debian's NVMe driver writes under the hypervisor, whose own network card (which the guest does not see) sends what it saw
# to a collector; the collector's store, restored, is the disk. With one card on one processor that has page tables of five levels, which the
# guest uses; with another on two that have not, and with two disks of one serial number.
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
  # The second time there are two disks, which have the same serial number
  twin=()
  if [[ $processors == 2 ]]; then
    rm -f twin.img
    truncate -s 8M twin.img
    # shellcheck disable=SC2054 # commas that belong to one option
    twin=(-drive file=twin.img,format=raw,if=none,id=twin,discard=unmap
      -device nvme-subsys,id=other,nqn=twin -device nvme,id=nvme-twin,serial=CHV0001,subsys=other,addr=7 -device nvme-ns,drive=twin,bus=nvme-twin,nsid=1,shared=off)
    cat >>task <<T
for disk in /dev/nvme?n1; do [ \$(cat /sys/block/\${disk##*/}/size) = 16384 ] && { diskload \$disk 2$seed 60 || echo "@@ load failed"; }; done
T
    sed -i 's|^diskload /dev/nvme0n1|disk=/dev/nvme0n1; [ $(cat /sys/block/nvme0n1/size) = 65536 ] \|\| disk=/dev/nvme1n1; diskload $disk|' task
  fi
  MACHINE_CPU=$model MACHINE_SMP=$processors MACHINE_CONFIG="nic 00:06.0
address 10.0.2.15
collector 10.0.2.2
port $port
sensor endpoint
key $(<key)" machine_run machine task -drive file=disk.img,format=raw,if=none,id=disk,discard=unmap \
    -device nvme,drive=disk,serial=CHV0001,addr=5 "${twin[@]}" -netdev user,id=net -device "$card,netdev=net,addr=6,romfile="
  ! grep -a '^@@ load failed' machine/console || fail "$card: the load"
  grep -qa '^@@ network lo $' machine/console || { cat machine/console >&2; fail "$card: the guest sees the card"; }
  grep -qa "^@@ five levels $five\$" machine/console || { cat machine/console >&2; fail "$card: page tables"; }
  grep -a '^visor: wire: .* 0 lost' machine/console || { cat machine/console log >&2; fail "$card: the wire"; }
  kill "$collector"
  wait "$collector" || { cat log log.err >&2; fail "$card: the collector failed"; }
  # what the first of the twins is told under its serial number, before the other one is met, is no disk's any more: one gap
  [[ $(counter gaps) == $((processors - 1)) && $(counter forged) == 0 && $(counter malformed) == 0 ]] || { cat log; fail "$card: counters"; }
  if ((processors == 1)); then
    images=(disk:CHV0001n1=disk.img)
  else
    images=(disk:CHV0001n1-00.05.0.1=disk.img disk:CHV0001n1-00.07.0.1=twin.img)
    grep -a '^visor: disk 1:1 has no serial number of its own: it is disk:CHV0001n1-00.07.0.1$' machine/console || { cat machine/console >&2; fail "$card: the twins"; }
    chronovisor events --store "store-$card" --space disk:CHV0001n1 --json | grep -q '"op": "gap"' || fail "$card: the space that was given up has no gap"
  fi
  for image in "${images[@]}"; do
    chronovisor restore --store "store-$card" --space "${image%=*}" -o restored.img --force >/dev/null || { cat machine/console >&2; fail "$card: $image"; }
    cmp restored.img "${image#*=}" || fail "$card: the store is not what was written: $image"
  done
  chronovisor verify --store "store-$card" >/dev/null || fail "$card: verify"
  echo "$card on $processors: $(counter records) records"
  processors=2 model=EPYC,+svm,+npt five=0
done
