"""Memory: the largest resident set of the recorder and of each query, on a short and on a long history."""
import core
import inputs
from capture import recorder
from core import Server, fio

SPACE = "disk:load"  # beside the made-up one


def queries(store, space, probe):
    chronovisor = core.program()
    common = ["--store", store]
    return {
        "info": [chronovisor, "info", *common],
        "spaces": [chronovisor, "spaces", *common],
        "stats": [chronovisor, "stats", *common],
        "events": [chronovisor, "events", *common],
        "search": [chronovisor, "search", *common, probe],
        "diff": [chronovisor, "diff", *common, "--space", space, "--from", "seq:1000", "--to", "seq:900000"],
        "plot": [chronovisor, "plot", *common, "--space", space, "-o"],
        "verify": [chronovisor, "verify", *common],
        "reindex": [chronovisor, "reindex", *common],
    }


def measure(bench, events):
    """Peak MiB of everything at this length of history: a copy-free store of made-up events, recorded into."""
    store = inputs.synthetic_store(bench, events)
    work, image = bench.dir / f"store-{events}", bench.dir / "disk.img"
    core.timed(["cp", "-a", "--reflink=auto", store, work])
    with open(image, "wb") as file:
        file.truncate(core.GIB)
    server = recorder(bench, image, work, "--space", SPACE, watch=True)
    fio(bench, server.uri, "randwrite", 4096, 16, core.GIB // 8, core.GIB, 1)
    fio(bench, server.uri, "write", core.MIB, 8, core.GIB // 4, core.GIB, 2)
    cost = server.stop()
    peaks, anonymous, failed = {"record": cost.peak_mib}, {"record": cost.anon_mib}, []
    probe = bench.dir / "probe"
    with open(image, "rb") as disk, open(probe, "wb") as out:
        out.write(disk.read(32 * core.MIB))
    for verb, command in queries(work, SPACE, probe).items():
        if not core.has_verb(verb):
            continue
        if verb == "plot":
            command = [*command, bench.dir / "plot.svg"]
        try:
            cost = core.timed(command, ok=(0, 1), watch=True)
        except core.Unable as why:
            failed.append(str(why)[-200:])
            continue
        peaks[verb], anonymous[verb] = cost.peak_mib, cost.anon_mib
        core.note(f"{events}: {verb} {cost.peak_mib:.0f} MiB, {cost.wall_s:.1f} s")
    sock = bench.dir / "view.sock"
    server = Server(bench, [core.program(), "view", "--store", work, "--space", SPACE, "--socket", sock, "--reason",
                            "benchmark"], sock, watch=True)
    fio(bench, server.uri, "randread", 4096, 16, core.GIB // 16, core.GIB, 3)
    cost = server.stop()
    peaks["view"], anonymous["view"] = cost.peak_mib, cost.anon_mib
    core.timed(["rm", "-rf", work])
    return peaks, anonymous, failed


def run(bench):
    core.build("bench/makestore")
    sizes = [1, 10] + ([100] if bench.full else [])
    table, rows, failed = [], [], []
    for millions in sizes:
        peaks, anonymous, failures = measure(bench, millions * 1_000_000)
        if millions >= 50:
            inputs.forget_synthetic(bench, millions * 1_000_000)
        table.append({"million_events": millions, "peak_mib": core.tidy(peaks), "anonymous_mib": core.tidy(anonymous)})
        rows.append(peaks)
        failed += failures
    largest, smallest = max(rows[-1].values()), max(rows[0].values())
    bench.report(largest, smallest, [(largest, smallest)], table=table, bar_mib=512, failed=failed,
                 peer_is=f"the same at {sizes[0]} million events (flat: a ratio near 1)",
                 counts=f"the largest VmHWM (mapped files included) of any process at {sizes[-1]} million events")
