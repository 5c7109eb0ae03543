# Known-bad content: block hashes and YARA rules on what is written, and lists that are not what they should be.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
source "$CHV_SOURCE/tests/sensor/functions.sh"
requires python3 sha256sum
head -c 4M /dev/urandom >d.img
head -c 4096 /dev/urandom >bad.block
head -c 4096 d.img >old.block
python3 - <<'PY'
import os
data = bytearray(os.urandom(5 * 4096))
data[4096 - 9:4096 - 9 + 18] = b"EVIL-ACROSS-BLOCKS"   # in no block alone
data[3 * 4096:3 * 4096 + 6] = b"MZEVIL"                # at the beginning of a block, not of the request
open("run", "wb").write(data)
PY
start_record --disk d.img
python3 "$SOURCE/tests/detect/attack.py" "$SOCKET" write 8192 bad.block write 40960 run write 81920 bad.block flush || fail "client"

# the old content of block 0 is on the list, but nobody wrote it
{ echo "# bad things"; sha256sum bad.block | sed 's/bad.block/the worst of all/'; sha256sum <old.block; } >list
expect_exit 0 chronovisor detect --store st --watch list
[[ $(wc -l <out) == 1 ]] || fail "not one alarm: $(cat out)"
grep -q '"rule":"the worst of all"' out && grep -q '"line":2' out && grep -q '"lba":16' out || fail "watch: $(cat out)"
grep -q '1 more hit' err || fail "the second block was not counted: $(cat err)"
python3 -c 'import json; a = json.loads(open("out").read()); assert a["alarm"] == "watch" and a["began_ns"] == a["time_ns"]'

cat >rules.yar <<'YAR'
rule across { strings: $a = "EVIL-ACROSS-BLOCKS" condition: $a }
rule head { strings: $a = "MZEVIL" condition: $a at 0 }
rule never { strings: $a = "this is nowhere on the disk" condition: $a }
YAR
expect_exit 0 chronovisor detect --store st --yara rules.yar
python3 - <<'PY' || fail "yara: $(cat out)"
import json
alarms = {a["rule"]: a for a in map(json.loads, open("out"))}
assert set(alarms) == {"across", "head"}, alarms.keys()
assert alarms["head"]["lba"] == 40960 // 512 + 24, alarms["head"]
assert all(a["alarm"] == "yara" and a["list"] == "rules.yar" for a in alarms.values())
PY
# live as well, from here on however late it begins
seen=$(chronovisor info --store st --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["last_seq"])')
"$BUILD/cli/chronovisor" detect --store st --watch list --yara rules.yar --follow --from "seq:$((seen + 1))" >live.out 2>live.err &
detector=$!
CLEANUP+=("kill -9 $detector")
python3 "$SOURCE/tests/detect/attack.py" "$SOCKET" write 1048576 bad.block write 2097152 run || fail "client"
wait_for 10 bash -c '(($(wc -l <live.out) >= 3))'
kill -TERM "$detector"; wait "$detector"
[[ $(wc -l <live.out) == 3 ]] || fail "live: $(cat live.out)"

# a rule that would take for ever is stopped and counted, and the next block is looked at
for word in SLOW EVIL; do { echo $word; head -c 4000 /dev/zero; } >$word.block; done
printf 'space disk:vda 1048576 zero\nat 1\nwrite 8 SLOW.block\nat 2\nwrite 80 EVIL.block\nflush\n' | "$BUILD/tests/search/synth" slow 4096
cat >slow.yar <<'YAR'
rule slow { strings: $s = "SLOW" condition: $s and for all i in (0..100000000000) : ( i >= 0 ) }
rule evil { strings: $e = "EVIL" condition: $e }
YAR
began=$SECONDS
expect_exit 0 chronovisor detect --store slow --yara slow.yar
((SECONDS - began >= 4 && SECONDS - began < 40)) || fail "the scan took $((SECONDS - began)) s"
grep -q '1 scans took too long' err || fail "a scan that was stopped is not counted: $(cat err)"
[[ $(wc -l <out) == 1 && $(cat out) == *'"rule":"evil"'* ]] || fail "after a scan that was stopped: $(cat out)"

# hostile lists and rules
printf 'not a hash\n' >bad.list
one_line_error chronovisor detect --store st --watch bad.list
: >empty.list
one_line_error chronovisor detect --store st --watch empty.list
md5sum bad.block >md5.list
one_line_error chronovisor detect --store st --watch md5.list
head -c 100000 /dev/urandom >noise.list
one_line_error chronovisor detect --store st --watch noise.list
one_line_error chronovisor detect --store st --watch .
one_line_error chronovisor detect --store st --watch nothing
one_line_error chronovisor detect --store st --yara nothing
one_line_error chronovisor detect --store st --yara /dev/zero
one_line_error chronovisor detect --store st --yara noise.list
printf 'include "/etc/passwd"\n' >include.yar
one_line_error chronovisor detect --store st --yara include.yar
printf 'rule broken { condition: $a }\n' >broken.yar
one_line_error chronovisor detect --store st --yara broken.yar
grep -q 'line 1' err || fail "where is the error? $(cat err)"
stop_record
