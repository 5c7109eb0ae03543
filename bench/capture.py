"""Capture: the recording NBD server beside plain servers, the same load, one after the other."""
import json

import core
import inputs
from core import Server, fio, nbdkit_file

SPACE = "disk:bench"


def recorder(bench, image, store, *extra, **how):
    sock = bench.dir / "ours.sock"
    return Server(bench, [core.program(), "record", "--disk", image, "--store", store, "--socket", sock, *extra],
                  sock, **how)


STRIDE_BLOCKS = 7919  # a prime: the writes visit the image out of order


def qemu_iops(image, writes, log=None):
    """4 KiB writes by QEMU's own block layer, 16 in flight, plain or through its blklogwrites driver."""
    options = f"driver=file,filename={image}"
    if log:
        open(log, "wb").close()
        options = (f"driver=blklogwrites,file.driver=file,file.filename={image},log.driver=file,log.filename={log},"
                   "log-sector-size=512")
    took = core.timed(["qemu-img", "bench", "-w", "-t", "writeback", "-d", 16, "-s", 4096, "-c", writes,
                       "-S", 4096 * STRIDE_BLOCKS, "--image-opts", options])
    return writes / took.wall_s


def run_ours(bench, image, load, *extra):
    """One run of ours in a fresh store. Returns fio's figures with the server's cost."""
    store = bench.dir / "store"
    core.timed(["rm", "-rf", store])
    core.drop_dirty()
    core.warm(image)
    server = recorder(bench, image, store, *extra)
    figures = fio(bench, server.uri, **load)
    cost = server.stop()
    figures["server_cpu_s"] = cost.cpu_s
    figures["close_s"] = cost.wall_s
    figures["store_bytes"] = core.tree_bytes(store)
    return figures


def run_plain(bench, server, load):
    core.drop_dirty()
    core.warm(*bench.dir.glob("*.img"))
    figures = fio(bench, server.uri, **load)
    figures["server_cpu_s"] = server.stop().cpu_s
    return figures


def cpu_per_gib(figures):
    return figures["server_cpu_s"] * core.GIB / figures["bytes"]


def side_by_side(bench, image, load, key, *extra):
    """Interleaved runs; returns [(ours, peer)] of whole figures."""
    pairs = []
    for number in range(bench.runs):
        load = {**load, "seed": 1000 + number}
        peer = run_plain(bench, nbdkit_file(bench, image, bench.dir / "peer.sock"), load)
        ours = run_ours(bench, image, load, *extra)
        core.note(f"ours {ours[key]:.0f}, peer {peer[key]:.0f}")
        pairs.append((ours, peer))
    return pairs


def medians(pairs, key):
    return core.median([pair[0][key] for pair in pairs]), core.median([pair[1][key] for pair in pairs])


def disk_limit(bench, pairs):
    """The highest ratio to the peer that the disk allows when the store is on it as well: what ours must write, the
    image and the evidence, at the disk's own speed, against what the peer took."""
    limits = json.loads(core.output([core.program("limits"), bench.dir]))
    ratios = [peer["seconds"] * limits["direct_mb_s"] * 1e6 / (ours["bytes"] + ours["store_bytes"]) for ours, peer in pairs]
    return core.median(ratios), limits


def capture_4k(bench):
    gib = 4 if bench.full else 1
    image = inputs.private_copy(bench, inputs.mixed_image(bench, gib), "disk.img")
    size = gib * core.GIB
    load = {"rw": "randwrite", "block_bytes": 4096, "depth": 16, "total_bytes": size // 4, "size_bytes": size}
    pairs = side_by_side(bench, image, load, "iops")
    ours, peer = medians(pairs, "iops")
    single = side_by_side(bench, image, {**load, "depth": 1, "total_bytes": size // 32}, "iops")
    qd1_ours, qd1_peer = medians(single, "iops")
    bare = side_by_side(bench, image, {**load, "total_bytes": size // 8}, "iops", "--baseline", "none")
    bare_ours, bare_peer = medians(bare, "iops")
    bench.report(ours, peer, [(a["iops"], b["iops"]) for a, b in pairs],
                 peer_is="nbdkit file, same image, same load", image_bytes=size, written_bytes=load["total_bytes"],
                 cpu_s_per_gib=core.median([cpu_per_gib(a) for a, _ in pairs]),
                 peer_cpu_s_per_gib=core.median([cpu_per_gib(b) for _, b in pairs]),
                 close_s=core.median([a["close_s"] for a, _ in pairs]),
                 qd1={"ours": qd1_ours, "peer": qd1_peer, "ratio": qd1_ours / qd1_peer},
                 baseline_none={"ours": bare_ours, "peer": bare_peer, "ratio": bare_ours / bare_peer,
                                "cpu_s_per_gib": core.median([cpu_per_gib(a) for a, _ in bare])},
                 counts="fio's run with the final flush; every write first saves the old block (baseline)")


def capture_seq(bench):
    gib = 4 if bench.full else 1
    image = inputs.private_copy(bench, inputs.mixed_image(bench, gib), "disk.img")
    size = gib * core.GIB
    load = {"rw": "write", "block_bytes": core.MIB, "depth": 8, "total_bytes": size, "size_bytes": size}
    pairs = side_by_side(bench, image, load, "mb_s")
    ours, peer = medians(pairs, "mb_s")
    bare = side_by_side(bench, image, load, "mb_s", "--baseline", "none")
    bare_ours, bare_peer = medians(bare, "mb_s")
    empty = bench.dir / "empty.img"  # a new disk: nothing to save before the first write

    def new_disk(make):
        with open(empty, "wb") as file:
            file.truncate(size)
        return make()
    fresh = []
    for number in range(bench.runs):
        numbered = {**load, "seed": 2000 + number}
        plain = new_disk(lambda: run_plain(bench, nbdkit_file(bench, empty, bench.dir / "peer.sock"), numbered))
        fresh.append((new_disk(lambda: run_ours(bench, empty, numbered)), plain))
    fresh_ours, fresh_peer = medians(fresh, "mb_s")
    (disk, limits), (disk_bare, _) = disk_limit(bench, pairs), disk_limit(bench, bare)
    bench.report(ours, peer, [(a["mb_s"], b["mb_s"]) for a, b in pairs],
                 peer_is="nbdkit file, same image, same load", written_bytes=load["total_bytes"],
                 limit={"ratio_of_the_disk": disk, "ratio_of_the_disk_baseline_none": disk_bare, **limits},
                 cpu_s_per_gib=core.median([cpu_per_gib(a) for a, _ in pairs]),
                 peer_cpu_s_per_gib=core.median([cpu_per_gib(b) for _, b in pairs]),
                 close_s=core.median([a["close_s"] for a, _ in pairs]),
                 baseline_none={"ours": bare_ours, "peer": bare_peer, "ratio": bare_ours / bare_peer,
                                "cpu_s_per_gib": core.median([cpu_per_gib(a) for a, _ in bare])},
                 new_disk={"ours": fresh_ours, "peer": fresh_peer, "ratio": fresh_ours / fresh_peer,
                           "cpu_s_per_gib": core.median([cpu_per_gib(a) for a, _ in fresh])},
                 counts="fio's run with the final flush; every write first saves the old block (baseline)")


def capture_vs_blklogwrites(bench):
    core.needs("qemu-img")
    image = inputs.private_copy(bench, inputs.mixed_image(bench, 1), "disk.img")
    total = core.GIB // (1 if bench.full else 8)
    load = {"rw": "randwrite", "block_bytes": 4096, "depth": 16, "total_bytes": total, "size_bytes": core.GIB}
    log, rows = bench.dir / "blklog", []
    for number in range(bench.runs):
        numbered = {**load, "seed": 3000 + number}
        plain = run_plain(bench, nbdkit_file(bench, image, bench.dir / "peer.sock"), numbered)["iops"]
        ours = run_ours(bench, image, numbered)["iops"]
        same_work = run_ours(bench, image, numbered, "--baseline", "none")["iops"]
        core.drop_dirty()
        qemu = qemu_iops(image, total // 4096)
        core.drop_dirty()
        logged = qemu_iops(image, total // 4096, log)
        log.unlink()
        core.note(f"nbdkit {plain:.0f} ours {ours:.0f} qemu {qemu:.0f} blklogwrites {logged:.0f}")
        rows.append((ours, plain, logged, qemu, same_work))
    ours = core.median([row[0] / row[1] for row in rows])
    peer = core.median([row[2] / row[3] for row in rows])
    bare = core.median([row[4] / row[1] for row in rows])
    names = ("ours", "nbdkit_file", "blklogwrites", "qemu_file", "ours_baseline_none")
    bench.report(ours, peer, [(row[0] / row[1], row[2] / row[3]) for row in rows],
                 peer_is="QEMU with blklogwrites over plain QEMU (qemu-img bench)", written_bytes=total,
                 baseline_none={"ours": bare, "ratio": bare / peer},
                 iops={name: core.median([row[at] for row in rows]) for at, name in enumerate(names)})


def run(bench):
    core.needs("fio", "nbdkit")
    core.build("bench/limits")
    {"capture-4k": capture_4k, "capture-seq": capture_seq,
     "capture-vs-blklogwrites": capture_vs_blklogwrites}[bench.name](bench)
