# An alarm on syslog: what the system's log daemon would get, in a mount namespace with a /dev of its own.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
requires python3 unshare sha256sum
head -c 4096 /dev/urandom >bad
printf 'space disk:vda 1048576 zero\nat 1\nwrite 8 bad\nflush\n' | "$BUILD/tests/search/synth" s 4096
sha256sum bad >list
cat >daemon.py <<'PY'
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("/dev/log")
s.settimeout(30)
open("ready", "w").write("yes\n")
open("message", "wb").write(s.recv(65536))
PY
cat >inner.sh <<'IN'
set -euo pipefail
mkdir dev
mount -t tmpfs none dev
for n in null zero full random urandom; do : >"dev/$n"; mount --bind "/dev/$n" "dev/$n"; done
ln -s /proc/self/fd dev/fd
mount --rbind dev /dev
python3 daemon.py &
for _ in {1..200}; do [[ -s ready ]] && break; sleep 0.05; done
"$1" detect --store s --watch list --syslog >out 2>err
wait
IN
options=(-m)
((EUID == 0)) || options+=(-r)
unshare "${options[@]}" bash -c 'mkdir try && mount -t tmpfs none try' 2>/dev/null || skip "mount namespaces are not allowed here"
unshare "${options[@]}" bash inner.sh "$BUILD/cli/chronovisor" || fail "in the namespace: $(cat err)"
python3 - <<'PY' || fail "syslog: $(cat message)"
import json, re
text = open("message", "rb").read().rstrip(b"\0\n").decode()
m = re.fullmatch(r"<25>\w{3} [ \d]\d \d\d:\d\d:\d\d chronovisor\[\d+\]: (\{.*\})", text)  # daemon.alert
assert m, text
sent, printed = json.loads(m[1]), json.loads(open("out").read())
assert sent["alarm"] == "watch" and sent == {k: v for k, v in printed.items() if k not in ("files_hit", "files_written")}, (sent, printed)
PY
