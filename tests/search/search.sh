# search on a synthetic store: every placement, its times and fractions; samples, fragments, hash lists, errors.
source "$CHV_SOURCE/tests/functions.sh"
requires python3 hashdeep md5deep sha256deep
synth() { "$BUILD/tests/search/synth" "$@"; }
search() { expect_exit 0 chronovisor search --store s --no-names "$@"; }
# json EXPRESSION: over `a`, the list of answers in ./out; must be true
json() { python3 -c "
import json, sys
a = [json.loads(l) for l in open('out')]
sys.exit(0 if ($1) else 'not so: ' + sys.argv[1] + '\n' + '\n'.join(map(json.dumps, a)))" "$1" || fail "$1"; }
random() { head -c "$2" /dev/urandom >"$1"; } # random FILE BYTES

random f 41000        # ten blocks and a short eleventh
random other 409600
head -c 16384 /dev/zero >zeros
{ head -c 8192 f; cat zeros; tail -c +8193 f; } >sparse # four constant blocks inside
printf 'attack at dawn, password is swordfish' >note
head -c 20480 f >first; tail -c +20481 f >rest
synth s 4096 <<END
space disk:a 16777216 zero
space disk:b 16777216 zero
at 10
write 800 f
at 20
write 800 other 0 8192
at 30
trim 816 8
at 40
write 800 other 16384 45056
at 50
write 2400 rest
write 8000 first
write 16000 sparse
write 20000 note
at 60
baseline 24000 f
write 24000 other 40960 45056
flush
END

# --- a file, over time
search f --json
t=2100-01-01T00:00
json "len(a) == 4 and all(x['file'] == 'f' and x['probative_blocks'] == 11 and not x['weak'] for x in a)"
json "a[0]['fraction'] == 1 and a[0]['from_how'] == 'before recording' and a[0]['until_how'] == 'overwritten' and a[0]['lba'] == 24000"
json "a[0]['until'] == '${t%:*}:01:00.000000Z'"
json "a[1]['lba'] == 800 and a[1]['end_lba'] == 888 and a[1]['from'] == '$t:10.000000Z' and a[1]['until'] == '$t:40.000000Z'"
json "[(s['time'][17:19], s['blocks']) for s in a[1]['over_time']] == [('10', 11), ('20', 9), ('30', 8), ('40', 0)]"
json "a[1]['order'] == 'in order' and a[1]['best_until'] == '$t:20.000000Z' and a[1]['until_how'] == 'overwritten'"
# the fragments and the file with zeros in it: 50 s, one scattered, one with a hole, both whole, both still there
json "sorted((x['fraction'], x['order'], x['pieces']) for x in a[2:]) == [(1, 'pieces in order', 2), (1, 'scattered', 2)]"
json "all(x['until'] is None and x['until_how'] is None for x in a[2:])"
json "[r for x in a if x['order'] == 'scattered' for r in x['runs']] == [
  {'file_offset': 0, 'lba': 8000, 'sectors': 40}, {'file_offset': 20480, 'lba': 2400, 'sectors': 48}]"

# --- constant blocks are not counted, and said so
search sparse --json
json "a[0]['probative_blocks'] == 11 and a[0]['not_counted'] == {'constant': 4} and a[0]['pieces'] == 1 and a[0]['lba'] == 16000"
expect_exit 1 chronovisor search --store s zeros
grep -q 'every block is constant' out || fail "a file of zeros was searched for"
: >empty
expect_exit 1 chronovisor search --store s empty
grep -q 'the file is empty' out || fail "an empty file"
search note --json # a short file: its padded block, judged by its text
json "len(a) == 1 and a[0]['fraction'] == 1 and a[0]['lba'] == 20000 and a[0]['end_lba'] == 20008"
random stranger 50000
expect_exit 1 chronovisor search --store s stranger --json
[[ ! -s out ]] || fail "found what was never there"
search stranger f
grep -q 'stranger: .* 0 seen' out && grep -q '11/11' out || fail "two files in one answer"

# --- restricted in time and space
search f --json --at "$t:25Z"
json "[(x['lba'], x['fraction']) for x in a] == [(24000, 1), (816, round(9/11, 6))]"
search f --json --from "$t:31Z" --to "$t:45Z"
json "sorted(x['lba'] for x in a) == [824, 24000]"
search f --json --space disk:b
json "all(x['space'] == 'disk:b' for x in a) and len(a) == 4"
expect_exit 1 chronovisor search --store s f --space disk:a
search f --json --limit 1
json "len(a) == 1"
search f --limit 1
grep -q 'and 3 more' out || fail "what --limit hides is not said"

# --- samples
search other --sample 10 --seed 3 --json
cp out first-answer
json "a[0]['sample'] == {'population': 100, 'drawn': 10, 'seed': 3} and a[0]['blocks_looked_up'] == 10"
search other --sample 10 --seed 3 --json
cmp -s out first-answer || fail "the same seed, another answer"
search other --sample 1000 --seed 1
grep -q '100 of 100 blocks drawn (--seed 1)' out && grep -q '(1-M/N)^n' out || fail "the sample is not explained"
grep -q '0.5.*M/N = 0.1 %\|0.90[45].*M/N = 0.1 %' out || fail "(1-0.001)^100 = 0.905 is not there"

# --- fragments: a piece of the disk that begins at no block border
{ head -c 1536 other; cat f; } >shifted
synth s2 4096 <<<$'space disk:a 16777216\nat 5\nwrite 80 shifted'
expect_exit 1 chronovisor search --store s2 --no-names f
expect_exit 0 chronovisor search --store s2 --no-names --fragment f --json
json "len(a) == 1 and a[0]['file_phase_sectors'] == 5 and a[0]['fraction'] == 1 and a[0]['blocks'] == 9"
json "a[0]['lba'] == 88 and a[0]['runs'] == [{'file_offset': 2560, 'lba': 88, 'sectors': 72}]"
synth s3 512 <<<$'space disk:a 16777216\nat 5\nwrite 80 shifted'
expect_exit 0 chronovisor search --store s3 --no-names f --json
json "a[0]['fraction'] == 1 and a[0]['lba'] == 83 and a[0]['probative_blocks'] == 81 and a[0]['pieces'] == 1"

# --- hash lists
for list in "sha256deep -p 4096" "md5deep -p 4096" "hashdeep -p 4096 -c sha256" "hashdeep -p 4096 -c md5"; do
  $list f >list
  search --hashes list --json
  # the last block was hashed without its padding: ten of eleven
  json "len(a) == 4 and all(x['file'] == '$WORK/f' and x['probative_blocks'] == 10 for x in a)"
  json "a[0]['lba'] == 24000 and a[1]['lba'] == 800 and [s['blocks'] for s in a[1]['over_time']] == [10, 8, 7, 0]"
  grep -q '1 of them of less than a block' err || fail "short blocks are not mentioned"
done
ls s/index/md5-* >/dev/null || fail "no MD5 column"
before=$(ls s/index/md5-*)
md5deep -p 4096 f | search --hashes - --json
[[ $(ls s/index/md5-*) == "$before" ]] || fail "the MD5 column was built again"
printf 'space disk:a 16777216 zero\nat 70\nwrite 4000 stranger\n' | synth s 4096 # continue the store
md5deep -p 4096 stranger | search --hashes - --json
json "a[0]['fraction'] == 1 and a[0]['lba'] == 4000"
for damage in "rm s/index/md5-*" "printf X | dd of=$(ls s/index/md5-* | head -1) bs=1 seek=100 conv=notrunc status=none" \
  "truncate -s -10 s/index/md5-*"; do
  eval "$damage"
  md5deep -p 4096 stranger | search --hashes - --json
  json "a[0]['fraction'] == 1 and a[0]['lba'] == 4000"
done
python3 - <<'END'
import hashlib, json
d = open('f', 'rb').read()
h = [hashlib.sha256(d[i:i+4096]).hexdigest() for i in range(0, 40960, 4096)]
whole = hashlib.md5(d).hexdigest()
open('table', 'w').write('# hashdb\n' + ''.join(f'{whole}\t{x}\t{i+1}\n' for i, x in enumerate(h)))
open('export', 'w').write(json.dumps({'file_hash': whole, 'name_pairs': ['r', 'f']}) + '\n' +
    ''.join(json.dumps({'block_hash': x, 'k_entropy': 0, 'block_label': '', 'source_sub_counts': [whole, 1]}) + '\n' for x in h[:2]))
open('plain', 'w').write(h[0] + '\n' + '0' * 64 + ' nobody\n' + h[3].upper() + '  somebody\n')
END
search --hashes table --json
json "len(a) == 4 and all(x['probative_blocks'] == 10 for x in a)"
search --hashes export --json
json "len(a) == 8 and all(x['probative_blocks'] == 1 for x in a)"
search --hashes plain --json
json "len(a) == 8 and sum(x['file'] == 'somebody' for x in a) == 4"
search --hashes plain
grep -q '^3 hashes, 2 of them seen' out || fail "the list is not summed up"
printf '%064d\n' 0 | expect_exit 1 chronovisor search --store s --hashes -

# --- very common blocks: a thousand copies of one block, only some of the file's others
random page 4096; random tail 8192
for i in {1..200}; do printf 'at %d\nwrite %d page\n' $((100 + i)) $((i * 16)); done >script
{ echo 'space disk:c 16777216'; cat script; printf 'at 400\nwrite 8000 page\nwrite 8008 tail\n'; } | synth s4 4096
cat page tail >common
expect_exit 0 chronovisor search --store s4 --no-names common --json
json "len(a) == 1 and a[0]['not_counted'] == {'common': 1} and a[0]['probative_blocks'] == 2 and a[0]['lba'] == 8008"
expect_exit 0 chronovisor search --store s4 --no-names page --json --limit 5
json "len(a) == 5 and all(x['weak'] for x in a)"

# --- a clock that stands still (an import may give many events one time): order of seq decides
synth s6 4096 <<<$'space disk:a 16777216\nat 5\nwrite 800 f\nwrite 816 other 0 20480\nwrite 2400 f\nwrite 800 other 0 45056'
expect_exit 0 chronovisor search --store s6 --no-names f --json
json "[(x['lba'], x['fraction'], x['until'] is None) for x in a] == [(800, 1, False), (2400, 1, True)]"
json "[s['blocks'] for s in a[0]['over_time']] == [11, 10, 9, 8, 7, 6, 0] or a[0]['over_time'][-1]['blocks'] == 0"

# --- every way to end
synth s7 4096 <<<$'space disk:a 16777216\nat 1\nwrite 800 f\nwrite 1600 f\nwrite 2400 f\nat 2\nzero 800 88\nat 3\ntrim 1600 88\nat 4\ngap 2400 88'
expect_exit 0 chronovisor search --store s7 --no-names f --json
json "[(x['lba'], x['until_how'], x['until'][17:19]) for x in a] == [(800, 'zeroed', '02'), (1600, 'trimmed', '03'), (2400, 'not recorded', '04')]"

# --- after a prune
expect_exit 0 chronovisor prune --store s --before "$t:35Z" --reason test
search f --json
json "any(x['fraction'] == 1 and x['lba'] == 24000 for x in a) and all(x['lba'] != 800 for x in a)"
md5deep -p 4096 f | search --hashes - --json
json "a[0]['fraction'] == 1 and a[0]['lba'] == 24000"
rm s/index/md5-*
md5deep -p 4096 f | search --hashes - --json
json "a[0]['fraction'] == 1 and a[0]['lba'] == 24000"

# --- memory stays flat: 64 MiB of file that is all there, in less (sanitizers keep what is freed, so not there)
if ! grep -qaE '__(asan|tsan)_init' "$BUILD/cli/chronovisor"; then
  head -c 67108864 /dev/urandom >big
  synth s5 4096 <<<$'space disk:d 536870912\nat 1\nwrite 4096 big'
  python3 - "$BUILD/cli/chronovisor" search --store s5 --no-names --json big <<'END' || fail "too much memory, or not found"
import json, resource, subprocess, sys
a = json.loads(subprocess.run(sys.argv[1:], stdout=subprocess.PIPE, check=True).stdout)
assert a['fraction'] == 1 and a['blocks'] == 16384 and a['pieces'] == 1, a
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
assert peak < 56, peak
END
fi

# --- bad input: one line, exit 2, nothing changed
one_line_error chronovisor search --store s
one_line_error chronovisor search --store s nowhere
one_line_error chronovisor search --store s .
one_line_error chronovisor search --store nowhere f
one_line_error chronovisor search --store s f --space disk:z
one_line_error chronovisor search --store s f --sample 0
one_line_error chronovisor search --store s f --seed 4
one_line_error chronovisor search --store s f --sample 4 --fragment
one_line_error chronovisor search --store s f --at -1m --from -2m
one_line_error chronovisor search --store s f --from "$t:31Z" --to "$t:20Z"
one_line_error chronovisor search --store s f --at tomorrow
one_line_error chronovisor search --store s --hashes nowhere
one_line_error chronovisor search --store s --hashes table f
one_line_error chronovisor search --store s --hashes table --sample 3
printf '%s\nrubbish\n' "$(head -1 plain)" >wrong
one_line_error chronovisor search --store s --hashes wrong
grep -q 'wrong:2: ' err || fail "the line is not named: $(cat err)"
sha256deep f >whole || true
one_line_error chronovisor search --store s --hashes f
echo ok
