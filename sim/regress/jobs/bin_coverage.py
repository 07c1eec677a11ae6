"""Functional coverage: which geometries, states and stalls the cases have met."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.array.program import Frame

from ...check.verify import Verification

if TYPE_CHECKING:
    from ..suite.hardware import Hardware

__all__ = ["ALL_BINS", "bins_of", "bus_bins", "covered", "reachable"]

_SHARES = ("none", "some", "most")
_SHAPES = ("one layer", "two layers", "three or more", "projected", "two directions", "head")
_PADS = ("no padding", "padded input", "padded hidden", "bank of padding alone")
_STATES = (
    "h zero", "h least", "h most", "c saturated low", "c saturated high", "c small",
    "waits for frame", "waits for state", "waits for room", "late frame", "next frame in time",
)  # fmt: skip
_TRIED = ("late frame", "next frame in time")  # only where a program looks for the next one
_BUS = ("refused access", "bad load packet", "bad frame packet", "abandoned job", "pauses")
ALL_BINS: tuple[str, ...] = (
    *(f"shape/{name}" for name in _SHAPES),
    *(f"padding/{name}" for name in _PADS),
    *(f"width/{bits}" for bits in ("below 12", "12 to 15", "16", "above 16")),
    *(f"banks/{name}" for name in ("as the lanes", "merged", "k 1", "k above 1", "one lane")),
    *(f"sequence/{name}" for name in ("one frame", "several frames", "several", "contexts")),
    *(f"memories/{name}" for name in ("images", "loaded", "reloaded", "in turn")),
    *(f"state/{name}" for name in _STATES),
    *(f"stall/idle {a}, stall {b}" for a in _SHARES for b in _SHARES),
    *(
        f"crossed/{shape} x {share}"
        for shape in _SHAPES
        for share in ("without pauses", "with pauses")
    ),
    *(f"simulator/{name}" for name in ("icarus", "verilator", "verilator-free")),
    *(f"kind/{name}" for name in ("network", "bus", "command")),
    *(f"bus/{name}" for name in _BUS),
)


def bins_of(hardware: Hardware, shown: Verification | None = None) -> list[str]:
    """Bins that a case hits when it runs to its end.

    Parameters
    ----------
    hardware : Hardware
    shown : Verification, optional
        What a run has shown, with the model's states; else they are computed.
    """
    states = (f"state/{name}" for name in _states(hardware, shown))
    return sorted({*_given(hardware), *states})


def _given(hardware: Hardware) -> set[str]:
    """Bins that a network hits whatever its frames are."""
    found = {"kind/network", f"simulator/{hardware.case.simulator}"}
    shapes = list(_shapes(hardware))
    paused = hardware.case.idle or hardware.case.stall
    found.update(f"shape/{name}" for name in shapes)
    found.update(f"crossed/{name} x with{'' if paused else 'out'} pauses" for name in shapes)
    found.update(f"padding/{name}" for name in _paddings(hardware))
    found.update(f"banks/{name}" for name in _banks(hardware))
    found.update(f"sequence/{name}" for name in _sequences(hardware))
    found.add(f"width/{_width(max(hardware.design.value_bits, hardware.design.act_bits))}")
    found.add(f"stall/idle {_share(hardware.case.idle)}, stall {_share(hardware.case.stall)}")
    found.add(f"memories/{_memories(hardware)}")
    return found


def reachable(hardware: Hardware) -> list[str]:
    """Bins that a case can hit: what it is, and for a network every state it may come to.

    Parameters
    ----------
    hardware : Hardware
    """
    if hardware.case.kind == "command":
        return ["kind/command"]
    if hardware.case.kind == "bus":
        return bus_bins(hardware)
    tries = any(word.frame == Frame.TRY for word in hardware.image.program)
    states = (name for name in _STATES if tries or name not in _TRIED)
    return sorted({*_given(hardware), *(f"state/{name}" for name in states)})


def bus_bins(hardware: Hardware) -> list[str]:
    """Bins that a case of kind ``bus`` hits when it runs to its end.

    Parameters
    ----------
    hardware : Hardware
    """
    paused = hardware.case.idle or hardware.case.stall
    met = [name for name in _BUS if paused or name != "pauses"]
    found = ["kind/bus", *(f"bus/{name}" for name in met)]
    return sorted([*found, *["memories/in turn"] * hardware.case.reload])


def covered(hit: Iterable[str], reach: Iterable[str] = ALL_BINS) -> dict[str, Any]:
    """How many bins were hit, by group, and the names of those that were not.

    Parameters
    ----------
    hit : iterable of str
        All bins of all cases.
    reach : iterable of str
        Bins that count, besides those that were hit; all by default.
    """
    seen = set(hit)
    counted = seen.union(reach)
    groups: dict[str, dict[str, Any]] = {}
    for name in (name for name in ALL_BINS if name in counted):
        group = groups.setdefault(name.partition("/")[0], {"bins": 0, "hit": 0, "missed": []})
        group["bins"] += 1
        if name in seen:
            group["hit"] += 1
        else:
            group["missed"].append(name.partition("/")[2])
    return groups


def _shapes(hardware: Hardware) -> Iterable[str]:
    model = hardware.model
    yield ("one layer", "two layers", "three or more")[min(len(model.levels), 3) - 1]
    if any(layer.projection for layer in model.layers):
        yield "projected"
    if model.directions == 2:
        yield "two directions"
    if hardware.case.head:
        yield "head"


def _paddings(hardware: Hardware) -> Iterable[str]:
    found = set()
    for part in hardware.image.parts:
        for shape in part.needs.programs[part.number]:
            found |= {"padded input"} if shape.ih.padding_columns else set()
            found |= {"padded hidden"} if shape.hh.padding_columns else set()
            for matrix in shape.matrices:
                found |= {"bank of padding alone"} if min(matrix.bank_columns) == 0 else set()
    return found or {"no padding"}


def _banks(hardware: Hardware) -> Iterable[str]:
    lanes = hardware.design.lanes
    if lanes == 1:
        yield "one lane"
    for layer in hardware.model.layers:
        for matrix in (layer.weight_ih.geometry, layer.weight_hh.geometry):
            yield "as the lanes" if matrix.banks == lanes else "merged"
            yield "k 1" if matrix.nonzeros <= 1 else "k above 1"


def _sequences(hardware: Hardware) -> Iterable[str]:
    lengths = hardware.case.lengths
    if 1 in lengths:
        yield "one frame"
    if max(lengths) > 1:
        yield "several frames"
    if len(lengths) > 1:
        yield "several"
    if hardware.case.contexts > 1:
        yield "contexts"


def _width(bits: int) -> str:
    if bits == 16:
        return "16"
    return "above 16" if bits > 16 else "12 to 15" if bits >= 12 else "below 12"


def _share(share: float) -> str:
    return "none" if not share else "some" if share < 0.5 else "most"


def _memories(hardware: Hardware) -> str:
    if hardware.case.reload:
        return "reloaded"
    return "loaded" if hardware.blank else "images"


def _states(hardware: Hardware, shown: Verification | None) -> Iterable[str]:
    """What the model's states were, and what its schedule waited for."""
    gate, state = hardware.design.gate, hardware.design.arithmetic.kept
    levels = shown.traces if shown else hardware.levels
    for traces in levels:
        hidden = np.concatenate([trace.hidden for trace in traces])
        cell = np.concatenate([trace.cell for trace in traces])
        tests = {
            "h zero": (hidden == 0).any(),
            "h least": (hidden < 0.9 * gate.min).any(),
            "h most": (hidden > 0.9 * gate.max).any(),
            "c saturated low": (cell == state.min).any(),
            "c saturated high": (cell == state.max).any(),
            "c small": (np.abs(cell) < 1 << state.frac - 3).any(),
        }
        yield from (name for name, met in tests.items() if met)
    for given in [run.stimulus for run in shown.runs] if shown else hardware.stimuli():
        yield from _waits(hardware, given)


def _waits(hardware: Hardware, given: Stimulus) -> Iterable[str]:
    image, schedule = hardware.image, given.schedule
    starts = {issue.address for issue in schedule.issues}
    yield from (f"waits for {issue.waited}" for issue in schedule.issues if issue.waited)
    tried = [n for n, word in enumerate(image.program) if word.frame == Frame.TRY]
    if any(address in starts for address in tried):
        yield "next frame in time"
    if any(image.program[address].other in starts for address in tried):
        yield "late frame"
