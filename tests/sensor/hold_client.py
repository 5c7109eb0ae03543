"""hold_client.py SOCKET STORE: while the store is held writes wait, reads and flushes are served."""
import os
import select
import sys
import time

from nbd_client import Client, TRIM, WRITE, ZEROES

path, store = sys.argv[1:]
held = os.path.join(store, "held.json")
one, two = Client(path), Client(path)
assert one.write(0, b"a" * 8192) == 0


def quiet(client, seconds):
    return not select.select([client.sock], [], [], seconds)[0]


def hold():
    with open(held + ".new", "w") as f:
        f.write('{"space": "disk:vda", "time": "2026-01-01T00:00:00Z"}')
    os.rename(held + ".new", held)
    time.sleep(0.3)


hold()
# three kinds of change on one connection, none is answered; the same connection and another one read
for command, offset, length, data in ((WRITE, 0, 4096, b"b" * 4096), (TRIM, 4096, 4096, b""), (ZEROES, 8192, 4096, b"")):
    one.send(command, offset, length, data)
assert quiet(one, 0.5), "a change was answered while held"
assert two.read(0, 8192) == b"a" * 8192
assert two.flush() == 0
assert quiet(one, 0.2)
print("waiting", flush=True)
one.sock.settimeout(30)
done = sorted(one.reply() for _ in range(3))
assert [error for error, _ in done] == [0, 0, 0], done
assert two.read(0, 8192) == b"b" * 4096 + b"\0" * 4096

# as many writes as QEMU has under way, and a read on the same connection
hold()
for i in range(16):
    one.send(WRITE, i * 4096, 4096, b"c" * 4096)
assert quiet(one, 0.3)
assert two.read(0, 4096) == b"b" * 4096
print("waiting again", flush=True)
assert all(one.reply()[0] == 0 for _ in range(16))
assert two.read(0, 4096) == b"c" * 4096
assert one.flush() == 0
one.close()
two.close()
