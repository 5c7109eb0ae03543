"""Look-ups of hashes in the index, from one thread, beside RocksDB with the same entries."""
import json

import core
import inputs

COUNT = 1_000_000


def rocks(bench, events):
    """The peer's database, kept like the store."""
    path = bench.data(f"rocks-{events}")
    if not (path / "made").exists():
        core.note(f"making RocksDB of {events} entries")
        core.timed(["rm", "-rf", path])
        cost = core.timed([core.program("rocks"), "make", path, events])
        (path / "made").write_text(f"{cost.wall_s} {cost.cpu_s}\n")
    return path


def made_s(path):
    return float((path / "made").read_text().split()[0])


def both(bench, events, kind, count=COUNT):
    store, database, pairs = inputs.synthetic_store(bench, events), rocks(bench, events), []
    core.warm(store, database)
    for _ in range(bench.runs):
        peer = json.loads(core.output([core.program("rocks"), kind, database, events, count]))
        ours = json.loads(core.output([core.program("lookup"), store, events, kind, count]))
        core.note(f"{events} {kind}: ours {ours['single']:.0f}, RocksDB {peer['single']:.0f}")
        pairs.append((ours, peer))
    return pairs


def middle(pairs, side, key):
    return core.median([pair[side][key] for pair in pairs])


def details(pairs, events, store, database):
    return {"events": events,
            "batch": {"ours": middle(pairs, 0, "batch"), "peer": middle(pairs, 1, "batch")},
            "counts_batch": middle(pairs, 0, "counts"),
            "wall": {"ours": middle(pairs, 0, "single_wall"), "peer": middle(pairs, 1, "single_wall")},
            "index_bytes_per_event": {"ours": middle(pairs, 0, "index_bytes") / events,
                                      "peer": middle(pairs, 1, "index_bytes") / events},
            "peak_mib": middle(pairs, 0, "peak_mib"),
            "made_s": {"ours_reindex": made_s(store), "peer": made_s(database)}}


def one_size(bench, events, kind):
    pairs = both(bench, events, kind)
    bench.report(middle(pairs, 0, "single"), middle(pairs, 1, "single"),
                 [(a["single"], b["single"]) for a, b in pairs], peer_is="RocksDB, 40-byte entries, compacted",
                 counts="look-ups a CPU second of all threads, one thread asking",
                 **details(pairs, events, inputs.synthetic_store(bench, events), rocks(bench, events)))


def growth(bench):
    sizes, table = [1, 5, 10] + ([50, 100] if bench.full else []), []
    last = None
    for millions in sizes:
        events = millions * 1_000_000
        row = {"million_events": millions}
        for kind in ("miss", "hit"):
            pairs = both(bench, events, kind, COUNT // 2)
            row[kind] = middle(pairs, 0, "single")
            row[f"{kind}_batch"] = middle(pairs, 0, "batch")
            row[f"{kind}_peak_mib"] = middle(pairs, 0, "peak_mib")
            row[f"{kind}_rocksdb"] = middle(pairs, 1, "single")
        row["index_bytes_per_event"] = core.tidy(middle(pairs, 0, "index_bytes") / events)
        row["reindex_s"] = core.tidy(made_s(inputs.synthetic_store(bench, events)))
        last = pairs
        table.append(row)
        if millions >= 50:  # gigabytes: not kept
            inputs.forget_synthetic(bench, events)
            core.timed(["rm", "-rf", bench.data(f"rocks-{events}")])
    bench.report(middle(last, 0, "single"), middle(last, 1, "single"), [(a["single"], b["single"]) for a, b in last],
                 peer_is="RocksDB, 40-byte entries, compacted", events=sizes[-1] * 1_000_000, table=table,
                 counts="hits at the largest size; look-ups a CPU second")


def run(bench):
    core.build("bench/makestore", "bench/lookup", "bench/rocks")
    if bench.name == "lookup-growth":
        growth(bench)
    else:
        one_size(bench, 50_000_000 if bench.full else 5_000_000, bench.name.removeprefix("lookup-"))
