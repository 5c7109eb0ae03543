"""Ingest: blocks of an image into a store, per core, beside md5deep -p 4096 (which only hashes and prints)."""
import core
import inputs


def run(bench):
    core.needs("md5deep")
    core.build()
    gib = 4 if bench.full else 1
    image = inputs.mixed_image(bench, gib)
    blocks = image.stat().st_size // 4096
    store, pairs = bench.dir / "store", []
    core.timed(["cat", image])  # in the page cache for both
    for _ in range(bench.runs):
        core.timed(["rm", "-rf", store])
        core.drop_dirty()
        ours = core.timed([core.program(), "import", "snapshot", image, "--store", store, "--space", "disk:bench", "--at", "now"],
                          watch=True)
        peer = core.timed(["md5deep", "-p", "4096", image])
        core.note(f"ours {blocks / ours.cpu_s:.0f}, md5deep {blocks / peer.cpu_s:.0f} blocks a CPU second")
        pairs.append((ours, peer))
    per_core = [(blocks / a.cpu_s, blocks / b.cpu_s) for a, b in pairs]
    wall = [(blocks / a.wall_s, blocks / b.wall_s) for a, b in pairs]
    ours, peer = (core.median(side) for side in zip(*per_core))
    bench.report(ours, peer, per_core, peer_is="md5deep -p 4096 (MD5 only, stores nothing)", blocks=blocks,
                 counts="blocks a CPU second of all threads", cpu_s_per_gib=core.GIB / 4096 / ours,
                 wall={"ours": core.median([a for a, _ in wall]), "peer": core.median([b for _, b in wall])},
                 peak_mib=max(a.peak_mib for a, _ in pairs), store_bytes=core.tree_bytes(store),
                 hashdb_published=1990)
