"""A second implementation of docs/specification.md: reads a model file and runs it.

Written from the page alone. It needs numpy and safetensors, and nothing of this project.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

Ints = Any  # int64 arrays


def shift_round(value: Ints, shift: int) -> Ints:
    """Divide by 2**shift, halves up."""
    return value << -shift if shift <= 0 else (value + (1 << (shift - 1))) >> shift


def clip(value: Ints, width: int) -> Ints:
    return np.clip(value, -(1 << (width - 1)), (1 << (width - 1)) - 1)


def table(act: int, point: int) -> tuple[Ints, Ints, int]:
    """Base, rise and offset bits of the tanh table for activations and states of so many bits."""
    index = min(8, point + 3)
    segments = 1 << index
    base, rise = [], []
    for n in range(segments):
        a, b = 8 * n / segments, 8 * (n + 1) / segments
        low, high = np.tanh(a), np.tanh(b)
        slope = (high - low) / (b - a)
        touch = math.sqrt(max(0.0, 1 - slope))
        bulge = touch - (low + slope * (np.arctanh(min(touch, 1 - 1e-16)) - a))
        base.append(math.floor((low + max(0.0, bulge) / 2) * 2.0 ** (act + 1) + 0.5))
        rise.append(math.floor((high - low) * 2.0 ** (act + 1) + 0.5))
    base[0] = 0
    return np.array(base), np.array(rise), point + 4 - index


class Cell:
    """Sigmoid, tanh and the update: bits of activations, and of a state's fraction."""

    def __init__(self, act: int, point: int):
        self.act, self.point = act, point
        self.base, self.rise, self.offset = table(act, point)

    def magnitude(self, z: Ints) -> Ints:
        z = np.minimum(z, (1 << (self.point + 4)) - 1)
        segment, inside = z >> self.offset, z & ((1 << self.offset) - 1)
        return self.base[segment] + shift_round(self.rise[segment] * inside, self.offset)

    def tanh(self, x: Ints) -> Ints:
        size = shift_round(self.magnitude(2 * np.abs(x)), 2)
        return np.sign(x) * np.minimum(size, (1 << (self.act - 1)) - 1)

    def sigmoid(self, x: Ints) -> Ints:
        one, size = 1 << (self.act + 1), self.magnitude(np.abs(x))
        result = shift_round(np.where(x < 0, one - size, one + size), 3)
        return np.minimum(result, (1 << (self.act - 1)) - 1)

    def update(self, pre: list[Ints], c: Ints) -> tuple[Ints, Ints]:
        """Hidden and cell state from the pre-activations of i, f, g, o."""
        i, f, g, o = self.sigmoid(pre[0]), self.sigmoid(pre[1]), self.tanh(pre[2]), pre[3]
        lift = self.act - 1 - self.point
        c = clip(shift_round((f * c << lift) + i * g, self.act - 1 + lift), self.act + 2)
        h = clip(shift_round(self.sigmoid(o) * self.tanh(c), self.act - 1), self.act)
        return h, c


class Gru(Cell):
    """Of a GRU: the kept state in the place of c, which has two bits more than h."""

    def update(self, pre: list[Ints], c: Ints) -> tuple[Ints, Ints]:
        """Hidden and kept state from pre-activations r, z, n of the input, n of the state."""
        r, z, frac = self.sigmoid(pre[0]), self.sigmoid(pre[1]), self.act - 1
        n = self.tanh(clip(pre[2] + shift_round(r * pre[3], frac), self.act + 2))
        c = shift_round(z * c + ((1 << frac) - z) * (n << 2), frac)
        return clip(shift_round(c, 2), self.act), c


class ResetFirst(Gru):
    """Of a GRU whose reset comes first."""

    def reset(self, r: Ints, c: Ints) -> Ints:
        """What rows n of the recurrent matrix take, from the pre-activation of r."""
        return shift_round(self.sigmoid(r) * c, self.act + 1)

    def update(self, pre: list[Ints], c: Ints) -> tuple[Ints, Ints]:
        """Hidden and kept state from pre-activations r, z, n."""
        return super().update([pre[0], pre[1], pre[2], 0 * pre[2]], c)


KINDS = {"lstm": Cell, "gru": Gru, "gru0": ResetFirst}


def meet(ih: int, hh: int, state: int) -> tuple[int, int, int]:
    """Left shifts of both sums and right shift of what they add up to."""
    point = max(ih, hh, state)
    if point - min(ih, hh) > 7:
        raise ValueError("products too far apart")
    return point - ih, point - hh, point - state


def matrix(stream: Ints, node: dict[str, Any]) -> Ints:
    """Dense matrix of a CSB bit stream."""
    index_bits = (node["bank_width"] - 1).bit_length()
    number, size = int.from_bytes(stream.tobytes(), "little"), node["value_bits"]
    dense = np.zeros((node["rows"], node["columns"]), np.int64)
    kept = node.get("parts", [node["nonzeros"]])
    for row in range(node["rows"]):
        for _ in range(kept[row * len(kept) // node["rows"]]):
            for bank in range(node["banks"]):
                value = number & ((1 << size) - 1)
                index = number >> size & ((1 << index_bits) - 1)
                number >>= size + index_bits
                column = bank * node["bank_width"] + index
                if column < node["columns"]:
                    dense[row, column] = value - (value >> (size - 1) << size)
    return dense


class Layer:
    """One direction of one layer."""

    def __init__(self, node: dict[str, Any], name: str, tensors: dict[str, Ints], cell: str):
        self.gates = gates = 4 if cell == "lstm" else 3
        formats = node["formats"]
        self.ih = matrix(tensors[f"{name}.weight_ih"], node["weight_ih"])
        self.hh = matrix(tensors[f"{name}.weight_hh"], node["weight_hh"])
        self.bias = np.split(tensors[f"{name}.bias"], 3 if cell == "gru0" else 4)
        self.cell = KINDS[cell](formats["hidden"]["width"], formats["state"]["frac"])
        self.units = len(self.bias[0])
        self.hr: Ints = None
        output = formats["hidden"]
        if node["projection"] is not None:
            projection = node["projection"]
            self.hr = matrix(tensors[f"{name}.weight_hr"], projection["weight_hr"])
            output = projection["formats"]["output"]
            weight = projection["formats"]["weight_format"]
            self.hr_shift = weight["frac"] + formats["hidden"]["frac"] - output["frac"]
            self.width = output["width"]
        both = [formats["weight_ih_format"], formats["weight_hh_format"]]
        ih, hh = ([f["frac"] for f in (x if isinstance(x, list) else [x] * gates)] for x in both)
        state = formats["state"]["frac"]
        points = [
            (a + formats["input"]["frac"], b + output["frac"]) for a, b in zip(ih, hh, strict=True)
        ]
        self.apart = cell == "gru"
        if self.apart:  # the products of n do not meet
            points[2:] = [(points[2][0],) * 2, (points[2][1],) * 2]
        self.scales = [meet(a, b, state) for a, b in points]

    def step(self, x: Ints, r: Ints, c: Ints) -> tuple[Ints, Ints, Ints]:
        """Hidden state, cell state and output."""
        ih, hh = np.split(self.ih @ x, self.gates), np.split(self.hh @ r, self.gates)
        if self.apart:
            ih, hh = [*ih, 0 * ih[2]], [*hh[:2], 0 * hh[2], hh[2]]
        if isinstance(self.cell, ResetFirst):
            v = self.cell.reset(self.pre(0, ih, hh), c)
            hh[2] = np.split(self.hh @ v, self.gates)[2]
        pre = [self.pre(n, ih, hh) for n in range(len(self.scales))]
        h, c = self.cell.update(pre, c)
        if self.hr is None:
            return h, c, h
        return h, c, clip(shift_round(self.hr @ h, self.hr_shift), self.width)

    def pre(self, n: int, ih: list[Ints], hh: list[Ints]) -> Ints:
        """Pre-activation of a sum."""
        left, also, right = self.scales[n]
        total = (ih[n] << left) + (hh[n] << also)
        return clip(shift_round(total, right) + self.bias[n], self.cell.act + 2)

    def run(self, frames: Ints) -> tuple[Ints, Ints, Ints]:
        c = np.zeros(self.units, np.int64)
        r, states = np.zeros(self.hh.shape[1], np.int64), []
        for x in frames:
            h, c, r = self.step(x, r, c)
            states.append((h, c, r))
        hidden, cell, output = zip(*states, strict=True)
        return np.array(hidden), np.array(cell), np.array(output)


def fields(rows: Ints, bits: int, count: int) -> Ints:
    """Whole numbers of so many bits, the lowest bit first, in rows of bytes."""
    flat = np.unpackbits(rows, axis=1, bitorder="little")[:, : bits * count]
    return flat.reshape(len(rows), count, bits) @ (1 << np.arange(bits))


def head_of(node: Any, of: str, tensors: Any) -> tuple[Ints, Ints]:
    """Weight and bias of a linear layer of the head."""
    if "rows" in node:
        bits, shifts = node["rows"]["bits"], tensors[f"{of}.shifts"].astype(np.int64)
        value = fields(tensors[f"{of}.rows"], bits, node["inputs"])
        value -= (value >> bits - 1) << bits
        return value << shifts[:, None], tensors[f"{of}.bias"]
    if "screen" not in node:
        return tensors[f"{of}.weight"], tensors[f"{of}.bias"]
    inputs, rest_bits = node["inputs"], node["screen"]["bits"] - 5
    p, q = (fields(tensors[f"{of}.planes.{n}"], 2 + n, inputs) for n in (0, 1))
    rest = fields(tensors[f"{of}.planes.2"], rest_bits, inputs) if rest_bits else np.int64(0)
    second, order = (
        tensors[name].astype(np.int64) @ (256 ** np.arange(4))
        for name in (f"{of}.second", f"{of}.order")
    )
    w, z, f = (part[:, None] for part in ((second >> 16 & 15) + 1, second >> 20 & 15, second >> 24))
    below, large = p >= 2, (p == 1) | (p == 2)
    fine = (q + 8 * (large & (f == 0)) << w - 5 - f) + rest
    size = np.where(large & (f > 0), (q << w - 4) + rest, fine)
    weight = np.empty_like(size)
    weight[order] = np.where(below, -1 - size, size) << z
    return weight, tensors[f"{of}.bias"]


class Network:
    """A model file."""

    def __init__(self, path: Path):
        with safetensors.safe_open(path, "numpy") as file:
            text = file.metadata()["sparseflow"]
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(text)
        data, digest = path.read_bytes(), header["sha256"].encode()
        assert hashlib.sha256(data.replace(digest, b"0" * 64)).hexdigest().encode() == digest
        assert header["kind"] == "model"
        assert header["format_version"] in (1, 2, 3, 4, 5)
        cell = header.get("cell", "lstm")
        assert header["gate_order"] == ("ifgo" if cell == "lstm" else "rzn")
        self.directions = header["directions"]
        self.layers = [
            Layer(n, f"layers.{i}", tensors, cell) for i, n in enumerate(header["layers"])
        ]
        self.scale = None
        if "input_scale" in header:
            self.scale = (tensors["input.mean"], tensors["input.factor"])
        self.names = header.get("label_names", [])
        self.input = header["layers"][0]["formats"]["input"]
        node = header["head"]
        hidden = node.get("hidden", []) if node else []
        self.nodes = [*hidden, node] if node else []
        names = [*(f"head.hidden.{n}" for n in range(len(hidden))), "head"]
        self.head = [head_of(n, of, tensors) for n, of in zip(self.nodes, names, strict=False)]

    def frames(self, raw: Any) -> Ints:
        """Frames of raw features."""
        assert self.scale is not None
        scaled = ((np.float64(raw) - self.scale[0]) * self.scale[1]).astype(np.float32)
        v = np.float64(scaled) * 2.0 ** self.input["frac"] + 0.5
        return clip(np.floor(v).astype(np.int64), self.input["width"])

    def run(self, frames: Ints) -> tuple[Ints, Ints, Ints]:
        """Hidden state, cell state and output of the last layer, directions side by side."""
        for at in range(0, len(self.layers), self.directions):
            states = self.layers[at].run(frames)
            if self.directions == 2:
                back = self.layers[at + 1].run(frames[::-1])
                h, c, r = (np.hstack([a, b[::-1]]) for a, b in zip(states, back, strict=True))
                states = h, c, r
            frames = states[2]
        return states

    def logits(self, output: Ints) -> Ints:
        """Exact sums of the head."""
        for n, (weight, bias) in enumerate(self.head):
            if n:
                before, now = (self.nodes[k]["formats"] for k in (n - 1, n))
                frac = before["weight_format"]["frac"] + before["input"]["frac"]
                sums = np.maximum(output, 0)
                shifted = shift_round(sums, frac - now["input"]["frac"])
                output = clip(shifted, now["input"]["width"])
            output = output @ weight.T + bias
        return output
