"""Broken files for every parser: no crash, no exception without a type of ours.

``python -m bench.harm.fuzz --seconds 600 --json bench/results/fuzz.json`` prints and writes what
became of them. Each broken file follows from the seed.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from boards.link.protocol import (
    ESCAPE,
    FLAG,
    REPLY,
    Command,
    FrameFinder,
    ProtocolError,
    Reply,
    Request,
    enframe,
)
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.array.program import Instruction
from compiler.lower.compile import compile_model
from csb_format import Fixed, load_model, save_model
from csb_format.files.container import ModelFileError
from csb_format.files.images import (
    ImageError,
    read_coe,
    read_ihex,
    read_mem,
    read_mif,
    write_coe,
    write_ihex,
    write_mem,
    write_mif,
)
from csb_format.files.matrixfile import PackedMatrix, load_matrices, save_matrices
from csb_format.random_models import random_network
from sim.regress.fuzz import Parser, fuzz
from sim.regress.records.records import read_history
from sim.regress.suite.baseline import Baseline, BaselineError, read_baseline
from sim.regress.suite.suite import SuiteError, read_suite

from ..record import write_record

SUITE = Path(__file__).parents[2] / "examples/regress/default.toml"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=600.0, help="for all parsers together")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = parsers(folder)
        for parser in found:
            tally = fuzz(parser, given.seconds / len(found), given.seed, folder)
            row = {"parser": parser.name, "read": tally.read, "refused": tally.refused}
            rows.append(row | {"escaped": len(tally.escapes)})
            for escape in tally.escapes[:2]:
                Console().print(escape.trace, escape.content[:300], markup=False)
    show(rows)
    if given.json:
        write_record(given.json, "bench.harm.fuzz", given.seed, rows, seconds=given.seconds)
    raise SystemExit(any(row["escaped"] for row in rows))


def parsers(folder: Path) -> list[Parser]:
    """All that read files which others may have written."""
    sizes = {"layers": 2, "projection": 3, "value_bits": 8, "act_bits": 8, "head": 3}
    model = random_network(np.random.default_rng(0), 4, 5, (2, 3, 1), (1, 1, 1), **sizes)
    words = [random.Random(1).getrandbits(36) for _ in range(20)]
    design = design_for(random_network(np.random.default_rng(0), 8, 8, 4, (1, 1, 1)), 4, 4)
    image = compile_model(random_network(np.random.default_rng(0), 8, 8, 4, (1, 1, 1)), design)
    program = b"".join(word.to_bytes(32, "little") for word in image.memories["program"])
    write_image: dict[str, Callable[..., None]] = {
        "mem": write_mem, "coe": write_coe, "mif": write_mif, "ihex": write_ihex,
    }  # fmt: skip
    read_image: dict[str, Callable[[Path], object]] = {
        "mem": read_mem, "coe": read_coe, "mif": read_mif, "ihex": partial(read_ihex, width=36),
    }  # fmt: skip
    matrix = model.layers[0].weight_ih
    packed = {"lstm.weight_ih_l0": PackedMatrix(matrix, Fixed(8, 7))}
    baseline = Baseline({"a[seed=1]": {"cycles": 33, "outputs": "ab"}})
    return [
        Parser("model file", load_model, (ModelFileError,), [saved(folder, save_model, model)]),
        Parser(
            "matrix file", load_matrices, (ModelFileError,), [saved(folder, save_matrices, packed)]
        ),
        Parser("suite", read_suite, (SuiteError,), [SUITE.read_bytes()]),
        Parser("baseline", read_baseline, (BaselineError,),
               [saved(folder, lambda p, b: b.write(p, "s"), baseline)]),
        Parser("history", read_history, (), [b'{"cases": {"a": {"cycles": 1}}, "passed": 1}\n']),
        Parser("link frames", read_link, (ProtocolError,), [link_bytes()]),
        Parser("program", partial(decode, design=design), (ValueError,), [program]),
        *(
            Parser(f"image .{kind}", read_image[kind], (ImageError,),
                   [saved(folder, lambda p, w, k=kind: write_image[k](p, w, 36), words)])
            for kind in write_image
        ),
    ]  # fmt: skip


def link_bytes() -> bytes:
    """Requests and replies on the line."""
    requests = [Request(n, Command.WRITE, 3, 4, (n, FLAG, ESCAPE)) for n in range(4)]
    replies = [Reply(n, Command.READ | REPLY, count=2, words=(n, FLAG)) for n in range(4)]
    frames: list[Request | Reply] = [*requests, *replies]
    return b"".join(enframe(frame.encode()) for frame in frames)


def read_link(path: Path) -> None:
    """Every frame, as a request and as a reply; with and without its check sequence."""
    data = path.read_bytes()
    for found in FrameFinder().feed(data):
        if isinstance(found, bytes):
            Request.decode(found)
            Reply.decode(found)
    Request.decode(data)


def saved(folder: Path, save: Callable[..., None], what: object) -> bytes:
    """What a writer writes."""
    path = folder / "seed"
    save(path, what)
    return path.read_bytes()


def decode(path: Path, design: Design) -> None:
    """Every instruction of a program."""
    data = path.read_bytes()
    for at in range(0, len(data), 32):
        Instruction.decode(int.from_bytes(data[at : at + 32], "little"), design)


def show(rows: list[dict[str, object]]) -> None:
    table = Table(*rows[0], title="broken files")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
