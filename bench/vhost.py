"""vhost-user: `record --vhost-user` beside qemu-storage-daemon's export; the same client, ring and file."""
import json
import os
import socket
import time

import capture
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
    command = [core.program(), "record", "--disk", image, "--store", store, "--vhost-user", sock, *extra]
    return Server(bench, command, sock)


def qemu(bench, image):
    sock = bench.dir / "qemu.sock"
    export = f"type=vhost-user-blk,id=export,node-name=file,writable=on,addr.type=unix,addr.path={sock}"
    command = ["qemu-storage-daemon", "--blockdev", f"driver=file,node-name=file,filename={image}", "--export", export]
    return Server(bench, command, sock)


def client(server, load, *extra):
    """One run of the client; `server_cpu_s` is what the server used meanwhile."""
    before = core.cpu_now(server.pid)
    words = [server.sock, load["rw"], load["block_bytes"], load["depth"], load["total_bytes"] // core.MIB, load["seed"]]
    figures = json.loads(core.output([core.program("vhost_client"), *words, *extra]))
    figures["server_cpu_s"] = core.cpu_now(server.pid) - before
    return figures


def fresh(bench, image):
    store = bench.dir / "store"
    core.timed(["rm", "-rf", store])
    core.drop_dirty()
    core.warm(image)
    return store


def run_ours(bench, image, load, *extra):
    store = fresh(bench, image)
    server = ours(bench, image, store, *extra)
    figures = client(server, load)
    server.stop()
    figures["store_bytes"] = core.tree_bytes(store)
    return figures


def run_qemu(bench, image, load):
    fresh(bench, image)
    server = qemu(bench, image)
    figures = client(server, load)
    server.stop()
    return figures


def passes(bench, image, load, key):
    """The same disk written three times in one recording: what each kind of block costs."""
    server, blocks = ours(bench, image, fresh(bench, image)), load["total_bytes"] // 4096
    kinds = {}
    for kind, extra in (("first_overwrite", []), ("overwrite", []), ("content_seen_before", ["same"])):
        figures = client(server, {**load, "seed": 7000 + len(kinds)}, *extra)
        kinds[kind] = {key: figures[key], "p99_us": figures["p99_us"],
                       "cpu_us_per_block": figures["server_cpu_s"] * 1e6 / blocks}
    server.stop()
    return kinds


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


def ceilings(bench, pairs, hashes):
    """The highest ratio to the peer that this machine allows: by the disk, which gets the image and the evidence, and
    by the processors, which do what client and peer did, and hash so many blocks for each that is written."""
    of_disk, limits = capture.disk_limit(bench, pairs)
    shares = []
    for _, peer in pairs:
        blocks = peer["bytes"] / 4096
        us = (peer["client_cpu_s"] + peer["server_cpu_s"]) * 1e6 / blocks + hashes * limits["digest_us"]
        shares.append(os.cpu_count() * 1e6 / us / (blocks / peer["seconds"]))
    return {"of_the_disk": of_disk, "of_hashing": core.median(shares), **limits}


def throughput(bench, image, load, key):
    pairs = side_by_side(bench, image, load)
    bare = side_by_side(bench, image, load, "--baseline", "none")
    uring = [(run_ours(bench, image, {**load, "seed": 5000 + n}, "--aio", "io_uring"), peer) for n, (_, peer) in enumerate(pairs)]
    mine, peer = medians(pairs, key)
    bench.report(mine, peer, [(a[key], b[key]) for a, b in pairs], peer_is=PEER, written_bytes=load["total_bytes"],
                 baseline_none=compared(bare, key), io_uring={name: compared(uring, name) for name in (key, "p50_us", "p99_us")},
                 cpu_s=compared(pairs, "server_cpu_s"),
                 latency={name: compared(pairs, name) for name in ("p50_us", "p99_us")},
                 latency_baseline_none={name: compared(bare, name) for name in ("p50_us", "p99_us")},
                 ceiling=ceilings(bench, pairs, 2), ceiling_baseline_none=ceilings(bench, bare, 1),
                 passes=passes(bench, image, load, key),
                 counts="the client's run with the final flush; every write first saves the old block (baseline)")


def latency(bench, image, total):
    """One request at a time: what recording adds to a write, and to a read."""
    load = {"rw": "randwrite", "block_bytes": 4096, "depth": 1, "total_bytes": total}
    writes = side_by_side(bench, image, load)
    reads = side_by_side(bench, image, {**load, "rw": "randread"})
    uring = {rw: [(run_ours(bench, image, {**load, "rw": rw, "seed": 5000 + n}, "--aio", "io_uring"), peer)
                  for n, (_, peer) in enumerate(pairs)] for rw, pairs in (("randwrite", writes), ("randread", reads))}
    mine, peer = medians(writes, "p50_us")
    bench.report(mine, peer, [(a["p50_us"], b["p50_us"]) for a, b in writes], peer_is=PEER,
                 write_p99_us=compared(writes, "p99_us"), read_p50_us=compared(reads, "p50_us"),
                 read_p99_us=compared(reads, "p99_us"), written_bytes=total,
                 io_uring={rw: {name: compared(pairs, name) for name in ("p50_us", "p99_us")} for rw, pairs in uring.items()},
                 counts="a 4 KiB write at queue depth 1, from the ring to the answer")


def run(bench):
    core.needs("qemu-storage-daemon")
    core.build("bench/vhost_client", "bench/limits")
    gib = 4 if bench.full else 1
    image = inputs.private_copy(bench, inputs.mixed_image(bench, gib), "disk.img")
    size = gib * core.GIB
    if bench.name == "vhost-4k":
        load = {"rw": "randwrite", "block_bytes": 4096, "depth": 32, "total_bytes": size // 4}
        throughput(bench, image, load, "iops")
    elif bench.name == "vhost-seq":
        load = {"rw": "write", "block_bytes": core.MIB, "depth": 8, "total_bytes": size}
        throughput(bench, image, load, "mb_s")
    else:
        latency(bench, image, size // 64)
