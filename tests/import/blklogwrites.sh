# import blklogwrites against an independent replay of the same log, at every flush.
source "${CHV_SOURCE:?set by meson}/tests/functions.sh"
requires python3 qemu-io
HERE=$SOURCE/tests/import
replay() { python3 "$HERE/replay_blklogwrites.py" "$@"; }
reader() { python3 "$SOURCE/tests/store/reader.py" "$@"; }
START=1700000000 # seconds; entry N is N microseconds later

# agrees STORE LOG SIZE [BASE]: both readers show at each flush what the replay shows
agrees() {
  local store=$1 log=$2 size=$3 base=${4:-} n want got at
  replay "$log" digests -o replay.img --size "$size" ${base:+--base "$base"} --flushes >digests
  while read -r n want; do
    at=$(printf '%d.%06d' $((START + n / 1000000)) $((n % 1000000)))
    got=$(chronovisor restore --store "$store" --space disk:a --at "@$at" -o - 2>err | sha256sum | cut -d' ' -f1)
    [[ $got == "$want" ]] || { cat err >&2; fail "$store: restore differs from the replay up to entry $n"; }
    echo "@${at/./}000 $want"
  done <digests >instants
  (($(wc -l <instants) > 3)) || fail "only $(wc -l <instants) flushes"
  # shellcheck disable=SC2046
  reader "$store" digests disk:a $(cut -d' ' -f1 instants) ${base:+--source "$base"} >second
  cmp instants second || fail "$store: the second reader differs from the replay"
}

# Logs of any alignment: sector and block sizes, with and without an image underneath.
seed=${CHV_SEED:-$RANDOM}; echo "seed $seed"
size=$((250 * 4096 + 2560))
head -c $size /dev/urandom >base.img
for sector in 512 4096; do
  ((sector == 512)) || size=$((250 * 4096))
  truncate -s $size base.img
  python3 "$HERE/make_log.py" $sector.log $sector $size 60 "$seed"
  for block in 512 4096; do
    chronovisor import blklogwrites $sector.log --store s.$sector.$block --space disk:a --size $size --block-size $block \
      --start @$START >out
    agrees s.$sector.$block $sector.log $size
    chronovisor import blklogwrites $sector.log --store b.$sector.$block --space disk:a --base base.img --block-size $block \
      --start @$START >out
    agrees b.$sector.$block $sector.log $size base.img
    # before the first entry the disk is the base, also where it was overwritten since
    got=$(chronovisor restore --store b.$sector.$block --at @$START.000000 -o - | sha256sum)
    replay $sector.log image 0 -o first.img --base base.img
    [[ $got == "$(sha256sum <first.img)" ]] || fail "the base is not what stood there first"
    rm -rf s.$sector.$block
  done
done
grep -q '"action":"import mark".*mark ' b.512.4096/custody.jsonl || fail "marks are not in the custody log"
grep -q "sha256 of its first .* $(sha256sum <512.log | cut -d' ' -f1)" b.512.4096/custody.jsonl || fail "the log's digest is not in the custody log"
python3 "$SOURCE/tests/store/reader.py" b.512.4096 verify || fail "the second reader finds faults"
python3 "$SOURCE/tests/store/reader.py" b.512.4096 events >events
[[ $(grep -c '"op": "FLUSH"' events) == $(replay 512.log list | python3 -c 'import json,sys; print(sum(json.loads(l)["flags"] & 1 for l in sys.stdin))') ]] || fail "not one FLUSH for each flush"

# A second log continues the same space: partial blocks are merged with what the first one left.
python3 "$HERE/make_log.py" second.log 512 $((250 * 4096)) 40 $((seed + 1))
replay 4096.log image last -o joined.img --size $((250 * 4096))
chronovisor import blklogwrites 4096.log --store joined --space disk:a --size $((250 * 4096)) --start @$START >out
chronovisor import blklogwrites second.log --store joined --space disk:a --start @$((START + 10)) >out
START=$((START + 10)) agrees joined second.log $((250 * 4096)) joined.img

# What QEMU's driver writes.
truncate -s 8M qemu.img; touch qemu.log
qemu-io --image-opts driver=blklogwrites,file.driver=file,file.filename=qemu.img,file.discard=unmap,log.driver=file,log.filename=qemu.log,discard=unmap \
  -c 'write -P 7 4096 8192' -c flush -c 'write -P 8 512 65536' -c 'write -z 8192 4096' -c flush -c 'discard 0 65536' \
  -c 'write -f -P 9 512 512' -c flush -c 'write -P 1 8387584 1024' -c flush >/dev/null
chronovisor import blklogwrites qemu.log --store qemu --space disk:a --size 8M --start @$START >out
agrees qemu qemu.log $((8 << 20))
[[ $(chronovisor restore --store qemu --at now -o - | sha256sum) == "$(sha256sum <qemu.img)" ]] || fail "not what QEMU left"

# Without --start the file's time is the last entry's.
touch -d @1600000000 qemu.log
chronovisor import blklogwrites qemu.log --store filetime --space disk:a --json >out
grep -q '"last_time": "2020-09-13T12:26:40.000000Z"' out || fail "$(cat out)"

# Bad input: one line, exit 2, nothing changed.
before=$(sha256sum qemu/log/* qemu/custody.jsonl)
try() { one_line_error chronovisor import "$@" --store qemu; [[ $(sha256sum qemu/log/* qemu/custody.jsonl) == "$before" ]] || fail "changed by: $*"; }
size=$(stat -c %s qemu.log)
head -c $((size - 100)) qemu.log >cut.log
try blklogwrites cut.log --space disk:b; grep -q 'cut.log: .*cut short' err || fail "$(cat err)"
try blklogwrites qemu.img --space disk:b; grep -q 'not a dm-log-writes log' err || fail "$(cat err)"
try blklogwrites /dev/null --space disk:b
try blklogwrites nothing.log --space disk:b
try blklogwrites qemu.log --space disk:a --start @1000; grep -q 'before the last event' err || fail "$(cat err)"
try blklogwrites qemu.log --space disk:b --start 2500-01-01; grep -q future err || fail "$(cat err)"
try blklogwrites qemu.log --space disk:b --size 1M --start now-1m
try blklogwrites qemu.log --space disk:b --size 1M; grep -q 'entry [0-9]* writes up to byte' err || fail "$(cat err)"
try blklogwrites qemu.log --space disk:b --block-size 512; grep -q '4096' err || fail "$(cat err)"
try blklogwrites qemu.log --space disk:a --base base.img
try blklogwrites qemu.log --space disk:b --base nothing.img
try blklogwrites qemu.log --space disk:b --at now
try blklogwrites qemu.log
try blklogwrites
try nonsense qemu.log
one_line_error chronovisor import blklogwrites cut.log --space disk:b --store fresh
[[ ! -e fresh ]] || fail "a refused import made a store"
