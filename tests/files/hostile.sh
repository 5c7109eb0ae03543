# A file system that lies: names that climb out, links that lead out, a name in use twice, loops. recover stays inside.
source "$CHV_SOURCE/tests/functions.sh"
requires mke2fs debugfs python3
record=$BUILD/tests/files/files-record
echo evil >f
truncate -s 8M d
mke2fs -q -t ext4 -b 1024 -O ^has_journal,^metadata_csum,^64bit d
printf '%s\n' "mkdir dir" "write f dir/climb_aa" "write f dir/fine" "symlink dir/abs /tmp" "symlink dir/up ../../outside" \
  "symlink dir/in fine" "symlink dir/round in/../fine" "mkdir dir/twice" "write f dir/twice/x" "symlink dir/twicf $WORK/outside" \
  "mkdir dir/loop" "write f dir/ctrl_" | debugfs -w -f /dev/stdin d >/dev/null 2>&1
python3 - <<'PY'
import struct
d = bytearray(open("d", "rb").read())
def rename(old, new):
    assert len(old) == len(new) and d.count(old) == 1, (old, d.count(old))
    d[d.index(old):d.index(old) + len(old)] = new
rename(b"climb_aa", b"../../xx")   # a name with slashes
rename(b"twicf", b"twice")         # a link and a directory of one name
rename(b"ctrl_", b"c\x1b[2J")
# 'loop' leads back to its parent
at = d.index(b"loop") - 8
parent = struct.unpack_from("<I", d, d.index(b".\0\0\0", d.index(b"../../xx") - 200) - 8)[0]
struct.pack_into("<I", d, at, parent)
open("d", "wb").write(d)
PY
"$record" store disk:d 1700000000 d
mkdir outside
c() { local verb=$1; shift; chronovisor "$verb" "$@" --store store; }
c ls -r --limit 100000 >list || true
grep -q $'\x1b' list && fail "an escape sequence reaches the terminal"
mkdir jail jail/out
expect_exit 1 c recover /dir -o jail/out --json
cp out json
find . -newer list -not -path './store*' | sort >made
[[ -z $(ls -A outside) && ! -e jail/xx && ! -e xx ]] || fail "something was written outside: $(cat made)"
find jail -name out -prune -o -type f -print | grep . && fail "something beside the directory"
[[ $(cat jail/out/dir/fine) == evil ]] || fail "the harmless file is missing"
[[ $(readlink jail/out/dir/in) == fine ]] || fail "a link that stays inside is missing"
[[ ! -L jail/out/dir/abs && ! -L jail/out/dir/up ]] || fail "a link leads out"
python3 - <<'PY' || { cat json; fail "what was not recovered is not named"; }
import json
rows = [json.loads(line) for line in open("json")]
bad = {r["path"]: r["error"] for r in rows if not r["recovered"]}
assert "unsafe path" in bad["/dir/../../xx"], bad
assert all("leads out" in bad["/dir/" + name] for name in ("abs", "up", "round", "twice")), bad
PY
# the output directory's own links are not followed either
mkdir -p jail/second/dir && rm -r jail/second/dir && ln -s "$WORK/outside" jail/second/dir
expect_exit 1 c recover /dir -o jail/second
[[ -z $(ls -A outside) ]] || fail "a link in the way was followed"
