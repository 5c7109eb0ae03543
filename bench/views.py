"""Views: how fast they open and read, and how fast a disk is restored."""
import core
import inputs
from capture import SPACE, recorder
from core import Server, fio, nbdkit_file


def view(bench, store, *extra):
    sock = bench.dir / "view.sock"
    return Server(bench, [core.program(), "view", "--store", store, "--socket", sock, "--reason", "benchmark", *extra],
                  sock)


def view_open(bench):
    events = (100_000_000 if bench.full else 10_000_000)
    store = inputs.synthetic_store(bench, events)
    plain, pairs = bench.dir / "plain.img", []
    with open(plain, "wb") as file:
        file.truncate(64 * core.GIB)
    for _ in range(max(bench.runs, 5)):
        peer = nbdkit_file(bench, plain, bench.dir / "peer.sock")
        peer.stop()
        ours = view(bench, store, "--at", f"seq:{events // 2}")
        size = int(core.output(["nbdinfo", "--size", ours.uri]))
        if size != 64 * core.GIB:
            raise core.Unable(f"the view says {size} bytes")
        ours.stop()
        pairs.append((ours.open_s * 1000, peer.open_s * 1000))
    ours, peer = (core.median(side) for side in zip(*pairs))
    bench.report(ours, peer, pairs, peer_is="nbdkit file on an empty file (nothing to look up)", events=events,
                 counts="ms from the start of the process to the server's NBD greeting, in the middle of the history")


def recorded_disk(bench, gib):
    """A disk of mixed content, recorded: imported, then a quarter of it overwritten through the recorder."""
    image = inputs.private_copy(bench, inputs.mixed_image(bench, gib), "disk.img")
    store = bench.dir / "store"
    core.note("recording")
    core.timed([core.program(), "import", "snapshot", image, "--store", store, "--space", SPACE, "--at", "now"])
    server = recorder(bench, image, store, "--space", SPACE, "--resync")
    size = gib * core.GIB
    fio(bench, server.uri, "randwrite", 4096, 16, size // 8, size, 1)
    fio(bench, server.uri, "write", core.MIB, 8, size // 8, size, 2)
    server.stop()
    return image, store


def same(bench, left, right):
    core.timed(["cmp", left, right])


def view_read(bench):
    core.needs("fio", "nbdkit", "nbdcopy")
    gib = 4 if bench.full else 1
    image, store = recorded_disk(bench, gib)
    size, pairs, single = gib * core.GIB, [], []
    served = view(bench, store)  # what will be read is what is there; and both are in the page cache then
    core.timed(["nbdcopy", served.uri, bench.dir / "copy.raw"])
    served.stop()
    same(bench, image, bench.dir / "copy.raw")
    core.warm(image, store / "packs", store / "log", store / "index")
    for number in range(bench.runs):
        for depth, rows, total in ((16, pairs, size // 8), (1, single, size // 32)):
            load = dict(rw="randread", block_bytes=4096, depth=depth, total_bytes=total, size_bytes=size,
                        seed=10 + number)
            plain = nbdkit_file(bench, image, bench.dir / "peer.sock")
            peer = fio(bench, plain.uri, **load)
            plain.stop()
            served = view(bench, store)
            ours = fio(bench, served.uri, **load)
            ours["server_cpu_s"] = served.stop().cpu_s
            rows.append((ours, peer))
            core.note(f"QD{depth}: view {ours['iops']:.0f}, raw file {peer['iops']:.0f}")
    rows = [(a["iops"], b["iops"]) for a, b in pairs]
    ours, peer = (core.median(side) for side in zip(*rows))
    one, one_peer = (core.median(side) for side in zip(*[(a["iops"], b["iops"]) for a, b in single]))
    bench.report(ours, peer, rows, peer_is="nbdkit file on the raw disk image", image_bytes=size,
                 qd1={"ours": one, "peer": one_peer, "ratio": one / one_peer},
                 cpu_us_per_read=core.median([a["server_cpu_s"] * 4096e6 / a["bytes"] for a, _ in pairs]))


def restore(bench):
    core.needs("qemu-img")
    gib = 4 if bench.full else 1
    image, store = recorded_disk(bench, gib)
    out, pairs, raw, packed = bench.dir / "out.raw", [], [], []
    core.output(["qemu-img", "convert", "-O", "qcow2", image, bench.dir / "same.qcow2"])
    core.output(["qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", image,
                 bench.dir / "packed.qcow2"])
    mb = image.stat().st_size / 1e6

    def seconds(source, command):
        core.timed(["rm", "-f", out])
        core.drop_dirty()
        core.warm(source)
        return core.timed(command, watch=True)
    for _ in range(bench.runs):
        convert = [seconds(source, ["qemu-img", "convert", "-O", "raw", source, out])
                   for source in (bench.dir / "same.qcow2", image, bench.dir / "packed.qcow2")]
        ours = seconds(store, [core.program(), "restore", "--store", store, "--reason", "benchmark", "-o", out])
        same(bench, image, out)
        pairs.append((mb / ours.wall_s, mb / convert[0].wall_s))
        raw.append(mb / convert[1].wall_s)
        packed.append(mb / convert[2].wall_s)
        core.note(f"restore {pairs[-1][0]:.0f}, qemu-img {pairs[-1][1]:.0f} MB/s")
    ours_mb, peer_mb = (core.median(side) for side in zip(*pairs))
    bench.report(ours_mb, peer_mb, pairs, peer_is="qemu-img convert of the same disk as qcow2", image_bytes=int(mb * 1e6),
                 qemu_img_raw=core.median(raw), qemu_img_qcow2_zstd=core.median(packed), cpu_s=ours.cpu_s,
                 peak_mib=ours.peak_mib)


def run(bench):
    core.needs("nbdkit", "nbdinfo")
    core.build(*(["bench/makestore"] if bench.name == "view-open" else []))
    {"view-open": view_open, "view-read": view_read, "restore": restore}[bench.name](bench)
