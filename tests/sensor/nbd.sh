# A disk recorded over NBD, used by good clients and bad ones; then the log has it all.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
source "$CHV_SOURCE/tests/sensor/functions.sh"
requires nbdcopy fio qemu-img python3

# bad command lines change nothing
truncate -s 1M d.img
one_line_error chronovisor record --store st
one_line_error chronovisor record --disk nothing.img --store st
one_line_error chronovisor record --disk . --store st
one_line_error chronovisor record --disk d.img --store st --baseline some
one_line_error chronovisor record --disk d.img --store st --queue 5
one_line_error chronovisor record --disk d.img --disk d.img --store st
one_line_error chronovisor record --disk a=d.img --disk a=d.img --store st
one_line_error chronovisor record --disk d.img --store st --space nonsense
one_line_error chronovisor record --disk d.img --store st --socket d.img
one_line_error chronovisor record --disk d.img --store "$SOURCE"
rm -rf st d.img

# a disk with something on it, of an odd size
head -c $((24 * 1048576 + 1000)) /dev/urandom >d.img
cp d.img model.img
cp d.img original.img
one_line_error chronovisor record --disk d.img --store st --sign /dev/null
start_record --disk d.img
grep -q 'server.path=/' record.out || fail "no snippet for QEMU with an absolute path"
nbdinfo "$URI" >info
for able in can_flush can_fua can_multi_conn can_trim can_zero; do grep -q "$able: true" info || fail "$able"; done
nbdinfo --list "$URI" | grep -q 'export="vda"' || fail "the export has no name"
one_line_error chronovisor record --disk d.img --store st # taken

"$(command -v python3)" "$SOURCE/tests/sensor/hostile.py" "$SOCKET" model.img || fail "hostile clients"
# Clients that go while answers are on their way: nbdkit 1.32 fails an assertion of its own then, when two of its threads race to the
# closed socket. The recorder starts over, under the same number, and has lost nothing.
python3 - "$SOCKET" <<'PY' || fail "clients that go"
import sys, time
from nbd_client import READ, Client
for i in range(60):
    for attempt in range(100):
        try:
            d = Client(sys.argv[1])
            break
        except (OSError, EOFError):
            time.sleep(0.1)
    try:
        for j in range(50):
            d.send(READ, 0, 65536)
    except OSError:
        pass
    d.sock.close()
PY
sleep 1 # the last of them may still be answered
wait_for 20 nbdinfo --size "$URI" >/dev/null
kill -0 "$RECORD" || fail "the recorder ended: $(tail -n 1 record.err)"
nbdcopy "$URI" - | cmp - model.img || fail "read back"
# everything over again by a client with many requests in flight
head -c $((24 * 1048576 + 1000)) /dev/urandom >new.img
nbdcopy --flush --requests=32 new.img "$URI"
nbdcopy "$URI" - | cmp - new.img || fail "nbdcopy"
fio --name=v --ioengine=nbd --uri="$URI" --rw=randrw --bsrange=512-64k --blockalign=512 --iodepth=16 --size=20M --io_size=24M \
  --verify=sha256 --do_verify=1 --fsync=64 --randrepeat=1 >fio.out 2>&1 || { tail -5 fio.out >&2; fail "fio verify"; }
stop_record
grep -q 'recorded .* requests' record.err || fail "no last line about what was recorded"

same_as_disk d.img disk:vda
# and as it was before the first request
chronovisor restore --store st --at seq:1 -o before.raw --reason test 2>/dev/null
cmp -n "$(stat -c %s original.img)" original.img before.raw || fail "the baseline is not the original"
chronovisor verify --store st >/dev/null || fail "verify"

# on it goes, and refuses a disk that changed meanwhile
start_record --disk d.img --reads off --baseline full
stop_record
printf changed | dd of=d.img bs=1 seek=5000 conv=notrunc status=none
one_line_error chronovisor record --disk d.img --store st
grep -q -- --resync err || fail "what to do is not said"
start_record --disk d.img --resync
stop_record
same_as_disk d.img disk:vda

# two disks in one store of 512-byte blocks
rm -rf st
truncate -s 8M a.img
head -c 4M /dev/urandom >b.img
start_record --disk vda=a.img --disk vdb=b.img --block-size 512 --json
[[ $(wc -l <record.out) == 2 ]] || fail "--json: one object a disk"
python3 -c 'import json; [json.loads(l) for l in open("record.out")]'
nbdcopy b.img "nbd+unix:///vda?socket=$SOCKET"
nbdcopy new.img --no-extents - | head -c 4M >part.img || true
nbdcopy part.img "nbd+unix:///vdb?socket=$SOCKET"
nbdinfo "nbd+unix:///vdc?socket=$SOCKET" >/dev/null 2>&1 && fail "an export nobody recorded"
stop_record
cmp -n 4194304 a.img b.img && fail "both disks are the same"
same_as_disk a.img disk:vda
same_as_disk b.img disk:vdb
