"""Capture: the recording NBD server beside plain servers, the same load, one after the other."""
import json
import os

import core
import inputs
from core import Server, fio, nbdkit_file

SPACE = "disk:bench"


def recorder(bench, image, store, *extra, **how):
    sock = bench.dir / "ours.sock"
    return Server(bench, [core.program(), "record", "--disk", image, "--store", store, "--socket", sock, *extra],
                  sock, **how)


def qemu(bench, image, log=None, direct=False):
    """QEMU's storage daemon on the image, plain or through its blklogwrites driver; past the page cache or not."""
    sock, cache = bench.dir / "qemu.sock", f"cache.direct={'on' if direct else 'off'}"
    command = ["qemu-storage-daemon", "--blockdev", f"driver=file,node-name=file,filename={image},{cache}"]
    if log:
        open(log, "wb").close()
        command += ["--blockdev", f"driver=file,node-name=log,filename={log},{cache}",
                    "--blockdev", "driver=blklogwrites,node-name=logged,file=file,log=log,log-sector-size=512"]
    return Server(bench, [*command, "--nbd-server", f"addr.type=unix,addr.path={sock}", "--export",
                          f"type=nbd,id=export,node-name={'logged' if log else 'file'},writable=on,name="], sock)


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


def hashing_limit(bench, plain, hashes):
    """The share of plain speed that is left when client and server, as in `plain`, and hashing so many blocks a write
    keep every core busy, and a recorder does nothing else: no reading of old content, no writing of evidence."""
    digest_us = json.loads(core.output([core.program("limits"), bench.dir]))["digest_us"]
    shares = []
    for figures in plain:
        writes = figures["bytes"] / 4096
        us = (figures["client_cpu_s"] + figures["server_cpu_s"]) * 1e6 / writes + hashes * digest_us
        shares.append(min(1, os.cpu_count() * 1e6 / us / figures["iops"]))
    return core.median(shares)


def capture_vs_blklogwrites(bench):
    core.needs("qemu-storage-daemon")
    image = inputs.private_copy(bench, inputs.mixed_image(bench, 1), "disk.img")
    total = core.GIB // (1 if bench.full else 8)
    load = {"rw": "randwrite", "block_bytes": 4096, "depth": 16, "total_bytes": total, "size_bytes": core.GIB}
    log, rows = bench.dir / "blklog", []
    for number in range(bench.runs):
        numbered = {**load, "seed": 3000 + number}
        row = {"plain": run_plain(bench, nbdkit_file(bench, image, bench.dir / "peer.sock"), numbered),
               "ours": run_ours(bench, image, numbered), "bare": run_ours(bench, image, numbered, "--baseline", "none")}
        for direct in (False, True):
            row["qemu", direct] = run_plain(bench, qemu(bench, image, None, direct), numbered)
            row["logged", direct] = run_plain(bench, qemu(bench, image, log, direct), numbered)
            log.unlink()
        core.note({name: round(figures["iops"]) for name, figures in row.items()})
        rows.append(row)

    def left(of, plain):
        return [row[of]["iops"] / row[plain]["iops"] for row in rows]
    ours, bare = core.median(left("ours", "plain")), core.median(left("bare", "plain"))
    logged, logged_direct = (core.median(left(("logged", d), ("qemu", d))) for d in (False, True))
    plain = [row["plain"] for row in rows]
    bench.report(ours, logged, list(zip(left("ours", "plain"), left(("logged", False), ("qemu", False)))),
                 peer_is="QEMU's storage daemon with blklogwrites over the same without; same client, socket and load",
                 written_bytes=total, baseline_none={"ours": bare, "ratio": bare / logged},
                 cache_direct={"peer": logged_direct, "ratio": ours / logged_direct},
                 limit={"ratio_if_only_hashed": hashing_limit(bench, plain, 2) / logged,
                        "ratio_if_only_hashed_baseline_none": hashing_limit(bench, plain, 1) / logged},
                 iops={name: core.median([row[key]["iops"] for row in rows]) for name, key in
                       {"ours": "ours", "ours_baseline_none": "bare", "nbdkit_file": "plain", "qemu_file": ("qemu", False),
                        "blklogwrites": ("logged", False), "qemu_file_direct": ("qemu", True),
                        "blklogwrites_direct": ("logged", True)}.items()})


def run(bench):
    core.needs("fio", "nbdkit")
    core.build("bench/limits")
    {"capture-4k": capture_4k, "capture-seq": capture_seq,
     "capture-vs-blklogwrites": capture_vs_blklogwrites}[bench.name](bench)
