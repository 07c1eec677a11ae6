"""The command ``sparseflow study``."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

from ...steps.options import StudyOptions
from ..derived import derived

if TYPE_CHECKING:
    from ...tune.cpu import CpuSweep
    from ...tune.network import Network
    from ...tune.study import Array, Sweep

__all__ = ["study"]

CPU = "cpu"
SHOWN = 3  # steps of a knob


@derived(StudyOptions)
def study(given: StudyOptions) -> None:
    """Turn one knob at a time, and say where the speed jumps, and why.

    **In:** a packed model, whose weights do not matter, and a board or `cpu`. **Out:** a table of
    the largest jumps. On a board cycles are exact, cells are estimates; on `cpu` every figure is a
    measurement of this machine, as it is now. With `--html` a page with a plot of every knob,
    with `--json` all points.

    **Next:** `sparseflow fit MODEL --board BOARD`
    """
    from csb_format import load_model
    from csb_format.random_models import demo_sized

    from ...steps.checks import check_written
    from ...tune.network import Network

    if given.html:
        check_written("--html", given.html, given.model)
    if given.json:
        check_written("--json", given.json, given.model, given.html)
    network = Network.of(load_model(given.model) if given.model else demo_sized())
    if (given.pes is None) != (given.lanes is None):
        raise ValueError("--pes and --lanes go together: give both or neither")
    if given.target == CPU:
        _on_cpu(given, network)
    else:
        _on_board(given, network)


def _on_board(given: StudyOptions, network: Network) -> None:
    from ...tune.study import KNOBS
    from ...tune.study import study as swept

    array = _array(given, network)
    sweeps = list(swept(network, array, given.knob or KNOBS))
    where = f"{array.pes} x {array.lanes} on {array.board.title}"
    Console().print(_table(f"{_title(network)}, {where}: largest jumps of cycles", _rows(sweeps)))
    for line in _advice(sweeps):
        Console().print(line, highlight=False, markup=False, soft_wrap=True)
    _write(given, network, [_plain(one) for one in sweeps], where)


def _array(given: StudyOptions, network: Network) -> Array:
    """The array that was asked for, or the one that `build` takes."""
    from boards.board import board
    from boards.resources import choices

    from ...tune.study import Array

    found = board(given.target)
    if given.pes and given.lanes:
        return Array(given.pes, given.lanes, found)
    best = next((c for c in choices(network.shape, found) if c.fits), None)
    if best is None:
        raise ValueError(f"no array of {found.title} holds this model: give --pes and --lanes")
    return Array(best.design.pes, best.design.lanes, found)


def _title(network: Network) -> str:
    return (
        f"{network.inputs} -> {network.hidden}, {network.banks} banks, k {network.k_input} and "
        f"{network.k}"
    )


def _table(title: str, rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for head in ("knob", "from", "to", "before", "after", "change", "because of"):
        right = head not in ("knob", "because of")
        table.add_column(head, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _rows(sweeps: Iterable[Sweep]) -> Iterable[tuple[str, ...]]:
    for one in sweeps:
        largest = sorted(one.steps, key=lambda step: -abs(step.jump))[:SHOWN]
        for step in sorted(largest, key=lambda step: step.before.value):
            a, b = step.before, step.after
            ends = (str(a.value), str(b.value), f"{a.cycles:g}", f"{b.cycles:g}")
            yield one.knob, *ends, f"{step.jump:+.0%}", "; ".join(step.causes)
        if not one.steps:
            yield one.knob, "", "", "", "", "none", "nothing that cycles follow from"


def _advice(sweeps: Iterable[Sweep]) -> Iterable[str]:
    """Sizes that would cost nothing."""
    from compiler.array.steps import VERSION

    yield f"rules of the array, version {VERSION}; cycles are exact"
    for one in sweeps:
        own = next((point for point in one.points if point.value == one.at), None)
        if own is None or one.knob not in ("hidden", "inputs"):
            continue
        free = max(p.value for p in one.points if p.cycles <= own.cycles)
        if free > one.at:
            yield f"{one.knob} {free} takes no more cycles than {one.at}: {own.cycles:g}"


def _on_cpu(given: StudyOptions, network: Network) -> None:
    from ...tune.cpu import CPU_KNOBS, cpu_sweep

    knobs = given.knob or CPU_KNOBS
    sweeps = [cpu_sweep(network, knob, given.rounds, given.seed) for knob in knobs]
    title = f"{_title(network)}, this processor: jumps that the weights do not explain"
    Console().print(_table(title, _cpu_rows(sweeps)))
    Console().print(f"seed {given.seed}, {given.rounds} turns each", highlight=False)
    _write(given, network, [_cpu_plain(one) for one in sweeps], "this processor")


def _cpu_rows(sweeps: Iterable[CpuSweep]) -> Iterable[tuple[str, ...]]:
    for one in sweeps:
        for step in one.steps:
            a, b = step.before, step.after
            times = (f"{a.microseconds:.1f} us", f"{b.microseconds:.1f} us")
            yield one.knob, str(a.value), str(b.value), *times, f"{step.jump:+.0%}", ""
        if not one.steps:
            yield one.knob, "", "", "", "", "none", ""


def _plain(one: Sweep) -> dict[str, Any]:
    """A sweep for programs."""
    points = [
        {"value": p.value, "cycles": p.cycles, "fits": p.fits, "megahertz": p.megahertz,
         "cells": asdict(p.usage)}
        for p in one.points
    ]  # fmt: skip
    steps = [
        {"from": s.before.value, "to": s.after.value, "before": s.before.cycles,
         "after": s.after.cycles, "causes": list(s.causes)}
        for s in one.steps
    ]  # fmt: skip
    return {"knob": one.knob, "at": one.at, "points": points, "steps": steps}


def _cpu_plain(one: CpuSweep) -> dict[str, Any]:
    points = [{"value": p.value, "microseconds": round(p.microseconds, 3), "weights": p.weights}
              for p in one.points]  # fmt: skip
    steps = [
        {"from": s.before.value, "to": s.after.value, "before": round(s.before.microseconds, 3),
         "after": round(s.after.microseconds, 3), "jump": round(s.jump, 3)}
        for s in one.steps
    ]  # fmt: skip
    return {"knob": one.knob, "at": one.at, "points": points, "steps": steps}


def _write(given: StudyOptions, network: Network, sweeps: list[Any], where: str) -> None:
    from compiler.array.steps import VERSION

    found = {"network": network.knobs, "target": given.target, "where": where, "seed": given.seed,
             "rules": VERSION, "sweeps": sweeps}  # fmt: skip
    if given.json:
        _replace(given.json, json.dumps(found, indent=1, allow_nan=False) + "\n")
    if given.html:
        from ...pages.made.typed import typed
        from ...pages.tune.study import page

        _replace(given.html, page(found, typed()))


def _replace(path: Path, text: str) -> None:
    from csb_format.files.replace import replace_file

    replace_file(path, text.encode())
