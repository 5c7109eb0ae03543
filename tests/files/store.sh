# The verbs on a recorded disk: Debian's forensics samples imported, then listed, read and recovered, with fls,
# mactime and an XML parser as judges.
source "$CHV_SOURCE/tests/functions.sh"
samples=/usr/share/forensics-samples
[[ -f $samples/fs.ext4.xz ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs forensics-samples-all"; skip "needs forensics-samples-all"; }
requires xz fls mactime python3

cat >same_body.py <<'PY'
# Two body files hold the same lines, but for the order.
import sys
a, b = (sorted(open(p, "rb").read().split(b"\n")) for p in sys.argv[1:3])
for x, y in zip(a, b):
    if x != y:
        sys.exit(f"ours   {x}\ntheirs {y}")
sys.exit(len(a) != len(b) and "not as many lines")
PY
cat >check_dfxml.py <<'PY'
# Valid XML, and the byte runs of each allocated file give its content.
import hashlib
import sys
import xml.etree.ElementTree as ET
ns = "{http://www.forensicswiki.org/wiki/Category:Digital_Forensics_XML}"
root = ET.parse(sys.argv[1]).getroot()
assert root.tag == ns + "dfxml", root.tag
image = open(sys.argv[2], "rb").read()
want = {line.split("  ", 1)[1].rstrip("\n"): line.split()[0] for line in open(sys.argv[3])}
checked = 0
for f in root.iter(ns + "fileobject"):
    name = f.findtext(ns + "filename")
    if name not in want or f.findtext(ns + "alloc_name") != "1":
        continue
    size = int(f.findtext(ns + "filesize"))
    content = b""
    for run in f.iter(ns + "byte_run"):
        assert int(run.get("file_offset")) == len(content)
        n = int(run.get("len"))
        at = run.get("img_offset")
        content += bytes(n) if at is None else image[int(at):int(at) + n]
    resident = not list(f.iter(ns + "byte_run"))
    assert resident or len(content) == size, (name, len(content), size)
    assert resident or hashlib.sha256(content).hexdigest() == want[name], name
    assert f.findtext(ns + "meta_type") == "1" and f.findtext(ns + "mtime").endswith("Z")
    checked += not resident
assert checked >= 15, checked
PY
(cd $samples/original-files && sha256sum ./*/* | sed 's|\./||') | grep -v '\.png$' >known.sha256

for fs in ext4 ntfs vfat exfat; do
  xz -dc $samples/fs.$fs.xz >image
  chronovisor import snapshot image --at @1700000000 --space disk:$fs --store store >out
  v() { local verb=$1; shift; chronovisor "$verb" "$@" --store store --space disk:$fs; }

  # as fls: names, inodes, modes, sizes and times
  v ls -r -d --bodyfile >ours
  TZ=UTC fls -o 2048 -r -m / image >theirs
  python3 same_body.py ours theirs || fail "$fs: not fls's body file"
  mactime -b ours -z UTC -d >timeline
  grep -q VID_20191220_170832.mp4 timeline || fail "$fs: mactime does not read it"

  v ls -r -d --dfxml >dfxml
  python3 check_dfxml.py dfxml image known.sha256 || fail "$fs: DFXML"

  v ls -r --json >json
  python3 -c "
import json, sys
rows = [json.loads(line) for line in open('json')]
paths = {r['path']: r for r in rows}
assert paths['/text1/a-text.pdf']['size'] == 18505 and not paths['/text1/a-text.pdf']['deleted']
assert not any(r['deleted'] for r in rows) and '/audio2' not in paths
" || fail "$fs: ls --json"
  v ls /pic1 | grep -q ' IMG_1054.JPG$' || fail "$fs: ls"

  v cat /movie1/VID_20191220_170832.mp4 | cmp - $samples/original-files/movie1/VID_20191220_170832.mp4 || fail "$fs: cat"
  v stat /pic1/debian.ppm --json | python3 -c "
import json, sys
e = json.load(sys.stdin)
image = open('image', 'rb').read()
got = b''.join(image[x['lba'] * 512:x['lba'] * 512 + x['bytes']] if 'lba' in x else bytes(x['bytes']) for x in e['extents'])
assert got[:e['size']] == open('$samples/original-files/pic1/debian.ppm', 'rb').read(), 'extents'
" || fail "$fs: the extents of stat are not the file"
  inode=$(v stat /text1/a-text.odt --json | python3 -c "import json, sys; print(json.load(sys.stdin)['inode'])")
  v cat "inode:$inode" | cmp - $samples/original-files/text1/a-text.odt || fail "$fs: cat inode:$inode"

  # a tree comes back with its times and modes; deleted files where the file system still knows them
  v recover / -d -o out.$fs --json >recovered || [[ $? == 1 ]] || fail "$fs: recover"
  (cd out.$fs && grep '1/' "$WORK/known.sha256" | sha256sum -c --quiet) || fail "$fs: recovered files differ"
  if [[ $fs != ext4 ]]; then
    (cd out.$fs && grep 'text2/\|audio2/\|movie2/' "$WORK/known.sha256" | sha256sum -c --quiet) || fail "$fs: deleted files differ"
  fi
  python3 -c "
import hashlib, json, os
good = [json.loads(line) for line in open('recovered')]
for r in good:
    if r['recovered'] and 'sha256' in r:
        assert hashlib.sha256(open('out.$fs/' + r['to'], 'rb').read()).hexdigest() == r['sha256'], r
    elif not r['recovered']:
        assert r['error'], r
r = next(r for r in good if r['path'] == '/text1/a-text.pdf')
assert int(os.stat('out.$fs/text1/a-text.pdf').st_mtime) == __import__('datetime').datetime.fromisoformat(r['mtime'][:19] + '+00:00').timestamp()
" || fail "$fs: recover --json"
done

# one file to one file; nothing is overwritten; what is not there leaves nothing behind
v() { local verb=$1; shift; chronovisor "$verb" "$@" --store store --space disk:ext4; }
v recover /text1/a-text.pdf -o one.pdf 2>err
cmp one.pdf $samples/original-files/text1/a-text.pdf
[[ $(stat -c %Y one.pdf) == $(v stat /text1/a-text.pdf --json | python3 -c "
import datetime, json, sys
print(int(datetime.datetime.fromisoformat(json.load(sys.stdin)['mtime'][:19] + '+00:00').timestamp()))") ]] || fail "mtime of one.pdf"
one_line_error v recover /text1/a-text.pdf -o one.pdf
one_line_error v recover /no/such -o new
[[ ! -e new ]] || fail "a directory was made for nothing"
expect_exit 1 v recover /text1/a-text.pdf /text1/a-text.odt -o out.ext4/text1
grep -q 'in the way' out || fail "not said that a file is in the way"
one_line_error v cat /text1
one_line_error v cat /no/such
one_line_error v cat inode:99999999
one_line_error v cat inode:12x
one_line_error v ls /text1/a-text.pdf/x
one_line_error v ls / --at @5
one_line_error v ls / --partition 2
one_line_error v ls / --bodyfile --dfxml
one_line_error v stat
one_line_error v history
one_line_error v ls / --limit 3 -r
[[ $(wc -l <out) == 3 ]] || fail "--limit 3 gave $(wc -l <out) entries"

# exports are in the custody log, with the reason
v cat /text1/a-text.odt --reason "case 7" >/dev/null
python3 -c "
import json
rows = [json.loads(line) for line in open('store/custody.jsonl')]
assert rows[-1]['action'] == 'cat' and rows[-1]['reason'] == 'case 7' and '/text1/a-text.odt' in rows[-1]['detail'], rows[-1]
assert any(r['action'] == 'recover' for r in rows)
"
