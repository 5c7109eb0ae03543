# The outside oracle: one I/O stream through QEMU's blklogwrites and, underneath it, through our recorder.
# At every flush the view of the recording is compared, byte for byte, with a replay of QEMU's log.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
requires python3 qemu-io nbdkit
replay() { python3 "$SOURCE/tests/import/replay_blklogwrites.py" "$@"; }
reader() { python3 "$SOURCE/tests/store/reader.py" "$@"; }
seed=${CHV_SEED:-$RANDOM}; echo "seed $seed"

# Random I/O of a guest that rewrites hot spots; some of it of parts of blocks, with FUA, zeroes and discards.
io() { # io BYTES COUNT SEED: qemu-io commands
  python3 - "$@" <<'PY'
import random, sys
size, count, seed = map(int, sys.argv[1:])
r = random.Random(seed)
for i in range(count):
    n = r.choice((512, 512, 1024, 4096, 4096, 8192, 12288, 65536, 200704))
    o = r.choice((r.randrange(size - n), r.randrange(65536), size - n)) // 512 * 512
    k = r.random()
    print('flush' if i % 8 == 7 or k < .04 else 'write -z %d %d' % (o, n) if k < .2 else 'discard %d %d' % (o, n) if k < .28 else
          'write %s-P %d %d %d' % ('-f ' if k < .33 else '', r.randrange(256), o, n))
print('flush')
PY
}

run() { # run NAME BLOCK_BYTES COUNT
  local name=$1 size=$((4096 * 1024 + 1536)) log=$1.log seq
  head -c $size /dev/urandom >"$name.img"
  cp "$name.img" "$name.base"
  chronovisor record --disk "$name.img" --store "$name.store" --space disk:a --block-size "$2" --socket "$PWD/$name.sock" >"$name.out" 2>&1 &
  local recorder=$!
  CLEANUP+=("kill $recorder")
  wait_for 10 test -S "$name.sock"
  touch "$log"
  io $size "$3" "$seed" >"$name.io"
  qemu-io -t writeback --image-opts "driver=blklogwrites,file.driver=nbd,file.server.type=unix,file.server.path=$PWD/$name.sock,file.discard=unmap,log.driver=file,log.filename=$log,discard=unmap" \
    <"$name.io" >/dev/null
  kill -TERM $recorder; wait $recorder || true
  replay "$log" list >entries
  replay "$log" digests -o replay.img --base "$name.base" --size $size >after
  reader "$name.store" events >events
  # Between two writes all flushes see the same disk: one of each such run counts.
  python3 - <<'PY'
import json
after = dict(line.split() for line in open('after'))
with open('logged', 'w') as out:
    flushed = True
    for e in map(json.loads, open('entries')):
        if e['flags'] & 1 and not flushed:
            print(e['entry'], after[str(e['entry'])], file=out)
        flushed = e['flags'] & 1 or flushed and e['bytes'] == 0
with open('flushes', 'w') as out:
    flushed = True
    for e in map(json.loads, open('events')):
        if e['op'] == 'FLUSH' and not flushed:
            print(e['seq'], file=out)
        if e['op'] in ('WRITE', 'ZERO', 'TRIM', 'FLUSH'):
            flushed = e['op'] == 'FLUSH'
PY
  while read -r seq; do
    echo "$seq $(chronovisor restore --store "$name.store" --at "seq:$seq" -o - | sha256sum | cut -d' ' -f1)"
  done <flushes >ours
  # shellcheck disable=SC2046
  reader "$name.store" digests disk:a $(cat flushes) --source "$name.img" >second
  cmp ours second || fail "$name: the two readers differ"
  # Every flush that QEMU logged is one of ours, in order. Ours may be more: what `write -f` demands reaches us as
  # a flush that QEMU's log does not have.
  python3 - "$(grep -c 'write -f' "$name.io")" <<'PY' || fail "$name: the recording and QEMU's log differ"
import sys
logged = [line.split() for line in open('logged')]
ours = [line.split() for line in open('ours')]
extra, at = 0, 0
for entry, digest in logged:
    while at < len(ours) and ours[at][1] != digest:
        at, extra = at + 1, extra + 1
    if at == len(ours):
        sys.exit('no flush of ours shows the disk as of entry %s' % entry)
    at += 1
extra += len(ours) - at
if extra > int(sys.argv[1]):
    sys.exit('%d flushes of ours show what QEMU never flushed' % extra)
if len(logged) < 5:
    sys.exit('only %d flushes' % len(logged))
print('%d flushes agree' % len(logged))
PY
  # and the log, imported, tells the same story as the recording
  chronovisor import blklogwrites "$log" --base "$name.base" --store "$name.imported" --space disk:a --block-size "$2" --start @1700000000 >out
  [[ $(chronovisor restore --store "$name.imported" -o - | sha256sum) == "$(sha256sum <"$name.img")" ]] || fail "$name: imported, it is another disk"
  reader "$name.store" verify || fail "$name: the second reader finds faults"
}
run four 4096 150
run small 512 80
