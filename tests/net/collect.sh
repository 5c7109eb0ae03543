#!/usr/bin/env bash
# A sensor, a bad network, and a collector that is killed five times: the store holds every block and nothing else.
source "${CHV_SOURCE:?}/tests/functions.sh"
requires openssl python3
openssl rand -hex 32 >key && chmod 600 key
seed=${CHV_SEED:-$RANDOM}
echo "seed $seed"

# collect STORE OPTION…: start one in the background and wait until it listens; its pid in $collector, its port in ./port
collect() {
  local store=$1; shift
  rm -f log
  "$BUILD/cli/chronovisor" collect --udp 127.0.0.1:0 --key key --store "$store" --json "$@" >log 2>log.err &
  collector=$!
  CLEANUP+=("kill -9 $collector")
  wait_for 20 grep -q '"listening"' log
  sed -n 's/.*"listening", "text": "127.0.0.1:\([0-9]*\)".*/\1/p' log >port.tmp && mv port.tmp port
}
counter() { python3 -c 'import json,sys; print(json.loads(open("log").readlines()[-1])[sys.argv[1]])' "$1"; }
finish() { kill "$collector"; wait "$collector" || { cat log log.err >&2; fail "the collector failed"; }; }
# whole STORE IMAGE: the recorded disk is the image
whole() {
  chronovisor restore --store "$1" --space disk:nvme0n1 -o restored.img --force >/dev/null
  cmp restored.img "$2" || fail "$1 is not what was written"
  chronovisor verify --store "$1" >verified || { cat verified; fail "$1 does not verify"; }
}

case ${1:-plain} in
plain)
  for block in 4096 512; do
    collect "s$block" --rest zero --block-size $block
    "$BUILD/tests/net/test-sensor" 127.0.0.1 "$(<port)" key 512 3000 "$seed" "i$block" 0 sectors >sent
    finish
    [[ $(counter records) == 3000 && $(counter gaps) == 0 && $(counter forged) == 0 && $(counter malformed) == 0 ]] || { cat log; fail "counters"; }
    whole "s$block" "i$block"
  done
  # search and detect see a store like any other; the space need not be named
  head -c 65536 i4096 >part
  chronovisor search --store s4096 --no-names part >found || { cat found; fail "search finds nothing"; }
  chronovisor stats --store s4096 >stats
  chronovisor events --store s4096 --json >events
  grep -m 1 '"write"' events | sed 's/.*"hash": "\([0-9a-f]*\)".*/\1 bad/' >watch
  chronovisor detect --store s4096 --watch watch >alarms 2>err || { cat err; fail "detect does not see a listed block"; }
  [[ -s alarms ]] || fail "no alarm"
  # and it sees what is being collected
  collect live --rest zero
  "$BUILD/cli/chronovisor" detect --store live --watch watch --follow --from seq:1 >live.alarms 2>live.err &
  detector=$!
  CLEANUP+=("kill -9 $detector")
  "$BUILD/tests/net/test-sensor" 127.0.0.1 "$(<port)" key 512 3000 "$seed" ilive 0 sectors >sent
  wait_for 20 grep -q '"alarm"' live.alarms
  finish
  kill "$detector"; wait "$detector" || { cat live.err; fail "detect --follow"; }
  # frames that are forged or played back are counted and change nothing
  python3 "$SOURCE/tests/net/proxy.py" port port-proxy 10 10 20 100 "$seed" &
  CLEANUP+=("kill $!")
  wait_for 10 test -s port-proxy
  collect hostile --rest zero
  "$BUILD/tests/net/test-sensor" 127.0.0.1 "$(<port-proxy)" key 512 2000 "$seed" ihostile 0 sectors >sent
  finish
  (($(counter forged) > 10 && $(counter replayed) > 20 && $(counter malformed) > 0 && $(counter records) == 2000 && $(counter gaps) == 0)) ||
    { tail -n 1 log; fail "counters of a hostile network"; }
  whole hostile ihostile
  # another sensor with the same key has no business here
  collect hostile
  ! SENSOR=other timeout 2 "$BUILD/tests/net/test-sensor" 127.0.0.1 "$(<port)" key 512 20 "$seed" img >sent 2>&1 || fail "another sensor was taken"
  finish
  grep -q '"hostile"' log || fail "nobody was told"
  (($(counter refused) > 0 && $(counter records) == 0)) || { cat log; fail "another sensor was taken"; }
  whole hostile ihostile
  # a second stream of the same sensor: what was between is not known, unless somebody vouches for it
  collect s4096
  "$BUILD/tests/net/test-sensor" 127.0.0.1 "$(<port)" key 512 50 "$seed" again >sent
  finish
  [[ $(counter unobserved) == 1 && $(counter records) == 50 ]] || { cat log; fail "a gap between streams"; }
  expect_exit 2 chronovisor restore --store s4096 --space disk:nvme0n1 -o restored.img --force
  collect s512 --between trust
  "$BUILD/tests/net/test-sensor" 127.0.0.1 "$(<port)" key 512 50 "$seed" again >sent
  finish
  chronovisor restore --store s512 --space disk:nvme0n1 -o restored.img --force >/dev/null
  chronovisor verify --store s512 >/dev/null
  # nothing is known of the rest of blocks that are written in part
  collect unknown
  "$BUILD/tests/net/test-sensor" 127.0.0.1 "$(<port)" key 64 300 "$seed" img 0 sectors >sent
  finish
  (($(counter partial_unknown) > 0 && $(counter gaps) == $(counter partial_unknown))) || { cat log; fail "parts of unknown blocks"; }
  # bad input
  one_line_error chronovisor collect --udp 127.0.0.1:0 --key key
  one_line_error chronovisor collect --udp 127.0.0.1 --key key --store x
  one_line_error chronovisor collect --udp 127.0.0.1:0 --key nokey --store x
  echo abc >short && chmod 600 short
  one_line_error chronovisor collect --udp 127.0.0.1:0 --key short --store x
  chmod 644 key
  one_line_error chronovisor collect --udp 127.0.0.1:0 --key key --store x
  chmod 600 key
  [[ ! -e x ]] || fail "a store was made for nothing"
  ;;
kill)
  for block in 4096 512; do
    rm -f port port-proxy
    python3 "$SOURCE/tests/net/proxy.py" port port-proxy 10 10 20 5 "$seed" &
    proxy=$!
    CLEANUP+=("kill $proxy")
    wait_for 10 test -s port-proxy
    collect "k$block" --rest zero --block-size $block
    "$BUILD/tests/net/test-sensor" 127.0.0.1 "$(<port-proxy)" key 1024 12000 "$seed" "i$block" 1200 sectors >sent &
    sensor=$!
    CLEANUP+=("kill $sensor")
    for _ in 1 2 3 4 5; do
      sleep 0."$((RANDOM % 8 + 2))"
      kill -9 "$collector"
      wait "$collector" || true
      collect "k$block"
      sleep 1.2
    done
    wait "$sensor" || { cat log log.err; fail "the sensor failed"; }
    finish
    kill "$proxy"
    cat sent
    tail -n 1 log
    whole "k$block" "i$block"
    [[ $(counter gaps) == 0 && $(counter missing) == 0 && $(counter bad_records) == 0 ]] || fail "gaps"
    # each record is one event, or with 512-byte blocks a row of them
    chronovisor events --store "k$block" --space disk:nvme0n1 --json >events
    python3 - "$block" <<'PYTHON' || fail "records were doubled or lost"
import json, sys
rows = [json.loads(line) for line in open("events")]
wire = [e for e in rows if e["op"] in ("write", "read", "zero", "trim", "flush") and "continued" not in e.get("flags", "")]
print(len(wire), "records in the log")
sys.exit(len(wire) != 12000)
PYTHON
  done
  ;;
esac
