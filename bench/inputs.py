"""Inputs that several benchmarks share. Kept in build-release/bench-data: making them takes a while."""
import os
import random

import core

CHUNK = core.MIB


def system_bytes(roots=("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/share")):
    """The content of the host's own system files, one after the other, each padded to 4 KiB."""
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if os.path.islink(path) or not os.path.isfile(path):
                    continue
                try:
                    with open(path, "rb") as file:
                        while piece := file.read(CHUNK):
                            yield piece + bytes(-len(piece) % 4096)
                except OSError:
                    continue


def mixed_image(bench, gib, name="mixed"):
    """A disk image: half system files, a quarter zeros (written, no holes), a quarter random bytes, interleaved."""
    path = bench.data(f"{name}-{gib}g.raw")
    total = int(gib * core.GIB)
    if path.exists() and path.stat().st_size == total:
        return path
    core.note(f"making {path}")
    rng, files, rest = random.Random(1), system_bytes(), b""
    made = path.with_suffix(".tmp")
    with open(made, "wb") as out:
        for at in range(0, total, CHUNK):
            kind = rng.randrange(4)
            if kind == 0:
                out.write(bytes(CHUNK))
            elif kind == 1:
                out.write(rng.randbytes(CHUNK))
            else:
                while len(rest) < CHUNK:
                    piece = next(files, None)
                    if piece is None:
                        files = system_bytes()
                        continue
                    rest += piece
                out.write(rest[:CHUNK])
                rest = rest[CHUNK:]
        out.flush()
        os.fsync(out.fileno())
    made.rename(path)
    return path


def private_copy(bench, image, name):
    """A copy of an input that a run may write to."""
    path = bench.dir / name
    core.timed(["cp", "--sparse=never", image, path])
    return path


def synthetic_store(bench, events, packs=False):
    """A store of that many WRITE events with made-up hashes (bench/makestore.c), indexed; kept. With packs the index
    also says of every content where it is, as after a recording; what the packs hold is not that content."""
    path = synthetic_path(bench, events, packs)
    if (path / "made").exists():
        return path
    core.note(f"making a store of {events} events{' with packs' if packs else ''}")
    core.timed(["rm", "-rf", path])
    core.timed([core.program("makestore"), path, events, *(["packs"] if packs else [])])
    cost = core.timed([core.program(), "reindex", "--store", path])
    (path / "made").write_text(f"{cost.wall_s} {cost.cpu_s}\n")
    return path


def synthetic_path(bench, events, packs=False):
    return bench.data(f"store-{events}{'-packs' if packs else ''}")


def forget_synthetic(bench, events, packs=False):
    core.timed(["rm", "-rf", synthetic_path(bench, events, packs)])
