"""The hypervisor: the same emulated machine (QEMU's TCG, OVMF, Debian's kernel) with SVM, where it is watched, and without, where
chronovisor.efi refuses and boots on."""
import re
import secrets
import subprocess
import time

import core

WATCHED, PLAIN = "EPYC,+svm,+npt", "EPYC,-svm"


def shell(bench, script, **env):
    base = {"SOURCE": str(core.SOURCE), "BUILD": str(core.BUILD), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **env}
    done = subprocess.run(["bash", "-euc", f'cd "{bench.dir}"; source "$SOURCE/tests/visor/machine.sh"; {script}'], env=base,
                          capture_output=True, text=True)
    if done.returncode:
        raise core.Unable(f"the machine: {done.stderr[-400:]}")


def prepare(bench):
    core.needs("qemu-system-x86_64", "busybox", "cpio", "clang", "lld-link")
    core.build()
    if not (core.BUILD / "visor" / "chronovisor.efi").exists():
        raise core.Unable("chronovisor.efi was not built; see tools/packages for lld and clang")
    shell(bench, "machine_build machine")


def boot(bench, cpu, task, config="", *devices):
    """Runs the task; returns the seconds until the machine was off, and the console."""
    (bench.dir / "task").write_text(task)
    begun = time.monotonic()
    shell(bench, "machine_run machine task " + " ".join(devices), MACHINE_CPU=cpu, MACHINE_CONFIG=config)
    return time.monotonic() - begun, (bench.dir / "machine" / "console").read_text(errors="replace")


def boots(bench):
    pairs = [(boot(bench, WATCHED, "")[0], boot(bench, PLAIN, "")[0]) for _ in range(bench.runs)]
    bench.report(core.median([p[0] for p in pairs]), core.median([p[1] for p in pairs]), pairs,
                 what="from switching on to off, with nothing to do in between")


COMPUTE = """dd if=/dev/zero of=/file bs=1M count=48 2>/dev/null
sha256sum /file >/dev/null
a=$(cut -d' ' -f1 /proc/uptime)
for i in 1 2 3 4; do sha256sum /file >/dev/null; done
echo "@@ took $a $(cut -d' ' -f1 /proc/uptime)"
"""


def took(console):
    begun, ended = map(float, re.search(r"@@ took ([0-9.]+) ([0-9.]+)", console).groups())
    return ended - begun


def cpu(bench):
    pairs = []
    for _ in range(bench.runs):
        pair = []
        for model in (WATCHED, PLAIN):
            pair.append(took(boot(bench, model, COMPUTE)[1]))
        pairs.append(tuple(pair))
    bench.report(core.median([p[0] for p in pairs]), core.median([p[1] for p in pairs]), pairs, what="SHA-256 of 4 x 48 MiB in memory")


def camera(bench):
    """Both have the network card and a collector; without the camera there is nothing to send."""
    key = secrets.token_hex(32)
    (bench.dir / "key").write_text(key + "\n")
    (bench.dir / "key").chmod(0o600)
    command = [core.BUILD / "cli" / "chronovisor", "collect", "--udp", "127.0.0.1:0", "--key", "key", "--store", "store", "--json"]
    pairs, faults = [], []
    with subprocess.Popen(command, cwd=bench.dir, stdout=subprocess.PIPE, text=True) as collector:
        try:
            port = re.search(r"127\.0\.0\.1:(\d+)", collector.stdout.readline())[1]
            wire = f"nic 00:06.0\naddress 10.0.2.15\ncollector 10.0.2.2\nport {port}\nkey {key}\n"
            card = ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,addr=6,romfile="]
            for _ in range(bench.runs):
                watched = boot(bench, WATCHED, COMPUTE, wire + "camera_pages 1024\ncamera_period_ms 100\n", *card)[1]
                plain = boot(bench, WATCHED, COMPUTE, wire, *card)[1]
                pairs.append((took(watched), took(plain)))
                faults.append(int(re.search(r"camera: (\d+) faults, 0 events lost", watched)[1]))
        finally:
            collector.terminate()
    bench.report(core.median([p[0] for p in pairs]), core.median([p[1] for p in pairs]), pairs, faults=core.median(faults),
                 what="SHA-256 of 4 x 48 MiB in memory, with 1024 of its pages watched anew each 100 ms, and with none; faults from boot to power off")


# Program and address that the plugin bench/visor_count.c knows again: whatever runs there is `mark` in the guest.
MARK, MARK_AT = "mov $60, %eax; xor %edi, %edi; syscall", "66600000"
KINDS = {"nvme": "nvme0n1", "ahci": "sda"}
DEPTHS, FEW, MANY = (1, 32), 200, 1200


def io_prepare(bench):
    """The machine with both kinds of disks, the plugin, and a collector: returns its process and the machine's configuration."""
    core.needs("cc", "openssl")
    shell(bench, 'machine_build machine --files "$SOURCE/bench/visor_write.c"')
    (bench.dir / "mark.c").write_text(f'__asm__(".globl _start\\n_start: {MARK}");')
    for command in (f"cc -nostdlib -static -Wl,-Ttext=0x{MARK_AT},--build-id=none -o machine/root/bin/mark mark.c",
                    f"cc -std=gnu11 -O2 -fPIC -shared -fvisibility=hidden -o count.so {core.SOURCE}/bench/visor_count.c",
                    "openssl rand -hex 32 >key && chmod 600 key", "truncate -s 64M nvme.img sata.img"):
        if subprocess.run(command, shell=True, cwd=bench.dir, capture_output=True).returncode:
            raise core.Unable(f"{command} failed")
    log = open(bench.dir / "log", "w+")
    collector = subprocess.Popen([core.program(), "collect", "--udp", "127.0.0.1:0", "--key", "key", "--store", "store", "--rest", "zero",
                                  "--json"], cwd=bench.dir, stdout=log, stderr=log)
    port, until = None, time.monotonic() + 20
    while not port and time.monotonic() < until:
        time.sleep(0.1)
        port = re.search(r"127\.0\.0\.1:(\d+)", (bench.dir / "log").read_text())
    if not port:
        collector.kill()
        raise core.Unable("collect does not listen")
    return collector, (f"nic 00:06.0\naddress 10.0.2.15\ncollector 10.0.2.2\nport {port[1]}\nkey {(bench.dir / 'key').read_text()}"
                       "finish_seconds 100")


def io_task():
    lines = ["echo 0 >/proc/sys/kernel/printk"]
    for disk in KINDS.values():
        for depth in DEPTHS:
            for count in (FEW, MANY):
                lines += ["sleep 1; mark", f"visor_write /dev/{disk} {depth} {count} || echo '@@ failed'", "mark"]
    return "\n".join(lines) + "\n"


def io_counts(bench, cpu, config, own):
    """One boot: for each kind and depth what the plugin counted a write: (outside, entries, instructions in us, waiting entries, of those)."""
    devices = ["-drive", "format=raw,if=none,id=n,file=nvme.img", "-device", "nvme,drive=n,serial=CHV0001", "-drive",
               "format=raw,if=none,id=s,file=sata.img", "-device", "ide-hd,drive=s,bus=ide.1,serial=CHV0002", "-netdev", "user,id=net",
               "-device", "e1000e,netdev=net,addr=6,romfile=", "-plugin", f"./count.so,out=counts,own={own},mark={MARK_AT}"]
    console = boot(bench, cpu, io_task(), config, *devices)[1]
    at = re.search(r"memory at ([0-9a-f]+) \+ (\d+) KiB", console)
    found = f"{at[1]}-{int(at[1], 16) + int(at[2]) * 1024:x}" if at else "0-0"
    marks = [[int(n) for n in line.split()] for line in (bench.dir / "counts").read_text().splitlines()]
    if "@@ failed" in console or len(marks) != 4 * len(KINDS) * len(DEPTHS):
        raise core.Unable(f"the load: {len(marks)} marks; {console[-300:]}")
    spent = [[b - a for a, b in zip(marks[i], marks[i + 1])] for i in range(0, len(marks), 2)]
    each = [[(b - a) / (MANY - FEW) for a, b in zip(spent[i], spent[i + 1])] for i in range(0, len(spent), 2)]
    names = [f"{kind}_qd{depth}" for kind in KINDS for depth in DEPTHS]
    return found, dict(zip(names, each))


def io(bench):
    collector, config = io_prepare(bench)
    try:
        own = io_counts(bench, WATCHED, config, "0-0")[0]
        plain = io_counts(bench, PLAIN, config, "0-0")[1]
        runs = []
        for _ in range(bench.runs):
            found, counts = io_counts(bench, WATCHED, config, own)
            if found != own:
                raise core.Unable(f"the hypervisor is at {found} now, not {own}")
            runs.append(counts)
    finally:
        collector.terminate()
        collector.wait()
    for name in runs[0]:
        outside, work, inside, waits, waiting = (core.median([r[name][i] for r in runs]) for i in range(5))
        bench.report(work + waits, None, [[r[name][1] + r[name][3]] for r in runs], name=f"visor-io {name}",
                     working_exits=work, instructions=inside, waiting_instructions=waiting, guest_instructions=outside,
                     without=plain[name][0], what="of a recorded 4 KiB write: exits, instructions in the hypervisor and in the guest")


def run(bench):
    prepare(bench)
    {"visor-boot": boots, "visor-cpu": cpu, "visor-camera": camera, "visor-io": io}[bench.name](bench)
