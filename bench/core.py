"""What every benchmark shares: building, scratch space, processes and their cost, medians, output."""
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
BUILD = Path(os.environ.get("CHV_BENCH_BUILD", SOURCE / "build-release"))
DATA = Path(os.environ.get("CHV_BENCH_DATA", BUILD / "bench-data"))  # inputs worth keeping between runs
GIB = 1 << 30
MIB = 1 << 20


class Unable(Exception):
    """The benchmark cannot run here: one line, what is missing and what to do."""


def note(text):
    if sys.stderr.isatty() or os.environ.get("CHV_BENCH_VERBOSE"):
        print(f"  {text}", file=sys.stderr, flush=True)


def needs(*programs):
    for program in programs:
        if not shutil.which(program):
            raise Unable(f"needs {program}: see tools/packages for the Debian package")


def build(*targets):
    """A release build of the program (and of the given bench targets) in build-release."""
    log = tempfile.TemporaryFile("w+")
    if not (BUILD / "build.ninja").exists():
        setup = ["meson", "setup", str(BUILD), str(SOURCE), "--buildtype=release", "-Db_ndebug=true"]
        if subprocess.run(setup, stdout=log, stderr=log).returncode:
            log.seek(0)
            raise Unable(f"{' '.join(setup)} failed: {log.read()[-300:]}")
    note("building")
    steps = [[]] + ([list(targets)] if targets else [])
    for step in steps:
        if subprocess.run(["ninja", "-C", str(BUILD), *step], stdout=log, stderr=log).returncode:
            log.seek(0)
            raise Unable(f"ninja -C {BUILD} {' '.join(step)} failed: {log.read()[-600:]}")


def program(name="chronovisor"):
    return str(BUILD / ("cli" if name == "chronovisor" else "bench") / name)


def has_verb(verb):
    return subprocess.run([program(), verb, "--help"], capture_output=True).returncode == 0


def median(values):
    return statistics.median(values)


class Bench:
    """One benchmark's run: its name, sizes, scratch folder and results."""

    def __init__(self, name, unit, full, runs):
        self.name, self.unit, self.full, self.runs = name, unit, full, runs
        self.results, self.servers, self._dir = [], [], None

    @property
    def dir(self):
        if self._dir is None:
            BUILD.mkdir(parents=True, exist_ok=True)
            self._dir = Path(tempfile.mkdtemp(prefix="bench-", dir=BUILD))
        return self._dir

    def data(self, name):
        DATA.mkdir(parents=True, exist_ok=True)
        return DATA / name

    def report(self, ours, peer, runs, name=None, **extra):
        """Add one result. ours and peer are medians, runs the (ours, peer) pairs they come from."""
        result = {"name": name or self.name, "ours": tidy(ours), "peer": tidy(peer), "unit": self.unit,
                  "ratio": tidy(ours / peer) if peer else None, "runs": [[tidy(x) for x in pair] for pair in runs]}
        result.update({key: tidy(value) for key, value in extra.items()})
        self.results.append(result)

    def close(self):
        for server in self.servers:
            try:
                server.stop()
            except Unable as why:
                print(f"bench/run: {why}", file=sys.stderr)
        if self._dir:
            shutil.rmtree(self._dir, ignore_errors=True)


def tidy(value):
    """Four significant digits are more than a benchmark knows."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if abs(value) < 1000 else round(value)
    if isinstance(value, dict):
        return {key: tidy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tidy(item) for item in value]
    return value


def show(result, as_json):
    if as_json:
        print(json.dumps(result), flush=True)
        return
    number = lambda x: "–" if x is None else f"{x:,}"
    print(f"{result['name']}: ours {number(result['ours'])}, peer {number(result['peer'])} {result['unit']}"
          f", ratio {result['ratio']}")
    for key, value in result.items():
        if key not in ("name", "ours", "peer", "unit", "ratio"):
            print(f"    {key:18} {json.dumps(value) if not isinstance(value, str) else value}")
    sys.stdout.flush()


# --- processes ------------------------------------------------------------------------------


class Cost:
    """What a process and the children it waited for cost."""

    def __init__(self, status, usage, wall_s, peak=None):
        self.code = os.waitstatus_to_exitcode(status)
        self.wall_s, self.user_s, self.system_s = wall_s, usage.ru_utime, usage.ru_stime
        self.cpu_s = usage.ru_utime + usage.ru_stime
        self.peak_mib = peak.total / 1024 if peak else 0.0   # VmHWM
        self.anon_mib = peak.anon / 1024 if peak else 0.0    # the part that is not mapped files


class Peak(threading.Thread):
    """Watches VmHWM of a process and its descendants (the largest one counts)."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.total, self.anon, self.ended = pid, 0, 0, threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(0.02):
            self.sample()

    def sample(self):
        for pid in descendants(self.pid):
            try:
                fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
                self.total = max(self.total, int(fields["VmHWM"].split()[0]))
                self.anon = max(self.anon, int(fields["RssAnon"].split()[0]))
            except (OSError, KeyError, ValueError):
                continue  # it has ended, or is a zombie

    def stop(self):
        self.ended.set()
        self.join()


def descendants(pid):
    found = [pid]
    for one in found:
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                found += [int(child) for child in Path(f"/proc/{one}/task/{task}/children").read_text().split()]
        except OSError:
            continue
    return found


def cpu_now(pid):
    """CPU seconds so far of a process tree that is still running."""
    ticks = 0
    for one in descendants(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def timed(command, ok=(0,), stdout=subprocess.DEVNULL, stdin=None, watch=False, env=None, cwd=None):
    """Run to the end and return its Cost; Unable when it fails."""
    command = [str(word) for word in command]
    with tempfile.TemporaryFile("w+") as err:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=stdout, stdin=stdin, stderr=err, cwd=cwd,
                                   env={**os.environ, **env} if env else None)
        peak = Peak(process.pid) if watch else None
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if peak:
            peak.stop()
        if process.returncode not in ok:
            err.seek(0)
            raise Unable(f"`{' '.join(command)}` exited {process.returncode}: {err.read()[-400:].strip()}")
    return Cost(status, usage, wall_s, peak)


def output(command, ok=(0,), env=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          env={**os.environ, **env} if env else None)
    if done.returncode not in ok:
        raise Unable(f"`{' '.join(map(str, command))}` exited {done.returncode}: {done.stderr[-400:].strip()}")
    return done.stdout


class Server:
    """An NBD server on a Unix socket. stop() ends it and returns what it cost, drained and closed."""

    def __init__(self, bench, command, sock, watch=False, stop_signal=15):
        self.sock, self.stop_signal, self.cost = str(sock), stop_signal, None
        self.log = open(f"{sock}.log", "w+")
        if os.path.exists(self.sock):
            os.unlink(self.sock)
        self.began = time.monotonic()
        self.process = subprocess.Popen([str(word) for word in command], stdout=self.log, stderr=self.log)
        self.pid = self.process.pid
        self.peak = Peak(self.pid) if watch else None
        bench.servers.append(self)
        self.command = " ".join(str(word) for word in command)
        self.open_s = self.wait_ready()

    def wait_ready(self, limit_s=30):
        """Seconds from the start until the server greets a client."""
        while True:
            try:
                with socket.socket(socket.AF_UNIX) as probe:
                    probe.settimeout(limit_s)
                    probe.connect(self.sock)
                    if probe.recv(8) == b"NBDMAGIC":
                        return time.monotonic() - self.began
            except OSError:
                pass
            if self.process.poll() is not None or time.monotonic() - self.began > limit_s:
                self.log.seek(0)
                text = self.log.read()[-400:].strip()
                self.stop()
                raise Unable(f"`{self.command}` does not serve: {text}")
            time.sleep(0.001)

    @property
    def uri(self):
        return f"nbd+unix:///?socket={self.sock}"

    def stop(self):
        if self.cost is None:
            began = time.monotonic()
            if self.process.returncode is None:
                os.kill(self.pid, self.stop_signal)  # it is ours until wait4
                patience = threading.Timer(120, self.process.kill)
                patience.start()
                _, status, usage = os.wait4(self.pid, 0)
                patience.cancel()
                self.process.returncode = os.waitstatus_to_exitcode(status)
            else:
                status, usage = 0, resource.struct_rusage([0] * 16)  # it ended by itself
            if self.peak:
                self.peak.stop()
            self.cost = Cost(status, usage, time.monotonic() - began, self.peak)
            self.log.seek(0)
            text = self.log.read()[-600:].strip()
            self.log.close()
            if os.path.exists(self.sock):
                os.unlink(self.sock)
            if self.cost.code not in (0, -self.stop_signal):
                raise Unable(f"`{self.command}` ended with {self.cost.code}: {text}")
        return self.cost


def nbdkit_file(bench, image, sock, *extra, **how):
    return Server(bench, ["nbdkit", "-f", "-U", sock, *extra, "file", image], sock, **how)


def fio(bench, uri, rw, block_bytes, depth, total_bytes, size_bytes, seed, seconds=None):
    """One fio job over NBD, ending with a flush when it writes. Speed counts the flush."""
    out = bench.dir / "fio.json"
    command = ["fio", "--name=bench", "--ioengine=nbd", f"--uri={uri}", f"--rw={rw}", f"--bs={block_bytes}",
               f"--iodepth={depth}", f"--size={size_bytes}", f"--io_size={total_bytes}", f"--randseed={seed}",
               "--end_fsync=1", "--randrepeat=1", "--output-format=json", f"--output={out}"]
    if seconds:
        command.append(f"--runtime={seconds}")
    cost = timed(command)
    text = out.read_text()
    job = json.loads(text[text.index("{\n"):])["jobs"][0]
    if job["error"]:
        raise Unable(f"fio: error {job['error']} from {uri}")
    side = job["read" if "read" in rw else "write"]
    seconds = max(job["job_runtime"], 1) / 1000
    return {"iops": side["total_ios"] / seconds, "mb_s": side["io_bytes"] / 1e6 / seconds,
            "bytes": side["io_bytes"], "seconds": seconds, "client_cpu_s": cost.cpu_s,
            "latency_us": side["clat_ns"]["mean"] / 1000}


def tree_bytes(path):
    """Bytes allocated on disk below path."""
    return sum(entry.stat().st_blocks * 512 for entry in Path(path).rglob("*") if entry.is_file())


def warm(*paths):
    """Bring files into the page cache, so that no run pays for what another run or the host let go of."""
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    subprocess.run(["cat", *files], stdout=subprocess.DEVNULL, check=False)


def drop_dirty():
    """Write out what earlier runs left dirty, so that nobody pays for a neighbour."""
    os.sync()
