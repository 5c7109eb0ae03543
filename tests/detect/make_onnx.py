#!/usr/bin/env python3
"""Write an ONNX network with random weights, which anybody can make again from the seed.

make_onnx.py small|resnet50 [--width N] [--size N] [--classes N] [--seed N] FILE

resnet50 is He et al. 2015 (doi:10.1109/CVPR.2016.90), with strides on the 3x3 convolutions as in its usual implementations and
batch normalisation folded into the convolutions, as exporters do; --width 64 is the real one. Weights are drawn uniformly with the
variance of He et al. 2015 (doi:10.1109/ICCV.2015.123), biases are zero. No third-party module: protobuf by hand, field numbers
from onnx.proto.
"""
import argparse
import array
import math
import random


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, value):
    return varint(field << 3) + varint(value)


def text(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def tensor(name, dims, raw):
    return b"".join([*(number(1, d) for d in dims), number(2, 1), text(8, name), text(9, raw)])


def attribute(name, value):
    if isinstance(value, list):
        return text(1, name) + b"".join(number(8, v) for v in value) + number(20, 7)
    return text(1, name) + number(3, value) + number(20, 2)


def value_info(name, dims):
    shape = b"".join(text(1, number(1, d)) for d in dims)
    return text(1, name) + text(2, text(1, number(1, 1) + text(2, shape)))


class Network:
    """Nodes in order; each method adds one and returns the name of its output."""

    def __init__(self, size, seed, channels=3):
        self.random = random.Random(seed)
        self.size, self.channels = size, channels
        self.nodes, self.weights, self.values, self.count = [], [], {}, 0

    def node(self, kind, inputs, name=None, **attributes):
        self.count += 1
        name = name or f"{kind.lower()}{self.count}"
        self.nodes.append(text(1, b"".join([*(text(1, i) for i in inputs), text(2, name + "_out"), text(3, name), text(4, kind),
                                             *(text(5, attribute(k, v)) for k, v in attributes.items())])))
        return name + "_out"

    def drawn(self, dims, fan_in):
        name, count = f"w{len(self.weights)}", math.prod(dims)
        bound = math.sqrt(6 / fan_in)
        table = array.array("f", (bound * (i / 32767.5 - 1) for i in range(65536)))
        draws = array.array("H")
        draws.frombytes(self.random.randbytes(2 * count))
        values = array.array("f", map(table.__getitem__, draws))
        self.values[name] = values
        self.weights.append(text(5, tensor(name, dims, values.tobytes())))
        return name

    def zeros(self, count):
        name = f"w{len(self.weights)}"
        self.weights.append(text(5, tensor(name, [count], bytes(4 * count))))
        return name

    def conv(self, x, inputs, outputs, side, stride=1, name=None):
        w = self.drawn([outputs, inputs, side, side], inputs * side * side)
        return self.node("Conv", [x, w, self.zeros(outputs)], name, kernel_shape=[side, side], strides=[stride, stride],
                         pads=[side // 2] * 4, group=1, dilations=[1, 1])

    def relu(self, x):
        return self.node("Relu", [x])

    def head(self, x, columns, classes):
        x = self.node("Flatten", [self.node("GlobalAveragePool", [x], "pool")], "flatten", axis=1)
        return self.node("Gemm", [x, self.drawn([classes, columns], columns), self.zeros(classes)], "classifier", transB=1)

    def save(self, path, output, dims):
        graph = b"".join(self.nodes + [text(2, "random")] + self.weights +
                         [text(11, value_info("input", [1, self.channels, self.size, self.size])), text(12, value_info(output, dims))])
        with open(path, "wb") as f:
            f.write(number(1, 7) + text(2, "make_onnx") + text(7, graph) + text(8, text(1, "") + number(2, 11)))


def small(args):
    n = Network(args.size, args.seed)
    w = args.width
    x = n.relu(n.conv("input", 3, w, 3, 2, "first"))
    x = n.node("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    y = n.conv(n.relu(n.conv(x, w, w, 3)), w, w, 3)
    n.save(args.file, n.head(n.relu(n.node("Add", [x, y], "sum")), w, args.classes), [1, args.classes])
    return n


def resnet50(args):
    n = Network(args.size, args.seed)
    width = args.width
    x = n.node("MaxPool", [n.relu(n.conv("input", 3, width, 7, 2))], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    inputs = width
    for stage, blocks in enumerate([3, 4, 6, 3]):
        inner, outputs = width << stage, 4 * (width << stage)
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            y = n.relu(n.conv(x, inputs, inner, 1))
            y = n.relu(n.conv(y, inner, inner, 3, stride))
            y = n.conv(y, inner, outputs, 1)
            if block == 0:
                x = n.conv(x, inputs, outputs, 1, stride)
            x = n.relu(n.node("Add", [y, x]))
            inputs = outputs
    n.save(args.file, n.head(x, inputs, args.classes), [1, args.classes])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["small", "resnet50"])
    parser.add_argument("file")
    parser.add_argument("--width", type=int, help="channels of the first layer (default: small 8, resnet50 64)")
    parser.add_argument("--size", type=int, default=224, help="side of the pictures it takes")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.width = args.width or (64 if args.kind == "resnet50" else 8)
    {"small": small, "resnet50": resnet50}[args.kind](args)


if __name__ == "__main__":
    main()
