"""Space: what an install workload takes on disk, beside borg keeping the same written blocks."""
import subprocess

import core
from capture import SPACE, recorder
from install_load import Disk, install


def part(path):
    return core.tree_bytes(path) if path.is_dir() else path.stat().st_blocks * 512 if path.exists() else 0


def run(bench):
    core.needs("borg", "nbdkit")
    core.build("bench/rawlog")
    limit = (2048 if bench.full else 256) * core.MIB
    image, store, raw = bench.dir / "disk.img", bench.dir / "store", bench.dir / "raw.log"
    with open(image, "wb") as file:
        file.truncate(max(4 * limit, 2 * core.GIB))
    server = recorder(bench, image, store, "--space", SPACE)
    disk = Disk(bench, server.uri)
    try:
        core.note("installing")
        facts = install(disk, limit)
    finally:
        disk.close()
    cost = server.stop()
    with open(raw, "wb") as file:
        core.timed([core.program("rawlog"), store], stdout=file)
    recorded = raw.stat().st_size
    core.note(f"borg takes {recorded >> 20} MiB")
    repo, env = bench.dir / "borg", {"BORG_BASE_DIR": str(bench.dir), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    core.timed(["borg", "init", "-e", "none", repo], env=env)
    borg = core.timed(["borg", "create", "--chunker-params", "fixed,4096", "--compression", "zstd,1",
                       f"{repo}::raw", raw], env=env)
    packed = core.timed(["zstd", "-q", "-1", "-f", raw, "-o", bench.dir / "raw.zst"])
    parts = {name: part(store / name) for name in ("log", "packs", "index", "queue")}
    per_gib = core.GIB / recorded
    ours = (core.tree_bytes(store) - parts["queue"]) * per_gib
    peer = part(repo) * per_gib
    bench.report(ours, peer, [(ours, peer)], peer_is="borg, fixed 4 KiB chunks, zstd 1, of every written block in order",
                 raw_log=core.GIB * (1 + 512 / 4096) if recorded else 0, recorded_bytes=recorded, **facts,
                 parts_per_gib={name: size * per_gib for name, size in parts.items() if name != "queue"},
                 queue_bytes=parts["queue"], raw_log_zstd_1=(bench.dir / "raw.zst").stat().st_size * per_gib,
                 borg_cpu_s_per_gib=borg.cpu_s * per_gib, cpu_s_per_gib=cost.cpu_s * per_gib,
                 counts="allocated bytes of log, packs and index for each GiB the file system wrote; the queue is a "
                        "fixed size and not counted; raw log as dm-log-writes would keep it (one sector an entry of 4 KiB)")
