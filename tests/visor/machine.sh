# An emulated machine with UEFI, AMD SVM and nested paging, whose firmware starts chronovisor.efi and that Debian's kernel: source this file.
#
#   machine_build DIR [--ahci|--files] [PROGRAM...]  the EFI system partition and what the guest's initramfs holds (PROGRAM: C files, static);
#                                            --ahci: a kernel that has a driver for SATA; --files: and for NVMe, virtio disks, ext4
#   machine_program DIR SOURCE...            the same with an EFI program of ours in the kernel's place (C files, freestanding)
#   machine_efi FILE SOURCE...               such a program
#   machine_run DIR TASK QEMU-ARGUMENT...    boot it with the shell script TASK, until it powers off; console in DIR/console
#   machine_qemu DIR QEMU-ARGUMENT...        the machine alone, with whatever is in DIR/esp (nothing: without that partition)
#   machine_logged IMAGE                     what -drive takes for a disk whose writes QEMU writes down in IMAGE.writes (for tests/visor/versions)
#
# MACHINE_CPU, MACHINE_SMP, MACHINE_CONFIG (more lines of chronovisor.cfg), MACHINE_UNKNOWN (refuse: the partition's own controller
# is one that is not watched), MACHINE_PLAIN=1 (the kernel without us), MACHINE_OPTIONS (more for the kernel), MACHINE_MEMORY,
# MACHINE_FIRST (an EFI program that is started first, and starts \chronovisor.efi). Needs no KVM.
# QEMU: the qemu-system-x86_64 to use, for another version than the one in PATH: one emulator's idea of a processor proves little.
# SOURCE is the project's root, BUILD its build.

MACHINE_SECONDS=${MACHINE_SECONDS:-150} # how long to wait for one that is stuck
OVMF=${OVMF:-/usr/share/OVMF}
QEMU=${QEMU:-qemu-system-x86_64}

machine_build() {
  local dir=$1 kernel root=$1/root source which=() orders=()
  shift
  case ${1:-} in
    --ahci) which=(--ahci) orders=(order); shift ;;
    --files) which=(--ahci) orders=(order storage.order); shift ;;
  esac
  kernel=$("$SOURCE/tests/visor/kernel" "${which[@]}") || return 1
  rm -rf "$dir"
  mkdir -p "$dir"/esp/EFI/{BOOT,chronovisor} "$root"/{bin,proc,sys,dev,tmp}
  cp "$kernel/vmlinuz" "$dir/esp/vmlinuz"
  if ((${#orders[@]})); then
    mkdir "$root/modules"
    (cd "$kernel/modules" && cat "${orders[@]}") >"$root/modules/order"
    xargs -I{} cp "$kernel/modules/{}" "$root/modules/" <"$root/modules/order"
  fi
  cp "$(command -v busybox)" "$root/bin/busybox"
  ln -s busybox "$root/bin/sh"
  for source in "$@"; do
    "${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wconversion -Wshadow -Werror -static -I "$SOURCE" \
      -o "$root/bin/$(basename "$source" .c)" "$source" || return 1
  done
  cat >"$root/init" <<'I'
#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
[ ! -f /modules/order ] || while read -r module; do insmod "/modules/$module"; done </modules/order
echo "@@ shell $(cut -d' ' -f1 /proc/uptime) $(nproc)"
. /task
sync
echo "@@ end"
poweroff -f
I
  chmod +x "$root/init"
}

machine_program() {
  local dir=$1
  rm -rf "$dir"
  mkdir -p "$dir"/esp/EFI/{BOOT,chronovisor} "$dir/root"
  machine_efi "$dir/esp/vmlinuz" "${@:2}"
}

machine_efi() {
  local out=$1 objects=()
  shift
  mkdir -p "$out.objects"
  for source in "$@" "$SOURCE"/visor/core/{lib,print}.c; do
    objects+=("$out.objects/${#objects[@]}.obj")
    clang -target x86_64-unknown-windows -std=gnu11 -O1 -ffreestanding -fno-stack-protector -mno-red-zone -mgeneral-regs-only \
      -mno-stack-arg-probe -fno-strict-aliasing -Wall -Wextra -Wconversion -Wshadow -Werror -I "$SOURCE" \
      -isystem /usr/include/efi -isystem /usr/include/efi/x86_64 -c "$source" -o "${objects[-1]}" || return 1
  done
  lld-link /nologo /subsystem:efi_application /entry:efi_main /nodefaultlib /out:"$out" "${objects[@]}" || return 1
  rm -r "$out.objects"
}

machine_run() {
  local dir=$1 task=$2 options='initrd=\initrd console=ttyS0 quiet panic=-1 iomem=relaxed'" ${MACHINE_OPTIONS:-}"
  shift 2
  cp "$task" "$dir/root/task"
  (cd "$dir/root" && find . | cpio -o -H newc -R 0:0 --quiet) >"$dir/esp/initrd"
  printf '# made by a test\nloader \\vmlinuz\noptions %s\nunknown_storage %s\n%s\n' "$options" "${MACHINE_UNKNOWN:-ignore}" "${MACHINE_CONFIG:-}" >"$dir/esp/EFI/chronovisor/chronovisor.cfg"
  if [[ ${MACHINE_PLAIN:-} ]]; then
    printf 'vmlinuz %s\n' "$options" >"$dir/esp/startup.nsh"
    rm -f "$dir/esp/EFI/BOOT/BOOTX64.EFI"
  else
    rm -f "$dir/esp/startup.nsh"
    cp "$BUILD/visor/chronovisor.efi" "$dir/esp/chronovisor.efi"
    cp "${MACHINE_FIRST:-$dir/esp/chronovisor.efi}" "$dir/esp/EFI/BOOT/BOOTX64.EFI"
  fi
  machine_qemu "$dir" "$@" || return 1
  grep -qa '^@@ end$' "$dir/console" || { machine_died "$dir"; return 1; }
}

machine_qemu() {
  local dir=$1 esp=()
  shift
  cp "$OVMF/OVMF_VARS_4M.fd" "$dir/vars.fd"
  # shellcheck disable=SC2054 # commas that belong to one option
  # virtio-blk's option ROM and network cards would make the firmware look for a network for a minute
  [[ ! -d $dir/esp ]] ||
    esp=(-drive "file=fat:$dir/esp,format=raw,if=none,id=esp,readonly=on" -device virtio-blk-pci,drive=esp,bootindex=1,romfile=)
  timeout --foreground "$MACHINE_SECONDS" "$QEMU" -M q35 -accel tcg -cpu "${MACHINE_CPU:-EPYC,+svm,+npt}" -smp "${MACHINE_SMP:-1}" \
    -m "${MACHINE_MEMORY:-512M}" -nodefaults -display none -no-reboot -nic none -serial stdio \
    -drive "if=pflash,format=raw,readonly=on,file=$OVMF/OVMF_CODE_4M.fd" -drive "if=pflash,format=raw,file=$dir/vars.fd" \
    "${esp[@]}" "$@" </dev/null 2>"$dir/qemu.err" | stdbuf -oL tr -d '\r' >"$dir/console" || { machine_died "$dir"; return 1; }
}

machine_logged() {
  rm -f "$1.writes"
  truncate -s 16G "$1.writes" || return 1 # most of it a hole
  printf 'driver=blklogwrites,log.driver=file,log.filename=%s.writes,file.driver=raw,file.file.driver=file,file.file.filename=%s,' "$1" "$1"
  printf 'discard=unmap,file.discard=unmap,file.file.discard=unmap,if=none'
}

machine_died() {
  { echo "the machine did not come to its end:"; grep -v 'TCG doesn.t support' "$1/qemu.err" | tail -n 5 || true; tail -n 20 "$1/console"; } >&2
}
