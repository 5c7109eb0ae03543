"""A small NBD client, so that tests can say things no good client says. Fixed newstyle, simple replies."""
import os
import socket
import struct

READ, WRITE, DISC, FLUSH, TRIM, ZEROES = 0, 1, 2, 3, 4, 6
FUA, NO_HOLE = 1, 2


class Client:
    def __init__(self, path, export=b""):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(path)
        assert self.take(16) == b"NBDMAGICIHAVEOPT"
        self.take(2)
        self.sock.sendall(struct.pack(">I", 3))  # fixed newstyle, no zeroes
        self.sock.sendall(b"IHAVEOPT" + struct.pack(">II", 1, len(export)) + export)
        self.size, self.flags = struct.unpack(">QH", self.take(10))
        self.cookie = 0

    def take(self, n):
        data = b""
        while len(data) < n:
            part = self.sock.recv(n - len(data))
            if not part:
                raise EOFError("the server hung up")
            data += part
        return data

    def send(self, command, offset=0, length=0, data=b"", flags=0):
        self.cookie += 1
        self.sock.sendall(struct.pack(">IHHQQI", 0x25609513, flags, command, self.cookie, offset, length) + data)
        return self.cookie

    def reply(self):
        magic, error, cookie = struct.unpack(">IIQ", self.take(16))
        assert magic == 0x67446698, hex(magic)
        return error, cookie

    def call(self, command, offset=0, length=0, data=b"", flags=0):
        """The server's error number, 0 when all is well."""
        cookie = self.send(command, offset, length, data, flags)
        error, got = self.reply()
        assert got == cookie
        return error

    def write(self, offset, data, flags=0):
        return self.call(WRITE, offset, len(data), data, flags)

    def read(self, offset, length):
        error = self.call(READ, offset, length)
        if error:
            raise OSError(error, os.strerror(error))
        return self.take(length)

    def flush(self):
        return self.call(FLUSH)

    def trim(self, offset, length, flags=0):
        return self.call(TRIM, offset, length, flags=flags)

    def zero(self, offset, length, flags=0):
        return self.call(ZEROES, offset, length, flags=flags)

    def close(self):
        self.send(DISC)
        self.sock.close()
