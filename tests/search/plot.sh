# plot: both formats, sizes, what the picture says, and what cannot be drawn.
source "$CHV_SOURCE/tests/functions.sh"
requires python3
# fontconfig keeps its caches until the process ends
echo "leak:libfontconfig" >lsan
export LSAN_OPTIONS=suppressions=$WORK/lsan:print_suppressions=0
plot() { expect_exit 0 chronovisor plot --store s "$@"; }
dd if=/dev/urandom of=f bs=4096 count=64 status=none
{
  echo 'space disk:b 1048576 zero'
  echo 'space disk:a 1073741824 zero'
  for i in {1..120}; do
    printf 'at %d.%03d\nwrite %d f 0 %d\nread %d 64\n' $i $((i * 7 % 1000)) $((i * 8000)) $((4096 * (1 + i % 16))) $((i * 16000))
    ((i > 30 || i % 5)) || echo flush
  done
  printf 'at 121\ntrim 80000 8000\ngap 160000 8000\nflush\n'
} | "$BUILD/tests/search/synth" s 4096

plot --space disk:a -o a.png --json
python3 - a.png 1600 1000 <<'END' || fail "a.png"
import json, struct, sys, zlib
d = open(sys.argv[1], 'rb').read()
assert d[:8] == b'\x89PNG\r\n\x1a\n'
at, image, size = 8, b'', None
while at < len(d):
    n, kind = struct.unpack('>I4s', d[at:at+8])
    body = d[at+8:at+8+n]
    assert zlib.crc32(kind + body) == struct.unpack('>I', d[at+8+n:at+12+n])[0]
    if kind == b'IHDR': size = struct.unpack('>II', body[:8])
    if kind == b'IDAT': image += body
    at += 12 + n
assert size == (int(sys.argv[2]), int(sys.argv[3])), size
colours = len(set(zlib.decompress(image)))
assert colours > 50, colours # not a blank sheet
a = json.loads(open('out').read())
assert (a['reads'], a['writes'], a['gaps'], a['flushless'], a['flushes']) == (120, 120, 1, 1, 7), a
assert a['width'] == 1600 and a['space'] == 'disk:a' and a['from'] == '2100-01-01T00:00:01.007000Z', a
END
plot --space disk:a -o b.svg --width 900 --height 700 --from 2100-01-01T00:00:30Z --to 2100-01-01T00:01:00Z
python3 - <<'END' || fail "b.svg"
import xml.etree.ElementTree as x
r = x.parse('b.svg').getroot()
ns = '{http://www.w3.org/2000/svg}'
assert r.tag == ns + 'svg' and r.get('viewBox') == '0 0 900 700', r.attrib
assert r.find(ns + 'title').text == 's, space disk:a'
text = r.find(ns + 'desc').text
assert '2100-01-01T00:00:30.210000Z to 2100-01-01T00:00:59' in text and 'addresses 0 B to 1 GiB' in text, text
assert len(list(r.iter(ns + 'image'))) == 2
END
(($(stat -c %s b.svg) < 400000)) || fail "the SVG is large"
plot --space disk:a -o - --format png
head -c 4 out | grep -q PNG || fail "nothing on standard output"
cp a.png before.png
plot --space disk:a -o a.png
cmp -s a.png before.png || fail "the same recording, another picture"

one_line_error chronovisor plot --store s --space disk:a
one_line_error chronovisor plot --store s --space disk:a -o x.gif
one_line_error chronovisor plot --store s -o x.png
one_line_error chronovisor plot --store s --space disk:b -o x.png
one_line_error chronovisor plot --store s --space disk:z -o x.png
one_line_error chronovisor plot --store s --space disk:a -o x.png --width 10
one_line_error chronovisor plot --store s --space disk:a -o x.png --width 999999
one_line_error chronovisor plot --store s --space disk:a -o nowhere/x.png
one_line_error chronovisor plot --store s --space disk:a -o x.png --from 2100-01-01T00:01:00Z --to 2100-01-01T00:00:30Z
one_line_error chronovisor plot --store s --space disk:a -o x.png extra
one_line_error chronovisor plot --store nowhere --space disk:a -o x.png
[[ ! -e x.png && ! -e x.gif ]] || fail "an error left a picture"
echo ok
