"""vhost-user: `record --vhost-user` beside qemu-storage-daemon's vhost-user-blk export, the same client, ring and file."""
import json
import socket
import time

import core
import inputs


class Server(core.Server):
    """A vhost-user back-end: it says nothing until it is asked, so being connected to is all that can be waited for."""

    def wait_ready(self, limit_s=30):
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.connect(self.sock)
                    return time.monotonic() - self.began
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() - self.began > limit_s:
                self.log.seek(0)
                text = self.log.read()[-400:].strip()
                self.stop()
                raise core.Unable(f"`{self.command}` does not serve: {text}")
            time.sleep(0.001)


def ours(bench, image, store, *extra):
    sock = bench.dir / "ours.sock"
    return Server(bench, [core.program(), "record", "--disk", image, "--store", store, "--vhost-user", sock, *extra], sock)


def qemu(bench, image):
    sock = bench.dir / "qemu.sock"
    return Server(bench, ["qemu-storage-daemon", "--blockdev", f"driver=file,node-name=file,filename={image}", "--export",
                          f"type=vhost-user-blk,id=export,node-name=file,writable=on,addr.type=unix,addr.path={sock}"], sock)


def client(server, load):
    figures = json.loads(core.output([core.program("vhost_client"), server.sock, load["rw"], load["block_bytes"], load["depth"],
                                      load["total_bytes"] // core.MIB, load["seed"]]))
    figures["server_cpu_s"] = server.stop().cpu_s
    return figures


def run_ours(bench, image, load, *extra):
    store = bench.dir / "store"
    core.timed(["rm", "-rf", store])
    core.drop_dirty()
    core.warm(image)
    return client(ours(bench, image, store, *extra), load)


def run_qemu(bench, image, load):
    core.drop_dirty()
    core.warm(image)
    return client(qemu(bench, image), load)


def side_by_side(bench, image, load, *extra):
    pairs = []
    for number in range(bench.runs):
        numbered = {**load, "seed": 4000 + number}
        peer = run_qemu(bench, image, numbered)
        pair = (run_ours(bench, image, numbered, *extra), peer)
        core.note({name: [round(side[name]) for side in pair] for name in ("iops", "mb_s", "p50_us", "p99_us")})
        pairs.append(pair)
    return pairs


def medians(pairs, key):
    return core.median([a[key] for a, _ in pairs]), core.median([b[key] for _, b in pairs])


def compared(pairs, key):
    mine, peer = medians(pairs, key)
    return {"ours": mine, "peer": peer, "ratio": mine / peer}


PEER = "qemu-storage-daemon's vhost-user-blk export, same file, client and load"


def throughput(bench, image, load, key):
    pairs = side_by_side(bench, image, load)
    bare = side_by_side(bench, image, load, "--baseline", "none")
    mine, peer = medians(pairs, key)
    bench.report(mine, peer, [(a[key], b[key]) for a, b in pairs], peer_is=PEER, written_bytes=load["total_bytes"],
                 baseline_none=compared(bare, key), cpu_s=compared(pairs, "server_cpu_s"),
                 latency={"p50_us": compared(pairs, "p50_us"), "p99_us": compared(pairs, "p99_us")},
                 counts="the client's run with the final flush; every write first saves the old block (baseline)")


def latency(bench, image, total):
    """One request at a time: what recording adds to a write, and to a read."""
    load = {"rw": "randwrite", "block_bytes": 4096, "depth": 1, "total_bytes": total}
    writes = side_by_side(bench, image, load)
    reads = side_by_side(bench, image, {**load, "rw": "randread"})
    mine, peer = medians(writes, "p50_us")
    bench.report(mine, peer, [(a["p50_us"], b["p50_us"]) for a, b in writes], peer_is=PEER,
                 write_p99_us=compared(writes, "p99_us"), read_p50_us=compared(reads, "p50_us"),
                 read_p99_us=compared(reads, "p99_us"), counts="a 4 KiB write at queue depth 1, from the ring to the answer")


def run(bench):
    core.needs("qemu-storage-daemon")
    core.build("bench/vhost_client")
    gib = 4 if bench.full else 1
    image = inputs.private_copy(bench, inputs.mixed_image(bench, gib), "disk.img")
    size = gib * core.GIB
    if bench.name == "vhost-4k":
        throughput(bench, image, {"rw": "randwrite", "block_bytes": 4096, "depth": 32, "total_bytes": size // 4}, "iops")
    elif bench.name == "vhost-seq":
        throughput(bench, image, {"rw": "write", "block_bytes": core.MIB, "depth": 8, "total_bytes": size}, "mb_s")
    else:
        latency(bench, image, size // 64)
