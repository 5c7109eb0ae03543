# Shared by the e2e tests of recording; source it after tests/functions.sh.
requires nbdkit nbdinfo
export PYTHONPATH=$SOURCE/tests/sensor

# A sanitized plugin wants its runtime to be loaded before nbdkit, which has none.
PLUGIN=$BUILD/sensor/nbd/nbdkit-chronovisor-plugin.so
# sensor-capture, sensor-kill and sensor-lifecycle run the same code in one process, also under ThreadSanitizer
! grep -q __tsan_init "$PLUGIN" || skip "nbdkit does not start with ThreadSanitizer's runtime"
RUNTIME=
if grep -q __asan_init "$PLUGIN"; then
  RUNTIME=$(ldd "$PLUGIN" | awk 'index($1, "libasan") { print $3 }')
  [[ $RUNTIME ]] || RUNTIME=$(clang -print-file-name=libclang_rt.asan-x86_64.so)
fi
if [[ $RUNTIME ]]; then
  mkdir -p bin
  printf '#!/bin/sh\nLD_PRELOAD=%q ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0 exec %q "$@"\n' "$RUNTIME" "$(command -v nbdkit)" >bin/nbdkit
  chmod +x bin/nbdkit
  PATH=$WORK/bin:$PATH
fi

# start_record ARGUMENT…: record in the background (pid in $RECORD), wait until the socket answers
start_record() {
  "$BUILD/cli/chronovisor" record --store st "$@" >record.out 2>record.err &
  RECORD=$!
  CLEANUP+=("kill -9 $RECORD")
  wait_for 20 nbdinfo --size "nbd+unix:///?socket=$WORK/st/nbd.sock" >/dev/null
}
# stop_record [CODE]: ask it to end, and check how it did
stop_record() {
  local code=0
  kill -TERM "$RECORD"
  if [[ $RUNTIME ]]; then
    # nbdkit's own plugins hang in exit() too, in a library's destructor, when a runtime is preloaded and there
    # were error messages: what counts is over with the last line.
    wait_for 60 grep -q 'recorded .* requests' record.err
    for _ in $(seq 100); do kill -0 "$RECORD" 2>/dev/null || break; sleep 0.05; done
    if kill -9 "$RECORD" 2>/dev/null; then wait "$RECORD" || true; else wait "$RECORD" || code=$?; fi
  else
    wait "$RECORD" || code=$?
  fi
  [[ $code == "${1:-0}" ]] || { cat record.err >&2; fail "record ended with $code"; }
  ! grep -E 'Sanitizer|runtime error' record.err >&2 || fail "a sanitizer found something"
  [[ ! -e st/nbd.sock ]] || fail "the socket was left behind"
}
# same_as_disk DISK SPACE: restoring the newest instant gives the disk
same_as_disk() {
  rm -f restored.raw
  chronovisor restore --store st --space "$2" -o restored.raw --reason test 2>restore.err || { cat restore.err >&2; fail "restore"; }
  cmp -n "$(stat -c %s "$1")" "$1" restored.raw || fail "the view of $2 is not the disk"
}
SOCKET=$WORK/st/nbd.sock
URI="nbd+unix:///?socket=$SOCKET"
