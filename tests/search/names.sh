# search names the file that owned the content, at the time it was there: allocated, deleted, in a partition.
source "$CHV_SOURCE/tests/functions.sh"
requires python3 mke2fs debugfs
search() { expect_exit 0 chronovisor search "$@" --json; }
json() { python3 -c "
import json, sys
a = [json.loads(l) for l in open('out')]
sys.exit(0 if ($1) else 'not so: ' + sys.argv[1] + '\n' + '\n'.join(map(json.dumps, a)))" "$1" || fail "$1"; }
at() { printf '@%d' $((1700000000 + $1)); }

mkdir -p tree/home/ann tree/var
head -c 300000 /dev/urandom >tree/home/ann/plans.odt
head -c 70000 /dev/urandom >tree/var/other
head -c 500000 /dev/urandom >junk
mke2fs -q -t ext4 -b 4096 -d tree disk.img 16M >/dev/null
chronovisor import snapshot disk.img --at "$(at 0)" --space disk:a --store s >/dev/null
search --store s tree/home/ann/plans.odt
json "len(a) == 1 and a[0]['fraction'] == 1 and a[0]['name'] == '/home/ann/plans.odt' and a[0]['from_how'] == 'found'"
# deleted, then its blocks overwritten in part: the name is that of the time when all of it was there
lba=$(python3 -c "import json; print(json.loads(open('out').readline())['lba'])")
debugfs -w -R 'rm /home/ann/plans.odt' disk.img 2>/dev/null
chronovisor import snapshot disk.img --at "$(at 100)" --space disk:a --store s >/dev/null
dd if=junk of=disk.img bs=512 seek="$lba" count=200 conv=notrunc status=none
chronovisor import snapshot disk.img --at "$(at 200)" --space disk:a --store s >/dev/null
search --store s tree/home/ann/plans.odt
json "len(a) == 1 and a[0]['fraction'] == 1 and a[0]['name'] == '/home/ann/plans.odt'"
json "[s['blocks'] for s in a[0]['over_time']] == [74, 49] and a[0]['until'] is None"
search --store s tree/home/ann/plans.odt --no-names
json "a[0]['name'] is None"
search --store s junk
json "a[0]['name'] is None or 'plans' in a[0]['name']"
expect_exit 0 chronovisor search --store s tree/var/other
grep -q 'file then: /var/other' out || fail "no name for a reader: $(cat out)"

# inside a partition, among others
truncate -s 40M parts.img
python3 - <<'END' # a partition table with two Linux partitions
import struct
with open('parts.img', 'r+b') as f:
    f.seek(446)
    for first, sectors in ((2048, 16384), (20480, 40960)):
        f.write(struct.pack('<B3sB3sII', 0, b'\xfe\xff\xff', 0x83, b'\xfe\xff\xff', first, sectors))
    f.seek(510)
    f.write(b'\x55\xaa')
END
mke2fs -q -t ext4 -b 4096 disk2.img 8M >/dev/null
dd if=disk2.img of=parts.img bs=512 seek=2048 conv=notrunc status=none
mke2fs -q -t ext4 -b 4096 -d tree disk3.img 20M >/dev/null
dd if=disk3.img of=parts.img bs=512 seek=20480 conv=notrunc status=none
chronovisor import snapshot parts.img --at "$(at 0)" --space disk:p --store t >/dev/null
search --store t tree/var/other
json "len(a) == 1 and a[0]['name'] == '/var/other' and a[0]['lba'] > 20480"
echo ok
