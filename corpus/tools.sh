# What the guest of the corpus has beyond tests/guest: programs of this machine, and things to copy and unpack.

CORPUS_PROGRAMS=(zip unzip 7zz xz gpg gpg-agent gpgconf openssl shred git sqlite3 rsync ntfs-3g cryptsetup mke2fs)

# program_copy ROOT PATH: a program and the libraries it is linked with, at their places below ROOT/usr
program_copy() {
  local file to
  { echo "$2"; ldd "$2" 2>/dev/null | grep -o '/[^ ]*'; } | while read -r file; do
    to=$file
    [[ $to == /usr/* ]] || to=/usr$to # as on a Debian with merged /usr
    mkdir -p "$1${to%/*}"
    cp -Ln "$file" "$1$to"
  done
}

# noise_file FILE BYTES SEED: the same for the same seed
noise_file() { head -c "$2" /dev/zero | openssl enc -aes-128-ctr -K "$(printf '%032x' "$3")" -iv 00000000000000000000000000000000 -out "$1"; }

# image_pack FOLDER IMAGE: a file system with what is in FOLDER, which goes. A guest that still has the old image keeps it.
image_pack() {
  rm -f "$2.new"
  truncate -s "$(($(du -sm "$1" | cut -f1) * 5 / 4 + 16))M" "$2.new"
  mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$1" "$2.new"
  rm -rf "$1"
  mv "$2.new" "$2"
}

# corpus_guest DIR IMAGE [--general]: once, and when a source is newer; a guest in DIR (with that kernel) and its programs in IMAGE
corpus_guest() {
  local dir=$1 image=$2 kernel root p path i
  if [[ -s $dir/base.cpio && -s $image ]]; then
    [[ -n $(find "$SOURCE"/corpus/{errands*,tools.sh} "$SOURCE"/tests/guest/{*.c,*.h,init,kernel} \( -newer "$image" -o -newer "$dir/base.cpio" \)) ]] || return 0
  fi
  mkdir -p "$dir"
  guest_build "$dir/new" "${@:3}" || return 1
  kernel=$(dirname "$(readlink "$dir/new/vmlinux")")
  (cd "$kernel" && find optional | cpio -o -H newc -R 0:0 --quiet) >>"$dir/new/base.cpio"
  mv "$dir"/new/{vmlinux,base.cpio} "$dir/"
  rm -rf "$dir/new"
  root=$(mktemp -d "$dir/tools.XXXXXX")
  mkdir -p "$root"/{usr/bin,card,packages}
  for p in "${CORPUS_PROGRAMS[@]}"; do
    path=$(command -v "$p") || { echo "make: needs $p; run tools/setup test" >&2; return 1; }
    program_copy "$root" "$(readlink -f "$path")"
    [[ -e $root/usr/bin/$p ]] || ln -s "$(readlink -f "$path")" "$root/usr/bin/$p"
  done
  ln -s usr/lib "$root/lib"
  ln -s usr/lib64 "$root/lib64"
  "${CC:-cc}" "${GUEST_CFLAGS[@]}" -o "$root/usr/bin/errands" "$SOURCE"/corpus/errands*.c || return 1
  for ((i = 1; i <= 12; i++)); do noise_file "$root/card/img_$i.jpg" $((900000 + i * 150000)) "$i"; done
  noise_file "$root/card/film.mp4" 8000000 99
  { noise_file /dev/stdout 4194304 5; head -c 8388608 /dev/zero; tar -cf - -C / usr/share/common-licenses; } >"$root/card.img"
  tar -cf "$root/packages/a.tar" -C / usr/share/perl 2>/dev/null || true
  tar -cf "$root/packages/b.tar" -C / usr/share/zoneinfo 2>/dev/null || true
  image_pack "$root" "$image"
}
