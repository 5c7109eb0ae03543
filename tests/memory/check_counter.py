#!/usr/bin/env python3
"""check_counter.py RAW [DISK]: is a raw image of memory, of a guest that runs tests/memory/counter.c, of one instant? And the disk's
image of the same? Prints the counter; exit 1 and what is wrong when not."""
import os
import struct
import sys

MAGIC = b"Counter:in:" + b"Pages"
pages = {}
with open(sys.argv[1], "rb") as f:
    end, at = f.seek(0, os.SEEK_END), 0
    while at < end:
        try:
            at = os.lseek(f.fileno(), at, os.SEEK_DATA)
        except OSError:
            break
        f.seek(at)
        data = f.read(1 << 20)
        for offset in range(-at % 4096, len(data), 4096):
            if data[offset:offset + 16] == MAGIC:
                index, count, value = struct.unpack_from("<QQQ", data, offset + 16)
                pages[index] = (value, count)
        at += len(data)
if not pages or len(pages) != pages[0][1]:
    sys.exit(f"{len(pages)} pages of the counter, which is not all of them")
values = [pages[i][0] for i in range(len(pages))]
if sorted(values, reverse=True) != values or values[0] - values[-1] > 1:
    sys.exit(f"not of one instant: {values[0]} … {values[-1]}, {len(set(values))} values in {len(values)} pages")
if len(sys.argv) > 2:
    with open(sys.argv[2], "rb") as f:
        disk = struct.unpack("<Q", f.read(8))[0]
    if not disk <= values[0] <= disk + 1:
        sys.exit(f"memory says {values[0]}, the disk {disk}")
print(values[0])
