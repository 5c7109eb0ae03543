#!/usr/bin/env python3
"""Replays a dm-log-writes log onto an image: the outside judge of what a disk held.

Written from the kernel's documentation of the format alone (Documentation/admin-guide/
device-mapper/log-writes.rst), sharing nothing with Chronovisor. A log sector holds the superblock
(magic, version, number of entries, log sector size), then one sector for each entry (sector,
number of sectors, flags, data length) followed by the data written. Discards read as zeros.

  replay_blklogwrites.py LOG list                        one JSON object an entry
  replay_blklogwrites.py LOG image N -o IMG [--base B] [--size BYTES]
                                 the disk after entries 0 to N (N = -1: before the first; 'last')
  replay_blklogwrites.py LOG digests -o IMG [--base B] [--size BYTES] [--flushes]
                                 SHA-256 of the disk after each entry (or each flush): "N digest"
"""
import argparse
import hashlib
import json
import shutil
import struct
import sys

MAGIC, FLUSH, FUA, DISCARD, MARK = 0x6a736677736872, 1, 2, 4, 8


def entries(log):
    """(index, byte offset on the device, bytes, flags, data or None) of each entry, in order."""
    magic, version, count, sector = struct.unpack('<QQQI', log.read(28))
    if magic != MAGIC or version != 1:
        sys.exit('not a dm-log-writes log of version 1')
    at = sector
    for index in range(count):
        log.seek(at)
        first, sectors, flags, data_length = struct.unpack('<QQQQ', log.read(32))
        at += sector
        data = None
        if flags & MARK:
            data = log.read(data_length)
        elif not flags & DISCARD:
            log.seek(at)
            data = log.read(sectors * sector)
            if len(data) != sectors * sector:
                sys.exit('entry %d: cut off' % index)
            at += len(data)
        yield index, first * sector, sectors * sector, flags, data


def apply(image, offset, length, flags, data):
    if flags & MARK or length == 0:
        return
    image.seek(offset)
    if data is not None:
        image.write(data)
    else:
        while length > 0:
            n = min(length, 1 << 20)
            image.write(bytes(n))
            length -= n


def digest(image):
    image.seek(0)
    sha = hashlib.sha256()
    while True:
        piece = image.read(1 << 20)
        if not piece:
            return sha.hexdigest()
        sha.update(piece)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('log')
    verbs = parser.add_subparsers(dest='verb', required=True)
    verbs.add_parser('list')
    image = verbs.add_parser('image')
    image.add_argument('upto')
    digests = verbs.add_parser('digests')
    digests.add_argument('--flushes', action='store_true')
    for verb in (image, digests):
        verb.add_argument('-o', dest='out', required=True)
        verb.add_argument('--base')
        verb.add_argument('--size', type=int)
    args = parser.parse_args()
    with open(args.log, 'rb') as log:
        if args.verb == 'list':
            for index, offset, length, flags, data in entries(log):
                entry = {'entry': index, 'offset': offset, 'bytes': length, 'flags': flags}
                if flags & MARK:
                    entry['mark'] = data.decode('latin-1')
                print(json.dumps(entry))
            return
        if args.base:
            shutil.copyfile(args.base, args.out)
        with open(args.out, 'r+b' if args.base else 'w+b') as out:
            if args.size:
                out.truncate(args.size)
            last = None if args.verb == 'digests' or args.upto == 'last' else int(args.upto)
            for index, offset, length, flags, data in entries(log):
                if last is not None and index > last:
                    break
                apply(out, offset, length, flags, data)
                if args.verb == 'digests' and (flags & FLUSH or not args.flushes):
                    print(index, digest(out))


if __name__ == '__main__':
    main()
