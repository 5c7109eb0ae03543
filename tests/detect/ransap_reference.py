#!/usr/bin/env python3
"""What `import ransap --json` should have said of some runs, by other means: everything in memory, plain dictionaries.

usage: ransap_reference.py DIR REPORT.json RUN…"""
import json
import os
import sys


def rows(path):
    out, late, running = [], 0, (0, 0)
    if not os.path.exists(path):
        return out, late
    for line in open(path):
        second, tick, lba, size = (int(x) for x in line.split(",")[:4])
        at = (second, tick)
        late += at < running
        running = max(running, at)
        out.append((second * 10**9 + tick * 10**9 // 2**30, tick, lba, size))
    return sorted(out), late


def expect(folder):
    reads, late_reads = rows(folder + "/ata_read.csv")
    writes, late_writes = rows(folder + "/ata_write.csv")
    small = sum(size < 512 for _, _, _, size in reads + writes)
    seen, rereads = {}, 0
    for time, _, lba, size in reads:
        if size < 512:
            continue
        sectors = (size + 511) // 512
        last, length = seen.get(lba, (None, 0))
        if last is not None and time - last < 10**9 and length >= sectors:
            rereads += 1
            sectors = length
        seen[lba] = (time, sectors)
    total = len(reads) + len(writes)
    return {"rows": total, "accesses": total - small - rereads, "unsorted": late_reads + late_writes, "small": small,
            "rereads": rereads, "malformed": 0}


def main():
    said = {}
    for line in open(sys.argv[2]):
        said[json.loads(line).get("run")] = json.loads(line)
    for run in sys.argv[3:]:
        for key, value in expect(os.path.join(sys.argv[1], run)).items():
            if said[run][key] != value:
                sys.exit(f"{run}: {key} {said[run][key]}, not {value}")
    print(f"{len(sys.argv) - 3} runs as the reference has them")


main()
