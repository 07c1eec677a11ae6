"""Broken files for every parser: no crash, no hang, no exception without a type of ours.

``python -m bench.harm.fuzz --minutes 10 --json bench/results/fuzz.json`` prints and writes what
became of them. Each broken file follows from the seed. Half of them are changed byte by byte,
half inside their structure, with check sums made anew.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

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
from compiler.abi.design_file import read_design
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
from csb_format.scales import DesignError
from sim.regress.fuzz import Parser, mutated
from sim.regress.records.history import read_history
from sim.regress.suite.baseline import Baseline, BaselineError, read_baseline
from sim.regress.suite.suite import SuiteError, read_suite

from ..record import write_record
from .independent import same_design, same_model, same_sequences, same_weights
from .line_files import line_parsers, same_halt, whole_answers
from .onnx_files import in_onnx, onnx_seeds, same_network
from .structure import Mutate, in_frames, in_json, in_safetensors, in_text, in_zip, sealed_again
from .workers import Worker

SUITE = Path(__file__).parents[2] / "examples/regress/default.toml"


BAD = ("escaped", "different", "hung", "died")
STRUCTURE: dict[str, Mutate] = {
    "model file": sealed_again, "matrix file": sealed_again, "suite": in_text, "board": in_text,
    "baseline": in_json, "history": in_json, "link frames": in_frames,
    "sequences .npz": in_zip, "checkpoint .pt": in_zip, "masks": in_zip,
    "checkpoint .safetensors": in_safetensors, "design.json": in_json, "ONNX": in_onnx,
    "ONNX, matrices": in_onnx, "link requests": in_frames, "link answers": in_frames,
}  # fmt: skip
CHECKS: dict[str, Callable[[Path, Any], bool]] = {
    "model file": same_model, "sequences .npz": same_sequences,
    "checkpoint .safetensors": same_weights, "design.json": same_design, "ONNX": same_network,
    "load packets": same_halt, "link requests": whole_answers,
}  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=10.0, help="for all parsers together")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    Console().print(f"seed {given.seed}")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [*parsers(folder), *foreign_parsers(folder)]
        for parser in found:
            rows.append(_row(parser, 60 * given.minutes / len(found), given.seed, folder))
    show(rows)
    if given.json:
        write_record(given.json, "bench.harm.fuzz", given.seed, rows, minutes=given.minutes)
    raise SystemExit(any(row[kind] for row in rows for kind in BAD))


def _row(parser: Parser, seconds: float, seed: int, folder: Path) -> dict[str, object]:
    """One parser's files, in a worker, until its time is over."""
    mutate = STRUCTURE.get(parser.name, mutated)
    worker, path = Worker(parser, CHECKS.get(parser.name)), folder / "fuzzed"
    row: dict[str, object] = dict.fromkeys(("files", "read", "refused", *BAD), 0)
    counts, peak, shown = Counter[str](), 0, 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or not counts:
        rng = random.Random(f"{seed} {parser.name} {counts.total()}")
        content = rng.choice(parser.seeds)
        path.write_bytes((mutate if rng.random() < 0.5 else mutated)(content, rng))
        outcome = worker.feed(path)
        counts[outcome.kind] += 1
        peak = max(peak, outcome.peak)
        if outcome.kind in BAD and shown < 2:
            shown += 1
            Console().print(parser.name, counts.total() - 1, outcome.kind, outcome.trace[-2000:],
                            path.read_bytes()[:300], markup=False)  # fmt: skip
    worker.stop()
    return {"parser": parser.name} | row | counts | {
        "files": counts.total(), "peak_mb": round(peak / 1e6),
    }  # fmt: skip


def foreign_parsers(folder: Path) -> list[Parser]:
    """Those of files that other tools write."""
    import torch

    from boards.board import BoardError, parse
    from pruning.importers import import_model
    from pruning.importers.checkpoint import CheckpointError, UnsupportedLayerError, save_tensors
    from pruning.tasks.data.datasets import (
        DataSetError,
        SequenceData,
        load_sequences,
        save_sequences,
    )

    module = torch.nn.LSTM(4, 5)
    weights, path = module.state_dict(), folder / "seed"
    masks = {"weight_ih_l0": torch.ones(20, 4)}
    frames = (np.ones((3, 4), np.float32), np.zeros((2, 4), np.float32))
    data = SequenceData(frames, np.array([0, 1]))
    errors = (CheckpointError, UnsupportedLayerError)
    save_tensors(folder / "weights.safetensors", weights)
    whole = (folder / "weights.safetensors").read_bytes()
    board = Path(__file__).parents[2] / "boards/data/ulx3s.toml"
    found = [
        Parser("sequences .npz", load_sequences, (DataSetError, ValueError),
               [saved(folder, save_sequences, data)]),
        Parser("checkpoint .safetensors", import_model, errors, [whole]),
        Parser("board", lambda p: parse("x", p.read_text("utf-8", "replace")), (BoardError,),
               [board.read_bytes()]),
    ]  # fmt: skip
    torch.save(weights, path)
    found.append(Parser("checkpoint .pt", import_model, errors, [path.read_bytes()]))
    torch.save(masks, path)
    given = folder / "weights.safetensors"
    found.append(Parser("masks", lambda p: import_model(given, p), errors, [path.read_bytes()]))
    graphs = onnx_seeds(folder)
    found.append(Parser("ONNX", import_model, errors, graphs))
    found.append(Parser("ONNX, matrices", partial(import_model, matrices=True), errors, graphs))
    return found


def parsers(folder: Path) -> list[Parser]:
    """All that read files which others may have written."""
    sizes: dict[str, Any] = {
        "layers": 2,
        "projection": 3,
        "value_bits": 8,
        "act_bits": 8,
        "head": 3,
    }
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
        Parser("design.json", read_design, (DesignError,),
               [json.dumps(asdict(design), indent=2, allow_nan=False).encode()]),
        Parser("link frames", read_link, (ProtocolError,), [link_bytes()]),
        *line_parsers(),
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
