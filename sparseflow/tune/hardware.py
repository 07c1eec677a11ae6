"""All arrays of a board for networks without weights: exact cycles, estimated cells, the front."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from boards.board import Board
from boards.resources import Usage, cheaper, clock_of, with_usage
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.timing.shared import SharedCycles
from csb_format.cells import cell_named
from csb_format.model import Model
from csb_format.scales import DesignError
from csb_format.shape import ModelShape

from .network import Network

__all__ = ["Candidate", "arrays", "candidates", "front", "space"]

SOFT = 4  # times the multipliers of a device: others become logic


@dataclass(frozen=True)
class Candidate:
    """A network on an array of a board.

    Parameters
    ----------
    shape : ModelShape
    design : Design
    cycles : float
        From step to step, exact.
    usage : Usage
        Estimated cells.
    limit : str
        What of the device it takes the largest share of.
    share : float
        That share; it fits where this is at most 1.
    megahertz : float
        The board's clock, or what its device is predicted to reach if that is less.
    """

    shape: ModelShape
    design: Design
    cycles: float
    usage: Usage
    limit: str
    share: float
    megahertz: float

    @property
    def microseconds(self) -> float:
        """Of a step."""
        return self.cycles / self.megahertz

    @property
    def fits(self) -> bool:
        """Whether the board has the cells."""
        return self.share <= 1


def arrays(model: Model | ModelShape, board: Board) -> Iterator[tuple[int, int]]:
    """M and N of every array that a board could have, every multiple of a unit's rows among them.

    Parameters
    ----------
    model : Model or ModelShape
        N divides the banks of all its matrices.
    board : Board
        Its multipliers bound M x N; some more are made of logic. PEs beyond the rows of the largest
        matrix would have none.
    """
    shape = model.shape
    every = [g for layer in shape.layers for g in layer.geometries.values()]
    banks, rows = {g.banks for g in every}, max(g.rows for g in every)
    abreast, most = cell_named(shape.cell).abreast, SOFT * board.has.multipliers
    for lanes in (n for n in range(1, min(banks) + 1) if all(b % n == 0 for b in banks)):
        for pes in range(abreast, min(most // lanes, rows + abreast - 1) + 1, abreast):
            yield pes, lanes


def candidates(
    model: Model | ModelShape,
    board: Board,
    contexts: int = 1,
    cycles: SharedCycles | None = None,
    *,
    largest: int | None = None,
) -> Iterator[Candidate]:
    """A model on every array of a board; where one does not fit, the first cheaper that does.

    They are the ones that ``sparseflow build --pes M --lanes N`` makes.

    Parameters
    ----------
    model : Model or ModelShape
    board : Board
    contexts : int
    cycles : SharedCycles, optional
        Of searches before.
    largest : int, optional
        Of a screened head: logits that the unit behind the array finds.
    """
    shared, clock = cycles or SharedCycles(), clock_of(board)
    for pes, lanes in arrays(model, board):
        try:
            design = design_for(
                model, pes, lanes, contexts=contexts, largest=largest, **board.options
            )
            found = _candidate(model.shape, design, board, clock, shared)
        except DesignError:
            continue
        if not found.fits:
            less = (_candidate(model.shape, one, board, clock, shared)
                    for one in cheaper(model, board, design))  # fmt: skip
            found = next((one for one in less if one.fits), found)
        yield found


def _candidate(
    shape: ModelShape, design: Design, board: Board, clock: float, cycles: SharedCycles
) -> Candidate:
    design, usage = with_usage(design, board)
    limit, share = usage.limit(board.has)
    return Candidate(shape, design, cycles(shape, design), usage, limit, share, clock)


def space(networks: Iterable[Network], board: Board) -> Iterator[tuple[Network, Candidate]]:
    """Many networks, each on every array of a board; bits of one network share cycles.

    Parameters
    ----------
    networks : iterable of Network
    board : Board
    """
    alike: dict[Network, list[Network]] = {}
    for network in networks:
        alike.setdefault(network.at(value_bits=16, act_bits=16), []).append(network)
    shared, clock = SharedCycles(), clock_of(board)
    for same in alike.values():
        shapes = [network.shape for network in same]
        for pes, lanes in arrays(shapes[0], board):
            try:
                first = design_for(shapes[0], pes, lanes, **board.options)
            except DesignError:
                continue
            taken = shared(shapes[0], first)
            for network, shape in zip(same, shapes, strict=True):
                design, usage = with_usage(_of_bits(first, network, shape, board), board)
                limit, share = usage.limit(board.has)
                yield network, Candidate(shape, design, taken, usage, limit, share, clock)


def _of_bits(design: Design, network: Network, shape: ModelShape, board: Board) -> Design:
    """The same array for other bits; all sizes but these follow from geometries."""
    if design.compact:  # pieces and shifts follow from bits
        return design_for(shape, design.pes, design.lanes, **board.options)
    return replace(design, value_bits=network.value_bits, act_bits=network.act_bits)


def front(found: Iterable[Candidate]) -> Sequence[Candidate]:
    """Those that fit, of which no other takes as little of the device and is faster; fastest first.

    Parameters
    ----------
    found : iterable of Candidate
    """
    fitting = sorted(
        (c for c in found if c.fits),
        key=lambda c: (c.microseconds, c.share, c.usage.luts, c.design.multipliers),
    )
    kept: list[Candidate] = []
    for candidate in fitting:
        if not kept or candidate.share < kept[-1].share:
            kept.append(candidate)
    return kept
