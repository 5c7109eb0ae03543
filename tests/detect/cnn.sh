# cnn: pictures through real networks with random weights, compared with a slow reference; learning on them; files that are no networks.
source "$CHV_SOURCE/tests/functions.sh"
requires python3
export PYTHONPATH=$SOURCE/tests/detect PYTHONDONTWRITEBYTECODE=1
make_onnx() { python3 "$SOURCE/tests/detect/make_onnx.py" "$@"; }
python3 - <<'PY'
# three programs with their own habits, twelve seconds each; every third run without its writes
import os, random
random.seed(1)
for kind in ("WannaCry", "Zip", "Excel"):
    for n in range(6):
        run = f"data/dataset/original/win7-{'a' if n % 2 else 'b'}/{kind}/{kind}-{n}"
        os.makedirs(run)
        lba, reads, writes = random.randrange(1 << 20) * 64, [], []
        for s in range(12):
            t = 0
            for _ in range(60):
                t += random.randrange(1, 1 << 23)
                lba += 8 * random.randrange(1, 4000) if kind == "WannaCry" else 8
                read = lba if kind != "Excel" else 800 * random.randrange(9999)
                write = lba if kind == "WannaCry" else 5000000 + lba // 16 * 8 if kind == "Zip" else 8 * random.randrange(99)
                reads.append(f"{1600000000 + s},{t},{read},4096\n")
                writes.append(f"{1600000000 + s},{t + 5000},{write},4096,{0.2 if kind == 'Excel' else 0.98},0\n")
        open(run + "/ata_read.csv", "w").writelines(reads)
        if n % 3 != 2:
            open(run + "/ata_write.csv", "w").writelines(writes)
PY
make_onnx small small.onnx --size 32 --classes 10
make_onnx resnet50 resnet.onnx --size 64 --width 4 --classes 10
common=(--ransap data --size 32x32 --window 4)

# the vectors are what the network's layers make of the pictures that `images` writes
expect_exit 0 chronovisor cnn --network small.onnx "${common[@]}" --mode paired --save vectors.csv --json
cp out first.json
chronovisor images --ransap data --size 32x32 --window 4 -o pictures >/dev/null
python3 "$SOURCE/tests/detect/cnn_reference.py" pictures/Zip/win7-b-Zip-0-001.png 32 8 >reference
python3 - <<'PY' || fail "vectors, or what is said of them (above)"
import csv, json
rows = list(csv.reader(open("vectors.csv")))
assert rows[0] == ["run", "condition", "family", "mode", "ransomware", "t_end"] + [f"v{i}" for i in range(8)], rows[0]
assert len({r[0] for r in rows[1:]}) == 12 and {r[3] for r in rows[1:]} == {"paired"}, len(rows)
row = [r for r in rows if r[0].endswith("/Zip-0") and float(r[5]) == 8]
got, want = [float(v) for v in row[0][6:]], [float(v) for v in open("reference").read().split()]
assert len(got) == len(want) == 8 and all(abs(a - b) < 1e-4 * (1 + abs(b)) for a, b in zip(got, want)), (got, want)
said = json.loads(open("first.json").read())
assert said["columns"] == 8 and said["layer"].endswith("flatten") and said["kind"] == "heatmap" and said["mode"] == "paired", said
named = [f["pictures_named"] for f in said["families"]]
assert [f["family"] for f in said["families"]] == ["Excel", "WannaCry", "Zip"] and sum(map(sum, named)) == said["pictures"] == len(rows) - 1
assert abs(sum(named[i][i] for i in range(3)) / said["pictures"] - said["accuracy"]) < 1e-5
assert said["accuracy"] > 0.9 and said["macro_f1"] > 0.9 and said["f1"] > 0.9 and said["runs"] == 12, said
PY
expect_exit 0 chronovisor cnn --network small.onnx "${common[@]}" --mode paired --save again.csv --json
cmp -s out first.json && cmp -s vectors.csv again.csv || fail "the same command gave another answer"

# ResNet50's layers, narrow; angular fields; both modes; another layer
expect_exit 0 chronovisor cnn --network resnet.onnx --ransap data --size 64x64 --window 4 --kind gadf
[[ $(grep -c '^gadf of 4 s, 64x64' out) == 2 ]] && grep -q '128 numbers a picture' out && grep -q 'macro F1 0' out || fail "$(cat out)"
expect_exit 0 chronovisor cnn --network small.onnx "${common[@]}" --layer classifier --mode read --split benign --json
grep -q '"columns": 10,.*"split": "benign".*"accuracy": null' out || fail "$(cat out)"
one_line_error chronovisor cnn --network small.onnx "${common[@]}" --layer nowhere
grep -q "no layer 'nowhere'; the last are .* classifier" err || fail "$(cat err)"

# what is no network
python3 - <<'PY'
import make_onnx, math
def network(name, size=32, channels=3, poison=None, pooled=True, lie=None):
    n = make_onnx.Network(size, 1, channels)
    x = n.conv("input", channels, 8, 3)
    if poison:
        values = n.values["w0"]
        values[0] = poison
        n.weights[0] = make_onnx.text(5, make_onnx.tensor("w0", [8, channels, 3, 3], values.tobytes()))
    if lie:
        n.weights[0] = make_onnx.text(5, make_onnx.tensor("w0", lie, n.values["w0"].tobytes()))
    n.save(name, n.head(x, 8, 10) if pooled else n.relu(x), [1, 10])
network("wide.onnx", size=64, pooled=False)
network("grey.onnx", channels=1)
network("nan.onnx", poison=math.nan)
network("lie.onnx", lie=[8, 3, 1 << 20, 1 << 20])
network("huge.onnx", lie=[1 << 31, 1 << 31, 3, 3])
small = open("small.onnx", "rb").read()
for cut in (1, 100, len(small) // 2, len(small) - 1):
    open(f"cut{cut}.onnx", "wb").write(small[:cut])
PY
head -c 100000 /dev/urandom >noise.onnx
echo 'not a network' >text.onnx
: >empty.onnx
truncate -s 513M large.onnx
mkdir folder.onnx
for file in cut*.onnx noise.onnx text.onnx empty.onnx folder.onnx grey.onnx nan.onnx lie.onnx huge.onnx large.onnx nowhere.onnx; do
  one_line_error timeout 60 "$BUILD/cli/chronovisor" cnn --network $file "${common[@]}" --save x
  grep -q "^chronovisor cnn: $file: " err || fail "$file: $(cat err)"
done
one_line_error chronovisor cnn --network wide.onnx --ransap data --size 64x64
grep -q 'choose one behind a pooling layer' err || fail "$(cat err)"
[[ ! -e x ]] || fail "a table was left behind by a failure"
# flipped bits: an answer, or one line why not
for seed in {1..24}; do
  python3 -c "
import random; r = random.Random($seed); d = bytearray(open('small.onnx', 'rb').read()); at = r.randrange(1200 if r.random() < .7 else len(d))
d[at] ^= 1 << r.randrange(8); open('flip.onnx', 'wb').write(d)"
  code=0
  timeout 60 "$BUILD/cli/chronovisor" cnn --network flip.onnx --ransap data --size 32x32 --window 60 --mode paired >out 2>err || code=$?
  [[ $code == 0 || ($code == 2 && $(wc -l <err) == 1) ]] || fail "seed $seed: exit $code: $(cat err)"
done

one_line_error chronovisor cnn
one_line_error chronovisor cnn --network small.onnx
one_line_error chronovisor cnn --network small.onnx --ransap nowhere
one_line_error chronovisor cnn --network small.onnx --ransap data --size 2000x2000
one_line_error chronovisor cnn --network small.onnx "${common[@]}" --split third
one_line_error chronovisor cnn --network small.onnx "${common[@]}" --mode both
one_line_error chronovisor cnn --network small.onnx "${common[@]}" --save /no/such/folder/x
one_line_error chronovisor cnn --network small.onnx "${common[@]}" --save /dev/full
mkdir -p one/dataset/original/win7-a && cp -r data/dataset/original/win7-a/Zip one/dataset/original/win7-a/
one_line_error chronovisor cnn --network small.onnx --ransap one --size 32x32
grep -q 'one family only' err || fail "$(cat err)"
one_line_error "$BUILD/detect/cnn/chronovisor-network" </dev/null

# one run's file is no table: said, and the rest is judged
echo 'version https://git-lfs.github.com/spec/v1' >data/dataset/original/win7-b/Zip/Zip-0/ata_write.csv
expect_exit 1 chronovisor cnn --network small.onnx "${common[@]}" --mode paired --json
grep -q '"runs": 11,' out && grep -q 'Zip-0/ata_write.csv' err || fail "$(cat out err)"
expect_exit 1 chronovisor images --ransap data --size 32x32 -o broken
grep -q 'Zip-0/ata_write.csv' err && [[ -e broken/Zip/win7-b-Zip-2-000.png ]] || fail "$(cat err)"
