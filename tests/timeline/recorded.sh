# Rewind and views around real recordings over NBD: rewind refuses while a recorder runs, a rewound disk can be recorded on
# without a resync, and a disk that changed while nobody watched is never taken for what was recorded.
source "$CHV_SOURCE/tests/functions.sh"
requires nbdkit qemu-io nbdcopy
export BUILD CHRONOVISOR_STORE=$WORK/store
head -c 8M /dev/urandom >disk.img
head -c 1M /dev/urandom >new.img
record() { # record COMMAND: run it while the disk is being recorded; $uri is the disk
  "$BUILD/cli/chronovisor" record --disk disk.img --store store --socket rec.sock --json >recording 2>recorder.err &
  recorder=$!
  CLEANUP+=("kill $recorder")
  wait_for 10 qemu-io -r -f raw -c 'read 0 512' 'nbd+unix:///?socket=rec.sock' >recording
  uri='nbd+unix:///?socket=rec.sock' bash -c "$1" || fail "$1"
  kill "$recorder"
  wait "$recorder" || fail "recorder: $(cat recorder.err)"
}
seq_now() { chronovisor info --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["last_seq"])'; }

record 'qemu-io -f raw -c "write -P 1 64k 100k" -c flush "$uri" >/dev/null'
cp disk.img at-one.img
one=$(seq_now)
record 'qemu-io -f raw -c "write -P 2 128k 1M" -c "write -z 4M 300k" -c "discard 5M 64k" -c flush "$uri" >/dev/null
  "$BUILD/cli/chronovisor" rewind --store store --to seq:'"$one"' 2>err && exit 1
  [[ $(wc -l <err) == 1 ]] && grep -q "being recorded" err'
cp disk.img at-two.img
two=$(seq_now)
cmp -s at-one.img at-two.img && fail "nothing was written"

chronovisor rewind --to "seq:$one" >rewound
cmp disk.img at-one.img || fail "rewind"
record 'cmp <(nbdcopy "$uri" -) at-one.img' # the recorder takes the rewound disk for what the log says
chronovisor rewind --to "seq:$two" >rewound
cmp disk.img at-two.img || fail "forth again"

# A rewind that is interrupted is one batch, at most, behind the log; it can be run again, and so can the recorder.
"$BUILD/cli/chronovisor" rewind --to "seq:$one" >rewound 2>err &
pid=$!
kill -INT "$pid" 2>/dev/null || true
wait "$pid" || true
record true
chronovisor rewind --to "seq:$one" >rewound
cmp disk.img at-one.img || fail "after an interruption"

# What nobody recorded
printf 'not recorded' | dd of=disk.img bs=1 seek=7M conv=notrunc status=none
chronovisor restore --at "seq:$one" -o x.raw 2>err && fail "a changed device was believed"
grep -q 'changed since recording ended' err || fail "it said: $(cat err)"
one_line_error chronovisor rewind --to "seq:$two"
grep -q -- '--assume-unchanged' err || fail "no way on: $(cat err)"
chronovisor restore --at "seq:$one" -o x.raw --assume-unchanged >restored
cmp x.raw disk.img || fail "--assume-unchanged"
chronovisor view --at "seq:$one" --run 'nbdcopy "$uri" y.raw' 2>err && fail "a changed device was believed by view"
chronovisor restore --at "seq:$one" -o z.raw --source at-one.img >restored
cmp z.raw at-one.img || fail "a copy that was named"
