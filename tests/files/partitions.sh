# Partition tables and file systems made here: MBR with a logical partition, GPT, bare, none; odd names; big directories.
source "$CHV_SOURCE/tests/functions.sh"
requires mke2fs debugfs mkfs.vfat mkfs.exfat mkfs.ntfs ntfscp ntfs-3g python3
record=$BUILD/tests/files/files-record
head -c 70000 /dev/urandom >f
truncate -s 8M e; mke2fs -q -t ext4 -b 1024 -O inline_data e
truncate -s 8M x; mkfs.exfat x >/dev/null
truncate -s 8M n; mkfs.ntfs -q -F n
truncate -s 8M v; mkfs.vfat v >/dev/null
debugfs -w -R "write f $(printf 'caf\xc3\xa9')" e >/dev/null 2>&1
latin=$(printf 'latin\xe9 |pipe')
debugfs -w -R "write f \"$latin\"" e >/dev/null 2>&1
debugfs -w -R "write f plain" e >/dev/null 2>&1
echo short >s
debugfs -w -R "write s inline" e >/dev/null 2>&1
for i in $(seq 3000); do echo "write s many/file$i"; done >big
(echo "mkdir many"; cat big) >all
truncate -s 64M d; mke2fs -q -t ext2 -N 4000 d
debugfs -w -f all d >/dev/null 2>&1
ntfscp n f plain >/dev/null 2>&1
ntfscp -N stream n s plain >/dev/null 2>&1
python3 "$SOURCE/tests/files/table.py" mbr mbr e x n v
python3 "$SOURCE/tests/files/table.py" gpt gpt e n
time=1700000000
for disk in mbr gpt e d n; do "$record" store disk:$disk $((time += 10)) $disk; done
c() { local verb=$1; shift; chronovisor "$verb" "$@" --store store; }

for at in "mbr 1" "gpt 1"; do
  c cat /plain --space disk:${at% *} --partition ${at#* } | cmp - f || fail "ext4 in $at"
done
for at in "mbr 3" "gpt 2"; do
  c cat /plain --space disk:${at% *} --partition ${at#* } | cmp - f || fail "NTFS in $at"
done
c ls -r -d --space disk:mbr --partition 2 >/dev/null # exFAT
c ls -r -d --space disk:mbr --partition 5 | grep -q FAT1 || fail "FAT in a logical partition"
one_line_error c ls --space disk:mbr
grep -q '1 (ext4), 2 (exfat), 3 (ntfs), 5 (fat' err || fail "partitions are not named: $(cat err)"
one_line_error c ls --space disk:mbr --partition 4
one_line_error c ls --space disk:mbr --partition 0
one_line_error c ls --space disk:mbr --partition x
[[ $(c cat /inline --space disk:e) == short ]] || fail "inline data"
[[ $(c cat /plain:stream --space disk:n) == short ]] || fail "NTFS stream"
c ls --space disk:n | grep -q ' plain:stream$' || fail "ls shows no stream"
c cat /PLAIN --space disk:n | cmp - f || fail "NTFS minds case"
c cat "$(printf '/caf\xc3\xa9')" --space disk:e | cmp - f || fail "UTF-8 name"
[[ $(c ls /many --space disk:d | wc -l) == 3000 ]] || fail "a big directory"
c ls --space disk:e | grep -qF 'latin? |pipe' || fail "a name that is no UTF-8"
c cat "/$latin" --space disk:e | cmp - f || fail "cat of a name that is no UTF-8"
c recover "/$latin" -o names/ --space disk:e >/dev/null 2>&1
cmp "names/$latin" f || fail "recover of a name that is no UTF-8"
c ls -r --bodyfile --space disk:e | awk -F'|' 'NF != 11 { exit 1 }' || fail "a name breaks the body file"
c ls -r --json --space disk:e | python3 -c "import json, sys; [json.loads(line) for line in sys.stdin]" || fail "a name breaks JSON"
c ls -r --dfxml --space disk:e | python3 -c "import sys, xml.dom.minidom as m; m.parse(sys.stdin.buffer)" || fail "a name breaks XML"
c recover /plain -o got --space disk:n 2>err && cmp got/plain f 2>/dev/null || cmp got f || fail "recover from NTFS"

# deleted files on FAT, two of one name, one of them deleted
for i in 12 16; do
  truncate -s $((i == 12 ? 1 : 8))M fat$i
  mkfs.vfat -F $i -s 1 fat$i >/dev/null
  python3 "$SOURCE/tests/files/fat.py" fat$i
  "$record" store disk:fat$i $((time += 10)) fat$i
  c recover / -d -o fat.out$i --space disk:fat$i --json >json || fail "FAT$i: recover: $(cat json)"
  [[ $(tr -d A <fat.out$i/ONE.TXT | wc -c) == 0 && $(stat -c %s fat.out$i/ONE.TXT) == 200 ]] || fail "FAT$i: ONE.TXT"
  [[ $(date -u -r fat.out$i/ONE.TXT +%FT%T) == 2020-01-01T12:00:00 ]] || fail "FAT$i: time $(date -u -r fat.out$i/ONE.TXT +%FT%T)"
  [[ $(head -c 1 fat.out$i/_WO.TXT) == B && $(head -c 1 fat.out$i/_IX.TXT) == D ]] || fail "FAT$i: content"
  [[ $(cat fat.out$i/_IX.TXT.deleted-* | tr -d E | wc -c) == 0 && $(cat fat.out$i/_IX.TXT.deleted-* | wc -c) == 200 ]] ||
    fail "FAT$i: the deleted file of the same name"
  one_line_error c cat /_WO.TXT --space disk:fat$i
  [[ $(c cat /_WO.TXT -d --space disk:fat$i | tr -d B | wc -c) == 0 ]] || fail "FAT$i: cat -d"
done

# compressed NTFS, and a sparse file on it
truncate -s 16M packed; mkfs.ntfs -q -F -C packed 2>/dev/null
mkdir mnt
if ntfs-3g -o compression packed mnt 2>/dev/null; then
  CLEANUP+=("umount mnt")
  seq 20000 >numbers
  cp numbers mnt/
  truncate -s 3M mnt/sparse
  cat f >>mnt/sparse
  sync mnt/numbers mnt/sparse
  umount mnt
  (truncate -s 3M hole && cat hole f >sparse)
  "$record" store disk:packed $((time += 10)) packed
  c stat /numbers --space disk:packed | grep -q compressed || fail "not compressed"
  c cat /numbers --space disk:packed | cmp - numbers || fail "compressed content"
  c recover /numbers /sparse -o unpacked --space disk:packed >/dev/null 2>&1
  cmp unpacked/numbers numbers && cmp unpacked/sparse sparse || fail "recovered from compressed NTFS"
elif [[ ${CHV_NO_SKIP:-} && $EUID == 0 ]]; then
  fail "ntfs-3g cannot mount"
fi

# nothing there, random bytes, a space that is unknown
truncate -s 1M zero
head -c 1048576 /dev/urandom >noise
"$record" zeros disk:z 1700000000 zero
"$record" zeros disk:noise 1700000001 noise
one_line_error chronovisor ls --store zeros --space disk:z
one_line_error chronovisor ls --store zeros --space disk:noise
