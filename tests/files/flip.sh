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
  python3 "$SOURCE/tests/files/fat.py" fat$i
done
truncate -s 4M exfat; mkfs.exfat exfat >/dev/null
for fs in ext4 ext2 ntfs fat12 fat16 exfat; do
  "$BUILD/tests/files/files-flip" $fs "$rounds"
done
