#!/usr/bin/env python3
"""Features of accesses, the slow and plain way: every window is summed anew from what its seconds held.

features_reference.py rows SET NAMES [encrypted] < ACCESSES     the rows, as features_rows prints them; of what an encrypted disk shows
features_reference.py gate SET [encrypted] < ACCESSES           their ends, and whether the disk is taken for encrypted
features_reference.py make SEED ACTIONS       accesses: files encrypted in place and elsewhere, copies, noise, silence
"""
import random
import sys
from collections import Counter

TICK, READ, WRITE, DISCARD = 10**9, 0, 1, 2
FILL = {"wide": 1024, "content": 1024}  # pieces after which a tick is over before its second is
CONTINUED, ENTROPY, OLD, NOVEL, DEDUP = 1, 2, 4, 8, 16


class Runs:
    """The 16 latest runs of one side."""

    def __init__(self):
        self.runs, self.latest, self.commands, self.done = [None] * 16, 0, 0, None

    def place(self, lba, sectors, first):
        """(kind, depth, command); done: (sectors, marks) of the run that a new one left behind, the first time"""
        self.done = None
        at = self.runs[self.latest]
        if not first and at and at["next"] == lba:
            return self.grow(self.latest, sectors, first)
        self.commands += 1
        for i, run in enumerate(self.runs):
            if run and run["next"] == lba:
                return self.grow(i, sectors, first)
        ahead = [lba - r["next"] for r in self.runs if r and lba > r["next"]]
        behind = [r["next"] - lba for r in self.runs if r and lba < r["next"]]
        forward, back = min(ahead, default=1 << 64), min(behind, default=1 << 64)
        if at and not at.get("told"):
            at["told"], self.done = True, (at["sectors"], set(at["marks"]))
        self.latest = min(range(16), key=lambda i: (self.runs[i]["used"] if self.runs[i] else 0, i))
        self.runs[self.latest] = {"next": lba + sectors, "sectors": sectors, "commands": 1, "used": self.commands,
                                  "marks": set()}
        kind = "forward" if forward <= 2048 and forward <= back else "back" if back <= 2048 else "far"
        return kind, 0, 0

    def grow(self, i, sectors, first):
        run, kind = self.runs[i], "same" if i == self.latest else "other"
        depth = run["sectors"]
        run["next"] += sectors
        run["sectors"] += sectors
        run["used"] = self.commands
        run["commands"] += bool(first)
        self.latest = i
        return kind, depth, run["commands"] - 1

    def mark(self, what):
        marks = self.runs[self.latest]["marks"]
        fresh = what not in marks
        marks.add(what)
        return fresh


class Gate:
    """Is the disk encrypted? By the share of pieces that are no ciphertext, what is long ago counting less."""
    # 1 to 7 sectors of random bytes in a block of zeros: tests/detect/cipher.c draws such
    PARTS = [round(65535 * e) for e in (.18586, .34412, .48662, .61696, .73595, .84289, .93444)]

    def __init__(self):
        self.pieces = self.plain = self.encrypted = 0

    def take(self, access):
        _, _, sectors, kind, flags, entropy, old = access
        if kind == WRITE and flags & ENTROPY:
            seen = entropy
        elif kind == READ and flags & OLD and old > 1311:
            seen = old
        else:
            return
        alone = {1: 60900, 2: 63300}.get(sectors, 64225)
        self.pieces += 1
        self.plain += seen < alone and min(abs(seen - part) for part in self.PARTS) > 328
        if self.pieces == 16384:
            self.pieces, self.plain = 8192, self.plain // 2
        if self.plain * 512 <= self.pieces >= 1024:
            self.encrypted = 1
        elif self.plain * 128 > self.pieces:
            self.encrypted = 0


def encrypted_view(access):
    """What an encrypted disk would show of it, or None."""
    time, lba, sectors, kind, flags, entropy, old = access
    if kind == DISCARD:
        return None
    if flags & OLD and old <= 1311:
        flags -= OLD
    return (time, lba, sectors, kind, flags | NOVEL if flags & DEDUP else flags, 65161 if flags & ENTROPY else entropy,
            65161 if flags & OLD else old)


class Stream:
    def __init__(self):
        self.runs, self.read, self.written, self.read_length = (Runs(), Runs()), {}, {}, {}
        self.side, self.ticks = None, {}

    def tick(self, number):
        return self.ticks.setdefault(number, {"count": Counter(), "blocks": ([], []), "regions": (set(), set())})

    def ago(self, table, block, now):
        then = table.get(block)
        return now - then if then is not None and now - then < 3576 else None

    def take(self, number, since_ns, access):
        _, lba, sectors, kind, flags, entropy, old = access
        tick, now = self.tick(number), since_ns >> 24
        count = tick["count"]
        if kind == DISCARD:
            blocks = (sectors + 7) // 8
            count["discards"] += blocks
            count["discards_full"] += bool(flags & OLD) and old > 1311
            for i in range(min(blocks, 256)):
                count["discards_crossed"] += self.ago(self.read, lba // 8 + i, now) is not None
            return
        side = int(kind == WRITE)
        first = not flags & CONTINUED
        run, depth, command = self.runs[side].place(lba, sectors, first)

        def add(name, by=1):
            count[name, side] += by
        add("pieces")
        add("bytes", sectors * 512)
        add("small", sectors < 8 and not depth)
        add("ended", sectors < 8 and depth > 0)
        add("depth0", depth < 32)
        add("depth1", 32 <= depth < 256)
        add("depth2", 256 <= depth < 2048)
        add("runs", run in ("forward", "back", "far"))
        if self.runs[side].done:
            self.length(count, *self.runs[side].done, side, now)
        add("forward", run == "forward")
        add("back", run == "back")
        if first:
            add("commands")
            add("through", command == 1)
            add("head", command == 1 and depth <= 8)
            add("other", run == "other")
            add("switch", self.side is not None and self.side != side)
            self.side = side
        tick["blocks"][side].append((lba >> 3) & ((1 << 38) - 1))
        tick["regions"][side].add(((lba >> 11) * 0x9e3779b97f4a7c15 & (1 << 64) - 1) >> 52)
        block = lba // 8
        was_read, was_written = self.ago(self.read, block, now), self.ago(self.written, block, now)
        add("again", (was_written if side else was_read) is not None)
        add("crossed", (was_read if side else was_written) is not None)
        (self.written if side else self.read)[block] = now
        if side:
            self.content(count, flags, entropy, old, was_read)
        elif flags & OLD:
            count["read_known"] += 1
            count["read_entropy"] += old
            count["read_plain"] += old < 45874
            count["read_high"] += old > 63569

    def length(self, count, sectors, marks, side, now):
        blocks = min(2047, (sectors + 7) // 8)
        if blocks < 3:
            return
        if side == READ:
            self.read_length[blocks] = now
        elif "sealed" in marks:
            count["alike"] += self.ago(self.read_length, blocks, now) is not None

    def content(self, count, flags, entropy, old, age):
        runs, high = self.runs[WRITE], entropy > 63569
        if age is not None:
            count["quick"] += age < 59
            count["slow"] += age >= 590
            count["delay"] += age
            count["overwrites"] += runs.mark("overwrites")
        if flags & ENTROPY:
            count["entropy_known"] += 1
            count["entropy"] += entropy
            count["high"] += high
            count["plain"] += entropy < 45874
            count["flat"] += 48906 <= entropy <= 49316
            if high:
                count["sealed"] += runs.mark("sealed")
            if age is not None:
                count["crossed_known"] += 1
                count["crossed_high"] += high
                if high:
                    count["scrambles"] += runs.mark("scrambles")
            if flags & OLD:
                count["rising"] += high and old < 58981
                count["old_known"] += 1
                count["destroyed"] += old > 1311
                count["spoiled"] += high and 1311 < old < 58981
                count["blanked"] += entropy <= 1311 < old
        if flags & DEDUP:
            count["dedup_known"] += 1
            count["novel"] += bool(flags & NOVEL)


def lg(v):
    e = (v + 1).bit_length() - 1
    return float(e) + (float(v + 1) - float(1 << e)) / float(1 << e)


class Window:
    def __init__(self, stream, last, ticks):
        held = [stream.ticks[t] for t in range(max(0, last - ticks + 1), last + 1) if t in stream.ticks]
        self.ticks, self.sum = ticks, Counter()
        for tick in held:
            self.sum.update(tick["count"])
        self.blocks = [[b for tick in held for b in tick["blocks"][side]] for side in (0, 1)]
        self.regions = [len(set().union(*(tick["regions"][side] for tick in held))) for side in (0, 1)]

    def share(self, a, b):
        return self.sum[a] / self.sum[b] if self.sum[b] else 0.0

    def variance(self, side):
        n, s = len(self.blocks[side]), sum(self.blocks[side])
        return float(n * sum(b * b for b in self.blocks[side]) - s * s) / (float(n) * float(n)) if n else 0.0

    def value(self, form, *of):
        if form == "rate":
            return self.sum[of[0]] / self.ticks
        if form == "lg":
            return lg(self.sum[of[0]])
        if form == "share":
            return self.share(*of)
        if form == "mean":
            return self.share(*of) / 65535
        if form == "least":
            return lg(min(self.sum[of[0]], self.sum[of[1]]))
        if form in ("turned", "turned_share", "even"):
            plain, more = self.sum["read_plain"], max(0, self.sum["high"] - self.sum["read_high"])
            both, most = min(plain, more), plain if form == "turned_share" else max(plain, more)
            return lg(both) if form == "turned" else both / most if most else 0.0
        if form == "size":
            return lg(self.sum[of[0]] // self.sum[of[1]]) if self.sum[of[1]] else 64.0
        if form == "variance":
            return self.variance(of[0])
        if form == "deviation":
            return lg(min(int(self.variance(of[0])), 1 << 62))
        if form == "regions":
            return lg(self.regions[of[0]])
        return self.regions[of[0]] / (self.sum["bytes", of[0]] / 1048576 + 1)  # spread



def features():
    """name -> (form, operands); written down a second time, from what the names say."""
    f = {"scrambles": ("lg", "scrambles"), "rising": ("lg", "rising"), "exchanges": ("least", "sealed", ("through", 0)),
         "discarded": ("least", "sealed", "discards_crossed"), "whole": ("least", ("small", 0), ("ended", 0)),
         "through": ("lg", ("through", 0)), "read_run": ("size", ("bytes", 0), ("runs", 0)),
         "write_run": ("size", ("bytes", 1), ("runs", 1)), "write_crossed_lg": ("lg", ("crossed", 1)),
         "write_overwrites": ("lg", "overwrites"), "write_quick": ("share", "quick", ("crossed", 1)),
         "write_delay": ("size", "delay", ("crossed", 1)), "write_entropy": ("mean", "entropy", "entropy_known"),
         "write_entropy_mean": ("mean", "entropy", "entropy_known"), "write_high": ("share", "high", "entropy_known"),
         "write_plain": ("share", "plain", "entropy_known"), "write_regions": ("regions", 1),
         "write_crossed_high": ("share", "crossed_high", "crossed_known"),
         "destroyed": ("lg", "destroyed"), "spoiled": ("lg", "spoiled"), "blanked": ("lg", "blanked"),
         "destroyed_share": ("share", "destroyed", "old_known"), "dropped": ("lg", "discards_full"),
         "alike": ("lg", "alike"), "alike_share": ("share", "alike", ("runs", 1)),
         "read_entropy": ("mean", "read_entropy", "read_known"), "read_plain": ("share", "read_plain", "read_known"),
         "turned": ("turned",), "turned_share": ("turned_share",), "even": ("even",),
         "traded": ("least", "high", ("pieces", 0)), "flat_share": ("share", "flat", "entropy_known"),
         "flat_read": ("least", "flat", ("pieces", 0)),
         "write_novel": ("share", "novel", "dedup_known"), "switch": ("share", ("switch", 0), ("commands", 0))}
    for which, name in enumerate(("read", "write")):
        f |= {f"{name}_lg": ("lg", ("bytes", which)), f"{name}_bytes_s": ("rate", ("bytes", which)),
              f"{name}_lba_variance": ("variance", which), f"{name}_deviation": ("deviation", which),
              f"{name}_spread": ("spread", which)}
        for share, of in {"forward": "runs", "back": "runs", "other": "commands", "small": "runs", "ended": "runs",
                          "head": "runs", "depth0": "pieces", "depth1": "pieces", "depth2": "pieces", "again": "pieces",
                          "crossed": "pieces"}.items():
            f[f"{name}_{share}"] = ("share", (share, which), (of, which))
    return f


def rows(names, reads_only, fill, accesses):
    """names None: the gate in place of features"""
    table, stream, gate = features(), Stream(), Gate()
    accesses = [a for a in accesses if not reads_only or a[3] == READ]
    if not accesses:
        return
    first, now, tick, busy, began = accesses[0][0], 0, 0, 0, 0

    def row(number, end):
        if names is None:
            print(first + end, gate.encrypted)
            return
        windows = {w: Window(stream, number, w) for w in (1, 5, 10, 30)}
        count = windows[1].sum
        read, written = count["bytes", 0], count["bytes", 1]
        values = [windows[int(w)].value(*table[n]) for n, w in (name.rsplit("_w", 1) for name in names)]
        print(first + end, read, written, int(read + written >= 65536), *map(c_hex, values))
    for access in accesses:
        now = max(now, access[0] - first)
        while now - began >= TICK:
            began += TICK
            if tick - busy < 60:
                row(tick, began)
            tick += 1
        count = stream.tick(tick)["count"]
        if count["pieces", READ] + count["pieces", WRITE] >= fill:
            began = now
            row(tick, began)
            tick += 1
        busy = tick
        stream.take(tick, now, access)
        gate.take(access)
    row(tick, began + TICK)


def c_hex(x):
    """As C's %a: no zeros at the end."""
    mantissa, exponent = float(x).hex().split("p")
    return (mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa) + "p" + exponent


def make(seed, actions):
    rng, now, out = random.Random(seed), 1_600_000_000_000_000_000, []

    def command(kind, lba, sectors, high=False, most_ns=3_000_000):
        nonlocal now
        now += rng.randrange(1000, most_ns)
        left, flags = sectors, 0
        while left:
            n = min(left, 8)
            entropy = rng.randrange(63000, 65536) if high else rng.choice((0, 1311, 50000, 48905, 48906, 49316, 49317)) if rng.random() < .1 else rng.randrange(20000, 64000)
            known = (ENTROPY if rng.random() < .95 else 0) | (OLD if rng.random() < .5 else 0)
            known |= DEDUP | (NOVEL if rng.random() < .5 else 0) if rng.random() < .3 else 0
            out.append((now - rng.choice((0, 0, 0, 50)), lba, n, kind, flags | (known if kind == WRITE else known & OLD),
                        entropy if kind == WRITE else 0, rng.choice((0, 1311, 63570, rng.randrange(65536))) if known & OLD else 0))
            flags, lba, left = CONTINUED, lba + n, left - n
    for _ in range(actions):
        what, lba, size = rng.random(), rng.randrange(1 << 34) * 8, rng.randrange(1, 300)
        if what < .6:  # a file read through, then perhaps encrypted in place or elsewhere, and discarded
            command(READ, lba, min(8, size))
            for at in range(8, size, 64):
                command(READ, lba + at, min(64, size - at))
            now += rng.choice((0, 10**7, 2 * 10**9)) if rng.random() < .3 else 0
            to = lba if what < .3 else lba + rng.randrange(1, 500) * 8
            if what < .45:
                command(WRITE, to, (size + 7) // 8 * 8, True)
            if to != lba:
                now += 1000
                out.append((now, lba, rng.randrange(1, 5000), DISCARD, 0, 0, 0))
        elif what < .9:
            for _ in range(rng.randrange(1, 6)):
                lba += rng.randrange(-3000, 3000)
                command(rng.choice((READ, WRITE)), max(lba, 0), rng.randrange(1, 40))
        else:
            now += rng.choice((10**9, 7 * 10**9, 35 * 10**9, 200 * 10**9)) if rng.random() < .6 else 10**8
    for at in range(80):  # more than some ticks hold
        command(rng.choice((READ, WRITE)), at * 512, 256, True, 100_000)
    for access in out:
        print(*access)


def main():
    if sys.argv[1] == "make":
        make(int(sys.argv[2]), int(sys.argv[3]))
        return
    what, kind, *more = sys.argv[1:]
    accesses = [tuple(map(int, line.split())) for line in sys.stdin]
    if "encrypted" in more:
        accesses = [view for view in map(encrypted_view, accesses) if view]
    rows(None if what == "gate" else more[0].split(","), kind == "read", FILL.get(kind, 1 << 64), accesses)


if __name__ == "__main__":
    main()
