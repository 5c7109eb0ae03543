# The files layer over Debian's forensics samples: the same images with deleted files on four file systems, and
# the originals. What must come out is every file, and of the deleted ones those that the file system still describes.
source "$CHV_SOURCE/tests/functions.sh"
samples=/usr/share/forensics-samples
[[ -f $samples/fs.ext4.xz ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs forensics-samples-all"; skip "needs forensics-samples-all"; }
requires xz fls
tool=$BUILD/tests/files/files-tool
# Debian optimises PNGs when it builds the originals' package, so these differ from what the images hold.
png() { [[ $1 == *.png ]]; }

deleted_found() { # IMAGE: names of the deleted files that come out as they were
  local line name path original
  "$tool" "$1" ls / rd | grep -E '^./r \*' | while read -r line; do
    path=/${line#* /} name=${path##*/}
    original=$(find $samples/original-files/*2 -name "$name" | head -n 1)
    [[ $original ]] || continue
    if "$tool" "$1" cat "$path" 2>/dev/null | cmp -s - "$original"; then echo "$name"; fi
  done | sort -u | wc -l
}

for fs in ext4 ntfs vfat exfat; do
  xz -dc $samples/fs.$fs.xz >image
  for f in "$samples"/original-files/*1/*; do
    path=${f#"$samples/original-files"}
    png "$path" && continue
    "$tool" image cat "$path" >got || fail "$fs: cat $path"
    cmp -s got "$f" || fail "$fs: $path differs from the original"
  done
  # the same names, allocation and inodes as fls has
  TZ=UTC fls -o 2048 -r -p image | sed -E 's/^(.\/.) (\* )?([0-9]+)(-[0-9]+-[0-9]+)?(\(realloc\))?:\t/\1 \2\3\4 \//' | sort >theirs
  "$tool" image ls / rd | sed -E 's/^(.\/.)( \*)?( -)? ([0-9-]+) [0-7]{4} [0-9]+ [0-9]+ [0-9]+ -?[0-9]+ (.*)$/\1\2 \4 \5/' | sort >ours
  cmp ours theirs || { diff ours theirs | head; fail "$fs: not what fls lists"; }
  found=$(deleted_found image)
  case $fs in
    ext4) [[ $found == 0 ]] || fail "ext4 clears the extents of a deleted file, yet $found came back" ;;
    vfat) ((found >= 15)) || fail "vfat: only $found deleted files came back" ;; # two lost their long name
    *) ((found == 17)) || fail "$fs: only $found deleted files came back" ;;
  esac
  echo "$fs: $found deleted files came back"
  # owners: the first sector of a file's content leads back to it
  path=/movie1/VID_20191220_170832.mp4
  run=$("$tool" image stat $path | grep -o '[0-9]*@[0-9]*+[0-9]*' | head -n 1)
  lba=${run#*@} lba=${lba%+*}
  "$tool" image owners "$((lba + 3)):1" | grep -q "$path 1[0-9]*@$((lba + 3))+512" || fail "$fs: owner of sector $((lba + 3))"
done

xz -dc $samples/fs.multiple.xz >image
for n in 2 3 4; do
  for f in "$samples"/original-multiple/*; do
    "$tool" image --partition $n cat "/${f##*/}" | cmp - "$f" || fail "partition $n: ${f##*/}"
  done
done
one_line_error "$tool" image ls /
grep -q -- '--partition N' err
one_line_error "$tool" image --partition 1 ls /
one_line_error "$tool" image --partition 9 ls /
