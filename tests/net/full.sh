#!/usr/bin/env bash
# The collector's disk is full: it ends and says so; the sensor waits, and goes on where the store ended once there is room.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
requires openssl unshare
if [[ -z ${CHV_IN_MOUNT_SPACE:-} ]]; then
  unshare -m true 2>/dev/null || skip "no mount name spaces here"
  CHV_IN_MOUNT_SPACE=1 unshare -m bash "$SOURCE/tests/net/full.sh"
  exit
fi
openssl rand -hex 32 >key && chmod 600 key
mkdir st
mount -t tmpfs -o size=22M tmpfs st
CLEANUP+=("umount -l $WORK/st")
# collect PORT: in the background, with a queue that leaves room for evidence
collect() {
  rm -f log
  "$BUILD/cli/chronovisor" collect --udp "127.0.0.1:$1" --key key --store st/e --rest zero --queue 4M --json >log 2>err &
  collector=$!
  CLEANUP+=("kill -9 $collector")
  wait_for 20 grep -q '"listening"' log
  port=$(sed -n 's/.*"listening", "text": "127.0.0.1:\([0-9]*\)".*/\1/p' log)
}
collect 0
SENSOR_CONTENT=unique "$BUILD/tests/net/test-sensor" 127.0.0.1 "$port" key 4096 8000 7 image 0 >sent &
sensor=$!
CLEANUP+=("kill $sensor")
code=0
wait "$collector" || code=$?
[[ $code == 2 ]] || { cat log err; fail "exit $code with a full disk"; }
grep -q 'No space left' err || { cat err; fail "the reason was not said"; }
kill -0 "$sensor" || fail "the sensor did not wait"
mount -o remount,size=200M st
collect "$port" # the sensor knows only this port
wait "$sensor" || fail "the sensor failed"
kill "$collector"
wait "$collector" || fail "the collector failed"
grep -q '"gaps": 0, "unobserved": 0, "missing": 0' log || { cat log; fail "gaps"; }
chronovisor verify --store st/e >verified || { cat verified; fail "verify"; }
chronovisor restore --store st/e -o restored >/dev/null
cmp restored image
