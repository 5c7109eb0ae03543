#!/usr/bin/env bash
# The collector asks a sensor for memory: all of it, a part, what page tables map. The store's spaces are what the memory was.
source "${CHV_SOURCE:?}/tests/functions.sh"
requires openssl python3
openssl rand -hex 32 >key && chmod 600 key
seed=${CHV_SEED:-$RANDOM}
echo "seed $seed"

collect() { # STORE OPTION…
  local store=$1; shift
  rm -f log
  "$BUILD/cli/chronovisor" collect --udp 127.0.0.1:0 --key key --store "$store" --json --rest zero "$@" >log 2>log.err &
  collector=$!
  CLEANUP+=("kill -9 $collector")
  wait_for 20 grep -q '"listening"' log
  port=$(sed -n 's/.*"listening", "text": "127.0.0.1:\([0-9]*\)".*/\1/p' log)
}
sensor() { # IMAGE [SLOW]
  rm -f in table
  mkfifo in
  "$BUILD/tests/net/test-memory-sensor" 127.0.0.1 "$port" key "$seed" "$@" <in >table &
  sensor=$!
  CLEANUP+=("kill -9 $sensor")
  exec 7>in
  wait_for 10 test -s table
}
finish() { exec 7>&-; wait "$sensor" || fail "the sensor failed"; kill "$collector"; wait "$collector" || { cat log log.err >&2; fail "the collector failed"; }; }
counter() { python3 -c 'import json,sys; print(json.loads(open("log").readlines()[-1])[sys.argv[1]])' "$1"; }
ram_is() { # STORE IMAGE
  rm -f ram.raw
  chronovisor restore --store "$1" --space ram -o ram.raw >/dev/null
  python3 - "$2" <<'P' || fail "the store's memory is not what the sensor had"
import sys
ram, image = open("ram.raw", "rb"), open(sys.argv[1], "rb").read()
ram.seek(0x10000000)
sys.exit(ram.read(len(image)) != image)
P
}

for block in 4096 512; do
  collect s$block --block-size $block
  sensor i$block
  chronovisor acquire ram --visor --store s$block --json >ram.json || fail "acquire ram"
  python3 -c 'import json; r = json.load(open("ram.json")); assert r["pages"] == 23 * 256 and r["seq"] > 0, r'
  ram_is s$block i$block
  chronovisor acquire process --visor --cr3 "$(cut -d" " -f1 table)" --store s$block --json >process.json || fail "acquire process"
  python3 -c 'import json; r = json.load(open("process.json")); assert r["pages"] == 512 and r["space"] == "proc:cr3-10000000", r'
  if [[ $block == 4096 ]]; then
    # tables that never end: the sensor ends, and everybody says so
    chronovisor acquire process --visor --cr3 "$(cut -d' ' -f2 table)" --store s$block --json >endless.json 2>endless.err || fail "endless tables"
    python3 -c 'import json; r = json.load(open("endless.json")); assert 150 < r["pages"] < 300 and r["cut"] and not r["unlisted"], r'
    grep -q '^note: the page tables map, or lead to, more' endless.err || { cat endless.err; fail "no word of it"; }
    chronovisor restore --store s$block --space map:cr3-10258000 -o endless.text >/dev/null || fail "no map"
    grep -qa '"truncated":true' endless.text || { cat endless.text; fail "the map does not say that it is a part"; }
    one_line_error chronovisor acquire process --visor --cr3 "$(cut -d' ' -f3 table)" --store s$block
  fi
  chronovisor acquire ram --visor --range 10000000-10002000 --store s$block >part
  grep -q '^ram: 2 pages recorded' part || { cat part; fail "a range"; }
  finish
  [[ $(counter gaps) == 0 && $(counter malformed) == 0 && $(counter bad_records) == 0 && ! -e s$block/collect.sock ]] || { cat log; fail "counters"; }
  chronovisor verify --store s$block >/dev/null || fail "verify"
  python3 - s$block i$block $block <<'P' || fail "the process"
import json, subprocess, sys
store, image, block = sys.argv[1], open(sys.argv[2], "rb").read(), int(sys.argv[3])
chronovisor = [__import__("os").environ["CHV_BUILD"] + "/cli/chronovisor"]
def blocks(space):
    out = subprocess.run(chronovisor + ["events", "--store", store, "--space", space, "--json"], capture_output=True, check=True).stdout
    return [json.loads(line) for line in out.splitlines()]
found = [e for e in blocks("proc:cr3-10000000") if e["op"] in ("found", "zero")]
assert found, "no pages"
subprocess.run(chronovisor + ["restore", "--store", store, "--space", "map:cr3-10000000", "-o", "map.text", "--force"], capture_output=True, check=True)
lines = [json.loads(l) for l in open("map.text").read().rstrip("\0").splitlines()]
assert lines[0]["road"] == "visor" and lines[0]["cr3"] == "0x10000000" and lines[0]["bytes"] == 512 * 4096, lines[0]
assert [(l["start"], l["pages"], l["flags"]) for l in lines[1:]] == [("0x400000", 256, "r-xu--"), ("0x500000", 256, "rw-u--")], lines
import hashlib
want = {}
for i in range(512):
    page = image[(511 - i + 4) * 4096:][:4096]
    for at in range(0, 4096, block):
        want[0x400000 + i * 4096 + at] = hashlib.sha256(page[at:at + block]).hexdigest() if any(page) else None
have = {}
for e in found:
    for at in range(e["lba"] * 512, (e["lba"] + e["sectors"]) * 512, block):
        have[at] = e.get("hash") if e["op"] == "found" else None
assert have == want, (len(have), len(want))
P
done

# what the capture was, and another collector that goes on with this store: its records count on
python3 - <<'P' || fail "the description"
import json, subprocess, os
c = [os.environ["CHV_BUILD"] + "/cli/chronovisor"]
e = [json.loads(l) for l in subprocess.run(c + ["events", "--store", "s4096", "--space", "capture:ram", "--json"], capture_output=True, check=True).stdout.splitlines()]
assert len([x for x in e if x["op"] == "found"]) == 2, e
P
collect s4096 --between trust
sensor i2 5
# somebody else's business; and one who does not wait for the end
(chronovisor acquire ram --visor --store s4096 >/dev/null 2>&1 & echo $! >pid; wait) || true &
wait_for 10 grep -q '"asked"' log
kill -INT "$(<pid)" 2>/dev/null || kill "$(<pid)"
finish
[[ $(counter malformed) == 0 ]] || { cat log; fail "counters"; }
chronovisor verify --store s4096 >/dev/null || fail "verify"

# nobody is there
one_line_error chronovisor acquire ram --visor --store s4096
one_line_error chronovisor acquire ram --visor --store nowhere
one_line_error chronovisor acquire ram --visor --qmp x --store s4096
one_line_error chronovisor acquire ram --range 0-1000 --qmp x --store s4096
one_line_error chronovisor acquire ram --visor --range 5-9 --store s4096
one_line_error chronovisor acquire ram --visor --cr3 1000 --store s4096
one_line_error chronovisor acquire process --visor --store s4096
one_line_error chronovisor acquire process --visor --pid 5 --store s4096
one_line_error chronovisor acquire process --visor --cr3 xyz --store s4096
[[ ! -e nowhere ]] || fail "a store was made for nothing"
