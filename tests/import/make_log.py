#!/usr/bin/env python3
"""Writes a dm-log-writes log of random I/O, as the kernel's target might: writes of any alignment, FUA,
discards, flushes (some with data), marks, empty entries.   make_log.py OUT SECTOR_BYTES DISK_BYTES ENTRIES SEED"""
import random
import struct
import sys

out, sector, disk, count, seed = sys.argv[1], *map(int, sys.argv[2:])
rng = random.Random(seed)
sectors = disk // sector


def entry(f, first, n, flags, data=b'', mark=b''):
    head = struct.pack('<QQQQ', first, n, flags, len(mark)) + mark
    f.write(head.ljust(sector, b'\0') + data)


with open(out, 'wb') as f:
    f.write(struct.pack('<QQQI', 0x6a736677736872, 1, count, sector).ljust(sector, b'\0'))
    for i in range(count):
        what = rng.random()
        n = min(rng.choice((1, 1, 2, 3, 7, 8, 9, 16, 33, 300)), sectors)
        first = rng.choice((rng.randrange(sectors - n + 1), sectors - n, rng.randrange(min(64, sectors - n + 1))))
        if i == 1:
            entry(f, 0, 0, 8, mark=b'mark 1')
        elif what < 0.12 or i == count - 1:
            entry(f, 0, 0, 1)
        elif what < 0.17:
            entry(f, 0, 0, 8, mark=b'mark %d' % i)
        elif what < 0.27:
            entry(f, first, n, 4)
        elif what < 0.29:
            entry(f, first, 0, 0)
        else:
            kind = rng.random()
            data = bytes(n * sector) if kind < 0.15 else rng.randbytes(n * sector) if kind < 0.7 else bytes([i & 255]) * (n * sector)
            entry(f, first, n, rng.choice((0, 0, 0, 2, 3, 16)), data)
