#!/usr/bin/env python3
"""cnn_reference.py PICTURE.png SIZE WIDTH: what the pooling layer of `make_onnx.py small` makes of a picture, slowly."""
import os
import struct
import sys
import types
import zlib

import make_onnx

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def read_png(path):
    data, at, packed = open(path, "rb").read(), 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour) == (8, 2), (depth, colour)
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    raw, rows, before = zlib.decompress(packed), [], bytearray(3 * width)
    for y in range(height):
        how, line = raw[y * (3 * width + 1)], bytearray(raw[y * (3 * width + 1) + 1:(y + 1) * (3 * width + 1)])
        for i in range(3 * width):  # PNG specification, section 9
            left, up, corner = line[i - 3] if i >= 3 else 0, before[i], before[i - 3] if i >= 3 else 0
            guess = left + up - corner
            nearest = min((left, up, corner), key=lambda v: abs(guess - v))
            line[i] = line[i] + (0, left, up, (left + up) // 2, nearest)[how] & 255
        rows.append(line)
        before = line
    return [[[(rows[y][3 * x + c] / 255 - MEAN[c]) / DEVIATION[c] for x in range(width)] for y in range(height)] for c in range(3)]


def conv(planes, weights, outputs, stride):
    inputs, side = len(planes), len(planes[0])
    made = []
    for o in range(outputs):
        plane = []
        for y in range(0, side, stride):
            row = []
            for x in range(0, side, stride):
                total = 0.0
                for i in range(inputs):
                    for ky in range(3):
                        for kx in range(3):
                            if 0 <= y + ky - 1 < side and 0 <= x + kx - 1 < side:
                                total += planes[i][y + ky - 1][x + kx - 1] * weights[((o * inputs + i) * 3 + ky) * 3 + kx]
                row.append(total)
            plane.append(row)
        made.append(plane)
    return made


def relu(planes):
    return [[[max(0.0, v) for v in row] for row in plane] for plane in planes]


def max_pool(planes):
    side = len(planes[0])
    return [[[max(plane[yy][xx] for yy in range(max(0, y - 1), min(side, y + 2)) for xx in range(max(0, x - 1), min(side, x + 2)))
              for x in range(0, side, 2)] for y in range(0, side, 2)] for plane in planes]


def main():
    size, width = int(sys.argv[2]), int(sys.argv[3])
    network = make_onnx.small(types.SimpleNamespace(size=size, width=width, classes=10, seed=1, file=os.devnull))
    first, second, third = network.values["w0"], network.values["w2"], network.values["w4"]
    x = max_pool(relu(conv(read_png(sys.argv[1]), first, width, 2)))
    y = conv(relu(conv(x, second, width, 1)), third, width, 1)
    summed = relu([[[a + b for a, b in zip(p, q)] for p, q in zip(xp, yp)] for xp, yp in zip(x, y)])
    print(*(sum(map(sum, plane)) / (len(plane) * len(plane[0])) for plane in summed))


main()
