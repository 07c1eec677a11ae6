"""Scores of the examples: the commands of their pages, run as a reader would.

``python -m bench.examples.run [--case NAME ...] [--work FOLDER] [--json FILE]`` takes the
commands of ``docs/NAME.md`` in their order, in a folder of their own, and writes down what
`prune`, `pack` and `simulate` left as figures. What a page installs or fetches is not run: that
must be there, below FOLDER/NAME if it is a file. ``--add`` keeps the rows of other cases.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from boards.board import board
from boards.resources import choices
from csb_format import load_model
from csb_format.files.replace import replace_file

from ..pages.results import ROOT
from ..record import Rows, processor, with_others, write_record

__all__ = ["CASES", "Case", "commands", "main", "row_of"]

SEED = 0
TOLD = "told.txt"  # what the examples printed
_FENCE = re.compile(r"^```sh\n(.*?)^```", re.M | re.S)
_OTHERS = ("apt-get", "dpkg-deb", "pip")  # install and fetch


@dataclass(frozen=True)
class Case:
    """An example, and boards that its page tells of.

    Parameters
    ----------
    name : str
        Of its page.
    boards : tuple of str
    model : str
        What is packed.
    """

    name: str
    boards: tuple[str, ...]
    model: str = "model.safetensors"


CASES = {
    c.name: c
    for c in (
        Case("phones", ("ecpix5", "ulx3s", "tang_primer_20k", "arty_a7_35t")),
        Case("watch", ("ecpix5", "ulx3s_12f", "tang_primer_20k")),
        Case("glucose", ("icebreaker", "tang_primer_20k", "ulx3s_12f")),
        Case("shakespeare", ("ecpix5", "ulx3s"), "examples/shakespeare/model.safetensors"),
    )
}


def commands(page: str) -> list[list[str]]:
    """Words of the commands of a page's first block, without what installs and fetches."""
    found = _FENCE.search(page)
    if not found:
        return []
    lines = found[1].replace("\\\n", " ").splitlines()
    words = [shlex.split(line) for line in lines if line.strip()]
    return [some for some in words if some[0] not in _OTHERS]


def row_of(case: Case, work: Path) -> dict[str, Any]:
    """A row from what the commands left in a folder."""
    found = json.loads((work / "build/figures.json").read_text("utf-8"))
    scores, model = found["scores"], load_model(work / case.model)
    return {
        "case": case.name,
        "command": f"python -m bench.examples.run --case {case.name}",
        "cpu": processor(),
        "scores": _before(found)
        | {
            "fixed": scores["models"]["fixed"],
            "rtl": scores["models"]["rtl"],
            "fixed_simulated": scores["fixed_simulated"],
        },
        "kept": found["weights"]["nonzeros"],
        "weights": found["weights"]["total"],
        "scored": {name: found["scored"][name] for name in _SCORED if name in found["scored"]},
        "array": found["array"],
        "cycles": found["cycles_per_step"]["rtl"],
        "mismatches": found["mismatches"],
        "fit": {name: _fit(model, name) for name in case.boards},
        "told": (work / TOLD).read_text("utf-8").splitlines(),
    }


def _before(found: dict[str, Any]) -> dict[str, Any]:
    """Scores of the float network while it was pruned, if a command of the page did so."""
    if not found.get("increments"):
        return {}
    last = found["increments"][-1].items()
    pruned = {key: value for key, value in last if key != "sparsity"}
    of = found["increments_of"]  # its score stands there only where it is more than a share
    return {"dense": of.get("dense_score") or {"accuracy": of["dense"]}, "pruned": pruned}


# frames are counted where each has a label
_SCORED = ("counted", "counted_simulated", "sequences", "simulated")


def _fit(model: Any, name: str) -> dict[str, Any] | None:
    """The fastest array of a board, None if it has none for the model."""
    first = next(iter(choices(model, board(name))), None)
    if first is None or not first.fits:
        return None
    return {
        "M": first.design.pes,
        "N": first.design.lanes,
        "cycles": first.cycles,
        "megahertz": first.megahertz,
        "microseconds": round(first.microseconds, 2),
    }


def _run(case: Case, work: Path, console: Console) -> None:
    """Run the commands, and keep what those of examples said."""
    env = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    told: list[str] = []
    shutil.copytree(ROOT / "examples", work / "examples", dirs_exist_ok=True)
    for words in commands((ROOT / f"docs/{case.name}.md").read_text("utf-8")):
        console.print(shlex.join(words), style="bold", markup=False, soft_wrap=True)
        command = [sys.executable, *words[1:]] if words[0] == "python" else _sparseflow(words)
        done = subprocess.run(command, cwd=work, env=env, stdout=subprocess.PIPE, text=True)
        console.print(done.stdout, markup=False, highlight=False, soft_wrap=True)
        if done.returncode:
            raise SystemExit(f"error: {shlex.join(words)} ended with {done.returncode}")
        if words[0] == "python":
            told += [line for line in done.stdout.splitlines() if not line.startswith("epoch ")]
    replace_file(work / TOLD, ("\n".join(told) + "\n").encode())


def _sparseflow(words: list[str]) -> list[str]:
    return [sys.executable, "-m", *words]


def main(
    case: Annotated[list[str] | None, typer.Option(help="Only this one; repeat it.")] = None,
    work: Annotated[Path, typer.Option(help="Folder to run in.")] = Path("build/examples"),
    read: Annotated[
        bool, typer.Option("--read", help="Run nothing: take what an earlier run left.")
    ] = False,
    add: Annotated[bool, typer.Option("--add", help="Keep the rows of other cases.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Where the rows go as JSON.")
    ] = None,
) -> None:
    """Run the commands of the pages, and write down their scores."""
    if unknown := [name for name in case or [] if name not in CASES]:
        raise SystemExit(f"error: no case {unknown[0]}: choose from {', '.join(CASES)}")
    rows: Rows = []
    if read and (absent := [n for n in case or CASES if not (work / n / TOLD).exists()]):
        raise SystemExit(f"error: {work / absent[0]} has no run: leave out --read")
    for name in case or CASES:
        (work / name).mkdir(parents=True, exist_ok=True)
        if not read:
            _run(CASES[name], work / name, Console())
        rows.append(row_of(CASES[name], work / name))
    if json_file:
        kept = with_others(json_file, rows, CASES) if add else rows
        write_record(json_file, "bench.examples.run", SEED, kept)


if __name__ == "__main__":
    typer.run(main)
