#!/usr/bin/env bash
# visor-debian.sh [CASE...]: a whole Debian disk, started by its own boot loader under the hypervisor, recorded from the firmware to power off.
#
#   CASE  CONTROLLER-ROAD[-PROCESSORS]: nvme or ahci, and how the disk's boot loader gets started:
#         loader  chronovisor.efi is on the disk's own EFI system partition and starts \EFI\debian\grubx64.efi, its configured loader
#         order   chronovisor.efi is on a small disk of its own, and goes back to the firmware's boot order, in which Debian is next
#
# Without arguments: all four. The disk's image is imported before the machine starts, as a machine's would be when it is taken into
# service; then the store's view at power off has to be the disk's image, byte for byte, and the log has to have no gap. Needs root once
# (tests/long/debian-image), a build in $CHV_BUILD (default: build-debug), and about two minutes a case. ROUNDS=12: the system copies and
# deletes, loads and unloads modules and starts processes at the same time, as often (about a minute each).
set -euo pipefail
SOURCE=$(cd "$(dirname "$0")/../.." && pwd)
BUILD=${CHV_BUILD:-$SOURCE/build-debug}
MACHINE_SECONDS=${MACHINE_SECONDS:-$((900 + 120 * ${ROUNDS:-0}))} MACHINE_MEMORY=1G
source "$SOURCE/tests/visor/machine.sh"
PATH=$PATH:/sbin:/usr/sbin
fail() { echo "FAIL: $*; the console is in $CONSOLE, the rest in $WORK" >&2; failed=1; exit 1; }
CONSOLE=${TMPDIR:-/tmp}/chv-debian.console # of the last case
keep() { [[ ! -f machine/console ]] || cp machine/console "$CONSOLE"; }
chronovisor() { "$BUILD/cli/chronovisor" "$@"; }
image=$("$SOURCE/tests/long/debian-image")
WORK=$(mktemp -d "${TMPDIR:-/tmp}/chv-debian-XXXXXX")
trap '[[ -z ${collector:-} ]] || kill "$collector" 2>/dev/null || true; keep; [[ ${failed:-} ]] || rm -rf "$WORK"' EXIT
cd "$WORK"
openssl rand -hex 32 >key && chmod 600 key
counter() { python3 -c 'import json,sys; print(json.loads(open("log").readlines()[-1])[sys.argv[1]])' "$1"; }

configuration() { # configuration PORT [LINE...]
  # QEMU's SATA disk does not say that it reads zeros after TRIM; with discard=unmap it does
  printf 'trim_reads_zeros 1\nnic 00:06.0\naddress 10.0.2.15\ncollector 10.0.2.2\nport %s\nsensor endpoint\nkey %s\n' "$1" "$(<key)"
  shift
  printf '%s\n' "$@"
}

run() { # run CONTROLLER ROAD PROCESSORS
  local space=disk:DEBIAN port begun=$SECONDS disk=()
  [[ $1 == ahci ]] || space=disk:DEBIANn1
  rm -rf machine store log log.err restored.img
  mkdir -p machine
  cp --sparse=always "$image" disk.img
  echo "${ROUNDS:-0}" | mcopy -i disk.img@@1M - ::/rounds
  chronovisor import snapshot disk.img --store store --space "$space" --at now >/dev/null
  "$BUILD/cli/chronovisor" collect --udp 127.0.0.1:0 --key key --store store --between trust --json >log 2>log.err &
  collector=$!
  for ((i = 0; i < 200; i++)); do grep -q '"listening"' log && break; sleep 0.1; done
  port=$(sed -n 's/.*"listening", "text": "127.0.0.1:\([0-9]*\)".*/\1/p' log)
  if [[ $2 == loader ]]; then
    configuration "$port" 'loader \EFI\debian\grubx64.efi' >chronovisor.cfg
    mmd -i disk.img@@1M ::/EFI/chronovisor
    mcopy -i disk.img@@1M chronovisor.cfg ::/EFI/chronovisor/chronovisor.cfg
    mcopy -o -i disk.img@@1M "$BUILD/visor/chronovisor.efi" ::/EFI/BOOT/BOOTX64.EFI
    kill "$collector" && wait "$collector" # the disk is taken into service now, with us on it
    chronovisor import snapshot disk.img --store store --space "$space" --at now >/dev/null
    "$BUILD/cli/chronovisor" collect --udp "127.0.0.1:$port" --key key --store store --between trust --json >log 2>log.err &
    collector=$!
  else
    mkdir -p machine/esp/EFI/{BOOT,chronovisor}
    configuration "$port" 'unknown_storage ignore' >machine/esp/EFI/chronovisor/chronovisor.cfg
    cp "$BUILD/visor/chronovisor.efi" machine/esp/EFI/BOOT/BOOTX64.EFI
  fi
  # shellcheck disable=SC2054 # commas that belong to one option
  [[ $1 == nvme ]] && disk=(-device nvme,drive=disk,serial=DEBIAN,addr=5,bootindex=2) ||
    disk=(-device ide-hd,drive=disk,bus=ide.1,serial=DEBIAN,bootindex=2)
  MACHINE_SMP=$3 machine_qemu machine -drive "$(machine_logged disk.img),id=disk" "${disk[@]}" \
    -netdev user,id=net -device e1000e,netdev=net,addr=6,romfile= || fail "$1-$2: the machine"
  kill "$collector"
  wait "$collector" || { cat log log.err >&2; fail "$1-$2: the collector"; }
  collector=
  grep -qa '^@@ multi-user .* [/a-z0-9]* '"$3"'$' machine/console || { tail -n 30 machine/console >&2; fail "$1-$2: it does not come to multi-user"; }
  grep -qa '^@@ files' machine/console || { tail -n 30 machine/console >&2; fail "$1-$2: the work"; }
  grep -a '^visor: wire: .* 0 lost' machine/console || { tail -n 30 machine/console; cat log >&2; fail "$1-$2: the wire"; }
  [[ $(counter gaps) == 0 && $(counter forged) == 0 && $(counter malformed) == 0 ]] || { cat log >&2; fail "$1-$2: gaps, or frames that are none"; }
  chronovisor restore --store store --space "$space" -o restored.img >/dev/null
  cmp restored.img disk.img || fail "$1-$2: the store is not what was written"
  "$SOURCE/tests/visor/versions" store "$space" disk.img.writes || fail "$1-$2: a version on the way is not what was written"
  chronovisor verify --store store >/dev/null || fail "$1-$2: verify"
  echo "$1-$2-$3: $(grep -a '^@@ multi-user' machine/console | cut -c4-); $(counter records) records, $(counter new_blocks) new blocks, 0 gaps; the view is the disk; $((SECONDS - begun)) s"
}

(($#)) || set -- nvme-loader ahci-loader nvme-order ahci-order
for case in "$@"; do
  [[ $case =~ ^(nvme|ahci)-(loader|order)(-([1-8]))?$ ]] || fail "no case '$case'; see its first lines"
done
for case in "$@"; do
  [[ $case =~ ^(nvme|ahci)-(loader|order)(-([1-8]))?$ ]]
  run "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[4]:-1}"
done
