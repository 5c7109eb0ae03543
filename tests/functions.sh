# Shared by every e2e test: source it first. A test runs in its own directory and leaves nothing behind.
set -euo pipefail
skip() { echo "SKIP: $*"; exit 77; }
fail() { echo "FAIL: $*" >&2; exit 1; }
# requires PROGRAM…: skip when one is missing (CHV_NO_SKIP=1, as in CI, makes that a failure)
requires() {
  local p
  for p in "$@"; do
    command -v "$p" >/dev/null || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs $p"; skip "needs $p"; }
  done
}
# expect_exit CODE COMMAND…: run it, keep stdout in ./out and stderr in ./err, check the exit status
expect_exit() {
  local want=$1 got=0; shift
  "$@" >out 2>err || got=$?
  [[ $got == "$want" ]] || { cat out err >&2; fail "exit $got, not $want: $*"; }
}
# one_line_error COMMAND…: bad input gives exit 2 and exactly one line on stderr
one_line_error() {
  expect_exit 2 "$@"
  [[ $(wc -l <err) == 1 ]] || { cat err >&2; fail "not one line on stderr: $*"; }
}
wait_for() { # wait_for SECONDS COMMAND…
  local until=$((SECONDS + $1)); shift
  until "$@" 2>/dev/null; do ((SECONDS < until)) || fail "timed out waiting for: $*"; sleep 0.05; done
}
BUILD=${CHV_BUILD:?set by meson}
SOURCE=${CHV_SOURCE:?set by meson}
chronovisor() { "$BUILD/cli/chronovisor" "$@"; }
WORK=$(mktemp -d "${TMPDIR:-/tmp}/chv-e2e-XXXXXX")
CLEANUP=()
# At the end of a test that passed, the second reader must agree on every store the test leaves behind.
cleanup() {
  local code=$? c store until=$((SECONDS + 20))
  for c in "${CLEANUP[@]}"; do eval "$c" >/dev/null 2>&1 || true; done
  if ((code == 0)); then
    while IFS= read -r store; do
      ((SECONDS < until)) || { echo "second reader: no time for $store"; continue; }
      "$SOURCE/tests/store/second_reader" "${store%/store.json}" || code=1
    done < <(find "$WORK" -maxdepth 3 -name store.json)
  fi
  rm -rf "$WORK"
  exit "$code"
}
trap cleanup EXIT
cd "$WORK"
