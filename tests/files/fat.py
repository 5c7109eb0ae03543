"""Writes five small files, two of them deleted, into the root directory of a fresh FAT12/16 image: fat.py IMAGE

Content: 200 bytes of A, B, ... in this order: ONE.TXT, (deleted) ?WO.TXT, THREE.TXT, _IX.TXT, (deleted) ?IX.TXT. A deleted
name has lost its first letter, which The Sleuth Kit shows as _, so that the last two have the same name."""
import struct
import sys

path = sys.argv[1]
d = bytearray(open(path, "rb").read())
sector, per_cluster, reserved, fats, roots = struct.unpack_from("<HBHBH", d, 11)
per_fat, = struct.unpack_from("<H", d, 22)
root = (reserved + fats * per_fat) * sector
data = root + roots * 32
fat12 = b"FAT12" in d[:90]
for i, name in enumerate([b"ONE     TXT", b"\xe5WO     TXT", b"THREE   TXT", b"_IX     TXT", b"\xe5IX     TXT"]):
    cluster = 2 + i
    row = name + struct.pack("<BBBHHHHHHHI", 0x20, 0, 0, 0x6000, 0x5021, 0x5021, 0, 0x6000, 0x5021, cluster, 200)
    assert len(row) == 32
    d[root + i * 32:root + i * 32 + 32] = row
    at = data + i * per_cluster * sector
    d[at:at + 200] = bytes([65 + i]) * 200
    if name[0] == 0xe5:
        continue
    for copy in range(fats):  # end of chain
        table = (reserved + copy * per_fat) * sector
        if not fat12:
            struct.pack_into("<H", d, table + cluster * 2, 0xffff)
        elif cluster % 2:
            d[table + cluster * 3 // 2] |= 0xf0
            d[table + cluster * 3 // 2 + 1] = 0xff
        else:
            d[table + cluster * 3 // 2] = 0xff
            d[table + cluster * 3 // 2 + 1] |= 0x0f
open(path, "wb").write(d)
