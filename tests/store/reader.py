#!/usr/bin/env python3
"""The second reader: reads a Chronovisor store knowing nothing but docs/format.md.

It shares no code, library or idea with the C reader, so that where the two agree the
format is what its documentation says. Only the Python standard library is needed
(zstd through libzstd by ctypes or the zstd program; Ed25519 through the `cryptography`
module where there is one, else the openssl program).

  reader.py STORE verify                       check everything; 0 sound, 1 not (one line a fault)
  reader.py STORE events [--space NAME]        one JSON object an event
  reader.py STORE image SPACE SEQ -o FILE      what the space held as of SEQ, or 'last', or @TIME in ns;
               [--source PATH] [--zero-unknown]
  reader.py STORE digests SPACE SEQ…           for each: SEQ and the SHA-256 of that image, or 'unknown'
               [--source PATH]
  reader.py STORE spaces                       one JSON object a space
  reader.py STORE blocks                       digest, pack, offset, stored length, codec of each content
  reader.py STORE checkpoint FILE              does the store fit this checkpoint?
"""
import argparse
import array
import ctypes
import hashlib
import json
import math
import os
import re
import struct
import subprocess
import sys
import tempfile

OPS = ['', 'SPACE', 'WRITE', 'READ', 'ZERO', 'TRIM', 'BASELINE', 'FOUND', 'FLUSH', 'GAP', 'COMMIT', 'MARK', 'PRUNE']
(SPACE, WRITE, READ, ZERO, TRIM, BASELINE, FOUND, FLUSH, GAP, COMMIT, MARK, PRUNE) = range(1, 13)
CONTENT = {WRITE, BASELINE, FOUND}
RANGES = {ZERO, TRIM, GAP}
REST_UNKNOWN, REST_ZERO, REST_SOURCE = 0, 1, 2
CONTINUED = 8
GAP_UNOBSERVED = 3
GAP_UNKEPT = 9
HEADER, EVENT, FOOTER, NO_DIGEST = 128, 64, 192, bytes(32)


class Damaged(Exception):
    """What was read does not follow format.md."""


class Unknown(Damaged):
    """Not damage: the recording does not say."""


class Event:
    __slots__ = ('seq', 'time_ns', 'lba', 'entropy', 'sectors', 'space', 'op', 'flags', 'hash')
    layout = struct.Struct('<QQIHHIHBB32s')

    def __init__(self, raw):
        (self.seq, self.time_ns, low, high, self.entropy, self.sectors, self.space, self.op, self.flags,
         self.hash) = self.layout.unpack(raw)
        self.lba = high << 32 | low

    def as_dict(self):
        return {'seq': self.seq, 'time_ns': self.time_ns, 'op': OPS[self.op], 'space': self.space, 'lba': self.lba,
                'sectors': self.sectors, 'flags': self.flags, 'entropy': self.entropy, 'hash': self.hash.hex()}


# --- zstd and Ed25519 from outside -------------------------------------------------------------

def _zstd_by_library():
    try:
        library = ctypes.CDLL('libzstd.so.1')
    except OSError:
        return None
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]

    def decompress(stored, raw_length):
        out = ctypes.create_string_buffer(raw_length)
        got = library.ZSTD_decompress(out, raw_length, stored, len(stored))
        if got != raw_length:
            raise Damaged('zstd data does not give %d bytes' % raw_length)
        return out.raw
    return decompress


def _zstd_by_program(stored, raw_length):
    run = subprocess.run(['zstd', '-dcq'], input=stored, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if run.returncode != 0 or len(run.stdout) != raw_length:
        raise Damaged('zstd data does not give %d bytes' % raw_length)
    return run.stdout


zstd_decompress = _zstd_by_library() or _zstd_by_program


def ed25519_fits(public_key, signature, message):
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        pass
    else:
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
            return True
        except InvalidSignature:
            return False
    with tempfile.TemporaryDirectory() as d:
        names = [os.path.join(d, n) for n in ('key', 'signature', 'message')]
        # RFC 8410: the fixed SubjectPublicKeyInfo prefix of an Ed25519 key
        for name, data in zip(names, (bytes.fromhex('302a300506032b6570032100') + public_key, signature, message)):
            with open(name, 'wb') as f:
                f.write(data)
        return subprocess.run(['openssl', 'pkeyutl', '-verify', '-pubin', '-keyform', 'DER', '-inkey', names[0], '-rawin',
                               '-sigfile', names[1], '-in', names[2]], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0


# --- segments ----------------------------------------------------------------------------------

class Segment:
    """One file of the log. `problems` collects what is wrong without giving up on the rest."""

    def __init__(self, store, path, number, last):
        self.path, self.number, self.problems = path, number, []
        with open(path, 'rb') as f:
            data = f.read()
        self.events, self.sealed, self.carry, self.digest, self.previous = [], False, False, None, None
        self.first_seq = self.begun_ns = None
        if len(data) < HEADER:
            if not last:
                self.fault('is shorter than a header')
            return  # the last one may have been cut off while it was begun: nothing in it was durable
        magic, version, length, uuid, own_number, self.first_seq, self.begun_ns, flags, zero, self.previous, rest = \
            struct.unpack_from('<8sII16sQQQII32s32s', data)
        if magic != b'CHVSEG\r\n':
            self.fault('does not begin with the segment magic')
            return
        if version != 1 or length != HEADER:
            raise Damaged('%s: format version %d, header length %d: not known here' % (path, version, length))
        if uuid != store.uuid:
            self.fault('belongs to another store')
        if own_number != number:
            self.fault('says it is number %d' % own_number)
        if flags & ~1 or zero or rest != bytes(32):
            self.fault('has reserved header fields set')
        self.carry = bool(flags & 1)
        footer = data[-FOOTER:] if len(data) >= HEADER + FOOTER and (len(data) - HEADER - FOOTER) % EVENT == 0 else b''
        if footer[:8] == b'CHVEND\r\n':
            self._read_sealed(store, data, footer)
        elif last:
            self._read_open(data)
        else:
            self.fault('is not sealed, and not the last')

    def fault(self, text):
        self.problems.append('%s: %s' % (self.path, text))

    def _read_sealed(self, store, data, footer):
        self.sealed = True
        count, last_seq, last_ns, digest, signature, key, rest = struct.unpack_from('<QQQ32s64s32s32s', footer, 8)
        self.events = [Event(data[o:o + EVENT]) for o in range(HEADER, len(data) - FOOTER, EVENT)]
        self.digest = digest
        if hashlib.sha256(data[:len(data) - FOOTER + 32]).digest() != digest:
            self.fault('the footer digest does not fit the bytes')
        if count != len(self.events):
            self.fault('the footer counts %d events, there are %d' % (count, len(self.events)))
        if self.events and (self.events[-1].seq, self.events[-1].time_ns) != (last_seq, last_ns):
            self.fault('the footer names another last event')
        if rest != bytes(32):
            self.fault('has reserved footer fields set')
        if key != bytes(32):
            if store.public_key and key != store.public_key:
                self.fault('is signed with another key than the store names')
            if not ed25519_fits(key, signature, digest):
                self.fault('the signature does not fit')
        elif signature != bytes(64):
            self.fault('has a signature and no key')
        elif store.public_key:
            self.fault('is not signed, and the store names a key')
        if not self.carry:
            self._check_commits(data)

    def _check_commits(self, data):
        running, done = hashlib.sha256(), 0
        for i, event in enumerate(self.events):
            if event.op == COMMIT:
                end = HEADER + i * EVENT + 32
                running.update(data[done:end])
                done = end
                if running.digest() != event.hash:
                    self.fault('COMMIT seq %d: the digest does not fit' % event.seq)

    def _read_open(self, data):
        """Keep the events up to the last COMMIT whose digest fits."""
        running, done, good, events, fits = hashlib.sha256(), 0, 0, [], False
        for o in range(HEADER, len(data) - EVENT + 1, EVENT):
            events.append(Event(data[o:o + EVENT]))
            if events[-1].op == COMMIT:
                running.update(data[done:o + 32])
                done, fits = o + 32, running.digest() == events[-1].hash
                if fits:
                    good = len(events)
        self.events = events[:good]
        self.durable_bytes = HEADER + good * EVENT


# --- the store ---------------------------------------------------------------------------------

class Store:
    def __init__(self, directory):
        self.directory = directory
        with open(os.path.join(directory, 'store.json')) as f:
            self.meta = json.load(f)
        if self.meta.get('format') != 1:
            raise Damaged('store.json: format %r is not known here' % self.meta.get('format'))
        self.uuid = bytes.fromhex(self.meta['uuid'])
        self.block_bytes = self.meta['block_bytes']
        if len(self.uuid) != 16 or self.block_bytes not in (4096, 512):
            raise Damaged('store.json: uuid or block_bytes out of range')
        self.public_key = bytes.fromhex(self.meta['public_key']) if self.meta.get('public_key') else None
        files = self._numbered('log', 'seg')
        self.segments = [Segment(self, path, number, number == files[-1][0]) for number, path in files]
        # what is before the last carry segment was left over by an interrupted prune
        begin = max((i for i, s in enumerate(self.segments) if s.carry), default=0)
        self.segments = self.segments[begin:]
        self.events = [e for s in self.segments for e in s.events]
        self.spaces = {}  # id -> [(seq, name, size in sectors, rest)]
        for e in self.events:
            if e.op == SPACE:
                name = e.hash.rstrip(b'\0').decode('utf-8', 'replace')
                self.spaces.setdefault(e.space, []).append((e.seq, name, e.lba, e.flags))
        self._packs = None
        self.pack_faults = []

    def _numbered(self, folder, ending):
        pattern, found = re.compile(r'([0-9]{8,})\.' + ending), []
        where = os.path.join(self.directory, folder)
        for name in os.listdir(where) if os.path.isdir(where) else []:
            m = pattern.fullmatch(name)
            if m:
                found.append((int(m.group(1)), os.path.join(where, name)))
        return sorted(found)

    @property
    def last_seq(self):
        return self.events[-1].seq if self.events else 0

    def pack_limits(self):
        """The pack and length that the last COMMIT vouches for."""
        for e in reversed(self.events):
            if e.op == COMMIT:
                return e.sectors, e.lba
        return 0, 0

    @property
    def packs(self):
        """digest -> (path, offset of the stored bytes, stored length, codec), of what is durable."""
        if self._packs is None:
            self._packs = {}
            last, limit = self.pack_limits()
            for number, path in self._numbered('packs', 'pack'):
                if number <= last:
                    self._scan_pack(number, path, limit if number == last else os.path.getsize(path))
        return self._packs

    def _scan_pack(self, number, path, limit):
        with open(path, 'rb') as f:
            magic, version, length, uuid, own_number, _, rest = struct.unpack('<8sII16sQQ16s', f.read(64).ljust(64, b'\0'))
            if (magic, version, length, uuid, own_number, rest) != (b'CHVPAK\r\n', 1, 64, self.uuid, number, bytes(16)):
                self.pack_faults.append('%s: the header is damaged or of another store' % path)
                return
            offset = 64
            while offset < limit:
                head = f.read(40)
                if len(head) < 40:
                    self.pack_faults.append('%s: ends inside the record at %d' % (path, offset))
                    return
                digest, stored, raw, codec, zero = struct.unpack('<32sIHBB', head)
                if raw != self.block_bytes or codec > 1 or zero or (codec == 0 and stored != raw) \
                        or offset + 40 + stored > limit:
                    self.pack_faults.append('%s: the record at %d is damaged' % (path, offset))
                    return
                self._packs.setdefault(digest, (path, offset + 40, stored, codec))
                offset += 40 + stored
                f.seek(offset)

    def content(self, digest):
        if digest not in self.packs:
            raise Damaged('no pack holds %s' % digest.hex())
        path, offset, stored, codec = self.packs[digest]
        with open(path, 'rb') as f:
            f.seek(offset)
            data = f.read(stored)
        if codec == 1:
            data = zstd_decompress(data, self.block_bytes)
        if hashlib.sha256(data).digest() != digest:
            raise Damaged('%s: the record at %d is not %s' % (path, offset - 40, digest.hex()))
        return data

    def open_source(self, space, path):
        """The recorded device: as given, or where sources.json says it was; None when it is not there."""
        if path is None:
            try:
                with open(os.path.join(self.directory, 'sources.json')) as f:
                    path = json.load(f).get(space)
            except OSError:
                pass
            return open(path, 'rb') if path and os.path.exists(path) else None
        return open(path, 'rb')

    def seq_at(self, text):
        if text == 'last':
            return self.last_seq
        if text[0] != '@':
            return int(text)
        return max((e.seq for e in self.events if e.time_ns <= int(text[1:])), default=0)

    def space_id(self, name):
        for number, versions in self.spaces.items():
            if versions[-1][1] == name:
                return number
        raise Damaged('no space %r; there are: %s' % (name, ' '.join(v[-1][1] for v in self.spaces.values())))

    def space_as_of(self, number, seq):
        """(size in sectors, rest) of a space: of its last SPACE event up to seq, or of its first."""
        versions = self.spaces[number]
        return ([v for v in versions if v[0] <= seq] or versions[:1])[-1][2:]

    # --- what a space held ----------------------------------------------------------------

    def covered(self, event):
        """First and end block of what an event covers."""
        per_block = self.block_bytes // 512
        return event.lba // per_block, -(-(event.lba + event.sectors) // per_block)

    def states(self, number, seq):
        """For each block as of seq: ('data', digest), 'zero', 'source' or 'unknown'."""
        pruned = max((e.lba for e in self.events if e.op == PRUNE), default=0)
        if seq < pruned:
            raise Unknown('history before seq %d was pruned' % pruned)
        sectors, rest = self.space_as_of(number, seq)
        blocks = -(-sectors * 512 // self.block_bytes)
        before, after = array.array('q', [-1]) * blocks, array.array('q', [-1]) * blocks
        versions = [e for e in self.events if e.space == number and (e.op in CONTENT or e.op in RANGES)]
        gap_after = any(e.op == GAP and e.hash[0] == GAP_UNOBSERVED and e.seq > seq for e in versions)

        def paint(into, index):
            first, end = self.covered(versions[index])
            end = min(end, blocks)
            if first < end:
                into[first:end] = array.array('q', [index]) * (end - first)
        for i, e in enumerate(versions):
            if e.seq <= seq:
                paint(before, i)
        for i in range(len(versions) - 1, -1, -1):  # backwards: the least later one stays
            if versions[i].seq > seq:
                paint(after, i)
        for block in range(blocks):
            if before[block] >= 0:
                e = versions[before[block]]
                yield ('data', e.hash) if e.op in CONTENT else 'unknown' if e.op == GAP else 'zero'
            elif after[block] >= 0 and versions[after[block]].op == BASELINE:
                yield ('data', versions[after[block]].hash)
            elif rest == REST_ZERO:
                yield 'zero'
            elif after[block] < 0 and rest == REST_SOURCE and not gap_after:
                yield 'source'
            else:
                yield 'unknown'

    def description(self, number, seq):
        """The JSON object whose first block the event `seq` wrote, up to a NUL; None when there is none."""
        text = b''
        for e in (e for e in self.events if e.seq > seq and e.op != COMMIT):
            if e.space != number or not e.flags & CONTINUED:
                break
            seq = e.seq
        for state in self.states(number, seq):
            text += self.content(state[1]) if state[0] == 'data' else b'\0'
            if b'\0' in text:
                break
        text = text.split(b'\0')[0]
        return json.loads(text) if text else None

    def image_seq(self, number, seq):
        """The seq as of which a space shows what it was at `seq`: a memory of one instant is recorded after that instant."""
        name = 'capture:' + self.spaces[number][-1][1]
        described = next((n for n, v in self.spaces.items() if v[-1][1] == name), None)
        firsts = [e.seq for e in self.events
                  if e.space == described and (e.op in CONTENT or e.op in RANGES) and self.covered(e)[0] == 0]
        begun, ended = max((s for s in firsts if s <= seq), default=None), min((s for s in firsts if s > seq), default=None)
        if begun is None or ended is None:
            return seq
        a, b = self.description(described, begun), self.description(described, ended)
        if not a or not b or a['mode'] == 'live' or a['complete'] or not b['complete'] or a['begin_ns'] != b['begin_ns']:
            return seq
        return ended

    def write_image(self, number, seq, out, source=None, zero_unknown=False):
        seq = self.image_seq(number, seq)
        size = self.space_as_of(number, seq)[0] * 512
        unit = self.block_bytes
        out.truncate(size)
        for block, state in enumerate(self.states(number, seq)):
            length = min(unit, size - block * unit)
            if state == 'zero' or (state == 'unknown' and zero_unknown):
                continue
            if state == 'unknown':
                raise Unknown('block %d is not known as of seq %d' % (block, seq))
            if state == 'source':
                if source is None:
                    raise Unknown('block %d is only on the recorded device: give --source' % block)
                source.seek(block * unit)
                data = source.read(unit).ljust(unit, b'\0')
            else:
                data = self.content(state[1])
            out.seek(block * unit)
            out.write(data[:length])

    # --- verify ---------------------------------------------------------------------------

    def faults(self):
        for segment in self.segments:
            yield from segment.problems
        yield from self._chain_faults()
        yield from self._event_faults()
        yield from self._content_faults()
        yield from self._custody_faults()

    def _chain_faults(self):
        before = None
        for s in self.segments:
            if s.previous is None:
                continue
            if before is None:
                if not s.carry and (s.number != 1 or s.previous != NO_DIGEST or s.first_seq != 1):
                    yield '%s: is not the beginning of a log' % s.path
            else:
                if s.carry:
                    yield '%s: a carry segment that is not the first' % s.path
                if s.number != before.number + 1:
                    yield '%s: segment %d is missing before it' % (s.path, before.number + 1)
                elif s.previous != (before.previous if before.carry else before.digest):
                    yield '%s: does not follow from the segment before it' % s.path
            if s.events and s.events[0].seq != s.first_seq:
                yield '%s: its first event is seq %d, the header says %d' % (s.path, s.events[0].seq, s.first_seq)
            before = s

    def _event_faults(self):
        last_seq, last_ns, carried = 0, 0, False
        for s in self.segments:
            for e in s.events:
                at = '%s: seq %d: ' % (s.path, e.seq)
                if e.seq <= last_seq or (e.seq != last_seq + 1 and not s.carry and not carried):
                    yield at + 'comes after seq %d' % last_seq
                if e.time_ns < last_ns:
                    yield at + 'time goes backwards'
                last_seq, last_ns, carried = e.seq, e.time_ns, s.carry
                text = self._event_fault(e)
                if text:
                    yield at + text

    def _event_fault(self, e):
        per_block = self.block_bytes // 512
        if not 1 <= e.op <= PRUNE:
            return 'no such operation: %d' % e.op
        if e.op == SPACE:
            return None if 0 < e.space and e.flags <= REST_SOURCE and e.hash.rstrip(b'\0') else 'a bad SPACE event'
        if e.flags & ~(127 if e.op == READ else 63):
            return 'no such flag: %d' % e.flags
        if e.op in (COMMIT, MARK, PRUNE):
            return 'belongs to no space, and names one' if e.space else None
        if e.op != FLUSH and not any(v[0] < e.seq for v in self.spaces.get(e.space, [])):
            return 'space %d is not defined before it' % e.space
        first, end = self.covered(e)
        if e.op in CONTENT and (e.sectors == 0 or end - first != 1):
            return 'does not lie within one block'
        if e.op in (BASELINE, FOUND) or e.op in RANGES:
            size = self.space_as_of(e.space, e.seq)[0]
            if e.lba % per_block or ((e.lba + e.sectors) % per_block and e.lba + e.sectors != size):
                return 'does not cover whole blocks'
        if e.op in (READ, ZERO, TRIM, FLUSH) and e.hash != NO_DIGEST:
            return 'has a hash'
        if e.op == GAP and (not 1 <= e.hash[0] <= GAP_UNKEPT or e.hash[1] or e.hash[4:8] != bytes(4) or e.hash[24:] != bytes(8)
                            or int.from_bytes(e.hash[2:4], 'little') != e.entropy or (e.entropy and e.hash[0] != GAP_UNKEPT)):
            return 'a bad GAP event'
        if e.op == FLUSH and (e.lba or e.sectors):
            return 'a FLUSH with an address'
        return None

    def _content_faults(self):
        entropies = {}
        for e in self.events:
            if e.op in CONTENT:
                entropies.setdefault(e.hash, (e.seq, e.entropy))
        packs = self.packs
        yield from self.pack_faults
        for digest, (seq, entropy) in entropies.items():
            if digest not in packs:
                yield 'seq %d: no pack holds its content %s' % (seq, digest.hex())
                continue
            try:
                data = self.content(digest)
            except Damaged as e:
                yield str(e)
                continue
            expected = entropy_of(data)
            if abs(expected - entropy) > 1:
                yield 'seq %d: entropy %d, should be %d' % (seq, entropy, expected)
        for digest in packs:
            if digest not in entropies:
                try:
                    self.content(digest)
                except Damaged as e:
                    yield str(e)

    def custody(self):
        """[(digest of the line, entry)], up to the last whole line."""
        path = os.path.join(self.directory, 'custody.jsonl')
        if not os.path.exists(path):
            return []
        with open(path, 'rb') as f:
            lines = f.read().split(b'\n')[:-1]
        return [(hashlib.sha256(line).digest(), line) for line in lines]

    def _custody_faults(self):
        head, heads = NO_DIGEST, {NO_DIGEST}
        for number, (digest, line) in enumerate(self.custody(), 1):
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {}
            missing = [k for k in ('time', 'user', 'host', 'pid', 'action', 'detail', 'reason', 'prev') if k not in entry]
            if missing:
                yield 'custody.jsonl: line %d has no %s' % (number, ', '.join(missing))
            elif entry['prev'] != head.hex():
                yield 'custody.jsonl: line %d does not follow from the line before it' % number
            head = digest
            heads.add(head)
        for e in self.events:
            if e.op == MARK and e.hash not in heads:
                yield 'custody.jsonl: the line that MARK seq %d names is not there' % e.seq

    def checkpoint_fault(self, text):
        lines = text.splitlines()
        fields = dict(line.split(': ', 1) for line in lines)
        if fields.get('chronovisor-checkpoint') != '1':
            return 'not a checkpoint of version 1'
        if fields['store'] != self.uuid.hex():
            return 'of another store'
        if 'signature' in fields:
            message = ''.join(line + '\n' for line in lines[:5]).encode()
            if not ed25519_fits(bytes.fromhex(fields['public-key']), bytes.fromhex(fields['signature']), message):
                return 'its signature does not fit'
        for e in self.events:
            if e.seq == int(fields['seq']):
                return None if e.op == COMMIT and e.hash.hex() == fields['digest'] else 'another event has that seq'
        return 'the log ends before seq %s: it was cut' % fields['seq']


def entropy_of(data):
    counts = [0] * 256
    for byte in data:
        counts[byte] += 1
    total = len(data)
    bits = -sum(c / total * math.log2(c / total) for c in counts if c)
    return int(bits / 8 * 65535 + 0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('store')
    verbs = parser.add_subparsers(dest='verb', required=True)
    verbs.add_parser('verify')
    events = verbs.add_parser('events')
    events.add_argument('--space')
    image = verbs.add_parser('image')
    image.add_argument('space')
    image.add_argument('seq')
    image.add_argument('-o', dest='out', required=True)
    image.add_argument('--source')
    image.add_argument('--zero-unknown', action='store_true')
    digests = verbs.add_parser('digests')
    digests.add_argument('space')
    digests.add_argument('seq', nargs='+')
    digests.add_argument('--source')
    verbs.add_parser('spaces')
    verbs.add_parser('blocks')
    verbs.add_parser('checkpoint').add_argument('file')
    args = parser.parse_args()
    store = Store(args.store)
    if args.verb == 'verify':
        faults = list(store.faults())
        for fault in faults:
            print(fault)
        if not faults:
            print('sound: %d segments, %d events, last seq %d, %d contents' %
                  (len(store.segments), len(store.events), store.last_seq, len(store.packs)))
        return 1 if faults else 0
    if args.verb == 'events':
        only = store.space_id(args.space) if args.space else None
        for e in store.events:
            if only is None or e.space == only:
                print(json.dumps(e.as_dict()))
    elif args.verb == 'image':
        source = store.open_source(args.space, args.source)
        with open(args.out, 'wb') as out:
            store.write_image(store.space_id(args.space), store.seq_at(args.seq), out, source, args.zero_unknown)
    elif args.verb == 'digests':
        source = store.open_source(args.space, args.source)
        for seq in args.seq:
            with tempfile.TemporaryFile() as out:
                try:
                    store.write_image(store.space_id(args.space), store.seq_at(seq), out, source)
                    out.seek(0)
                    print(seq, hashlib.sha256(out.read()).hexdigest())
                except Unknown:
                    print(seq, 'unknown')
    elif args.verb == 'spaces':
        for number, versions in store.spaces.items():
            print(json.dumps({'id': number, 'name': versions[-1][1], 'bytes': versions[-1][2] * 512, 'rest': versions[-1][3]}))
    elif args.verb == 'blocks':
        for digest, (path, offset, stored, codec) in sorted(store.packs.items()):
            print(digest.hex(), os.path.basename(path), offset - 40, stored, codec)
    elif args.verb == 'checkpoint':
        with open(args.file) as f:
            fault = store.checkpoint_fault(f.read())
        print(fault or 'fits')
        return 1 if fault else 0
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except (Damaged, OSError, ValueError, KeyError, struct.error) as error:
        print('reader.py: %s' % error, file=sys.stderr)
        sys.exit(2)
