# The encryption emulator and the ghosts refuse: outside the guest, and inside it on a tree that it did not make.
source "$CHV_SOURCE/tests/functions.sh"
requires qemu-system-x86_64 busybox cpio
source "$SOURCE/tests/guest/guest.sh"
CLEANUP+=(guest_kill)
guest_build guest

cc "${GUEST_CFLAGS[@]}" -o decoy "$SOURCE"/tests/guest/decoy*.c
cc "${GUEST_CFLAGS[@]}" -o ghost "$SOURCE"/tests/guest/{ghost,decoy_guard}.c
mkdir tree
echo precious >tree/file
echo 'decoy 00112233445566778899aabbccddeeff boot' >tree/.decoy
expect_exit 3 ./decoy lock tree
grep -q 'refuses' err || fail "no word of refusal"
expect_exit 3 ./decoy attack tree wipe 1
grep -q 'refuses' err || fail "no word of refusal"
expect_exit 3 ./decoy make new /usr/share/common-licenses
[[ ! -e new ]] || fail "made a tree outside the guest"
for verb in memfd anonymous 'unlinked tree' 'patched tree' 'plain tree'; do
  # shellcheck disable=SC2086 # two words
  expect_exit 3 ./ghost $verb
  grep -q 'ghost: refuses' err || fail "no word of refusal"
done
[[ $(ls -A tree) == $'.decoy\nfile' ]] || fail "a ghost made a file outside the guest"
[[ $(cat tree/file) == precious && ! -e tree/file.locked ]] || fail "touched a file outside the guest"

cat >task <<'T'
mkdir /run/a && echo precious >/run/a/file
decoy lock /run/a; note "no marker: $?"
decoy attack /run/a wipe 1; note "no marker to wipe: $?"
decoy make /run/b /seeds 64 >/dev/null; note "make: $?"
cp /run/b/.decoy /run/a/.decoy
echo 'decoy 00112233445566778899aabbccddeeff otherboot' >/run/c; mount --bind /run/c /run/a/.decoy
decoy lock /run/a; note "forged marker: $?"
decoy attack /run/a wipe 1; note "forged marker to wipe: $?"
note "content: $(cat /run/a/file)"
decoy make /run/b /seeds 64; note "make again: $?"
ln -s /run/a /run/b/out; ln -s /run/a/file /run/b/file; ln /run/a/file /run/b/second
digest() { find /run/b -type f | sort | xargs cat | md5sum; }
before=$(digest)
for pattern in inplace replace mmap interleave shuffle; do
  decoy attack /run/b $pattern 1 >/dev/null || note "own tree, $pattern: $?"
  for f in /run/b/*/*.locked; do [ ! -e "$f" ] || mv "$f" "${f%.locked}"; done
  [ "$(digest)" != "$before" ] || note "$pattern did nothing"
  decoy attack /run/b $pattern 1 >/dev/null
  for f in /run/b/*/*.locked; do [ ! -e "$f" ] || mv "$f" "${f%.locked}"; done
  [ "$(digest)" = "$before" ] && note "undone: $pattern"
done
decoy attack /run/b wipe 1 >/dev/null; note "own tree: $?"
note "not through links: $(cat /run/a/file /run/b/second | xargs) $(find /run/b -type f | xargs)"
T
guest_start guest task
guest_wait
guest_console >console
for line in 'no marker: 3' 'make: 0' 'forged marker: 3' 'content: precious' 'make again: 2' 'own tree: 0' \
  'undone: inplace' 'undone: replace' 'undone: mmap' 'undone: interleave' 'undone: shuffle' \
  'no marker to wipe: 3' 'forged marker to wipe: 3' 'not through links: precious precious /run/b/second /run/b/.decoy'; do
  grep -qx "$line" console || { cat console >&2; fail "the guest did not say '$line'"; }
done
