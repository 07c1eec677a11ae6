"""The worked examples of the specification, made from the code.

``python -m docs.worked_examples --write`` puts them into the pages; a test compares.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import safetensors

from boards.link.protocol import Code, Command, Reply, Request, enframe
from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.wire import frame_packing, state_packing
from compiler.array.needs import design_for
from compiler.array.program import instruction_fields
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import Csb, Fixed, Geometry, InputScale, Model, load_model, save_model
from csb_format.cells.lstm import CellArithmetic
from csb_format.files.sealed import geometry_header
from csb_format.random_models import random_frames, random_model
from csb_format.scales import Scales, _meet

__all__ = ["PAGES", "examples", "main", "with_examples"]

HERE = Path(__file__).parent
PAGES = ("specification.md", "spec_wire.md")
_PLACE = re.compile(r"<!-- example (\w+) -->\n.*?<!-- end -->", re.DOTALL)


def model() -> Model:
    """The smallest model with banks, scales of its own for each gate, and a head."""
    return random_model(np.random.default_rng(5), 4, 2, 2, 1, 1, 4, 8, head=2)


def image() -> Image:
    """The same, compiled for an array of 4 x 2."""
    return compile_model(model(), design_for(model(), 4, 2))


def examples() -> dict[str, str]:
    """Text of every example by its name."""
    return {
        "table": _table(),
        "functions": _functions(),
        "cell": _cell(),
        "scales": _scales(),
        "scale": _scale(),
        "csb": _csb(),
        "file": _file(),
        "run": _run(),
        "design": _design(),
        "load": _load(),
        "instruction": _instruction(),
        "frame": _frame(),
        "link": _link(),
    }


def with_examples(page: str) -> str:
    """A page with its examples as they are now."""
    made = examples()
    return _PLACE.sub(
        lambda place: f"<!-- example {place[1]} -->\n```text\n{made[place[1]]}\n```\n<!-- end -->",
        page,
    )


def _scale() -> str:
    """Raw features to a frame of 8 bits, 6 of them fraction."""
    scale, fixed = InputScale(np.array([21.5, -0.1]), np.array([0.3, 1 / 3])), Fixed(8, 6)
    raw = [[20.0, 0.0], [23.75, 0.7], [99.0, -0.1]]
    scaled = scale.apply(raw)
    rows = [
        f"mean        {scale.mean[n].hex()}    factor {scale.factor[n].hex()}" for n in range(2)
    ]
    for u, v, x in zip(raw, scaled, fixed.quantise(scaled), strict=True):
        rows.append(f"raw {u}  binary32 {[float(one).hex() for one in v]}  x {x.tolist()}")
    return "\n".join(rows)


def _row(name: str, values: Iterable[object]) -> str:
    return f"{name:<12}" + " ".join(str(value) for value in values)


def _hex(words: Iterable[int]) -> list[str]:
    return [f"{word:08x}" for word in words]


def _table() -> str:
    lines = ["bits  entries  base[0..4]           rise[0..4]       base, rise of the last  SHA-256"]
    for bits in range(6, 19):
        base, rise = CellArithmetic(bits).piecewise.table
        digest = hashlib.sha256(np.stack([base, rise]).astype("<i8").tobytes()).hexdigest()
        first = [" ".join(map(str, part[:5])) for part in (base, rise)]
        last = f"{base[-1]}, {rise[-1]}"
        lines.append(
            f"{bits:<5} {len(base):<8} {first[0]:<20} {first[1]:<16} {last:<23} {digest[:16]}"
        )
    return "\n".join(lines)


def _functions() -> str:
    cell = CellArithmetic(8)
    x = np.array([cell.state.min, -100, -33, -1, 0, 1, 33, 100, cell.state.max])
    functions = cell.piecewise
    rows = (("x", x), ("tanh(x)", functions.tanh(x)), ("sigmoid(x)", functions.sigmoid(x)))
    return "\n".join(_row(name, (f"{int(v):>5}" for v in values)) for name, values in rows)


def _cell() -> str:
    cell = CellArithmetic(8)
    sums = [np.array([v], np.int64) for v in (700, -123, 5000, 40000)]
    biases = [np.array([v], np.int64) for v in (3, 20, -7, 400)]
    pre = [cell.preactivation(a, b, 4) for a, b in zip(sums, biases, strict=True)]
    gates = cell.gates((pre[0], pre[1], pre[2], pre[3]))
    c = cell.cell(gates, np.array([37], np.int64))
    h = cell.hidden(gates[3], c)
    return "\n".join(
        [
            _row("sums", (int(v[0]) for v in sums)) + "    shift 4",
            _row("biases", (int(v[0]) for v in biases)),
            _row("pre", (int(v[0]) for v in pre)),
            _row("i f g o", (int(v[0]) for v in gates)),
            _row("c before", [37]),
            _row("c", [int(c[0])]),
            _row("h", [int(h[0])]),
        ]
    )


def _scales() -> str:
    cases = [(20, 17, 13), (14, 19, 13), (10, 11, 13), (13, 6, 13)]
    lines = ["ih  hh  state  align_ih  align_hh  shift"]
    for ih, hh, state in cases:
        a, b, shift = _meet(ih, hh, state)
        lines.append(f"{ih:<3} {hh:<3} {state:<6} {a:<9} {b:<9} {shift}")
    return "\n".join(lines)


def _csb() -> str:
    dense = np.array([[0, 3, 0, 0, -2], [7, 0, 0, -8, 0]])
    geometry = Geometry(2, 5, 2, 1, 4)
    mask = dense != 0
    packed = Csb.pack(dense, geometry, mask)
    return "\n".join(
        [
            _row("matrix", dense.tolist()),
            _row("geometry", [json.dumps(geometry_header(geometry))]),
            _row("values", packed.values.ravel().tolist()),
            _row("indices", packed.indices.ravel().tolist()),
            _row("bytes", [packed.pack_bits().hex(" ")]),
        ]
    )


def _file() -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        save_model(path, model())
        data = path.read_bytes()
        with safetensors.safe_open(path, "numpy") as file:
            header = json.loads(file.metadata()["sparseflow"]) | {"sha256": "64 digits"}
            tensors = {name: file.get_tensor(name) for name in sorted(file.keys())}
        assert load_model(path).equals(model())
    lines = [_row("bytes", [len(data)]), _row("first 8", [data[:8].hex(" ")])]
    lines += [
        f"  {key}: {json.dumps(value, sort_keys=True)}"
        for key, value in header.items()
        if key != "layers"
    ]
    (layer,) = header["layers"]
    lines += [f"  layers[0].{key}: {json.dumps(layer[key], sort_keys=True)}" for key in layer]
    for name, tensor in tensors.items():
        shown = tensor.tobytes().hex(" ") if tensor.dtype == np.uint8 else tensor.tolist()
        lines.append(f"{name}: {tensor.dtype} {list(tensor.shape)} {shown}")
    return "\n".join(lines)


def _run() -> str:
    from engine.reference import IntegerModel

    (frames,) = random_frames(np.random.default_rng(1), model(), [3])
    (trace,) = IntegerModel(model()).run([frames])
    head = model().head
    assert head is not None
    scales = Scales.of(model().layers[0])
    rows = [("align_ih", [scales.align_ih]), ("align_hh", [scales.align_hh])]
    rows += [("shift", [scales.shift]), ("frames", frames.tolist())]
    rows += [("h", trace.hidden.tolist()), ("c", trace.cell.tolist())]
    rows += [("logits", head.logits(trace.output).tolist())]
    return "\n".join(_row(name, values) for name, values in rows)


def _design() -> str:
    given = vars(image().design)
    return "\n".join(f"{name} = {value}" for name, value in given.items())


def _load() -> str:
    made = image()
    lines, words = [], made.load_words()
    at = 0
    for name, contents in made.memories.items():
        size = 2 + len(contents) * -(-made.width(name) // 32)
        shown = _hex(words[at : at + min(size, 14)])
        more = f" ... ({size} words)" if size > 14 else ""
        lines.append(f"{name}: {made.width(name)} bits a word")
        lines.append(f"  {' '.join(shown)}{more}")
        at += size
    lines += ["start:", f"  {' '.join(_hex(words[at:]))}"]
    digest = hashlib.sha256(np.array(words, "<u4").tobytes()).hexdigest()
    return "\n".join([*lines, f"SHA-256 of all {len(words)} words, little endian: {digest}"])


def _instruction() -> str:
    made = image()
    design, now = made.design, made.program[1]
    lines, place = ["field           bit  width  value"], 0
    for field in instruction_fields(design):
        value = getattr(now, field.name)
        shown = list(map(int, value)) if field.is_array else int(value)
        width = f"{field.count} x {field.width}" if field.is_array else str(field.width)
        lines.append(f"{field.name:<15} {place:<4} {width:<6} {shown}")
        place += field.size
    return "\n".join([*lines, f"word of {place} bits: 0x{now.encode(design):x}"])


def _frame() -> str:
    made = image()
    (frames,) = random_frames(np.random.default_rng(1), made.model, [2])
    (packet,) = frame_packets(Stimulus.of(made, [frames]), 32)
    return "\n".join(
        [
            _row("frames", frames.tolist()),
            _row("packet", _hex(packet)),
            f"bus words of a beat: {frame_packing(made.design, 32).beats} in, "
            f"{state_packing(made.design, 32).beats} out",
        ]
    )


def _link() -> str:
    hello = Reply(1, Command.HELLO | 0x80, Code.OK, 1, 1, (100_000_000,))
    frames = {
        "HELLO": Request(1, Command.HELLO).encode(),
        "its answer": hello.encode(),
        "READ of magic": Request(2, Command.READ, 1, 0x8000).encode(),
        "WRITE 0x7E7D": Request(3, Command.WRITE, 1, 0x48, (0x7E7D,)).encode(),
    }
    return "\n".join(f"{name:<14} {enframe(body).hex(' ')}" for name, body in frames.items())


def main() -> int:
    """Write the pages, or tell which are not as the code is."""
    parser = argparse.ArgumentParser(description="Worked examples of the specification.")
    parser.add_argument("--write", action="store_true", help="put them into the pages")
    write, stale = parser.parse_args().write, []
    for name in PAGES:
        path = HERE / name
        text = path.read_text()
        made = with_examples(text)
        if made != text:
            stale.append(name)
            if write:
                path.write_text(made)
    for name in stale:
        print(f"{name}: {'written' if write else 'stale'}")
    return int(bool(stale) and not write)


if __name__ == "__main__":
    sys.exit(main())
