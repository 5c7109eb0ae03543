"""Looking into a process's memory that was taken in: `memory yara` beside yara on the same bytes as a file, `memory diff` beside cmp.

The process is made here, of the mixed image: space proc:1 with its pages, map:1 that says which there are.
"""
import json
import random

import core
import inputs

PAGE = 4096
BASE = 1 << 22


def rules(path):
    """Text, hex with jumps and regular expressions, as published rules have them; hardly any matches."""
    rng = random.Random(5)
    word = lambda n: "".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") for _ in range(n))
    with open(path, "w") as out:
        for number in range(200):
            text = "".join(f'$t{i} = "{word(rng.randrange(8, 24))}" {rng.choice(["", "wide", "nocase", "fullword"])}\n' for i in range(5))
            code = f"$h = {{ {' '.join(f'{rng.randrange(256):02x}' for _ in range(6))} [2-8] {' '.join(f'{rng.randrange(256):02x}' for _ in range(4))} }}\n"
            expression = f"$r = /{word(6)}[0-9]{{2,4}}{word(4)}/\n"
            out.write(f"rule r{number} {{ strings:\n{text}{code}{expression}condition: 2 of them }}\n")
    return path


def process(bench, image):
    """A store with the image as the memory of process 1."""
    store, size = bench.dir / "store", image.stat().st_size
    space, text = bench.dir / "space", bench.dir / "map"
    with open(space, "wb") as out, open(image, "rb") as data:
        out.seek(BASE)
        while piece := data.read(core.MIB):
            out.write(piece)
    lines = [{"kind": "process", "format": 1, "cr3": "0x1000", "pid": 1, "name": "bench"},
             {"kind": "mapping", "start": hex(BASE), "end": hex(BASE + size), "rights": "rw-p", "offset": 0, "path": "", "deleted": False, "memfd": False},
             {"kind": "pages", "start": hex(BASE), "pages": size // PAGE, "flags": "rw-ua-"}]
    text.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for path, name in ((space, "proc:1"), (text, "map:1")):
        core.timed([core.program(), "import", "snapshot", path, "--at", "now", "--space", name, "--store", store])
    return store, space


def yara(bench, image, store, space):
    path, rows, costs = rules(bench.dir / "rules"), [], []
    gb = image.stat().st_size / 1e9
    for _ in range(bench.runs):
        ours = core.timed([core.program(), "memory", "yara", path, "--store", store, "--space", "proc:1"], ok=(0, 1), watch=True)
        peer = core.timed(["yara", path, image], watch=True)
        rows.append((gb * 1e3 / ours.wall_s, gb * 1e3 / peer.wall_s))
        costs.append((ours, peer))
        core.note(f"ours {rows[-1][0]:.0f} MB/s, yara {rows[-1][1]:.0f}")
    ours, peer = (core.median(side) for side in zip(*rows))
    bench.report(ours, peer, rows, peer_is="yara on the same bytes as a file in the page cache", counts="MB/s of memory scanned with 200 rules",
                 memory_bytes=image.stat().st_size, peak_mib=max(c.peak_mib for c, _ in costs), peer_peak_mib=max(c.peak_mib for _, c in costs))


def diff(bench, image, store, space):
    size, rows = image.stat().st_size, []
    first = json.loads(core.output([core.program(), "info", "--store", store, "--json"]))["last_seq"]
    with open(space, "r+b") as out:
        for at in range(BASE, BASE + size, PAGE * 100):
            out.seek(at)
            out.write(random.Random(at).randbytes(PAGE))
    core.timed([core.program(), "import", "snapshot", space, "--at", "now", "--space", "proc:1", "--store", store])
    before = bench.dir / "before"
    core.timed([core.program(), "restore", "--store", store, "--space", "proc:1", "--at", f"seq:{first}", "-o", before])
    command = [core.program(), "memory", "diff", "--store", store, "--space", "proc:1", "--from", f"seq:{first}", "--json"]
    for _ in range(bench.runs):
        ours = core.timed(command)
        peer = core.timed(["sh", "-c", f"cmp -l {before} {space} | wc -l"])
        rows.append((size / 1e9 / ours.wall_s, size / 1e9 / peer.wall_s))
        core.note(f"ours {rows[-1][0]:.2f} GB/s, cmp {rows[-1][1]:.2f}")
    said = json.loads(core.output(command).splitlines()[-1])
    if said["changed"] != -(-size // PAGE // 100) or said["added"] or said["gone"]:
        raise core.Unable(f"memory diff is wrong: {said}")
    ours, peer = (core.median(side) for side in zip(*rows))
    bench.report(ours, peer, rows, peer_is="cmp -l of the two as raw files in the page cache, piped to wc", memory_bytes=size,
                 counts="GB/s of memory compared, 1% of the pages changed")


def run(bench):
    core.needs("yara", "cmp")
    core.build()
    image = inputs.mixed_image(bench, 2 if bench.full else 0.5)
    {"memory-yara": yara, "memory-diff": diff}[bench.name](bench, image, *process(bench, image))
