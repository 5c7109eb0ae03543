# process_guest.sh DIR SOURCE BUILD MIB: a Linux guest with a process of that many MiB and the helper; prints "PID BYTES" when it is there, and
# ends with its standard input. QMP at DIR/q, the helper's port at DIR/h.
set -euo pipefail
cd "$1"
SOURCE=$2
source "$SOURCE/tests/guest/guest.sh"
trap guest_kill EXIT
guest_build guest >&2
"${CC:-cc}" "${GUEST_CFLAGS[@]}" -o resident "$SOURCE/tests/memory/resident.c"
# shellcheck disable=SC2034 # guest.sh reads it
GUEST_FILES=(resident "$3/guest/chronovisor-helper")
printf '%s\n' 'cp /files/* /bin' 'chronovisor-helper &' "resident fill $4 >/run/fill &" \
  'while ! grep "^@@ memory" /run/fill; do sleep 0.2; done' 'mark ready' 'sleep 100000' >task
GUEST_MEMORY=1G guest_start guest task -object memory-backend-memfd,id=m,size=1G,share=on -machine memory-backend=m \
  -qmp "unix:$PWD/q,server=on,wait=off" -device virtio-serial-pci -chardev "socket,id=h,path=$PWD/h,server=on,wait=off" \
  -device virtserialport,chardev=h,name=org.chronovisor.helper
guest_until mark ready
guest_go
tr -d '\r' <guest/console | sed -n 's/^@@ memory fill \([0-9]*\) 0x[0-9a-f]* \([0-9]*\)$/\1 \2/p'
read -r _ || true
