"""attack.py SOCKET[,EXPORT] PHASE…: calm SECONDS | scramble SECONDS FIRST COUNT | write OFFSET FILE | flush

calm: text one block after the other in the last quarter of the disk. scramble: read a block of [FIRST, FIRST + COUNT)
and write noise over it, 150 a second; ends early when a write is not answered for 3 s, and says so."""
import os
import random
import socket
import sys
import time

from nbd_client import Client

path, _, export = sys.argv[1].partition(",")
client = Client(path, export.encode())
words = sys.argv[2:]
dice = random.Random(3)
calm_at = client.size // 4 * 3 // 4096


def paced(seconds, rate):
    begin = time.monotonic()
    for i in range(int(seconds * rate)):
        yield i
        time.sleep(max(0.0, begin + i / rate - time.monotonic()))


while words:
    phase = words.pop(0)
    if phase == "flush":
        assert client.flush() == 0
    elif phase == "calm":
        for i in paced(float(words.pop(0)), 100):
            text = "".join(f"line {calm_at + i} {j}, as always\n" for j in range(300))[:4096]
            assert client.write((calm_at + i) * 4096, text.encode()) == 0
            if i % 5 == 0:
                client.read((calm_at + i) * 4096, 4096)
        calm_at += i + 1
    elif phase == "write":
        offset, path = int(words.pop(0)), words.pop(0)
        data = open(path, "rb").read()
        assert client.write(offset, data) == 0
    elif phase == "scramble":
        seconds, first, count = float(words.pop(0)), int(words.pop(0)), int(words.pop(0))
        client.sock.settimeout(3)
        for i in paced(seconds, 150):
            block = first + dice.randrange(count)
            client.read(block * 4096, 4096)
            try:
                assert client.write(block * 4096, os.urandom(4096)) == 0
            except socket.timeout:
                print("stopped after", i, "blocks", flush=True)
                sys.exit(0)
        client.sock.settimeout(30)
client.close()
