# ./demo --visor: sourced by it, with its functions, in the folder that it leaves behind.
source "$SOURCE/tests/visor/machine.sh"
BUILD=$SOURCE/build-release
if [[ ! -f $BUILD/visor/chronovisor.efi ]]; then # configured when there was no clang
  meson setup --reconfigure "$BUILD" >/dev/null && "$SOURCE/tools/build" release | tail -n 1
  [[ -f $BUILD/visor/chronovisor.efi ]] || stop "chronovisor.efi was not built: it needs clang and lld"
fi
MACHINE_SECONDS=500
SPACE=disk:ENDPOINTn1
export CHRONOVISOR_STORE=$PWD/store
until_line() { # until_line FILE REGEX SECONDS
  local end=$((SECONDS + $3))
  until grep -qa "$2" "$1" 2>/dev/null; do ((SECONDS < end)) || stop "$1 does not say '$2'"; sleep 0.1; done
}

step "the machine: UEFI firmware, an NVMe disk with ext4, and a network card that only the hypervisor will know"
machine_build machine --files || stop "the machine cannot be built"
"${CC:-cc}" "${GUEST_CFLAGS[@]}" -o machine/root/bin/decoy "$SOURCE"/tests/guest/decoy*.c
mkdir -p machine/root/{etc,data,files,seeds}
cp -L /usr/share/common-licenses/{Apache-2.0,GPL-2,GPL-3,LGPL-2.1,MPL-2.0,GFDL-1.3} machine/root/seeds/
token=$(od -An -N 16 -t x1 /dev/urandom | tr -d ' \n')
echo "$token" >machine/root/etc/chronovisor-guest # the emulator runs nowhere else
# What the intruder leaves on the disk for a moment. 60 KiB that exist nowhere else.
awk 'BEGIN { for (i = 0; i < 2048; i++) printf "%05d Plan B, not to be found\n", i }' >machine/root/files/plan-b.txt
dd if=machine/root/files/plan-b.txt of=fragment.bin bs=512 skip=37 count=40 status=none # 20 KiB: all that is known of it later
truncate -s 192M disk.img
PATH=$PATH:/sbin:/usr/sbin mke2fs -q -t ext4 -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 disk.img
cat >task <<'T'
note() { echo "guest: $*"; }
mkdir /run
mount -t tmpfs run /run
mount -t ext4 /dev/nvme0n1 /data
note "Linux $(uname -r), $(df -h /data | tail -n 1 | awk '{print $2}') ext4 on /dev/nvme0n1; network cards: $(ls /sys/class/net | grep -vc '^lo$'); SVM: $(grep -cw svm /proc/cpuinfo)"
note "$(decoy make /data/home /seeds 49152)"
sync
cd /data/home
sleep 2
note "someone works: new documents, edits, a backup, some deletions"
for i in 1 2 3 4 5 6 7 8; do
  sed "s/Letter/Copy of letter/" letters/letter-00$i.txt >letters/copy-00$i.txt
  echo "2026-11-22,00001,-$i.00,0.00" >>accounts/accounts-00$i.csv
done
tar -czf backup.tgz letters accounts
rm logs/system-00?.log
sync
note "the intruder keeps a note on the disk, then deletes it"
mkdir /data/tmp
cp /files/plan-b.txt /data/tmp/plan-b.txt
sync
sleep 4
shred -n 1 -u /data/tmp/plan-b.txt
sync
note "plan-b.txt is gone: $(ls /data/tmp | wc -l) files in /data/tmp"
echo "@@ begin manifest"
find . -type f | sort | xargs sha256sum
echo "@@ finish manifest"
sync
echo 3 >/proc/sys/vm/drop_caches # the intruder comes on another day
echo "@@ before"
sleep 6
note "the attack begins"
note "$(decoy lock /data/home)"
sync
note "what the user sees now: $(ls letters | head -n 2 | xargs), ..."
sleep 10
cd /
umount /data
T

step "the collector: an ordinary machine somewhere else; the disk's image is evidence from before"
show chronovisor import snapshot disk.img --space "$SPACE" --at now
printf '%s$ openssl rand -hex 32 >key; chmod 600 key\n$ chronovisor collect --udp 127.0.0.1:0 --key key --between trust &\n' "$bold"
printf '$ chronovisor detect --follow --model detect/default.model >alarms &%s\n' "$plain"
(umask 077 && openssl rand -hex 32 >key)
chronovisor collect --udp 127.0.0.1:0 --key key --between trust >collect.out 2>collect.err &
RECORDER=$!
until_line collect.err 'listening on' 20
port=$(sed -n 's/.*listening on 127.0.0.1:\([0-9]*\).*/\1/p' collect.err)
chronovisor detect --follow --model "$SOURCE/detect/default.model" >alarms 2>detect.err &
DETECTOR=$!
cat collect.err

step "the machine is switched on; chronovisor.efi is first in its firmware's boot order, and is told"
configuration="nic 00:06.0
address 10.0.2.15
collector 10.0.2.2
port $port
sensor endpoint
key $(<key)"
sed 's/^key .*/key …/; s/^/   /' <<<"$configuration"
MACHINE_OPTIONS="chronovisor.guest=$token" MACHINE_CONFIG=$configuration machine_run machine task \
  -drive file=disk.img,format=raw,if=none,id=disk,discard=unmap -device nvme,drive=disk,serial=ENDPOINT,addr=5 \
  -netdev user,id=net -device e1000e,netdev=net,addr=6,romfile= &
MACHINE=$!
for ((i = 0; i < 100; i++)); do [[ -e machine/console ]] && break; sleep 0.1; done
tail -s 0.2 -f -n +1 --pid=$MACHINE machine/console 2>/dev/null | grep -a --line-buffered '^visor:\|^guest:' | stdbuf -oL sed 's/^/   /' &
TAIL=$!
raised='' before=''
while kill -0 "$MACHINE" 2>/dev/null; do
  if [[ -z $raised && -s alarms ]]; then
    raised=1
    python3 -c '
import json, sys
for alarm in map(json.loads, sys.stdin):
    print("   ALARM at %s: it began %s, score %.2f" % (alarm["time"], alarm["began"], alarm["score"]))
    print("         files: %s, ... (%d so far)" % (", ".join(alarm["files_hit"][:3]), len(alarm["files_hit"])))' <alarms
  fi
  # the hypervisor's clock is the firmware's, which has whole seconds
  if [[ -z $before ]] && grep -qa '^@@ before' machine/console; then before=$(date -u -d '+2 seconds' +%Y-%m-%dT%H:%M:%SZ); fi
  sleep 0.2
done
wait "$MACHINE" || stop "the machine: $(tail -n 5 machine/console)"
MACHINE=
wait "$TAIL" 2>/dev/null || true
TAIL=
[[ $raised ]] || stop "no alarm was raised while the machine ran: $(cat detect.err)"
kill "$RECORDER" && wait "$RECORDER" || stop "the collector failed: $(tail -n 1 collect.err)"
RECORDER=
kill "$DETECTOR" && wait "$DETECTOR" || stop "the detector failed: $(tail -n 1 detect.err)"
DETECTOR=
sed -n '/^@@ begin/,/^@@ finish/{/^@@/d;p}' machine/console >before.sha256
[[ $(wc -l <before.sha256) -gt 100 ]] || stop "the guest did not list its files"

step "what the collector received"
grep -E 'records|content|gaps|blocks' collect.out
say 'Nobody watched between the import and the stream; --between trust says that nothing happened then: that gap covers no block.'
show chronovisor stats
show chronovisor verify

step "the alarm: why, and what it offers"
head -n 1 alarms | python3 -c '
import json, sys
alarm = json.load(sys.stdin)
print("   why: " + ", ".join("%s = %.3g" % (w["feature"], w["value"]) for w in alarm["why"][:3]))
print("   last clean instant by its estimate %s: %s" % (alarm["clean"]["time"], alarm["rewind"]))'

step "how good is that estimate? files that were locked by then, and a few seconds before"
clean=$(python3 -c 'import json; print("seq:%d" % json.loads(open("alarms").readline())["clean"]["seq"])')
for at in "$clean" "$before"; do
  printf "%s\$ chronovisor ls -r --space %s --at %s /home | grep -c locked%s\n" "$bold" "$SPACE" "$at" "$plain"
  chronovisor ls -r --space "$SPACE" --at "$at" /home | grep -c locked || true
done
show chronovisor history --space "$SPACE" /home/letters/letter-001.txt

step "20 KiB of a file are known; was it ever on this disk? (it was shredded and deleted)"
show chronovisor search --fragment fragment.bin
until=$(chronovisor search --fragment fragment.bin | sed -n 's/.*until \([0-9T:.Z-]*\) .*/\1/p' | head -n 1)
then=$(date -u -d "$until - 1 second" +%Y-%m-%dT%H:%M:%SZ)
show chronovisor cat --space "$SPACE" --at "$then" /tmp/plan-b.txt --reason "demo: read the note" | sed -n 1,4p

step "the folder before the attack and now"
show chronovisor ls --space "$SPACE" --at "$before" /home/letters | sed -n 1,5p
show chronovisor ls --space "$SPACE" /home/letters | sed -n 1,5p

step "is the store's view, now, what is on the machine's disk?"
show chronovisor restore --space "$SPACE" -o now.img --reason "demo: compare"
show cmp now.img disk.img
say "Every byte."

step "back to before the attack"
show chronovisor rewind --space "$SPACE" --source disk.img --to "$before" --reason "demo: undo the encryption"

step "proof: a guest boots on that disk and checks every digest that was taken before the attack"
cat >task <<'T'
mount -t ext4 /dev/vda /data
cd /data/home
if sha256sum -c /files/before.sha256 >/run/result 2>&1; then verdict="all"; else verdict="NOT all"; fi
note "guest: $(grep -c 'OK$' /run/result) files have their digest from before the attack: $verdict"
note "guest: $(find . -name '*.locked' | wc -l) locked files left"
T
GUEST_FILES=(before.sha256)
guest_start guest task -drive file=disk.img,format=raw,if=virtio,snapshot=on
guest_wait
guest_console | grep '^guest:' | sed 's/^/   /'
guest_console | grep -q ': all$' || stop "not every file came back"
[[ $(guest_console | sed -n 's/^guest: \([0-9]*\) files have.*/\1/p') == $(wc -l <before.sha256) ]] || stop "not every file was checked"

cp machine/console console
rm -rf guest machine task key now.img detect.err collect.err
step "done"
say "In $OUT:" \
  "store/        the evidence; try: chronovisor events --store $OUT/store | head; chronovisor plot --store $OUT/store -o attack.svg" \
  "alarms        what the detector said, JSON;  collect.out  the collector's counters;  console  the machine's console" \
  "disk.img      the machine's disk, rewound;  before.sha256  the digests of its files before the attack"
