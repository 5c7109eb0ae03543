#!/usr/bin/env python3
"""A bad network: proxy.py TARGET_PORT_FILE PORT_FILE LOSS DOUBLED REORDERED FORGED SEED (in 1000).

Datagrams from the sensor go to 127.0.0.1:(what TARGET_PORT_FILE says, read again all the time), answers back to it. Forged: a datagram in
so many is preceded by a copy with a bit flipped, and one sent again later, whole, flipped or cut. Ends with the test."""
import random
import select
import socket
import sys
import time

target_file, port_file = sys.argv[1:3]
loss, doubled, reordered, forged = (int(x) / 1000 for x in sys.argv[3:7])
rng = random.Random(int(sys.argv[7]))
near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
near.bind(("127.0.0.1", 0))
far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
far.bind(("127.0.0.1", 0))
with open(port_file + ".tmp", "w", encoding="ascii") as out:
    out.write(str(near.getsockname()[1]))
import os
os.rename(port_file + ".tmp", port_file)
late, sensor, old, evil = [], None, [], 0


def target():
    try:
        with open(target_file, encoding="ascii") as text:
            return ("127.0.0.1", int(text.read()))
    except (OSError, ValueError):
        return None


def carry(data, up):
    to = where if up else sensor
    if to is None:
        return
    try:
        (far if up else near).sendto(data, to)
    except OSError:
        pass  # the collector is dead at the moment


where, looked = target(), time.monotonic()
while True:
    wait = max(0, late[0][0] - time.monotonic()) if late else 0.2
    ready, _, _ = select.select([near, far], [], [], wait)
    now = time.monotonic()
    if now - looked > 0.05:
        where, looked = target(), now
    for sock in ready:
        for _ in range(32):
            try:
                data, source = sock.recvfrom(65536, socket.MSG_DONTWAIT)
            except OSError:
                break
            up = sock is near
            if up:
                sensor = source
            if up and rng.random() < forged:  # somebody else's guess at it arrives first
                guess = bytearray(data)
                guess[rng.randrange(len(guess))] ^= 1 << rng.randrange(8)
                carry(bytes(guess), True)
            for _ in range(2 if rng.random() < doubled else 1):
                if rng.random() < loss:
                    continue
                if rng.random() < reordered:
                    late.append((now + rng.random() * 0.01, data, up))
                else:
                    carry(data, up)
            if up and rng.random() < forged:
                old.append(data)
                data = bytearray(rng.choice(old))
                if rng.random() < 0.5:
                    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
                elif rng.random() < 0.2:
                    data = data[:rng.randrange(len(data))]
                carry(bytes(data), True)
                del old[:-50]
    late.sort(key=lambda item: item[0])
    while late and late[0][0] <= time.monotonic():
        _, data, up = late.pop(0)
        carry(data, up)
