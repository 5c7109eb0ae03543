# record --detect --on-alarm hold: an attack is stopped, reads go on, a rewind brings back what was lost before the alarm.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
source "$CHV_SOURCE/tests/sensor/functions.sh"
requires python3 pgrep nbdcopy
"$BUILD/tests/detect/tiny-model" m.model || fail "no model"
head -c 12M /dev/urandom | base64 -w0 | head -c 16M >d.img
cp d.img original.img
one_line_error chronovisor record --store st --disk d.img --on-alarm hold
one_line_error chronovisor record --store st --disk d.img --detect nothing
one_line_error chronovisor record --store st --disk d.img --detect d.img
one_line_error chronovisor record --store st --disk d.img --detect m.model --on-alarm explode
one_line_error chronovisor record --store st --disk d.img --detect m.model --webhook ftp://x/
[[ ! -e st ]] || fail "a store was made for nothing"

start_record --disk d.img --json --detect m.model --on-alarm hold
PYTHONPATH=$SOURCE/tests/sensor python3 "$SOURCE/tests/detect/attack.py" "$SOCKET" calm 2 flush scramble 20 100 2000 >attack.out || fail "attack"
grep -q '^stopped after' attack.out || fail "the attack went on: $(cat attack.out)"
echo "$(cat attack.out) of 3000"
wait_for 10 grep -q '"alarm":"ransomware"' record.out
grep '"alarm":"ransomware"' record.out >alarm
grep -q '"held":true' alarm || fail "not held: $(cat alarm)"
grep -q '"action":"hold"' st/custody* || fail "no custody of the hold"
expect_exit 0 chronovisor release --store st --status
grep -q 'to go back: chronovisor rewind' out || fail "status: $(cat out)"
nbdcopy "$URI" now.img || fail "no reads while held"
cmp -n 4096 now.img original.img || fail "read something else"

# the detector is killed: it comes back; the recorder is killed: everything is gone, and still held
watcher=$(pgrep -P "$RECORD" | head -1)
detector=$(pgrep -P "$watcher" | head -1)
[[ $detector ]] || fail "no detector"
kill -9 "$detector"
wait_for 10 grep -q 'detection ended (signal 9)' record.err
stop_record
wait_for 10 bash -c "! kill -0 $watcher"
to=$(python3 -c 'import json; print(json.load(open("alarm"))["rewind"])')
eval "$BUILD/cli/$to --reason test" >rewind.out || fail "rewind"
grep -q 'hold of an alarm is released' rewind.out || fail "not released: $(cat rewind.out)"
cmp -n $((12 * 1048576)) d.img original.img || fail "the files are not back"

# --on-alarm log only says so; of two disks in one store the one that was attacked
cp original.img a.img
cp original.img b.img
rm -rf st
one_line_error chronovisor record --store st --disk d.img --detect m.model --reads off
start_record --disk a=a.img --disk b=b.img --json --detect m.model
python3 "$SOURCE/tests/detect/attack.py" "$SOCKET,a" calm 5 flush &
calm=$!
python3 "$SOURCE/tests/detect/attack.py" "$SOCKET,b" calm 1 scramble 4 100 2000 >attack.out || fail "attack"
wait "$calm" || fail "calm"
wait_for 10 grep -q '"alarm":"ransomware"' record.out
! grep -q stopped attack.out || fail "held without being asked to"
stop_record
[[ $(grep -c '"alarm":"ransomware"' record.out) == 1 ]] || fail "not one alarm: $(cat record.out)"
grep '"alarm":"ransomware"' record.out | grep -q '"space":"disk:b"' || fail "the wrong disk"
expect_exit 0 chronovisor detect --store st --model m.model
grep -q '"space":"disk:b"' out || fail "the wrong disk: $(cat out)"
expect_exit 1 chronovisor detect --store st --model m.model --space disk:a
