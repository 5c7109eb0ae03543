"""The detector: CPU time an access and memory a space, beside what recording a block costs in the same run.

CHV_BENCH_MODEL names a model (else one is learnt from CHV_BENCH_RANSAP, a folder that holds `dataset/`; without both, a tiny
one made up for tests). With CHV_BENCH_RANSAP its runs are a second stream."""
import json
import os

import core
import inputs

LIMIT_NS, LIMIT_MIB = 150, 8


def model(bench):
    named, ransap = os.environ.get("CHV_BENCH_MODEL"), os.environ.get("CHV_BENCH_RANSAP")
    path = bench.dir / "bench.model"
    if named:
        return named, "CHV_BENCH_MODEL"
    if ransap:
        core.output([core.program(), "train", "--ransap", ransap, "--model", "default", "--mode", "paired", "-o", path])
        return path, "default, learnt from CHV_BENCH_RANSAP"
    core.build("tests/detect/tiny-model")
    core.output([core.BUILD / "tests/detect/tiny-model", path])
    return path, "tiny, made up for tests"


def recorder_ns(bench, image, blocks):
    store = bench.dir / "store"
    core.timed(["rm", "-rf", store])
    core.drop_dirty()
    cost = core.timed([core.program(), "import", "snapshot", image, "--store", store, "--space", "disk:bench", "--at", "now"])
    return cost.cpu_s / blocks * 1e9


def run(bench):
    core.build("bench/detector")
    path, which = model(bench)
    streams = [os.environ["CHV_BENCH_RANSAP"]] if os.environ.get("CHV_BENCH_RANSAP") else []
    measure = [core.program("detector"), path, *streams]
    if bench.name == "detector-memory":
        mib = json.loads(core.output(measure))["space_bytes"] / core.MIB
        bench.report(mib, None, [], limit=LIMIT_MIB, counts="the features of one space; the model is shared by all")
        return
    image = inputs.mixed_image(bench, 1)
    blocks, pairs, details = image.stat().st_size // 4096, [], []
    core.timed(["cat", image])
    for _ in range(bench.runs):
        ours = json.loads(core.output(measure))
        pairs.append((ours["synthetic"]["detector_ns"], recorder_ns(bench, image, blocks)))
        details.append(ours)
    ours, peer = (core.median(side) for side in zip(*pairs))
    bench.report(ours, peer, pairs, peer_is="import snapshot: CPU time a recorded block", limit=LIMIT_NS, model=which,
                 streams={name: {key: core.median([d[name][key] for d in details]) for key in details[0][name]}
                          for name in ("synthetic", "ransap") if name in details[0]})
