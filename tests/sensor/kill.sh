# kill -9 of the whole recording server under load: what it acknowledged is on the disk and in the log.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
source "$CHV_SOURCE/tests/sensor/functions.sh"
requires python3
head -c 16M /dev/urandom >d.img
cp d.img original.img
for round in 1 2 3; do
  start_record --disk d.img --reads off
  python3 "$SOURCE/tests/sensor/flusher.py" "$SOCKET" "$round" state >flusher.out &
  flusher=$!
  wait_for 20 grep -q begun flusher.out
  sleep "0.$((round * 3))"
  kill -9 "$RECORD"
  wait "$RECORD" 2>/dev/null || true
  wait "$flusher" || fail "the client: $(cat flusher.out)"
  grep -q '^[1-9]' flusher.out || fail "nothing was written before the kill"
  start_record --disk d.img
  python3 "$SOURCE/tests/sensor/flusher.py" "$SOCKET" 0 state check || fail "lost"
  stop_record
  same_as_disk d.img disk:vda
done
chronovisor restore --store st --at seq:1 -o before.raw --reason test 2>/dev/null
cmp original.img before.raw || fail "what was there before is lost"
chronovisor verify --store st >/dev/null || fail "verify"
