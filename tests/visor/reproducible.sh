# The same sources give the same chronovisor.efi, byte for byte: built elsewhere, at another time, by another number of jobs, in another language;
# and what is built has nothing that it needs from others.
source "$CHV_SOURCE/tests/functions.sh"
requires clang lld-link meson ninja
[[ -f $BUILD/visor/chronovisor.efi ]] || fail "chronovisor.efi was not built"
folder="a longer name/below"
mkdir -p "$folder"
(cd "$SOURCE" && git ls-files -co --exclude-standard -z 2>/dev/null || find . -name 'build*' -prune -o -type f -print0) |
  (cd "$SOURCE" && tar -c --null --ignore-failed-read -T - 2>/dev/null) | tar -x -C "$folder"
(cd "$folder" && env LC_ALL=C.UTF-8 TZ=Asia/Tokyo SOURCE_DATE_EPOCH=1 meson setup build >setup.log 2>&1 &&
  ninja -j 1 -C build visor/chronovisor.efi >build.log 2>&1) || { tail -n 20 "$folder"/*.log >&2; fail "it does not build in $folder"; }
cmp "$folder/build/visor/chronovisor.efi" "$BUILD/visor/chronovisor.efi" || fail "built in '$folder' it is another one"
# The import table's entry of the PE header (PE format, optional header data directories: the second) is empty.
python3 - "$BUILD/visor/chronovisor.efi" <<'P'
import struct, sys
d = open(sys.argv[1], "rb").read()
pe = struct.unpack_from("<I", d, 0x3C)[0]
optional = pe + 24
assert struct.unpack_from("<H", d, optional)[0] == 0x20B
assert struct.unpack_from("<II", d, optional + 112 + 8) == (0, 0), "it imports something"
P
echo "$(sha256sum <"$BUILD/visor/chronovisor.efi" | cut -c1-64) chronovisor.efi, twice"
