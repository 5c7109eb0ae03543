#!/usr/bin/env python3
"""An independent reader of exported memories: check_export.py FORMAT FILE ADDRESS=REFERENCE...

Each reference file is what the memory from that address on must be, and there must be no memory besides.
"""
import struct
import sys

CHUNK = 16 << 20


def raw(f, references):
    return [(address, address, size) for address, size in references]


def lime(f, _):
    out, offset = [], 0
    while header := f.read(32):
        magic, version, first, last, reserved = struct.unpack("<IIQQQ", header)
        assert (magic, version, reserved) == (0x4C694D45, 1, 0), header
        out.append((first, offset + 32, last - first + 1))
        offset += 32 + last - first + 1
        f.seek(offset)
    return out


def elf(f, _):
    header = f.read(64)
    assert header[:7] == b"\x7fELF\x02\x01\x01", header
    kind, machine, _, _, phoff, shoff, _, _, phentsize, phnum = struct.unpack_from("<HHIQQQIHHH", header, 16)
    assert (kind, machine, shoff, phentsize) == (4, 62, 0, 56)
    out, notes = [], []
    for i in range(phnum):
        f.seek(phoff + i * 56)
        p_type, _, offset, _, paddr, filesz, memsz, _ = struct.unpack("<IIQQQQQQ", f.read(56))
        assert filesz == memsz
        if p_type == 1:
            out.append((paddr, offset, filesz))
        else:
            assert p_type == 4
            f.seek(offset)
            notes.append(f.read(filesz))
    assert len(notes) == 1, "no VMCOREINFO"
    namesz, descsz, _ = struct.unpack_from("<III", notes[0])
    assert notes[0][12:12 + namesz] == b"VMCOREINFO\0" and notes[0][24:34] == b"OSRELEASE=" and 24 + descsz <= len(notes[0])
    return out


def main():
    wanted = {int(address, 0): open(path, "rb") for address, path in (word.split("=", 1) for word in sys.argv[3:])}
    sizes = [(address, f.seek(0, 2)) for address, f in wanted.items()]
    with open(sys.argv[2], "rb") as f:
        found = {"raw": raw, "lime": lime, "elf": elf}[sys.argv[1]](f, sizes)
        total = f.seek(0, 2)
        assert sorted((a, n) for a, _, n in found) == sorted(sizes), (found, sizes)
        for address, offset, size in found:
            assert offset + size <= total
            reference = wanted[address]
            for at in range(0, size, CHUNK):
                f.seek(offset + at)
                reference.seek(at)
                n = min(CHUNK, size - at)
                assert f.read(n) == reference.read(n), f"differs near 0x{address + at:x}"


main()
