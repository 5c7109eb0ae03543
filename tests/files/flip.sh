# Small images of every kind of file system, damaged at random: see flip.c. CHV_SEED repeats a run.
source "$CHV_SOURCE/tests/functions.sh"
requires mke2fs debugfs mkfs.vfat mkfs.exfat mkfs.ntfs ntfscp python3
rounds=${CHV_ROUNDS:-25}
head -c 30000 /dev/urandom >f
fill() { # ext: a few files, one of them deleted
  printf '%s\n' "mkdir a" "mkdir a/b" "write f one" "write f a/two" "write f a/b/three" "symlink link one" "rm a/two" |
    debugfs -w -f /dev/stdin "$1" >/dev/null 2>&1
}
truncate -s 4M ext4; mke2fs -q -t ext4 -b 1024 -J size=1 ext4; fill ext4
truncate -s 2M ext2; mke2fs -q -t ext2 -b 1024 ext2; fill ext2
truncate -s 4M ntfs; mkfs.ntfs -q -F ntfs 2>/dev/null
for i in 1 2 3 4; do ntfscp ntfs f file$i >/dev/null 2>&1; done
for i in 12 16; do
  truncate -s $((i == 12 ? 1 : 8))M fat$i; mkfs.vfat -F $i -s 1 fat$i >/dev/null
  python3 - fat$i <<'PY'
# three files in the root directory of a fresh FAT, one of them deleted, written by hand
import struct, sys
p = sys.argv[1]
d = bytearray(open(p, "rb").read())
sector, per, reserved, fats, roots = struct.unpack_from("<HBHBH", d, 11)
per_fat, = struct.unpack_from("<H", d, 22)
root = (reserved + fats * per_fat) * sector
data = root + roots * 32
for i, name in enumerate([b"ONE     TXT", b"\xe5WO     TXT", b"THREE   TXT"]):
    d[root + i * 32:root + i * 32 + 32] = name + struct.pack("<B8xHHHHHI", 32, 0, 0x4000, 0x5000, 0x4000, 2 + i, 200)[:21]
    d[data + i * per * sector:data + i * per * sector + 200] = bytes([65 + i]) * 200
open(p, "wb").write(d)
PY
done
truncate -s 4M exfat; mkfs.exfat exfat >/dev/null
for fs in ext4 ext2 ntfs fat12 fat16 exfat; do
  "$BUILD/tests/files/files-flip" $fs "$rounds"
done
