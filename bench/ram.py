"""A guest's memory: `acquire ram` beside QEMU's pmemsave and dump-guest-memory, and the copy while it stands still beside memcpy.

The guest is QEMU without a disk (TCG: its firmware waits), whose memory is filled from outside with the mixed image: system files,
zeros that were written, random bytes. So every page is there, and no emulated processor is in the way.
"""
import json
import os
import socket
import subprocess
import sys
import time

import core
import inputs

FIRST = 16 << 20  # below: the firmware's own
MEMCPY = """
import mmap, statistics, time
size = 512 << 20
a, b = (memoryview(mmap.mmap(-1, size)) for _ in range(2))
for m in (a, b):
    for i in range(0, size, 4096): m[i] = 1
times = []
for _ in range(9):
    began = time.monotonic(); b[:] = a; times.append(time.monotonic() - began)
print(size / statistics.median(times) / 1e9)
"""


class Guest:
    def __init__(self, bench, gib):
        self.sock, self.bytes = bench.dir / "qmp.sock", gib * core.GIB
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "q35,memory-backend=m", "-accel", "tcg", "-m", f"{gib}G", "-nodefaults", "-display", "none",
             "-object", f"memory-backend-memfd,id=m,size={gib}G,share=on", "-qmp", f"unix:{self.sock},server=on,wait=off"],
            stderr=subprocess.DEVNULL)
        bench.servers.append(self)
        until = time.monotonic() + 20
        while not self.sock.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                raise core.Unable("QEMU does not start: qemu-system-x86_64 with memory-backend-memfd")
            time.sleep(0.05)
        folder = f"/proc/{self.process.pid}/fd"
        fd = next(n for n in os.listdir(folder) if "memory-backend-memfd" in os.readlink(f"{folder}/{n}"))
        self.memory = os.open(f"{folder}/{fd}", os.O_RDWR)
        self.low = min(self.bytes, 2 << 30)

    def fill(self, image):
        at = FIRST
        with open(image, "rb") as f:
            while at < self.bytes:
                data = f.read(min(core.MIB, self.bytes - at))
                if not data:
                    f.seek(0)
                    continue
                os.pwrite(self.memory, data, at)
                at += len(data)

    def change(self, share, seed):
        """New content in every 1/share-th page."""
        for at in range(FIRST + seed * 4096, self.bytes, 4096 * share):
            os.pwrite(self.memory, os.urandom(4096), at)

    def qmp(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(120)
            s.connect(str(self.sock))
            stream = s.makefile("rw")
            stream.readline()
            for name, args in (("qmp_capabilities", {}), (command, arguments)):
                began = time.monotonic()
                stream.write(json.dumps({"execute": name, "arguments": args}) + "\n")
                stream.flush()
                while not ({"return", "error"} & (answer := json.loads(stream.readline())).keys()):
                    pass
                if "error" in answer:
                    raise core.Unable(f"QEMU: {answer['error']['desc']}")
            return time.monotonic() - began

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()


def acquire(guest, store, mode="live", prefix=(), more=()):
    with open(store.parent / "acquire.json", "w+") as out:
        cost = core.timed([*prefix, core.program(), "acquire", "ram", "--qmp", guest.sock, "--store", store, "--mode", mode, "--json", *more],
                          stdout=out, watch=True)
        out.seek(0)
        return cost, json.load(out)


def qemu_own(bench, guest):
    """GB/s of pmemsave and of dump-guest-memory into a file."""
    dump, speeds = bench.dir / "dump", []
    for command, arguments in (("pmemsave", {"val": 0, "size": guest.low, "filename": str(dump)}),
                               ("dump-guest-memory", {"paging": False, "protocol": f"file:{dump}"})):
        core.drop_dirty()
        seconds = guest.qmp(command, **arguments)
        speeds.append((guest.low if command == "pmemsave" else guest.bytes) / 1e9 / seconds)
        dump.unlink()
    return speeds


def first(bench, guest):
    store, rows, own, costs = bench.dir / "store", [], [], []
    for _ in range(bench.runs):
        core.timed(["rm", "-rf", store])
        core.drop_dirty()
        cost, said = acquire(guest, store)
        own.append(qemu_own(bench, guest))
        gb = said["scanned_bytes"] / 1e9
        rows.append((gb / cost.cpu_s, own[-1][0]))
        costs.append((cost, gb / cost.wall_s))
        core.note(f"ours {rows[-1][0]:.2f} GB a CPU second, {gb / cost.wall_s:.2f} GB/s, pmemsave {own[-1][0]:.2f}")
    ours, peer = (core.median(side) for side in zip(*rows))
    bench.report(ours, peer, rows, peer_is="QMP pmemsave to a file (neither hashed nor compared), a wall second",
                 counts="GB of the guest's memory a CPU second of all threads, hashed, stored, durable", memory_bytes=guest.bytes,
                 wall=core.median([wall for _, wall in costs]), dump_guest_memory=core.median([b for _, b in own]),
                 peak_mib=max(c.peak_mib for c, _ in costs), store_bytes=core.tree_bytes(store))


def again(bench, guest):
    store, rows, walls = bench.dir / "store", [], []
    acquire(guest, store)
    for number in range(bench.runs):
        guest.change(100, number)
        core.drop_dirty()
        cost, said = acquire(guest, store)
        own = qemu_own(bench, guest)
        gb = said["scanned_bytes"] / 1e9
        rows.append((gb / (said["scan_ns"] / 1e9), own[0]))
        walls.append((gb / cost.wall_s, gb / cost.cpu_s, said["changed_blocks"]))
        core.note(f"ours {rows[-1][0]:.2f} GB/s scanned, {walls[-1][0]:.2f} with start and end, {walls[-1][2]} blocks changed")
    ours, peer = (core.median(side) for side in zip(*rows))
    bench.report(ours, peer, rows, peer_is="QMP pmemsave to a file: all of it again", memory_bytes=guest.bytes,
                 counts="GB of memory scanned a wall second, 1% of the pages changed",
                 whole_command=core.median([a for a, _, _ in walls]), per_cpu_second=core.median([b for _, b, _ in walls]),
                 changed_blocks=walls[-1][2])


def copy(bench, guest):
    store, rows, pauses, cows = bench.dir / "store", [], [], []
    pin = ("taskset", "-c", "0")  # one core each
    acquire(guest, store)
    for _ in range(bench.runs):
        _, said = acquire(guest, store, "paused", pin)
        speed = said["copied_bytes"] / said["copy_ns"]
        rows.append((speed, float(core.output([*pin, sys.executable, "-c", MEMCPY]))))
        pauses.append(acquire(guest, store, "paused")[1])
        # The pause is what is measured: with TCG before QEMU 9.0 the content is not to be trusted (sensor/memory/README.md).
        cows.append(acquire(guest, store, "cow", more=("--trust-dirty-log",))[1])
        core.note(f"cow: {cows[-1]['pause_ns'] / 1e6:.1f} ms of pause")
        core.note(f"copy {rows[-1][0]:.2f}, memcpy {rows[-1][1]:.2f} GB/s; all cores: {pauses[-1]['pause_ns'] / 1e6:.0f} ms of pause")
    ours, peer = (core.median(side) for side in zip(*rows))
    bench.report(ours, peer, rows, peer_is="memcpy of 512 MiB, all pages there", memory_bytes=guest.bytes,
                 counts="GB/s of the copy while the guest stands still, on one core",
                 cow_pause_ms=core.median([c["pause_ns"] / 1e6 for c in cows]), cow_pause_ms_max=max(c["pause_ns"] / 1e6 for c in cows),
                 cow_gb_s=core.median([c["copied_bytes"] / c["copy_ns"] for c in cows]),
                 pause_ms=core.median([p["pause_ns"] / 1e6 for p in pauses]),
                 all_cores=core.median([p["copied_bytes"] / p["copy_ns"] for p in pauses]))


def run(bench):
    core.needs("qemu-system-x86_64", "taskset")
    core.build()
    gib = 4 if bench.full else 2
    guest = Guest(bench, gib)
    time.sleep(3)  # its firmware has looked at the memory
    guest.fill(inputs.mixed_image(bench, 1))
    {"ram-first": first, "ram-again": again, "ram-copy": copy}[bench.name](bench, guest)
