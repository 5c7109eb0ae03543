# The outside oracle: one I/O stream through QEMU's blklogwrites and, underneath it, through our recorder.
# At every flush the view of the recording is compared, byte for byte, with a replay of QEMU's log.
source "$CHV_SOURCE/tests/functions.sh"
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
    print('flush' if k < .12 else 'write -z %d %d' % (o, n) if k < .2 else 'discard %d %d' % (o, n) if k < .28 else
          'write %s-P %d %d %d' % ('-f ' if k < .33 else '', r.randrange(256), o, n))
print('flush')
PY
}

run() { # run NAME BLOCK_BYTES COUNT
  local name=$1 size=$((4096 * 1024 + 1536)) log=$1.log i=0 n want got
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
  # QEMU may flush what is below it more often than it logs. Between two writes all flushes see the same disk:
  # one of each such run counts, and the runs must be as many on both sides.
  replay "$log" list >entries
  replay "$log" digests -o replay.img --base "$name.base" --size $size >after
  reader "$name.store" events >events
  python3 - <<'PY'
import json
after = dict(line.split() for line in open('after'))
with open('digests', 'w') as out:
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
  [[ $(wc -l <flushes) == $(wc -l <digests) ]] || fail "$name: $(wc -l <digests) flushed states logged by QEMU, $(wc -l <flushes) recorded"
  while read -r n want && read -r seq <&3; do
    got=$(chronovisor restore --store "$name.store" --at "seq:$seq" -o - | sha256sum | cut -d' ' -f1)
    [[ $got == "$want" ]] || fail "$name: at flush $i (seq $seq, entry $n) the view is not what QEMU logged"
    echo "$seq $want"
    i=$((i + 1))
  done <digests 3<flushes >instants
  # shellcheck disable=SC2046
  reader "$name.store" digests disk:a $(cut -d' ' -f1 instants) --source "$name.img" >second
  cmp instants second || fail "$name: the second reader differs from QEMU's log"
  ((i > 5)) || fail "only $i flushes"
  # and the log, imported, tells the same story as the recording
  chronovisor import blklogwrites "$log" --base "$name.base" --store "$name.imported" --space disk:a --block-size "$2" --start @1700000000 >out
  [[ $(chronovisor restore --store "$name.imported" -o - | sha256sum) == "$(sha256sum <"$name.img")" ]] || fail "$name: imported, it is another disk"
  reader "$name.store" verify || fail "$name: the second reader finds faults"
}
run four 4096 150
run small 512 80
