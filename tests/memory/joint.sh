# Disk and memory of one instant, into one store that a recorder is writing: a program in the guest writes one counter to memory and then to
# the disk, past every cache; at the captured instant both agree. Over NBD and over vhost-user; paused and cow.
source "$CHV_SOURCE/tests/functions.sh"
requires qemu-system-x86_64 busybox cpio python3 nbdkit "${CC:-cc}"
source "$SOURCE/tests/guest/guest.sh"
RECORD=
end_record() { [[ -z $RECORD ]] || kill "$RECORD" 2>/dev/null || true; }
CLEANUP+=(guest_kill end_record)
guest_build guest
qmp() { python3 "$SOURCE/tests/memory/qmp_client.py" "$WORK/q" "$@"; }
field() { python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$1" "$2"; }
status() { qmp query-status | python3 -c 'import json,sys; print(json.load(sys.stdin)["status"])'; }
"${CC:-cc}" "${GUEST_CFLAGS[@]}" -o counter "$SOURCE/tests/memory/counter.c"
{ echo 'cp /files/counter /run/; /run/counter 64 0 /dev/vda & sleep 1; mark counting'; } >task
GUEST_FILES=(counter)

boot() { # boot QEMU-ARGUMENT...
  rm -f q
  GUEST_MEMORY=160M guest_start guest task -object memory-backend-memfd,id=m,size=160M,share=on -machine memory-backend=m \
    -qmp "unix:$WORK/q,server=on,wait=off" "$@"
  guest_until mark counting
}
# cow is tested where QEMU's dirty log can be trusted (tests/memory/cow.sh)
if_cow() { chronovisor acquire ram --qmp q --store cow-possible --mode cow >/dev/null 2>&1 && echo cow || echo paused; }
captured() { # captured STORE MODE: at the instant that is printed, and at its time, memory and disk agree
  chronovisor acquire ram --qmp q --store "$1" --mode "$2" --json >joint.json
  [[ $(field joint.json joined) == True && $(field joint.json complete) == True && $(status) == running ]] || fail "joint.json"
  local at
  at=seq:$(field joint.json instant_seq)
  chronovisor restore --store "$1" --space disk:vda --at "$at" -o disk.raw --force >/dev/null
  chronovisor restore --store "$1" --space ram --at "$at" -o ram.raw --force >/dev/null
  python3 "$SOURCE/tests/memory/check_counter.py" ram.raw disk.raw || fail "$2: disk and memory are of different instants"
  chronovisor memory export --store "$1" --at "$at" --format raw -o export.raw --force --json >export.json
  python3 "$SOURCE/tests/memory/check_counter.py" export.raw disk.raw >/dev/null || fail "$2: export"
  [[ $(field export.json complete) == True ]] || fail "export: not complete"
}

truncate -s 16M disk.img
"$BUILD/cli/chronovisor" record --disk disk.img --store s --socket "$WORK/nbd" >/dev/null 2>record.err &
RECORD=$!
wait_for 10 test -S nbd
boot -blockdev "driver=nbd,node-name=vda,server.type=unix,server.path=$WORK/nbd,export=vda" -device virtio-blk-pci,drive=vda
captured s paused
first=$(field joint.json instant_seq)
captured s "$(if_cow)"
rm -rf cow-possible
second=$(field joint.json instant_seq)
((first < second)) || fail "instants"
# as of the first instant memory is still that of the first; and before there was none
chronovisor restore --store s --space ram --at "seq:$first" -o ram.raw --force >/dev/null
chronovisor restore --store s --space disk:vda --at "seq:$first" -o disk.raw --force >/dev/null
python3 "$SOURCE/tests/memory/check_counter.py" ram.raw disk.raw >/dev/null || fail "the first instant, later"
[[ $(chronovisor ps --store s --at "seq:$first" --json | grep -c '"counter"') == 1 ]] || fail "ps"
head -c 65536 counter >part
expect_exit 0 chronovisor search part --fragment --store s --space ram --at "seq:$first"
chronovisor diff --store s --space ram --from "seq:$first" --to "seq:$second" >/dev/null
# one process of that instant, through the recorder as well: the same as into a store of its own; a second time nothing is new
pid=$(chronovisor ps --store s --at "seq:$second" --json | python3 -c 'import json,sys
print(next(p["pid"] for p in map(json.loads, sys.stdin) if p["name"] == "counter"))')
found() { chronovisor events --store "$1" --space "proc:$pid" --op found --json | python3 -c 'import json,sys
for e in map(json.loads, sys.stdin): print(e["lba"], e["hash"])' | sort; }
chronovisor memory export --store s --at "seq:$second" --format raw -o second.raw --json >/dev/null
chronovisor acquire process --image second.raw --pid "$pid" --store alone --json >alone.json
chronovisor acquire process --store s --at "seq:$second" --pid "$pid" --json >process.json
[[ $(field process.json joined) == True && $(field alone.json joined) == False && $(field process.json pages) -gt 64 ]] || fail "process: $(<process.json)"
found s >found.joined
found alone >found.alone
[[ -s found.alone ]] || fail "nothing was found"
cmp found.joined found.alone || fail "the process through the recorder differs"
chronovisor spaces --store s --json | grep -q "\"map:$pid\"" || fail "no map"
chronovisor acquire process --qmp q --pid "$pid" --store s --json >process.json # and out of the running guest
[[ $(field process.json joined) == True ]] || fail "process, live: $(<process.json)"
found s >again
[[ $(wc -l <again) -lt $(($(wc -l <found.joined) + 64 + 32)) ]] || fail "more than what changed: $(wc -l found.joined again)"
rm -f second.raw
# who imports is told whose the store is
one_line_error chronovisor import snapshot disk.img --at now --space disk:other --store s
grep -q 'stop that first\|into another store' err || fail "import: $(<err)"
chronovisor acquire ram --qmp q --store s --json >live.json
[[ $(field live.json mode) == live && $(field live.json joined) == True ]] || fail "live"
# who joins is killed: the recorder goes on, the next one is served
timeout -s KILL 0.3 "$BUILD/cli/chronovisor" acquire ram --qmp q --store s >/dev/null 2>&1 || true
captured s paused
kill -0 "$RECORD" || fail "the recorder ended"
guest_kill
wait "$GUEST_PID" 2>/dev/null || true
kill "$RECORD"
wait "$RECORD" || fail "record: $(<record.err)"
[[ ! -e s/join.sock ]] || fail "a socket is left behind"
chronovisor verify --store s >/dev/null
mv s first-store

truncate -s 16M disk2.img
"$BUILD/cli/chronovisor" record --disk disk2.img --vhost-user "$WORK/vhost" --store v >/dev/null 2>record.err &
RECORD=$!
wait_for 10 test -S vhost
boot -chardev "socket,id=c,path=$WORK/vhost" -device vhost-user-blk-pci,chardev=c
captured v paused
captured v "$(if_cow)"
rm -rf cow-possible
guest_kill
wait "$GUEST_PID" 2>/dev/null || true
kill "$RECORD"
wait "$RECORD" || fail "record: $(<record.err)"
chronovisor verify --store v >/dev/null
rm -f ./*.raw
