# Seeded runs of load on NVMe and SATA disks, 32 requests at once, recorded over the wire: each disk's view at the end is its image.
#
#   runs.sh [SEEDS [FIRST [PROCESSORS [LOSS]]]]   FIRST 0: any; LOSS in 1000: so many frames are lost, so many come twice, three times as
#                                                 many late
#
# A seed is a disk: half of them NVMe, half SATA, at most ten in one boot, a pair at a time.
source "$CHV_SOURCE/tests/functions.sh"
MACHINE_SECONDS=${MACHINE_SECONDS:-500}
source "$SOURCE/tests/visor/machine.sh"
source "$SOURCE/tests/visor/load.sh"
requires qemu-system-x86_64 busybox cpio clang lld-link openssl python3 fio mke2fs
[[ -f $OVMF/OVMF_CODE_4M.fd ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs the package ovmf"; skip "needs the package ovmf"; }
seeds=${1:-2} first=${2:-0} processors=${3:-1} loss=${4:-0}
((first)) || first=${CHV_SEED:-$((RANDOM + 1))}
((seeds % 2 == 0 && seeds <= 10)) || fail "SEEDS: 2 to 10, two a pair"
echo "seeds $first to $((first + seeds - 1)), $processors processors, loss $loss in 1000"
machine_build machine --files "$SOURCE/tests/guest/stress.c"
load_tools tools.img
openssl rand -hex 32 >key && chmod 600 key
load_collect store --rest zero
if ((loss)); then load_network "$loss" "$loss" $((3 * loss)) "$first"; fi

disks=() pair=0
load_task >task
echo "echo \"@@ depth \$(cat /sys/block/sda/device/queue_depth)\"" >>task
for ((seed = first; seed < first + seeds; seed += 2, pair++)); do
  truncate -s 48M "nvme$seed.img" "sata$((seed + 1)).img"
  disks+=(-drive "$(machine_logged "nvme$seed.img"),id=n$seed" -device "nvme,drive=n$seed,serial=N$seed,addr=$(printf %x $((16 + pair)))"
    -drive "$(machine_logged "sata$((seed + 1)).img"),id=s$seed" -device "ide-hd,drive=s$seed,bus=ide.$pair,serial=S$((seed + 1))")
  echo "load nvme${pair}n1 $seed & load sd$(printf "\x$((61 + pair))") $((seed + 1)) & wait" >>task
done
MACHINE_SMP=$processors MACHINE_CONFIG=$(load_config) machine_run machine task "${LOAD_DEVICES[@]}" "${disks[@]}"
! grep -a -A 20 '^@@ load failed' machine/console || fail "the load"
grep -qa '^@@ depth 32' machine/console || fail "SATA commands are not queued"
[[ $(grep -ac '^@@ loaded' machine/console) == "$seeds" ]] || { cat machine/console >&2; fail "not every load was run"; }
grep -a '^visor: wire: .* 0 lost' machine/console || { grep -a '^visor' machine/console; cat log >&2; fail "the wire"; }
kill "$collector"
wait "$collector" || { cat log log.err >&2; fail "the collector failed"; }
tail -n 1 log
load_sound
for ((seed = first; seed < first + seeds; seed += 2)); do
  load_compare store "disk:N${seed}n1" "nvme$seed.img"
  load_compare store "disk:S$((seed + 1))" "sata$((seed + 1)).img"
done
chronovisor verify --store store >/dev/null || fail "verify"
echo "$seeds runs are byte for byte what the disks hold; the guest was off after $(sed -n 's/^@@ loaded .* \([0-9.]*\)$/\1/p' machine/console | tail -n 1) s"
