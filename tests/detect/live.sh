# Alarms end to end over NBD: afterwards from the recording, and while it is made; outputs, known-bad content.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
source "$CHV_SOURCE/tests/sensor/functions.sh"
requires python3 mke2fs debugfs
"$BUILD/tests/detect/tiny-model" m.model || fail "no model"
PATH=$PATH:/usr/sbin:/sbin

# a disk with files on it, in known blocks
mkdir tree
for i in 1 2 3 4; do for _ in $(seq 30000); do echo "document $i says the same thing again"; done >"tree/document $i.txt"; done
truncate -s 32M d.img
mke2fs -q -t ext4 -b 4096 -d tree d.img || fail "mke2fs"
first=$(debugfs -R 'blocks "/document 2.txt"' d.img 2>/dev/null | tr ' ' '\n' | grep . | sort -n | head -1)
[[ $first -gt 0 ]] || fail "where is the file?"

start_record --disk d.img
python3 "$SOURCE/tests/detect/attack.py" "$SOCKET" calm 4 flush || fail "calm"
expect_exit 1 chronovisor detect --store st --model m.model
grep -q ' 0 alarms' err || fail "summary: $(cat err)"

# live: the alarm goes everywhere, and names what was hit
cat >hook.py <<'PY'
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        open("hooked", "ab").write(self.rfile.read(int(self.headers["Content-Length"])) + b"\n")
        self.send_response(204)
        self.end_headers()
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), H)
open("hook.port", "w").write(str(s.server_port) + "\n")
s.serve_forever()
PY
python3 hook.py & CLEANUP+=("kill -9 $!")
wait_for 10 grep -q . hook.port
"$BUILD/cli/chronovisor" detect --store st --model m.model --follow --from seq:1 --ecs alarms.ecs --webhook "http://127.0.0.1:$(cat hook.port)/x" \
  --exec 'cat >executed; echo noise' >live.out 2>live.err &
detector=$!
CLEANUP+=("kill -9 $detector")
sleep 0.5
python3 "$SOURCE/tests/detect/attack.py" "$SOCKET" calm 1 flush scramble 4 "$first" 250 flush || fail "attack"
wait_for 20 grep -q . live.out
wait_for 20 grep -q . hooked
wait_for 20 grep -q . executed
kill -TERM "$detector"; wait "$detector" || fail "detect --follow: $(cat live.err)"
[[ $(wc -l <live.out) == 1 ]] || fail "not one alarm: $(cat live.out)"
cmp live.out hooked && cmp live.out executed || fail "webhook or command got something else"
cat >check.py <<'PY'
import json, sys
a = json.loads(open("live.out").read())
assert a["alarm"] == "ransomware" and a["space"] == "disk:vda" and a["family"] == "Scrambler", a
assert a["clean"]["op"] == "flush" and a["clean"]["seq"] < a["began_seq"] and a["clean"]["time_ns"] <= a["began_ns"], a
assert a["disk_encrypted"] is False
assert 1 <= len(a["why"]) <= 5 and all(w["contribution"] > 0 for w in a["why"])
assert a["why"] == sorted(a["why"], key=lambda w: -w["contribution"])
assert a["began_ns"] < a["time_ns"] and a["score"] > 0.5
assert a["blocks"] >= 1 and "/document 2.txt" in a["files_hit"], a
assert a["rewind"].startswith("chronovisor rewind --store /") and f"--to seq:{a['clean']['seq']}" in a["rewind"]
ecs = json.loads(open("alarms.ecs").read())
assert ecs["event"]["kind"] == "alert" and ecs["chronovisor"]["alarm"] == "ransomware" and ecs["@timestamp"] == a["time"]
events = [json.loads(l) for l in open("events")]
began = [e for e in events if e["op"] == "write" and e["seq"] >= a["began_seq"]][0]
noise = [e for e in events if e["op"] == "write" and e["entropy"] > 7.5][0]
assert abs(began["time_ns"] - noise["time_ns"]) < 2_000_000_000, (began, noise)
PY
chronovisor events --store st --json >events
python3 check.py || fail "the alarm: $(cat live.out)"
stop_record

# afterwards the recording says the same
expect_exit 0 chronovisor detect --store st --model m.model
python3 - <<'PY' || fail "offline: $(cat out)"
import json
live, after = json.loads(open("live.out").read()), json.loads(open("out").read())
for key in ("time_ns", "began_ns", "began_seq", "score", "evidence", "family", "why", "clean", "files_hit"):
    assert live[key] == after[key], (key, live[key], after[key])
PY
# going back where the alarm says brings the files back
eval "${BUILD}/cli/$(python3 -c 'import json; print(json.loads(open("live.out").read())["rewind"])') --reason test" >/dev/null || fail "rewind"
debugfs -R 'cat "/document 2.txt"' d.img 2>/dev/null | cmp - "tree/document 2.txt" || fail "the document is not back"
expect_exit 1 chronovisor detect --store st --model m.model --from "seq:$(chronovisor events --store st --op write --json | tail -1 | sed 's/.*"seq": \([0-9]*\),.*/\1/')"

# bad command lines and models
one_line_error chronovisor detect --store st
one_line_error chronovisor detect --store st --model nothing
one_line_error chronovisor detect --store st --model d.img
one_line_error chronovisor detect --store st --model m.model --follow --to now
one_line_error chronovisor detect --store st --model m.model --on-alarm explode
one_line_error chronovisor detect --store st --model m.model --webhook file:///etc/passwd
one_line_error chronovisor detect --store st --model m.model --space disk:none
one_line_error chronovisor detect --store st --model m.model --ecs /nowhere/x
head -c 100 m.model >cut.model
one_line_error chronovisor detect --store st --model cut.model

# outputs that fail hold nobody up
SECONDS=0
expect_exit 0 chronovisor detect --store st --model m.model --webhook http://127.0.0.1:1/ --exec 'exit 3' --to seq:"$(sed 's/.*"up_to_seq":\([0-9]*\).*/\1/' live.out)"
grep -q 'webhook' err && grep -q "failed with 3" err || fail "silent failure: $(cat err)"
((SECONDS < 20)) || fail "slow outputs"
