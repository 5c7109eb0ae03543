"""nbd_read.py SOCKET IMAGE COUNT: random reads of any length and place from an NBD server, several at a time, against a file.

The few messages of the protocol that it takes, from its specification: fixed newstyle, EXPORT_NAME, simple replies.
"""
import os
import random
import socket
import struct
import sys

path, image, count = sys.argv[1], open(sys.argv[2], "rb").read(), int(sys.argv[3])
s = socket.socket(socket.AF_UNIX)
s.connect(path)


def take(n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        assert piece, "the server hung up"
        data += piece
    return data


magic, option_magic, _ = struct.unpack(">8s8sH", take(18))
assert (magic, option_magic) == (b"NBDMAGIC", b"IHAVEOPT")
s.sendall(struct.pack(">I8sII", 3, b"IHAVEOPT", 1, 0))  # no zeroes; the default export
size, flags = struct.unpack(">QH", take(10))
assert size == len(image), (size, len(image))
assert flags & 2, "not read-only"
seed = int(os.environ.get("CHV_SEED", random.randrange(1 << 32)))
random.seed(seed)
print("seed", seed)


def ask(cookie, offset, length):
    s.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, cookie, offset, length))


waiting = {}
for cookie in range(count):
    offset = random.randrange(size)
    length = random.randrange(1, min(random.choice((600, 5000, 70000, 400000)), size - offset) + 1)
    ask(cookie, offset, length)
    waiting[cookie] = (offset, length)
    while len(waiting) >= (8 if cookie + 1 < count else 1):
        reply, error, done = struct.unpack(">IIQ", take(16))
        assert reply == 0x67446698 and error == 0, (reply, error)
        offset, length = waiting.pop(done)
        assert take(length) == image[offset:offset + length], f"{length} bytes at {offset} differ"
ask(1, size - 1, 2)
assert struct.unpack(">IIQ", take(16))[1] == 22, "a read past the end"
ask(2, 0, 1)
assert struct.unpack(">IIQ", take(16))[1] == 0 and take(1) == image[:1], "a good read after a bad one"
s.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 2, 0, 0, 0))
