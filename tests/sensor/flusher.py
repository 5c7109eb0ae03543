"""Write random blocks with flushes and FUA until the server dies or stops; keep outside what must have survived.

    flusher.py SOCKET SEED STATE     STATE: one line a block, "block seed-of-content flushed|acknowledged"
"""
import random
import sys

from nbd_client import FUA, Client

path, seed, state_path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
state = {}
try:
    for line in open(state_path):
        block, content, _ = line.split()
        state[int(block)] = int(content)
except FileNotFoundError:
    pass


def content(block, n):
    return random.Random(block << 32 | n).randbytes(4096)


client = Client(path)
blocks = client.size // 4096
if len(sys.argv) > 4:  # check: every acknowledged write is there (kill -9 spares what the host's memory holds)
    maybe = dict(tuple(map(int, line.split())) for line in open(state_path + ".open"))
    for block, n in state.items():
        got = client.read(block * 4096, 4096)
        if got != content(block, n):
            if block not in maybe or got != content(block, maybe[block]):
                sys.exit(f"block {block}: not what was acknowledged")
            state[block] = maybe[block]
    client.close()
    with open(state_path, "w") as f:
        f.writelines(f"{b} {n} known\n" for b, n in state.items())
    print(len(state), "blocks checked")
    sys.exit()

print("begun", flush=True)
started, acknowledged, error = {}, 0, 0
try:
    while True:
        block, n = rng.randrange(blocks), rng.getrandbits(31)
        started = {block: n}
        error = client.write(block * 4096, content(block, n), FUA if rng.randrange(50) == 0 else 0)
        if error:
            break
        state[block] = n
        started = {}
        acknowledged += 1
        if rng.randrange(40) == 0:
            error = client.flush()
            if error:
                break
except (EOFError, ConnectionError):
    pass
with open(state_path, "w") as f:
    f.writelines(f"{b} {n} acknowledged\n" for b, n in state.items())
with open(state_path + ".open", "w") as f:
    f.writelines(f"{b} {n}\n" for b, n in started.items())
print(acknowledged, "writes acknowledged", f"error {error}" if acknowledged and error else "")
