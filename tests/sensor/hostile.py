"""Clients that ask for too much, for nothing, for odd bytes, or leave in the middle. The server must answer or hang
up, and go on serving the next; the disk must hold exactly what well-formed requests wrote.

    hostile.py SOCKET MODEL     MODEL: a copy of the disk, kept in step with the accepted requests
"""
import random
import struct
import sys

from nbd_client import FUA, READ, WRITE, ZEROES, Client

path, model_path = sys.argv[1:3]
model = bytearray(open(model_path, "rb").read())
rng = random.Random(20)


def put(offset, data):
    model[offset:offset + len(data)] = data


def refused(what):
    """A request the server may answer with an error or by hanging up, never with success."""
    c = Client(path)
    try:
        error = what(c)
        assert error != 0, "accepted"
    except (EOFError, ConnectionError, BrokenPipeError):
        pass
    c.sock.close()


c = Client(path)
size = c.size
assert size == len(model), (size, len(model))
assert c.flags & 0x100, "multi-conn is advertised"

# past the end, by one byte, by much, by wrapping around
refused(lambda c: c.write(size - 1, b"xx"))
refused(lambda c: c.call(READ, size - 4095, 4096))
refused(lambda c: c.call(READ, 2**64 - 512, 4096))
refused(lambda c: c.zero(size - 512, 1024))
refused(lambda c: c.trim(2**63, 512))
# larger than anything sensible: announced, never sent
refused(lambda c: c.call(WRITE, 0, 2**32 - 1))
refused(lambda c: c.call(READ, 0, 2**32 - 1))
# no such command, no such flag, wrong magic
refused(lambda c: c.call(77))
refused(lambda c: c.call(READ, 0, 512, flags=0x4000))


def garbage(c):
    c.sock.sendall(b"\0" * 28)
    return c.reply()[0]


refused(garbage)

# nothing at all is allowed or refused, but changes nothing
for command in (READ, WRITE, ZEROES):
    try:
        Client(path).call(command, 4096, 0)
    except (EOFError, ConnectionError):
        pass

# odd offsets and lengths, each as asked
for i in range(60):
    n = rng.choice([1, 3, 511, 513, 4095, 4097, 12345, 70001])
    offset = rng.randrange(size - n)
    kind = rng.randrange(4)
    if kind == 0:
        assert c.zero(offset, n) == 0
        put(offset, bytes(n))
    elif kind == 1:
        assert c.trim(offset, n) == 0
        put(offset, bytes(n))
    else:
        data = rng.randbytes(n)
        assert c.write(offset, data, FUA if i % 7 == 0 else 0) == 0
        put(offset, data)
    at = rng.randrange(size - 9000)
    assert c.read(at, 9000) == bytes(model[at:at + 9000])

# leaving in the middle of a request: header torn, data torn (nbd.sh: answers not taken)
for torn in (1, 13, 27):
    d = Client(path)
    d.sock.sendall(struct.pack(">IHHQQI", 0x25609513, 0, WRITE, 1, 0, 4096)[:torn])
    d.sock.close()
d = Client(path)
d.sock.sendall(struct.pack(">IHHQQI", 0x25609513, 0, WRITE, 1, 0, 65536) + b"torn" * 1000)
d.sock.close()

# many requests in flight on two connections, to the same blocks: the last word is one of theirs, whole
a, b = Client(path), Client(path)
for i in range(40):
    a.send(WRITE, 8192, 4096, bytes([1]) * 4096)
    b.send(WRITE, 8192, 4096, bytes([2]) * 4096)
for i in range(40):
    assert a.reply()[0] == 0 and b.reply()[0] == 0
now = c.read(8192, 4096)
assert now in (bytes([1]) * 4096, bytes([2]) * 4096)
put(8192, now)
# a flush on one connection covers the other; a read sees what another connection wrote
assert a.write(12288, b"seen by all" + bytes(501)) == 0
put(12288, b"seen by all" + bytes(501))
assert b.read(12288, 11) == b"seen by all"
assert b.flush() == 0
a.close()
b.close()

for at in range(0, size, 1 << 20):
    n = min(1 << 20, size - at)
    assert c.read(at, n) == bytes(model[at:at + n]), at
c.close()
open(model_path, "wb").write(model)
