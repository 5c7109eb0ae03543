"""Puts file system images into a disk with a partition table: table.py mbr|gpt OUT IMAGE...

MBR: the images become partitions 1, 2, ... and the last one, when there are more than three, a logical
partition (5). Written from the formats' descriptions: no partitioning tool is needed."""
import binascii
import struct
import sys
import uuid

SECTOR = 512
kind, out, images = sys.argv[1], sys.argv[2], [open(p, "rb").read() for p in sys.argv[3:]]
disk = bytearray()
start = 2048
places = []
for data in images:
    data += bytes(-len(data) % SECTOR)
    places.append((start, len(data) // SECTOR, data))
    start += len(data) // SECTOR + 2048
disk = bytearray((start + 64) * SECTOR)
for at, count, data in places:
    disk[at * SECTOR:(at + count) * SECTOR] = data


def entry(type_, at, count):
    return struct.pack("<B3sB3sII", 0, b"\xfe\xff\xff", type_, b"\xfe\xff\xff", at, count)


def table(entries):
    return b"".join(entries).ljust(64, b"\0") + b"\x55\xaa"


if kind == "mbr":
    if len(places) > 3:
        at, count, _ = places[3]
        extended = at - 1024
        disk[extended * SECTOR + 446:(extended + 1) * SECTOR] = table([entry(0x83, 1024, count)])
        rows = [entry(0x83, a, n) for a, n, _ in places[:3]] + [entry(0x0f, extended, count + 1024)]
    else:
        rows = [entry(0x83, a, n) for a, n, _ in places]
    disk[446:SECTOR] = table(rows)
else:
    last = len(disk) // SECTOR - 1
    disk[446:SECTOR] = table([entry(0xee, 1, last)])
    rows = b""
    for a, n, _ in places:
        rows += uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4").bytes_le + uuid.uuid4().bytes_le
        rows += struct.pack("<QQQ", a, a + n - 1, 0) + "data".encode("utf-16-le").ljust(72, b"\0")
    rows = rows.ljust(128 * 128, b"\0")
    disk_id = uuid.uuid4().bytes_le

    def header(me, other, table_at):
        def fields(crc):
            return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, crc, 0, me, other, 34, last - 33,
                               disk_id, table_at, 128, 128, binascii.crc32(rows))
        return fields(binascii.crc32(fields(0)))

    disk[SECTOR:SECTOR + 92] = header(1, last, 2)
    disk[2 * SECTOR:2 * SECTOR + len(rows)] = rows
    disk[(last - 32) * SECTOR:(last - 32) * SECTOR + len(rows)] = rows
    disk[last * SECTOR:last * SECTOR + 92] = header(last, 1, last - 32)
open(out, "wb").write(disk)
