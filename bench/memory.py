"""Memory: the largest resident set of the recorder and of each query, on a short and on a long history."""
import core
import inputs
from capture import recorder
from core import Server, fio

SPACE = "disk:load"  # beside the made-up one
KEPT_EVENTS = 50_000_000  # a store of as many is gigabytes, and not kept


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
        "reindex": [chronovisor, "reindex", *common],
    }


def take(bench, events, packs):
    """A synthetic store to record into: a copy; a large one itself, which is not kept."""
    store, work = inputs.synthetic_store(bench, events, packs), bench.dir / f"store-{events}"
    if events < KEPT_EVENTS:
        core.timed(["cp", "-a", "--reflink=auto", store, work])
    else:
        core.timed(["mv", store, work])
    return work


def watched(command, cost_of, verb):
    cost = core.timed(command, ok=(0, 1), watch=True)
    cost_of[verb] = cost
    core.note(f"{verb} {cost.peak_mib:.0f} MiB, {cost.wall_s:.1f} s")


def record(bench, image, work):
    """The recorder's cost, with writes of random content: each is looked up in the whole index, in vain."""
    with open(image, "wb") as file:
        file.truncate(core.GIB)
    server = recorder(bench, image, work, "--space", SPACE, watch=True)
    fio(bench, server.uri, "randwrite", 4096, 16, core.GIB // 8, core.GIB, 1)
    fio(bench, server.uri, "write", core.MIB, 8, core.GIB // 4, core.GIB, 2)
    cost = server.stop()
    core.note(f"record {cost.peak_mib:.0f} MiB, {cost.cpu_s:.1f} CPU s")
    return cost


def view(bench, work):
    sock = bench.dir / "view.sock"
    server = Server(bench, [core.program(), "view", "--store", work, "--space", SPACE, "--socket", sock, "--reason",
                            "benchmark"], sock, watch=True)
    fio(bench, server.uri, "randread", 4096, 16, core.GIB // 16, core.GIB, 3)
    return server.stop()


def measure(bench, events):
    """Peak MiB of everything at this length of history: a store of made-up events, recorded into."""
    image, probe, costs, failed = bench.dir / "disk.img", bench.dir / "probe", {}, []
    work = take(bench, events, packs=True)
    costs["record"] = record(bench, image, work)
    with open(image, "rb") as disk, open(probe, "wb") as out:
        out.write(disk.read(32 * core.MIB))
    for verb, command in queries(work, SPACE, probe).items():
        if not core.has_verb(verb):
            continue
        if verb == "plot":
            command = [*command, bench.dir / "plot.svg"]
        try:
            watched(command, costs, verb)
        except core.Unable as why:
            failed.append(str(why)[-200:])
    costs["view"] = view(bench, work)
    core.timed(["rm", "-rf", work])
    # made-up packs hold nothing that could be verified
    work = take(bench, events, packs=False)
    watched([core.program(), "verify", "--store", work], costs, "verify")
    core.timed(["rm", "-rf", work])
    return ({verb: cost.peak_mib for verb, cost in costs.items()}, {verb: cost.anon_mib for verb, cost in costs.items()},
            failed)


def run(bench):
    core.build("bench/makestore")
    sizes = [1, 10] + ([100] if bench.full else [])
    table, rows, failed = [], [], []
    for millions in sizes:
        peaks, anonymous, failures = measure(bench, millions * 1_000_000)
        table.append({"million_events": millions, "peak_mib": core.tidy(peaks), "anonymous_mib": core.tidy(anonymous)})
        rows.append(peaks)
        failed += failures
    largest, smallest = max(rows[-1].values()), max(rows[0].values())
    bench.report(largest, smallest, [(largest, smallest)], table=table, bar_mib=512, failed=failed,
                 peer_is=f"the same at {sizes[0]} million events (flat: a ratio near 1)",
                 counts=f"the largest VmHWM (mapped files included) of any process at {sizes[-1]} million events")
