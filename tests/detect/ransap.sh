# import ransap: the report, the table of features, and what is refused; then the published data where it is at hand.
source "$CHV_SOURCE/tests/functions.sh"
requires python3
mkdir -p d/dataset/original/win7/{Zip/Zip-1,Zip/Zip-2,Cerber/Cerber-1}
python3 - d/dataset/original/win7 <<'END'
import random, sys
random.seed(4)
for run, start, count in ("Zip/Zip-1", 1000, 3000), ("Cerber/Cerber-1", 5000, 5000):
    for table in "read", "write":
        rows = [(start + i // 100, i % 100 * 10**7 + random.randrange(10**6), random.randrange(500) * 8) for i in range(count)]
        with open(f"{sys.argv[1]}/{run}/ata_{table}.csv", "w") as f:
            for s, t, lba in sorted(rows, key=lambda r: (r[0], str(r[1]))):
                f.write(f"{s},{t},{lba},4096" + (",0.5,0.4\n" if table == "write" else "\n"))
END
echo "1,2,3,4096" >d/dataset/original/win7/Zip/Zip-2/ata_read.csv
expect_exit 0 chronovisor import ransap d --json
cp out sound.json
python3 "$SOURCE/tests/detect/ransap_reference.py" d sound.json dataset/original/win7/{Zip/Zip-1,Zip/Zip-2,Cerber/Cerber-1} || fail "not as the reference"
expect_exit 0 chronovisor import ransap d --report
[[ $(wc -l <out) == 6 ]] || fail "a heading, two classes, three runs: $(cat out)"

# the table: rows of all, of paired runs, of reads; the same again gives the same bytes
expect_exit 0 chronovisor import ransap d -o any.csv
expect_exit 0 chronovisor import ransap d -o again.csv
cmp any.csv again.csv || fail "not the same twice"
expect_exit 0 chronovisor import ransap d -o - --mode paired --features paper
cp out paired.csv
expect_exit 0 chronovisor import ransap d -o read.csv --mode read --features read
python3 - any.csv paired.csv read.csv <<'END' || fail "tables"
import csv, math, sys
for name in sys.argv[1:]:
    table = list(csv.DictReader(open(name)))
    runs = {r["run"]: r for r in table}
    assert len(runs) == (2 if name == "paired.csv" else 3), (name, len(runs))
    assert [r["ransomware"] for r in table if r["family"] == "Cerber"] == ["1"] * 50, name
    assert all(r["ransomware"] == "0" and r["condition"] == "win7" for r in table if r["family"] == "Zip")
    assert all(math.isfinite(float(v)) for r in table for k, v in list(r.items())[4:])
    assert any(int(r["write_bytes"]) for r in table) == (name != "read.csv")
END

# wrong lines are named, wrong files left out of the table, and both make the exit status 1
sed -i '7s/,/;/' d/dataset/original/win7/Zip/Zip-1/ata_write.csv
head -c 9000 /dev/urandom >d/dataset/original/win7/Zip/Zip-2/ata_read.csv
expect_exit 1 chronovisor import ransap d -o some.csv
grep -q 'Zip-1: 1 of 6000 lines are no rows; first: dataset/original/win7/Zip/Zip-1/ata_write.csv:7: ' out || fail "$(cat out)"
grep -q 'Zip-2: not used: .*no table of storage accesses' out || fail "$(cat out)"
[[ $(grep -c Zip-1 some.csv) -gt 0 && $(grep -c Zip-2 some.csv) == 0 ]] || fail "the table has the wrong runs"
expect_exit 1 chronovisor import ransap d --json
python3 -c 'import json; [json.loads(l) for l in open("out")]' || fail "not JSON"

one_line_error chronovisor import ransap
one_line_error chronovisor import ransap nowhere
one_line_error chronovisor import ransap d/dataset
one_line_error chronovisor import ransap d --store s
one_line_error chronovisor import ransap d --space disk:a
one_line_error chronovisor import ransap d --mode sideways
one_line_error chronovisor import ransap d --features none
one_line_error chronovisor import ransap d -o nowhere/x.csv
one_line_error chronovisor import snapshot d --space disk:a --store s --at @1 --mode any
[[ ! -e s ]] || fail "a store was made"

# --- the published data: a folder with dataset/ in $CHV_DATA, or the archive beside the project
data=${CHV_DATA:-}
if [[ -z $data && -e $SOURCE/../shared/data/ransap-dev.tar.xz ]]; then
  mkdir real && tar xJf "$SOURCE/../shared/data/ransap-dev.tar.xz" -C real && data=real
fi
[[ -n $data ]] || { echo "no published data: set CHV_DATA to the folder that holds dataset/ of RanSAP; its part was left out"; exit 0; }
expect_exit 0 chronovisor import ransap "$data" --json
python3 - out "$SOURCE/tests/detect/ransap_counts.json" <<'END' || fail "counts of the published runs"
import json, sys
want = {(w["condition"], w["family"]): w for w in map(json.loads, open(sys.argv[2]))}
got = {}
for line in open(sys.argv[1]):
    run = json.loads(line)
    if "family" not in run: continue
    g = got.setdefault((run["condition"], run["family"]), dict.fromkeys(["runs", "rows", "accesses", "small", "rereads", "malformed"], 0))
    g["runs"] += 1
    for key in "rows", "accesses", "small", "rereads", "malformed": g[key] += run[key]
checked = 0
for key, w in want.items(): # of a larger or smaller copy, what both have in full
    if key in got and got[key]["runs"] == w["runs"]:
        assert got[key] == {k: w[k] for k in got[key]}, (key, got[key], w)
        checked += 1
print(f"{checked} of {len(got)} classes as they should be")
assert checked or len(got) == 0 or not set(got) & set(want)
END
mapfile -t some < <(python3 -c '
import json
last = None
for run in map(json.loads, open("out")):
    if run.get("family") != last and "family" in run: print(run["run"])
    last = run.get("family")')
python3 "$SOURCE/tests/detect/ransap_reference.py" "$data" out "${some[@]}" || fail "not as the reference"
