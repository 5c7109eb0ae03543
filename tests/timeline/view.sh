# chronovisor view: nbdinfo and nbdcopy of every instant, the scratch layer, sockets and ports, many clients, how it ends.
source "$CHV_SOURCE/tests/functions.sh"
requires nbdkit nbdinfo nbdcopy qemu-io qemu-img
mkdir world
"$BUILD/tests/timeline/make-world" world 4096 3000000 43
export CHRONOVISOR_STORE=$WORK/world/store
mapfile -t instants < <(ls world | sed -n 's/^image-//p' | sort -n)
second=${instants[1]} third=${instants[2]}
find world -type f ! -name custody.jsonl -exec sha256sum {} + | sort >before

for seq in "${instants[@]}"; do
  chronovisor view --at "seq:$seq" --run 'nbdcopy "$uri" copy.raw' || fail "view --run"
  cmp copy.raw "world/image-$seq" || fail "nbdcopy of seq:$seq"
  rm copy.raw
done
expect_exit 0 chronovisor view --run 'nbdinfo --json "$uri"'
python3 - "$(stat -c %s "world/image-$second")" <<'PY' || fail "nbdinfo: $(cat out)"
import json, sys
e = json.load(open("out"))["exports"][0]
assert e["export-size"] == int(sys.argv[1]) and e["is_read_only"] and e["can_multi_conn"]
PY
chronovisor view --at "seq:$second" --run 'nbdinfo --map --json "$uri"' >map
python3 - "world/image-$second" <<'PY' || fail "the extents are not true"
import json, sys
image, at, holes = open(sys.argv[1], "rb").read(), 0, 0
for e in json.load(open("map")):
    assert e["offset"] == at
    at += e["length"]
    if e["type"] & 2:
        assert not any(image[e["offset"]:at]), e
        holes += 1
assert at == len(image) and holes > 0
PY
expect_exit 7 chronovisor view --run 'exit 7'

# The server on a socket that was named: ready at once, many clients, no writes; gone with its socket when it is told to.
"$BUILD/cli/chronovisor" view --at "seq:$second" --socket s.sock --json >announced &
server=$!
CLEANUP+=("kill $server")
wait_for 10 test -s announced
uri=$(python3 -c 'import json; print(json.load(open("announced"))["uri"])')
[[ $uri == "nbd+unix:///?socket=s.sock" ]] || fail "the URI is $uri"
for i in 1 2 3 4; do nbdcopy "$uri" "copy$i.raw" & pids[i]=$!; done
for i in 1 2 3 4; do wait "${pids[i]}"; cmp "copy$i.raw" "world/image-$second" || fail "client $i"; done
python3 "$SOURCE/tests/timeline/nbd_read.py" s.sock "world/image-$second" 300 || fail "random reads"
qemu-io -f raw -c 'write 0 512' "$uri" >out 2>&1 && fail "a read-only view was written"
one_line_error chronovisor view --socket s.sock
kill -TERM "$server"
wait "$server" || fail "it ended with status $?"
[[ ! -e s.sock ]] || fail "the socket is still there"
# A socket that a killed server left is taken over.
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("s.sock")'
chronovisor view --socket s.sock --run 'nbdinfo --size "$uri"' >out || fail "a socket that nobody listens on"

# TCP, on the loopback address only
"$BUILD/cli/chronovisor" view --at "seq:$third" --port 0 --json >announced2 &
server=$!
CLEANUP+=("kill $server")
wait_for 10 test -s announced2
uri=$(python3 -c 'import json; print(json.load(open("announced2"))["uri"])')
[[ $uri == nbd://127.0.0.1:* ]] || fail "the URI is $uri"
nbdcopy "$uri" copy.raw
cmp copy.raw "world/image-$third" || fail "nbdcopy over TCP"
nbdkit=$(pgrep -P "$server")
kill -KILL "$server"
wait_for 10 bash -c "! kill -0 $nbdkit"

# Scratch: writes are seen by this view's clients, and by nobody else, ever.
chronovisor view --at "seq:$second" --scratch --run '
  qemu-io -f raw -c "write -P 0x5a 12288 100k" -c "read -P 0x5a 12288 100k" "$uri" && nbdcopy "$uri" scratch.raw' >out ||
  fail "scratch: $(cat out)"
cmp -s scratch.raw "world/image-$second" && fail "the write to the scratch layer is not there"
chronovisor view --at "seq:$second" --run 'nbdcopy "$uri" again.raw'
cmp again.raw "world/image-$second" || fail "the scratch layer reached the store"
find world -type f ! -name custody.jsonl -exec sha256sum {} + | sort | cmp - before || fail "looking changed the store or the device"
[[ $(grep -c '"action":"view"' world/store/custody.jsonl) -ge 10 ]] || fail "views are not in the custody log"

# A file system tool on a view, without a copy of it
for bad in "--at seq:99999999" "--port 99999" "--port 1 --socket x" "--socket no/such/dir/s" "--space nope" "--source world/nowhere" "extra" \
  "--socket $(printf 'x%.0s' {1..200})"; do
  # shellcheck disable=SC2086
  one_line_error chronovisor view $bad
done
mv world/device world/away
chronovisor view --at "seq:$second" --run 'nbdcopy "$uri" x.raw' 2>err && fail "blocks of a missing device were read"
grep -q -- '--source' err || fail "no hint at --source: $(cat err)"
chronovisor view --at "seq:$second" --source world/away --run 'nbdcopy "$uri" x.raw' || fail "view --source"
cmp x.raw "world/image-$second" || fail "view --source"
[[ -z $(ls -d /tmp/chronovisor-?????? 2>/dev/null | while read -r d; do [[ -S $d/socket ]] || echo "$d"; done) ]] || fail "directories left in /tmp"
