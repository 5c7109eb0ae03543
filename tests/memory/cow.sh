# A memory of one instant for a pause of milliseconds, of a guest that writes a counter into many pages all the time: every image obeys
# the counter's order. A guest that writes too fast is left alone; one whose observer is killed goes on.
# Where QEMU's dirty log is known to lose writes (TCG before 9.0) cow is refused, and only its way of working is tested, not the counter.
source "$CHV_SOURCE/tests/functions.sh"
requires qemu-system-x86_64 busybox cpio python3 "${CC:-cc}"
source "$SOURCE/tests/guest/guest.sh"
CLEANUP+=(guest_kill)
guest_build guest
qmp() { python3 "$SOURCE/tests/memory/qmp_client.py" "$WORK/q" "$@"; }
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }
status() { qmp query-status | python3 -c 'import json,sys; print(json.load(sys.stdin)["status"])'; }
"${CC:-cc}" "${GUEST_CFLAGS[@]}" -o counter "$SOURCE/tests/memory/counter.c"
{ echo 'cp /files/counter /run/; /run/counter 256 200 & mark slow'; echo 'kill $!; /run/counter 10000 0 & sleep 2; mark fast'; } >task
GUEST_FILES=(counter)
GUEST_MEMORY=192M guest_start guest task -object memory-backend-memfd,id=m,size=192M,share=on \
  -machine memory-backend=m,max-ram-below-4g=128M -qmp "unix:$WORK/q,server=on,wait=off"
guest_until mark slow
trust=() sound=true
if ! qmp query-kvm query-version | python3 -c 'import json,sys
kvm, version = (json.loads(line) for line in sys.stdin)
sys.exit(not (kvm["enabled"] or version["qemu"]["major"] >= 9))'; then
  one_line_error chronovisor acquire ram --qmp q --store s --mode cow
  grep -q -e '--mode paused' err || fail "names no way out: $(cat err)"
  trust=(--trust-dirty-log) sound=false
fi
in_order() { python3 "$SOURCE/tests/memory/check_counter.py" ram.raw || [[ $sound == false ]]; }
qmp query-migrate-capabilities query-migrate-parameters >before.json

for n in 1 2 3; do
  chronovisor acquire ram --qmp q --store s --mode cow "${trust[@]}" --max-pause 50 --json >cow.json
  [[ $(field cow.json mode) == cow && $(field cow.json complete) == True && $(status) == running ]] || fail "mode or status"
  (($(field cow.json pause_ns) > 0 && $(field cow.json begin_ns) == $(field cow.json end_ns))) || fail "instant"
  chronovisor memory export --store s --format raw -o ram.raw --force >/dev/null
  in_order || fail "not of one instant"
done
qmp query-migrate-capabilities query-migrate-parameters | cmp - before.json || fail "QEMU's settings for migration were changed"
[[ $(chronovisor events --store s --json | python3 -c '
import json, sys
print(len({e["time"] for e in map(json.loads, sys.stdin) if e["seq"] > int(sys.argv[1]) and e["op"] in ("found", "zero")}))' \
  "$(($(field cow.json last_seq) - $(field cow.json events)))") == 1 ]] || fail "an image of many instants"

# The same as QEMU's own, page by page, while nothing changes: it is stopped and copied then.
qmp stop >/dev/null
chronovisor acquire ram --qmp q --store s --mode cow "${trust[@]}" --json >still.json
[[ $(field still.json was_stopped) == True && $(field still.json pause_ns) == 0 && $(status) == paused ]] || fail "was stopped"
qmp cont >/dev/null

# Killed at any time: it goes on, now and later.
for delay in 0.1 0.2 0.3 0.4 0.5; do
  timeout -s KILL "$delay" "$BUILD/cli/chronovisor" acquire ram --qmp q --store s --mode cow "${trust[@]}" >/dev/null 2>&1 || true
  wait_for 10 eval '[[ $(status) == running ]]'
  sleep 0.3
  [[ $(status) == running ]] || fail "stands still after a kill"
done
timeout -s TERM 0.3 "$BUILD/cli/chronovisor" acquire ram --qmp q --store s --mode cow "${trust[@]}" >/dev/null 2>&1 || true
[[ $(status) == running ]] || fail "stands still after SIGTERM"
chronovisor acquire ram --qmp q --store s --mode cow "${trust[@]}" --max-pause 50 --json >again.json
[[ $(field again.json complete) == True ]] || fail "after kills"

# A guest that writes everything all the time: images of one instant, or it was never stopped and the way out is named.
guest_go
guest_until mark fast
for n in 1 2 3; do
  chronovisor acquire ram --qmp q --store s --mode cow "${trust[@]}" --max-pause 1 >cow.txt 2>err || break
  chronovisor memory export --store s --format raw -o ram.raw --force >/dev/null
  in_order || fail "not of one instant, of a guest that writes all the time"
  [[ $sound == true ]] || break
done
[[ ! -s err ]] || { [[ $(wc -l <err) == 1 ]] && grep -q -e '--mode paused' err; } || fail "names no way out: $(cat err)"
[[ $(status) == running ]] || fail "stands still"
chronovisor acquire ram --qmp q --store s --mode paused >/dev/null
chronovisor memory export --store s --format raw -o ram.raw --force >/dev/null
python3 "$SOURCE/tests/memory/check_counter.py" ram.raw >/dev/null || fail "paused: not of one instant"
chronovisor verify --store s >/dev/null
one_line_error chronovisor acquire ram --qmp q --store s --max-pause 5
one_line_error chronovisor acquire ram --qmp q --store s --mode cow --max-pause 0
rm -rf s
