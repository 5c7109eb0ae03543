# A held store: writes wait and reads are served until it is released, also across kill -9 and a restart.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
source "$CHV_SOURCE/tests/sensor/functions.sh"
requires python3
head -c 1M /dev/urandom >d.img
start_record --disk d.img
expect_exit 1 chronovisor release --store st
python3 "$SOURCE/tests/sensor/hold_client.py" "$SOCKET" st >client.out 2>client.err &
client=$!
CLEANUP+=("kill -9 $client")
wait_for 20 grep -q '^waiting$' client.out
expect_exit 0 chronovisor release --store st --status
grep -q '^held since 2026' out || fail "status: $(cat out)"
expect_exit 0 chronovisor release --store st --json --reason test
grep -q '"released":true' out || fail "release: $(cat out)"
wait_for 20 grep -q '^waiting again$' client.out
expect_exit 0 chronovisor release --store st
wait "$client" || fail "the client: $(cat client.err)"
grep -q '"action":"release"' st/custody* || fail "no custody of the release"
grep -q 'held: writes wait' record.err || fail "record did not say that it is held"

# kill -9 while held: what waited never happened, and the next recorder holds on
printf '{"space": "disk:vda"}' >st/held.json
wait_for 5 grep -q . st/held.json
sleep 0.3
cat >waiter.py <<'PY'
import sys
from nbd_client import Client, WRITE
c = Client(sys.argv[1])
c.send(WRITE, 0, 4096, b"x" * 4096)
print("sent", flush=True)
try:
    print("answered", c.reply(), flush=True)
except EOFError:
    print("hung up", flush=True)
PY
python3 waiter.py "$SOCKET" >waiter.out &
wait_for 10 grep -q sent waiter.out
sleep 0.3
cp d.img before.img
kill -9 "$RECORD"
wait "$RECORD" 2>/dev/null || true
wait_for 10 grep -q 'hung up' waiter.out
cmp d.img before.img || fail "a held write reached the disk"
start_record --disk d.img
rm waiter.out
python3 waiter.py "$SOCKET" >waiter.out &
wait_for 10 grep -q sent waiter.out
sleep 0.3
! grep -q answered waiter.out || fail "the hold did not survive the kill"
# the end of the recorder does not wait for those who wait
stop_record
wait_for 10 grep -qE 'hung up|answered \((108|[1-9])' waiter.out
cmp d.img before.img || fail "a held write reached the disk at the end"

# a rewind of the disk releases it
expect_exit 0 chronovisor rewind --store st --to seq:3 --reason test
grep -q 'hold of an alarm is released' out || fail "rewind: $(cat out)"
[[ ! -e st/held.json ]] || fail "still held"
start_record --disk d.img
python3 waiter.py "$SOCKET" >waiter.out
grep -q 'answered (0' waiter.out || fail "not released: $(cat waiter.out)"
stop_record
same_as_disk d.img disk:vda
one_line_error chronovisor release --store .
one_line_error chronovisor release --store st extra
