"""The way out: sealing and framing in the sensor's freestanding code beside OpenSSL's cipher, and blocks through `collect`.

For wire-collect an image of mixed content goes over the loopback, until all of it is durable, beside `import snapshot` of the same image,
which needs no network."""
import json
import os
import signal
import subprocess
import time

import core
import inputs


def seal(bench):
    core.build("bench/wire")
    runs, alone = [], []
    for _ in range(bench.runs):
        row = json.loads(core.output([core.program("wire"), "seal"]))
        runs.append((row["sender"], row["openssl"]))
        alone.append(row["seal"])
    bench.report(core.median([a for a, _ in runs]), core.median([b for _, b in runs]), runs, cipher_alone=core.median(alone))


def through_collect(bench, image, blocks, key):
    store = bench.dir / "store"
    core.timed(["rm", "-rf", store])
    log = bench.dir / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen([core.program(), "collect", "--udp", "127.0.0.1:0", "--key", key, "--store", store, "--json"], stdout=out)
    try:
        until = time.monotonic() + 10
        while b"listening" not in log.read_bytes():
            if time.monotonic() > until:
                raise core.Unable("collect does not start")
            time.sleep(0.02)
        port = json.loads(log.read_text().splitlines()[0])["text"].rsplit(":", 1)[1]
        row = json.loads(core.output([core.program("wire"), "send", port, key, str(blocks), image]))
    finally:
        process.send_signal(signal.SIGTERM)
        _, _, usage = os.wait4(process.pid, 0)
    return blocks / row["seconds"], row["again"] / row["frames"], blocks / (usage.ru_utime + usage.ru_stime)


def collect(bench):
    core.build("bench/wire")
    image = inputs.mixed_image(bench, 1)
    blocks = (262144 if bench.full else 65536)
    key = bench.dir / "key"
    key.write_text(os.urandom(32).hex())
    key.chmod(0o600)
    part = bench.dir / "part.img"
    core.timed(["head", "-c", str(blocks * 4096), image], stdout=open(part, "wb"))
    runs, again, cpu = [], [], []
    for _ in range(bench.runs):
        core.drop_dirty()
        ours, share, each = through_collect(bench, part, blocks, key)
        core.timed(["rm", "-rf", bench.dir / "store2"])
        core.drop_dirty()
        cost = core.timed([core.program(), "import", "snapshot", part, "--at", "-1s", "--space", "disk:bench", "--store", bench.dir / "store2"])
        runs.append((ours, blocks / cost.wall_s))
        again.append(share)
        cpu.append(each)
    bench.report(core.median([a for a, _ in runs]), core.median([b for _, b in runs]), runs, sent_again=core.median(again),
                 blocks_a_collector_cpu_second=core.median(cpu))


def run(bench):
    collect(bench) if bench.name == "wire-collect" else seal(bench)
