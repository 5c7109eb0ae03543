# The throwaway guest, for ./demo and the e2e tests: source this file.
#
#   guest_build DIR [--other]              compile and pack what does not change (once; DIR is kept); --other: Debian's second kernel
#   guest_start DIR TASK QEMU-ARGUMENT...  boot it with the shell script TASK; console in DIR/console
#   guest_until mark NAME                  wait until the guest gets to `mark NAME`, where it waits for ...
#   guest_go                               ... this
#   guest_wait                             until it has powered off
#
# GUEST_KASLR=1 lets the kernel choose its own place; GUEST_CPU is QEMU's -cpu. $GUEST_FILES are files that the guest finds in /files. The guest has no network. Needs no KVM. SOURCE is the project's root.

GUEST_FILES=()                      # files that the next guest finds in /files
GUEST_SECONDS=${GUEST_SECONDS:-180} # how long to wait for a guest that is stuck
GUEST_CFLAGS=(-std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wconversion -Wshadow -Wvla -Werror -static)

guest_build() {
  local dir=$1 kernel root
  mkdir -p "$dir"
  kernel=$("$SOURCE/tests/guest/kernel" "${@:2}") || return 1
  ln -sfn "$kernel/vmlinux" "$dir/vmlinux"
  ln -sfn "$kernel/vmlinuz" "$dir/vmlinuz"
  root=$dir/root
  rm -rf "$root"
  mkdir -p "$root"/{bin,etc,modules,seeds}
  cp "$(command -v busybox)" "$root/bin/busybox"
  ln -s busybox "$root/bin/sh"
  cp "$SOURCE/tests/guest/init" "$root/init"
  chmod +x "$root/init"
  cp "$kernel"/modules/* "$root/modules/"
  cp -L /usr/share/common-licenses/{Apache-2.0,GPL-2,GPL-3,LGPL-2.1,MPL-2.0,GFDL-1.3} "$root/seeds/"
  "${CC:-cc}" "${GUEST_CFLAGS[@]}" -o "$root/bin/decoy" "$SOURCE"/tests/guest/decoy*.c || return 1
  "${CC:-cc}" "${GUEST_CFLAGS[@]}" -o "$root/bin/ghost" "$SOURCE"/tests/guest/{ghost,decoy_guard}.c || return 1
  "${CC:-cc}" "${GUEST_CFLAGS[@]}" -o "$root/bin/stress" "$SOURCE/tests/guest/stress.c" || return 1
  (cd "$root" && find . | cpio -o -H newc -R 0:0 --quiet) >"$dir/base.cpio"
  rm -rf "$root"
}

guest_start() {
  local dir=$1 task=$2 token kernel=vmlinux place=nokaslr
  [[ -z ${GUEST_KASLR:-} ]] || { kernel=vmlinuz; place=kaslr; } # the part that chooses is in front of vmlinux
  shift 2
  GUEST_DIR=$dir
  token=$(od -An -N 16 -t x1 /dev/urandom | tr -d ' \n')
  # The kernel takes several archives one after the other: the second holds what differs from boot to boot.
  rm -rf "$dir/extra"
  mkdir -p "$dir/extra/etc"
  cp "$task" "$dir/extra/task"
  if ((${#GUEST_FILES[@]})); then mkdir "$dir/extra/files" && cp "${GUEST_FILES[@]}" "$dir/extra/files/"; fi
  echo "$token" >"$dir/extra/etc/chronovisor-guest"
  (cd "$dir/extra" && find . | cpio -o -H newc -R 0:0 --quiet) | cat "$dir/base.cpio" - >"$dir/initramfs"
  rm -rf "$dir/extra" "$dir/in"
  mkfifo "$dir/in"
  : >"$dir/console"
  # -cpu max: what TCG can do, five-level page tables as well. nic none: no network. -no-reboot: a panic ends it.
  qemu-system-x86_64 -M q35 -accel tcg -cpu "${GUEST_CPU:-max}" -smp 1 -m "${GUEST_MEMORY:-256M}" -nodefaults -display none \
    -no-reboot -nic none -serial stdio -kernel "$dir/$kernel" -initrd "$dir/initramfs" \
    -append "$place quiet panic=-1 console=ttyS0 chronovisor.guest=$token" "$@" \
    <"$dir/in" >"$dir/console" 2>"$dir/qemu.err" &
  GUEST_PID=$!
  exec {GUEST_IN}>"$dir/in"
}

guest_died() {
  { echo "the guest ended too early:"; tail -n 5 "$GUEST_DIR/qemu.err"; tail -n 15 "$GUEST_DIR/console"; } >&2
  return 1
}

guest_until() { # guest_until mark NAME | guest_until end
  local until=$((SECONDS + GUEST_SECONDS))
  until grep -q "^@@ $*"$'\r\\?$' "$GUEST_DIR/console"; do
    kill -0 "$GUEST_PID" 2>/dev/null || grep -q "^@@ $*"$'\r\\?$' "$GUEST_DIR/console" || { guest_died; return 1; }
    ((SECONDS < until)) || { echo "the guest did not get to '$*' in $GUEST_SECONDS s:" >&2; tail -n 15 "$GUEST_DIR/console" >&2; return 1; }
    sleep 0.1
  done
}

guest_go() { echo >&"$GUEST_IN"; }

guest_wait() {
  guest_until end || return 1
  wait "$GUEST_PID" || { guest_died; return 1; }
  exec {GUEST_IN}>&-
  GUEST_PID=
}

# For a trap: end a guest that is still running.
guest_kill() { [[ -z ${GUEST_PID:-} ]] || kill "$GUEST_PID" 2>/dev/null || true; }

# The guest's console, without what is for us
guest_console() { tr -d '\r' <"$GUEST_DIR/console" | grep -v '^@@ \(mark\|end\)' | sed 's/^@@ note //'; }
