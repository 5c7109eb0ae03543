# record --vhost-user from the outside: what it refuses, what it prints, how it ends.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
requires python3
truncate -s 8M d.img
one_line_error chronovisor record --disk a=d.img --disk b=d.img --store st --vhost-user v.sock
one_line_error chronovisor record --disk d.img --store st --vhost-user v.sock --socket n.sock
one_line_error chronovisor record --disk d.img --store st --vhost-user d.img
one_line_error chronovisor record --disk nothing.img --store st --vhost-user v.sock
one_line_error chronovisor record --disk d.img --store st --vhost-user "$(printf 'x%.0s' $(seq 120))"
one_line_error chronovisor record --disk d.img --store st --aio io_uring
one_line_error chronovisor record --disk d.img --store st --vhost-user v.sock --aio native
# where io_uring is forbidden, as containers do, or not there: a line that says so, before anything is made
without_uring() { # without_uring ERRNO COMMAND...
  python3 - "$@" <<'P'
import ctypes, os, struct, sys
code = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x50000 | int(sys.argv[1])), (0x06, 0, 0, 0x7FFF0000)]
filters = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in code))
program = ctypes.create_string_buffer(struct.pack("<HxxxxxxQ", len(code), ctypes.addressof(filters)))
prctl = ctypes.CDLL(None, use_errno=True).prctl
zero = ctypes.c_ulong(0)
assert prctl(38, ctypes.c_ulong(1), zero, zero, zero) == 0  # no new privileges
assert prctl(22, ctypes.c_ulong(2), program, zero, zero) == 0, os.strerror(ctypes.get_errno())  # io_uring_setup fails
os.execvp(sys.argv[2], sys.argv[2:])
P
}
for errno in 1 38; do
  one_line_error without_uring "$errno" "$BUILD/cli/chronovisor" record --disk d.img --store none --vhost-user v.sock --aio io_uring
  grep -q -- '--aio threads' err || { cat err >&2; fail "no word about what to do"; }
done
[[ ! -e none && ! -e v.sock ]] || fail "something was made"

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
start --aio io_uring
stop TERM
chronovisor verify --store st >/dev/null || fail "verify"
