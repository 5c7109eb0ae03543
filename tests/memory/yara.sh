# YARA over an acquired process that is made here: stretches of pages, windows of a large one, and what is no map of a process.
source "$CHV_SOURCE/tests/functions.sh"
requires python3

python3 - <<'P'
import json, random
random.seed(7)
MIB = 1 << 20
big = bytearray(random.randbytes(1 * MIB) * 40) # a stretch of 40 MiB at 0x1000000: windows begin at 0, 16 and 32 MiB
def put(at, words):
    big[at:at + len(words)] = words
places = [100, 4090, 16 * MIB - 7, 16 * MIB + 4096, 17 * MIB - 3, 32 * MIB - 5, 33 * MIB + 9, 40 * MIB - 20]
for at in places:
    put(at, b"over the border")
space = bytearray(0x1000000 + len(big) + 3 * 4096)
space[0x1000000:0x1000000 + len(big)] = big
low = 0x400000
space[low:low + 9] = b"lone page"
space[low + 4096 * 4:low + 4096 * 4 + 10] = b"other page"
space[low + 4096 - 4:low + 4096] = b"torn" # what goes on behind it is not mapped
space[low + 4096 * 4 - 7:low + 4096 * 4] = b" in two"
open("space", "wb").write(space)
lines = [{"kind": "process", "format": 1, "cr3": "0x1000", "pid": 9, "name": "big"},
         {"kind": "mapping", "start": "0x400000", "end": "0x402000", "rights": "r-xp", "offset": 0, "path": "/bin/big", "deleted": True, "memfd": False},
         {"kind": "mapping", "start": "0x1000000", "end": "0x3800000", "rights": "rw-p", "offset": 0, "path": "", "deleted": False, "memfd": False},
         {"kind": "pages", "start": "0x400000", "pages": 1, "flags": "r-xua-"},
         {"kind": "pages", "start": "0x404000", "pages": 1, "flags": "r-xua-"}]
for at in range(0x1000000, 0x3800000, 4 * MIB): # in pieces, as physical memory would be
    lines.append({"kind": "pages", "start": hex(at), "pages": 4 * MIB // 4096, "flags": "rw-uad" if at % (8 * MIB) else "rw-ua-"})
open("map", "w").write("".join(json.dumps(l) + "\n" for l in lines))
json.dump([0x1000000 + at for at in places], open("places", "w"))
P
cat >rules <<'T'
rule border { strings: $a = "over the border" condition: $a }
rule both { strings: $a = "lone page" $b = "other page" condition: all of them }
rule torn { strings: $a = "torn in two" condition: $a }
rule never { strings: $a = "nowhere at all" condition: $a }
T
chronovisor import snapshot space --at now --space proc:9 --store s >/dev/null
chronovisor import snapshot map --at now --space map:9 --store s >/dev/null
expect_exit 0 chronovisor memory yara rules --store s --space proc:9 --json
python3 - <<'P' || fail "matches: $(cat out)"
import json
found = [json.loads(line) for line in open("out")]
at = lambda rule: [int(m["address"], 16) for m in found if m["rule"] == rule]
assert at("border") == json.load(open("places")), at("border")     # each once, windows overlap or not
assert at("both") == [0x400000, 0x404000], at("both")              # one condition over the whole process
assert not at("torn") and not at("never"), found                   # pages that are not side by side are not put together
assert {(m["pid"], m["name"]) for m in found} == {(9, "big")}
assert [(m.get("start"), m.get("path")) for m in found if m["rule"] == "both"] == [("0x400000", "/bin/big"), (None, None)]
P
expect_exit 0 chronovisor memory yara rules --store s --space proc:9 --limit 2
grep -q 'border \$a  … and 6 more' out && grep -q '^2 rules matched (10 matches) in 1 processes' out || fail "--limit: $(cat out)"
sed -i '/rule border/d;/rule both/d' rules
expect_exit 1 chronovisor memory yara rules --store s --space proc:9

# refused
one_line_error chronovisor memory yara --store s --space proc:9
one_line_error chronovisor memory yara rules more --store s --space proc:9
one_line_error chronovisor memory yara nothing --store s --space proc:9
one_line_error chronovisor memory yara rules --store s --space proc:10
one_line_error chronovisor memory yara rules --store s --space proc:9 --pid 9
echo 'rule bad {' >bad
one_line_error chronovisor memory yara bad --store s --space proc:9
n=20
for line in '{"kind": "mapping"}' '{"kind": "process"}' 'no json' '[]' '{"kind": "pages", "start": "0x400000", "pages": 1, "flags": "r-xua-"}' \
  '{"kind": "pages", "start": "0xfffffffffffff000", "pages": 2, "flags": "r-xua-"}'; do
  n=$((n + 1))
  { [[ $line == *process* ]] || head -n 1 map; sed -n 4p map; echo "$line"; } >broken
  head -c 8192 /dev/zero >>space9
  chronovisor import snapshot space9 --at now --space "proc:$n" --store s >/dev/null
  chronovisor import snapshot broken --at now --space "map:$n" --store s >/dev/null
  one_line_error chronovisor memory yara rules --store s --space "proc:$n"
done
rm -rf s # of large spaces the second reader would take long
