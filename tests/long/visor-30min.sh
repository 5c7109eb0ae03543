#!/usr/bin/env bash
# visor-30min.sh [MINUTES [PROCESSORS [KILLS]]]: half an hour of mixed load on an NVMe and a SATA disk of a watched machine with two processors,
# recorded over the wire, while the collector is killed five times (SIGKILL) and started again after 2 to 10 s. Nothing may be lost: the
# views are the disks, the log has no gap, the store verifies.
#
# By hand: CHV_BUILD=build-debug tests/long/visor-30min.sh. Takes some 4 GiB below TMPDIR.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export CHV_SOURCE=${CHV_SOURCE:-$here} CHV_BUILD=${CHV_BUILD:-$here/build-debug}
source "$CHV_SOURCE/tests/functions.sh"
source "$SOURCE/tests/visor/machine.sh"
source "$SOURCE/tests/visor/load.sh"
requires qemu-system-x86_64 busybox cpio clang lld-link openssl python3 fio mke2fs
minutes=${1:-30} processors=${2:-2} kills=${3:-5}
machine_build machine --files "$SOURCE/tests/guest/stress.c"
load_tools tools.img
openssl rand -hex 32 >key && chmod 600 key
load_collect store --rest zero

truncate -s 48M nvme.img sata.img
{
  load_task
  cat <<T
until_end() { seed=\$2; while [ "\$(cut -d. -f1 /proc/uptime)" -lt "\$end" ]; do load "\$1" "\$seed" 300; seed=\$((seed + 2)); done; }
end=\$((\$(cut -d. -f1 /proc/uptime) + 60 * $minutes))
echo "@@ begin"
until_end nvme0n1 1 & until_end sda 2 & wait
echo "@@ complaints \$(dmesg | grep -ciE 'timeout|reset|error|stall|lockup')"
dmesg | grep -iE 'timeout|reset|error|stall|lockup' | head -n 20
T
} >task
# machine_run waits; the killing goes on meanwhile, from when the load begins
MACHINE_SECONDS=$((60 * minutes + 900)) MACHINE_SMP=$processors MACHINE_CONFIG=$(load_config) machine_run machine task "${LOAD_DEVICES[@]}" \
  -drive "$(machine_logged nvme.img),id=n" -device nvme,drive=n,serial=N1 \
  -drive "$(machine_logged sata.img),id=s" -device ide-hd,drive=s,bus=ide.0,serial=S1 &
machine=$!
CLEANUP+=("pkill -P $machine timeout") # which ends QEMU
wait_for 600 grep -qa '^@@ begin' machine/console
for ((kill = 1; kill <= kills; kill++)); do
  sleep $((60 * minutes / (kills + 1)))
  kill -9 "$collector"
  wait "$collector" 2>/dev/null || true
  echo "$(date +%T) killed the collector, $kill of $kills: $(grep -ac '^@@ loaded' machine/console) loads, $(du -sm store | cut -f1) MiB"
  sleep $((2 * kill))
  load_collect store
done
wait "$machine" || fail "the machine"
grep -a '^@@ complaints' -A 20 machine/console
grep -a '^visor: wire' machine/console
! grep -a -A 20 '^@@ load failed' machine/console || fail "the load"
grep -qa '^visor: wire: .* 0 lost' machine/console || fail "the wire"
kill "$collector"
wait "$collector" || { cat log log.err >&2; fail "the collector failed"; }
tail -n 1 log
load_sound
load_compare store disk:N1n1 nvme.img
load_compare store disk:S1 sata.img
chronovisor verify --store store || fail "verify"
chronovisor events --store store --json | python3 -c '
import collections, json, sys
ops = collections.Counter(json.loads(line)["op"] for line in sys.stdin)
print(dict(ops))
sys.exit("gap" in ops)' || fail "gaps in the log"
echo "$(grep -ac '^@@ loaded' machine/console) loads in $minutes minutes on $processors processors, $kills kills: the views are the disks, no gap"
