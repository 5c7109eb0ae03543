# Load on a watched machine that records over the wire: source this file after machine.sh and functions.sh.
#
#   load_tools FILE              a file system with Debian's fio and mke2fs for the guest
#   load_collect STORE OPTION... start a collector in the background (the first time: on a port of its own choice); $collector, $port
#   load_network LOSS DOUBLED REORDERED SEED  (in 1000) a network in front of it that is bad; $port is then its own
#   load_config                  chronovisor.cfg for all that
#   load_task                    shell functions for the guest: tools; dd, fio, mkfs and files by seed
#   load_counter NAME            of the collector's last line
#   load_sound                   fails unless the collector missed, refused and guessed nothing
#   load_compare STORE SPACE IMAGE  the view is the image, and every version on the way is what QEMU wrote (machine_logged)

# The last line is written when the collector ends.
load_counter() { tail -n 1 log | python3 -c 'import json,sys; print(json.loads(sys.stdin.read())[sys.argv[1]])' "$1"; }
load_sound() {
  local name
  for name in gaps forged malformed bad_records missing unobserved partial_unknown; do
    [[ $(load_counter $name) == 0 ]] || fail "$name: $(load_counter $name)"
  done
}

load_tools() {
  local program
  rm -rf tools && mkdir -p tools/bin tools/lib
  for program in fio mke2fs; do
    cp "$(command -v $program)" tools/bin/
    ldd "$(command -v $program)" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p; s/^\t\(\/[^ ]*ld-linux[^ ]*\).*/\1/p' | xargs cp -Lu -t tools/lib
  done
  mke2fs -q -F -t ext4 -O ^has_journal -L tools -d tools "$1" 160M
  rm -rf tools
}

load_collect() {
  local store=$1; shift
  rm -f log
  "$BUILD/cli/chronovisor" collect --udp "127.0.0.1:${collector_port:-0}" --key key --store "$store" --json "$@" >log 2>log.err &
  collector=$!
  CLEANUP+=("kill -9 $collector")
  wait_for 60 grep -q '"listening"' log
  collector_port=$(sed -n 's/.*"listening", "text": "127.0.0.1:\([0-9]*\)".*/\1/p' log)
  port=${proxy_port:-$collector_port}
}

load_network() {
  echo "$collector_port" >port-target
  python3 "$SOURCE/tests/net/proxy.py" port-target port-proxy "$1" "$2" "$3" 0 "$4" &
  CLEANUP+=("kill $!")
  wait_for 20 test -s port-proxy
  proxy_port=$(<port-proxy)
  port=$proxy_port
}

load_config() {
  printf 'nic 00:1e.0\naddress 10.0.2.15\ncollector 10.0.2.2\nport %s\nsensor endpoint\nkey %s\ntrim_reads_zeros 1\nfinish_seconds 300\n' "$port" "$(<key)"
}
# shellcheck disable=SC2054 # commas that belong to one option
LOAD_DEVICES=(-netdev user,id=net -device e1000e,netdev=net,addr=1e,romfile= -device "virtio-blk-pci,drive=tools,romfile="
  -drive file=tools.img,format=raw,if=none,id=tools,readonly=on)

load_task() {
  cat <<'T'
echo 0 >/proc/sys/kernel/printk
mkdir /tools
for d in /dev/vd?; do mount -t ext4 -o ro "$d" /tools 2>/tmp/mount && break; done
[ -d /tools/bin ] || { echo "@@ load failed: no tools: $(cat /tmp/mount /proc/partitions)"; }
tool() { t=$1; shift; /tools/lib/ld-linux-x86-64.so.2 --library-path /tools/lib "/tools/bin/$t" "$@"; }
failed() { echo "@@ load failed: $*"; }
# verify NAME FILE MIB SEED FIO-OPTION...: random reads and writes of half a KiB to 64 KiB, 32 under way, everything read again
verify() {
  vn=$1 vf=$2 vm=$3 vs=$4; shift 4
  tool fio --name="$vn" --filename="$vf" --size="${vm}m" --randseed="$vs" --rw=randrw --rwmixwrite=75 --bsrange=512-64k --blockalign=512 --direct=1 \
    --ioengine=libaio --iodepth=32 --verify=crc32c --verify_fatal=1 --thread --output="/tmp/$vn" "$@" >/tmp/"$vn".err 2>&1 ||
    { failed "fio $vn"; cat "/tmp/$vn" "/tmp/$vn.err"; }
  grep -q 'IO depths.*\(16=.*, 32=[1-9]\|32=[1-9]\)' "/tmp/$vn" || failed "fio $vn: not 32 at once: $(grep 'IO depths' "/tmp/$vn")"
}
# load DEVICE SEED [STEPS]: dd; fio on the second half; a file system in the first, files, fio in one of them
load() {
  dev=/dev/$1 seed=$2 steps=${3:-150} half=$(($(cat "/sys/block/$1/size") / 4)) # in KiB
  kib=$((1 << seed % 7 + 2))
  yes "dd $seed" | dd of="$dev" bs=${kib}k count=$((4096 / kib + 1)) seek=$((seed % 50)) iflag=fullblock oflag=direct 2>/dev/null || failed "dd $1"
  verify "$1" "$dev" 12 "$seed" --offset="${half}k"
  tool mke2fs -q -F -t ext4 -b $((1024 << seed % 3 / 2 * 2)) "$dev" "${half}k" >"/tmp/$1.mkfs" 2>&1 || failed "mke2fs $1: $(cat "/tmp/$1.mkfs")"
  mkdir -p "/mnt/$1" && mount -t ext4 "$dev" "/mnt/$1" || failed "mount $1"
  stress "/mnt/$1" "$seed" "$steps" >"/tmp/$1.stress" 2>&1 || failed "stress $1: $(cat "/tmp/$1.stress")"
  verify "$1-file" "/mnt/$1/verify" 4 "$seed"
  umount "/mnt/$1" || failed "umount $1"
  echo "@@ loaded $1 $seed $(cut -d' ' -f1 /proc/uptime)"
}
T
}

load_compare() {
  chronovisor restore --store "$1" --space "$2" -o restored.img --force >/dev/null || fail "restore $2"
  cmp restored.img "$3" || fail "the view of $2 is not the disk"
  "$SOURCE/tests/visor/versions" "$1" "$2" "$3.writes" || fail "the versions of $2 are not what was written"
}
