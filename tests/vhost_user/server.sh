# record --vhost-user from the outside: what it refuses, what it prints, how it ends.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
requires python3
truncate -s 8M d.img
one_line_error chronovisor record --disk a=d.img --disk b=d.img --store st --vhost-user v.sock
one_line_error chronovisor record --disk d.img --store st --vhost-user v.sock --socket n.sock
one_line_error chronovisor record --disk d.img --store st --vhost-user d.img
one_line_error chronovisor record --disk nothing.img --store st --vhost-user v.sock
one_line_error chronovisor record --disk d.img --store st --vhost-user "$(printf 'x%.0s' $(seq 120))"

start() { # start OPTION…
  "$BUILD/cli/chronovisor" record --disk d.img --store st --vhost-user v.sock "$@" >record.out 2>record.err &
  RECORD=$!
  CLEANUP+=("kill -9 $RECORD")
  wait_for 20 test -S v.sock
}
stop() { # stop SIGNAL
  kill "-$1" "$RECORD"
  wait "$RECORD" || fail "ended with $? on $1: $(cat record.err)"
  grep -q 'recorded .* requests' record.err || fail "no last line about what was recorded"
  [[ ! -e v.sock ]] || fail "the socket was left behind"
}
start
grep -q "path=$WORK/v.sock" record.out || fail "no line for QEMU with an absolute path"
[[ $(stat -c %a v.sock) == 700 ]] || fail "others may open the socket: $(stat -c %a v.sock)"
one_line_error chronovisor record --disk d.img --store st --vhost-user v.sock # taken
# front-ends that say nothing, go away, or make no sense; each is followed by the next
python3 - <<'P'
import socket, struct, time
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect("v.sock")
    return s
connect().close()
for nonsense in (b"GET / HTTP/1.1\r\n\r\n", struct.pack("<III", 1, 1, 1 << 31), struct.pack("<III", 1, 2, 0),
                 b"\xff" * 4096):
    s = connect()
    s.sendall(nonsense)
    try:
        assert s.recv(1) == b"", "an answer to nonsense"
    except ConnectionResetError:
        pass
s = connect()
for part in struct.pack("<III", 1, 1, 0):  # a byte at a time
    s.send(bytes([part]))
    time.sleep(0.002)
assert struct.unpack("<IIIQ", s.recv(20))[:3] == (1, 5, 8)
P
[[ $(grep -c 'sent away' record.err) == 4 ]] || { cat record.err >&2; fail "not a line for each that made no sense"; }
stop TERM
start --json
python3 -c 'import json; [json.loads(l) for l in open("record.out")]'
stop INT
chronovisor verify --store st >/dev/null || fail "verify"
