# The encryption emulator refuses: outside the guest, and inside it on a tree that it did not make.
source "$CHV_SOURCE/tests/functions.sh"
requires qemu-system-x86_64 busybox cpio
source "$SOURCE/tests/guest/guest.sh"
CLEANUP+=(guest_kill)
guest_build guest

cc "${GUEST_CFLAGS[@]}" -o decoy "$SOURCE/tests/guest/decoy.c"
mkdir tree
echo precious >tree/file
echo 'decoy 00112233445566778899aabbccddeeff boot' >tree/.decoy
expect_exit 3 ./decoy lock tree
grep -q 'refuses' err || fail "no word of refusal"
expect_exit 3 ./decoy make new /usr/share/common-licenses
[[ ! -e new ]] || fail "made a tree outside the guest"
[[ $(cat tree/file) == precious && ! -e tree/file.locked ]] || fail "touched a file outside the guest"

cat >task <<'T'
mkdir /run/a && echo precious >/run/a/file
decoy lock /run/a; note "no marker: $?"
decoy make /run/b /seeds 64 >/dev/null; note "make: $?"
cp /run/b/.decoy /run/a/.decoy
echo 'decoy 00112233445566778899aabbccddeeff otherboot' >/run/c; mount --bind /run/c /run/a/.decoy
decoy lock /run/a; note "forged marker: $?"
note "content: $(cat /run/a/file)"
decoy make /run/b /seeds 64; note "make again: $?"
decoy lock /run/b >/dev/null; note "own tree: $?"
T
guest_start guest task
guest_wait
guest_console >console
for line in 'no marker: 3' 'make: 0' 'forged marker: 3' 'content: precious' 'make again: 2' 'own tree: 0'; do
  grep -qx "$line" console || { cat console >&2; fail "the guest did not say '$line'"; }
done
