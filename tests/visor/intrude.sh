# A guest that does everything it can against the hypervisor, in ring 0 and without a system around it (tests/visor/intruder): what comes of each
# attempt, and that the record of two disks, written to before and after each, is what they hold, without a gap.
source "$CHV_SOURCE/tests/functions.sh"
source "$SOURCE/tests/visor/machine.sh"
requires qemu-system-x86_64 cpio clang lld-link openssl python3
[[ -f $OVMF/OVMF_CODE_4M.fd ]] || { [[ ${CHV_NO_SKIP:-} ]] && fail "needs the package ovmf"; skip "needs the package ovmf"; }
machine_program machine "$SOURCE"/tests/visor/intruder/*.c || fail "the intruder does not compile"
openssl rand -hex 32 >key && chmod 600 key
for disk in nvme ahci nvme2 ahci2; do truncate -s 32M $disk.img; done
truncate -s 1M scratch.img
touch task
MACHINE_SECONDS=270
"$BUILD/cli/chronovisor" collect --udp 127.0.0.1:0 --key key --store store --json --rest zero >log 2>log.err &
collector=$!
CLEANUP+=("kill -9 $collector")
wait_for 20 grep -q '"listening"' log
port=$(sed -n 's/.*"listening", "text": "127.0.0.1:\([0-9]*\)".*/\1/p' log)
drive() { echo "-drive file=$1.img,format=raw,if=none,id=$1"; }
# shellcheck disable=SC2046
MACHINE_CPU=EPYC,+svm,+npt,+x2apic,+monitor MACHINE_SMP=2 MACHINE_CONFIG="nic 01:00.0
address 10.0.2.15
collector 10.0.2.2
port $port
key $(<key)" machine_run machine task -device pcie-root-port,id=above,addr=6,chassis=1 -device pcie-root-port,id=beside,addr=8,chassis=2 \
  -netdev user,id=net -device e1000e,netdev=net,bus=above,romfile= \
  $(drive nvme) -device nvme,drive=nvme,serial=CHV0001,addr=5 $(drive nvme2) -device nvme,drive=nvme2,serial=CHV0002,addr=7 \
  $(drive ahci) -device ide-hd,drive=ahci,bus=ide.1,serial=CHV0003 $(drive ahci2) -device ide-hd,drive=ahci2,bus=ide.2,serial=CHV0004 \
  $(drive scratch) -device virtio-blk-pci,drive=scratch,addr=9,romfile= || { cat machine/console >&2; fail "the machine"; }

# What each attempt gets. Where numbers are exceptions: 6 is #UD, 13 #GP, 14 #PF, 0 none.
cat >expected <<'X'
@@ try memory-read: 0 pages of 8192 not ones
@@ try memory-write: 0 of 32 places changed
@@ try memory-odd: SSE store 13 load 0, MOVS 13, CMPXCHG 13, INC 13, FNSAVE 13, PUSH of it 0, CLFLUSH 0; ones
@@ try memory-fetch: exceptions 6 6 6
@@ try memory-cross: upper half ffffffff, exception 0, ones
@@ try decode-edge: exceptions 14 14 6, ones
@@ try tables-in-it: exception 13
@@ try decode-race: ones
@@ try card-ports: 0 answers
@@ try card-mapped: 0 answers
@@ try card-scan: 0 network cards
@@ try card-memory: 0 pages that nobody has, hidden ones read ones, 0 registers
@@ try config-moved: register stays, MSR exception 0, there 0
@@ try buses-renumbered: stays, card ffffffff
@@ try window-over-card: the bridge decodes: 0
@@ try smram: open 0
@@ try extended: stays
@@ try bar-beside: the card is hidden: 1, the disk works: 1
@@ try bar-over-card: decoded 0 0, another's 0, the disk works: 1
@@ try bar-over-own: decoded 0, works again: 1
@@ try bar-over-apic: decoded 0, works again: 1
@@ try bar-over-ahci: decoded 0, works again: 1
@@ try bar-over-config: decoded 0, works again: 1
@@ try bar-at-zero: decoded 0, works again: 1
@@ try bar-over-ram: decoded 0, works again: 1
@@ try bar-in-use: works: 1
@@ try decode-off: nothing answers: 1, works again: 1
@@ try bar-many: off where it cannot be watched, works again: 1
@@ try dma-own: 0 passed, works: 1
@@ try dma-own-end: 0 passed, works: 1
@@ try dma-doorbells: 0 passed, works: 1
@@ try dma-ahci: 0 passed, works: 1
@@ try dma-card-config: 0 passed, works: 1
@@ try dma-apic: 0 passed, works: 1
@@ try dma-messages: 0 passed, works: 1
@@ try queues-in-own: 0 enabled, works again: 1
@@ try nvme-doorbells: the status is 1
@@ try nvme-subsystem-reset: the status is 1
@@ try nvme-resets: works: 1
@@ try nvme-garbage: works: 1
@@ try nvme-delete-busy: works: 1
@@ try nvme-made-twice: made again: 0, then: ffffffff, works: 1
@@ try ahci-garbage: works: 1
@@ try svm-instructions: 0 of 9 are not #UD
@@ try svm-cpuid: SVM 0, leaf 0, MONITOR 0
@@ try svm-registers: EFER.SVME 0, set 0 13; VM_CR 18 0 0; VM_HSAVE_PA 0 0 13; SVM_KEY 13
@@ try efer-bits: all but a few refused
@@ try hypercalls: 0 of 2000 are not #UD
@@ try mtrr-pat: MTRRs 0 0, stay; PAT 0, the guest's own
@@ try other-msrs: 0 refused, 5 beyond the maps are #GP
@@ try clock: forth 0 1, back 0 1, read 0 1
@@ try invd: goes on
@@ try watched-strings: MOVS 13, SSE 13, STOS 0, fetch 6
@@ try nmi-self: arrived
@@ try nmi-flood: arrived, the other goes on: 1
@@ try smi: the other goes on: 1
@@ try apic-moved: moved 13, x2APIC 13, off 0, stays, number stays
@@ try x2apic-closed: 8 of 8 are #GP, the other goes on: 1
@@ try apic-aliases: the other goes on: 1
@@ try sipi-alone: the other goes on: 1
@@ try init-physical: started 1
@@ try init-flat: started 1
@@ try init-flat-many: started 1
@@ try init-everybody: started 1
@@ try init-others: started 1
@@ try init-all: started 1
@@ try sleep-tables: S3 is named 0 times, sum 0
@@ try sleep: goes on
@@ try sleep-moved: the ports stay
@@ try wake-code: it is 0
X
# Where the processor has x2APIC, which QEMU emulates since version 9: the other one is started by its register, too.
x2apic='@@ try x2-bits: on 0, 16 of 16 are #GP, 4 of 4 not
@@ try x2-nmi: arrived
@@ try x2-physical: started 1
@@ try x2-logical: started 1
@@ try x2-everybody: started 1
@@ try x2-others: started 1
@@ try x2-all: started 1'
grep -q 'support requested feature.*x2apic' machine/qemu.err || sed -i "/^@@ try init-all/r"<(echo "$x2apic") expected
grep -a '^@@ try' machine/console >tried || true
diff expected tried >&2 || { grep -a '^visor' machine/console | tail -n 40 >&2; fail "an attempt came to something else"; }
! grep -a '^@@ mark \|^@@ no ' machine/console || fail "a disk stopped working"
marks=$(sed -n 's/^@@ marks \([0-9]*\)$/\1/p' machine/console)
# The last thing the guest did was a triple fault, right behind its last write: what had not left yet left before the machine reset.
grep -qa '^visor: processor .: triple fault' machine/console || fail "it did not end by a triple fault"
counts=$(sed -n 's/^visor: wire: \([0-9]*\) records, \([0-9]*\) durable.*/\1 \2/p' machine/console)
[[ $counts && ${counts% *} == "${counts#* }" ]] || fail "not everything left: $counts"
kill "$collector"
wait "$collector" || { cat log log.err >&2; fail "the collector failed"; }
for pair in nvme:CHV0001n1 ahci:CHV0003; do
  space=disk:${pair#*:}
  chronovisor restore --store store --space "$space" -o restored.img --force >/dev/null || fail "$space is not whole"
  cmp restored.img "${pair%:*}.img" || fail "$space is not what was written"
  ! chronovisor events --store store --space "$space" --json | grep '"gap"' || fail "$space has gaps"
done
chronovisor verify --store store >/dev/null || fail "verify"
chronovisor events --store store --json | python3 -c 'import json, sys, time
times = [json.loads(line)["time_ns"] for line in sys.stdin]
span = (max(times) - min(times)) / 1e9
sys.exit(f"the events span {span} s" if not 0 < span < 900 else 0)' || fail "the guest moved the clock"
echo "$(wc -l <expected) attempts, $marks blocks between them on each of two disks, all in the record"
