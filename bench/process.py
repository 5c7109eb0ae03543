"""One process of 500 MB out of a Linux guest: `acquire process` from outside and with the helper, beside what the seed prototype reached.

The guest is Debian's kernel under TCG; its process holds random bytes, every page different, so that nothing is deduplicated or compressed. The
guest stays idle. The prototype's figure is cited, not measured: there is nothing of it to run here.
"""
import json
import os
import socket
import subprocess

import core

SEED_MB_S = 190.7  # the seed prototype's rate for 500 MB, as its authors report it
MIB = 500


class Guest:
    def __init__(self, bench):
        self.dir = bench.dir
        self.process = subprocess.Popen(["bash", core.SOURCE / "bench/process_guest.sh", self.dir, core.SOURCE, core.BUILD, str(MIB)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        bench.servers.append(self)
        said = self.process.stdout.readline().split()
        if len(said) != 2:
            raise core.Unable(f"the guest does not start: {self.process.stderr.read()[-300:].strip()}")
        self.pid, self.bytes = said

    def qmp(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(120)
            s.connect(str(self.dir / "q"))
            stream = s.makefile("rw")
            stream.readline()
            for name, args in (("qmp_capabilities", {}), (command, arguments)):
                stream.write(json.dumps({"execute": name, "arguments": args}) + "\n")
                stream.flush()
                while not ({"return", "error"} & json.loads(stream.readline()).keys()):
                    pass

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def acquire(guest, store, *extra):
    with open(guest.dir / "said.json", "w+") as out:
        cost = core.timed([core.program(), "acquire", "process", "--qmp", guest.dir / "q", "--pid", guest.pid, "--store", store, "--json", *extra],
                          stdout=out, watch=True)
        out.seek(0)
        return cost, json.load(out)


def run(bench):
    core.needs("qemu-system-x86_64", "busybox", "cpio")
    core.build("bench/process_client")
    guest, store = Guest(bench), bench.dir / "store"
    rows, more = [], {"whole": [], "cpu": [], "helper": [], "again": [], "find_ms": [], "helper_find_ms": [], "peak": []}
    for _ in range(bench.runs):
        for road in ((), ("--helper", guest.dir / "h")):
            core.timed(["rm", "-rf", store])
            core.drop_dirty()
            cost, said = acquire(guest, store, *road)
            gb = said["pages"] * 4096 / 1e9
            if road:
                more["helper"].append(gb / cost.wall_s)
                more["helper_find_ms"].append(said["find_ns"] / 1e6)
                continue
            rows.append((gb / (said["record_ns"] / 1e9), SEED_MB_S / 1e3))
            more["whole"].append(gb / cost.wall_s)
            more["cpu"].append(gb / cost.cpu_s)
            more["find_ms"].append(said["find_ns"] / 1e6)
            more["peak"].append(cost.peak_mib)
            core.drop_dirty()
            cost, said = acquire(guest, store)
            more["again"].append(gb / (said["record_ns"] / 1e9))
            core.note(f"{rows[-1][0]:.2f} GB/s, whole {more['whole'][-1]:.2f}, again {more['again'][-1]:.2f}")
    helper = json.loads(core.output([core.program("process_client"), "ping", guest.dir / "h", guest.pid]))
    dump = bench.dir / "ram.raw"
    guest.qmp("stop")
    guest.qmp("pmemsave", val=0, size=1 << 30, filename=str(dump))
    walk = json.loads(core.output([core.program("process_client"), "translate", dump, guest.pid]))
    ours, peer = (core.median(side) for side in zip(*rows))
    middle = {key: core.median(values) for key, values in more.items()}
    bench.report(ours, peer, rows, peer_is="the seed prototype's 190.7 MB/s, cited, not measured here", cores=os.cpu_count(),
                 counts=f"GB of a process of {MIB} MiB a wall second: read, hashed, stored, durable, every page new",
                 whole_command=middle["whole"], per_cpu_second=middle["cpu"], with_helper_whole=middle["helper"], again=middle["again"],
                 find_ms=middle["find_ms"], helper_find_ms=middle["helper_find_ms"], peak_mib=middle["peak"], translate=walk, helper=helper)
