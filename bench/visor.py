"""The hypervisor: the same emulated machine (QEMU's TCG, OVMF, Debian's kernel) with SVM, where it is watched, and without, where
chronovisor.efi refuses and boots on."""
import re
import subprocess
import time

import core

WATCHED, PLAIN = "EPYC,+svm,+npt", "EPYC,-svm"
DISK = ["-drive", "format=raw,if=none,id=disk,file={disk}", "-device", "nvme,drive=disk,serial=CHV0001"]


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


def cpu(bench):
    task = """dd if=/dev/zero of=/file bs=1M count=48 2>/dev/null
sha256sum /file >/dev/null
a=$(cut -d' ' -f1 /proc/uptime)
for i in 1 2 3 4; do sha256sum /file >/dev/null; done
echo "@@ took $a $(cut -d' ' -f1 /proc/uptime)"
"""
    pairs = []
    for _ in range(bench.runs):
        pair = []
        for model in (WATCHED, PLAIN):
            console = boot(bench, model, task)[1]
            begun, ended = map(float, re.search(r"@@ took ([0-9.]+) ([0-9.]+)", console).groups())
            pair.append(ended - begun)
        pairs.append(tuple(pair))
    bench.report(core.median([p[0] for p in pairs]), core.median([p[1] for p in pairs]), pairs, what="SHA-256 of 4 x 48 MiB in memory")


def io(bench):
    disk = bench.dir / "disk.img"
    with open(disk, "wb") as f:
        f.truncate(32 << 20)
    task = """echo 0 >/proc/sys/kernel/printk
dd if=/dev/zero of=/file bs=1M count=4 2>/dev/null
dd if=/file of=/dev/nvme0n1 bs=4k count=1000 oflag=direct 2>/dev/null
"""
    runs = []
    for _ in range(bench.runs):
        console = boot(bench, WATCHED, task, "print_events 1", *[word.format(disk=disk) for word in DISK])[1]
        exits = [int(n) for n in re.findall(r"event 0:1 op 2 .* sectors 8 .*exits (\d+)", console)]
        if len(exits) != 1000:
            raise core.Unable(f"{len(exits)} writes were seen, not 1000")
        runs.append(((exits[-1] - exits[0]) / (len(exits) - 1), None))
    bench.report(core.median([r[0] for r in runs]), None, [[r[0]] for r in runs], what="4 KiB writes to NVMe, one at a time; every exit counts")


def run(bench):
    prepare(bench)
    {"visor-boot": boots, "visor-cpu": cpu, "visor-io": io}[bench.name](bench)
