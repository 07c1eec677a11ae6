"""What a model needs of an array, places in its memories above all, and the design that has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from csb_format.arguments import known
from csb_format.cells import cell_named
from csb_format.scales import DesignError, Scales

from .batch import LEAST_OUTPUT
from .design import MOST_BACK, Design, check_counts, check_flags, check_pes
from .idle import fewest_cycles
from .regions import Regions
from .screen.behind import screen_behind
from .shapes import (
    LayerShape,
    LinearNeeds,
    asks_by_gate,
    beat_sizes,
    fewest_lanes,
    programs,
)

if TYPE_CHECKING:
    from csb_format.model import Model
    from csb_format.shape import ModelShape

__all__ = ["Needs", "check_supported", "design_for"]

FLAGS = (
    *("streamed", "deep", "compact", "by_gate", "checked", "walk", "dense"),
    *("parts", "unguarded", "block_banks", "batched", "shallow", "all_pes"),
)
SCREEN = {"screen_digits": "digits", "screen_lanes": "lanes", "planes": "planes"}  # of a unit
# of a design, besides its sizes
OPTIONS = (*FLAGS, "fan_in", "pieces", "max_align", "spread", *SCREEN)
PIECE_BITS = 16  # of the single-port memories of iCE40


@dataclass(frozen=True)
class Needs:
    """Everything that a model needs of an array of M x N.

    Parameters
    ----------
    model : ModelShape or Model
        Of a model its shape is kept.
    pes, lanes : int
        M, N.
    units, projectors : int, optional
        E, Q; by default the fewest that keep up with the products.
    contexts : int
    head : bool
        Whether the model's linear output layer runs on the array.
    by_gate : bool
        Whether a slot has the rows of one gate.
    dense : bool
        Whether weights of the linear output layer have no indices; they lie behind all others.
    row_bits : int
        Of these weights, where rows are numbers of so many bits times a power of two each; 0: they
        are as wide as their format.
    batched : bool
        Whether frames of all contexts run together: each has its vectors then.
    slot_units, slot_results : int
        Of a lane and of a projector at the end of a slot; 0 for as many as PEs have room for.

    Raises
    ------
    DesignError
        If no array of this size can run the model.
    """

    model: ModelShape | Model
    pes: int
    lanes: int
    units: int = 0
    projectors: int = 0
    contexts: int = 1
    head: bool = False
    by_gate: bool = False
    dense: bool = False
    row_bits: int = 0
    batched: bool = False
    slot_units: int = 0
    slot_results: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", self.model.shape)
        check_supported(self.model, head=self.head)
        if self.dense and not self.head:
            raise DesignError(
                "dense = True: it is the linear output layer whose weights have no indices; let "
                "it run on the array (head = True), or leave dense out"
            )
        self._check_rows()
        for shapes in self.programs:
            self._check_joints(shapes)
        if not self.units:
            object.__setattr__(self, "units", self._fewest_units)
        if not self.projectors and self._rounded:
            fewest = fewest_lanes(self.pes, self.lanes, min(self._rounded), projectors=True)
            object.__setattr__(self, "projectors", fewest)

    @property
    def unhurried(self) -> Needs:
        """The same with PEs left idle where lanes would take the results of all for longer."""
        units, most = self._slot_units, self._most_units
        found = replace(self, slot_units=units if units < most else 0)
        if self.projectors:
            most = max(1, self.pes // self.projectors)
            results = fewest_cycles(range(1, most + 1), self._projected)
            found = replace(found, slot_results=results if results < most else 0)
        return found

    @property
    def _slot_units(self) -> int:
        """Units of a slot that each lane should take."""
        most = self._most_units
        _, fed = self._issued(most)
        # passes that feed lanes wait for one another: they may not take longer
        slots = [n for n in range(min(self._least, most), most + 1) if self._issued(n)[1] <= fed]
        return fewest_cycles(slots, lambda slot: self._issued(slot)[0])

    @property
    def _most_units(self) -> int:
        """Units of a slot that a lane may take: for as many PEs have room."""
        return max(1, self.pes // (self._abreast * self.units))

    def _projected(self, results: int) -> int:
        """Cycles of projections and linear layers, where a projector takes so many a slot."""
        pes = results * self.projectors
        slots = [(s.projection_slots(pes), s.hr.nonzeros) for s in self.shapes if s.hr]
        slots += [(layer.slots(pes), layer.groups) for layer in self.linear]
        return sum(count * max(groups, results) for count, groups in slots)

    @property
    def _abreast(self) -> int:
        return cell_named(self.model.shape.cell).abreast

    def _check_rows(self) -> None:
        """A head fits rows of few bits only as it was rounded to these."""
        head = self.model.shape.head
        if self.row_bits and (head is None or not 0 < head.row_bits <= self.row_bits):
            given = head.row_bits if head else 0
            raise DesignError(
                f"rows of the head have {given or 'all'} bits, the design takes row_bits = "
                f"{self.row_bits}: pack the model with --head-bits {self.row_bits}, or generate a "
                "design for it"
            )

    @property
    def _fewest_units(self) -> int:
        abreast = self._abreast
        found = fewest_lanes(self.pes, self.lanes, self._least, rows=abreast)
        if self.pes // abreast // found > self._least or self.pes % (abreast * found):
            # not all PEs have rows, or these wait: what is left over in the last slot counts too
            fitting = (n for n in beat_sizes(self.lanes) if n <= self.pes // abreast)
            found = min(fitting, key=self._time)
        most = min(4 * self.lanes, self.pes // abreast)
        # banks have several ports already: as many as frames and results come in by
        while self.lanes < found <= most // 2 and self._port_bound(found):
            found *= 2
        return found

    def _time(self, units: int) -> tuple[int, int]:
        """Cycles of all passes, then of those that must wait for one another."""
        needs = replace(self, units=units)
        return needs._issued(needs._most_units)

    def _port_bound(self, units: int) -> bool:
        """Whether a program's vectors take longer to be written than its passes."""
        needs, (issued, _) = replace(self, units=units), self._time(units)
        return sum(map(needs._written, range(len(self.programs)))) > issued

    def _written(self, program: int) -> int:
        """Cycles in which the write port is taken, each frame."""
        shapes = self.programs[program]
        places = self.regions(program).part * (self.model.directions - 1) + shapes[0].ih.bank_width
        results = sum(s.units(self.units) * (1 + s.resets) for s in shapes)
        return -(-places * self.lanes // max(self.lanes, self.units)) + results

    def _issued(self, slot: int) -> tuple[int, int]:
        """Cycles of all passes, and of those that feed lanes, which take so many units a slot."""
        each = [one for n in range(len(self.programs)) for one in self._passes(n, slot)]
        return sum(map(sum, each)), sum(fed for fed, _ in each)

    def _passes(self, program: int, slot: int) -> list[tuple[int, int]]:
        """Of each layer the cycles of passes that feed the lanes, and of those that park."""
        entry = len(self.programs[0]) if self.model.directions == 2 else 1
        pes = slot * self._abreast * self.units
        return [
            shape.cycles(pes, slot, early=n < entry or shape.resets)
            for n, shape in enumerate(self.programs[program])
        ]

    @cached_property
    def programs(self) -> tuple[tuple[LayerShape, ...], ...]:
        """Shapes of the layers of every program."""
        return tuple(
            tuple(LayerShape.of(x, self.lanes, by_gate=self.by_gate) for x in layers)
            for layers in programs(self.model.shape)
        )

    @property
    def shapes(self) -> tuple[LayerShape, ...]:
        """Shapes of all layers."""
        return tuple(shape for program in self.programs for shape in program)

    @property
    def _least(self) -> int:
        """Fewest groups of a row of a pass that feeds the element-wise lanes.

        Where lanes take all rows of a unit together, the mean of its gates.
        """
        entry = len(self.programs[0]) if self.model.directions == 2 else 1
        shapes = [(n, shape) for program in self.programs for n, shape in enumerate(program)]
        kept = [s.kept(s.hh if n < entry else s.ih) for n, s in shapes]
        kept += [s.kept(s.hh) for _, s in shapes if s.resets]
        if self._abreast > 1:
            return min(sum(gates) // len(gates) for gates in kept)
        return min(min(gates) for gates in kept)

    @property
    def _rounded(self) -> list[int]:
        """Groups of the passes that feed the projectors."""
        found = [shape.hr.nonzeros for shape in self.shapes if shape.hr]
        return found + [layer.groups for layer in self.linear]

    @property
    def linear(self) -> tuple[LinearNeeds, ...]:
        """Linear layers of the head in the order in which they run, the last one's results leave.

        None where the head does not run on the array. All are dense: a bank keeps all its places.
        """
        if not (self.head and self.model.head):
            return ()
        widths = [-(-one.output_size // self.lanes) for one in self.model.head.shape.layers]
        groups = [self.shapes[-1].hh.bank_width, *widths[:-1]]
        pairs = zip(groups, widths, strict=True)
        return tuple(LinearNeeds(taken, given, self.lanes) for taken, given in pairs)

    @property
    def linear_counts(self) -> tuple[int, ...]:
        """Slots, groups and beats of each linear layer."""
        pes, lanes = self._rounding, self.projectors
        return tuple(
            n for one in self.linear for n in (one.slots(pes), one.groups, one.beats(lanes))
        )

    @property
    def head_slots(self) -> int:
        """Most rows of a linear layer that every PE works on."""
        return max((layer.slots(self._rounding) for layer in self.linear), default=0)

    @property
    def head_beats(self) -> int:
        """Beats in which the linear output layer's results leave."""
        return self.linear[-1].beats(self.projectors) if self.linear else 0

    @property
    def write_ports(self) -> int:
        """Places of a bank that one beat writes."""
        return max(1, self.projectors // self.lanes, self.units // self.lanes)

    def regions(self, program: int) -> Regions:
        """Where a program's vectors lie."""
        shapes, parts = self.programs[program], self.model.directions
        widths = [shape.widths for shape in shapes]
        entry = shapes[0].ih.bank_width
        between = [layer.width for layer in self.linear[:-1]]
        together = self.contexts if self.batched else 1
        return Regions.of(
            entry, parts, widths, self.contexts, self.write_ports, between, together=together
        )

    @property
    def output_beats(self) -> int:
        """Beats that leave for one frame."""
        entry = self.model.directions
        return self.head_beats + max(
            sum(s.units(self.units) + s.projected(self.projectors or 1) for s in program[-entry:])
            for program in self.programs
        )

    @property
    def _parked(self) -> int:
        """Rows of every PE whose sums are parked."""
        return max(sum(s.slots(self._working) for s in program) for program in self.programs)

    @property
    def working_pes(self) -> tuple[int, int]:
        """PEs that have rows of units, and of projections: those of whole beats."""
        return self._working, self._rounding

    @property
    def _working(self) -> int:
        """PEs that have rows of units: those of whole beats."""
        beat = self._abreast * self.units
        return (self.slot_units or max(1, self.pes // beat)) * beat

    @property
    def _rounding(self) -> int:
        """PEs that have rows of projections and linear layers."""
        beat = max(1, self.projectors)
        return (self.slot_results or max(1, self.pes // beat)) * beat

    @property
    def sizes(self) -> dict[str, int]:
        """The least value of every size of a :class:`~compiler.array.design.design.Design`."""
        pes, rounding, shapes = self._working, self._rounding, self.shapes
        matrices = [matrix for shape in shapes for matrix in shape.matrices]
        linear = self.linear
        heads = self.model.head.shape.layers if linear and self.model.head else ()
        places = [(layer.groups - 1).bit_length() for layer in linear if not self.dense]
        indexed = sum(s.groups(pes, rounding) for s in shapes)
        head_bits = [layer.weight_format.width for layer in heads]
        widths = [self.row_bits] if self.row_bits else head_bits
        value_bits = max(*widths, *(m.value_bits for m in matrices))
        per_word = value_bits // self.row_bits if self.row_bits else 1
        groups = sum(layer.slots(rounding) * layer.groups for layer in linear)
        apart = {"indexed": indexed} if self.dense else {}
        if self.row_bits:
            apart |= {"row_bits": self.row_bits, "row_shift": head_bits[-1] - self.row_bits}
        rows = [shape.row_groups for shape in shapes] + self._rounded
        passes = len(cell_named(self.model.shape.cell).passes)
        return {
            "value_bits": value_bits,
            "index_bits": max(1, *places, *(m.index_bits for m in matrices)),
            "row_groups": max(rows),
            "slots": max(
                self._parked, self.head_slots, *(s.projection_slots(rounding) for s in shapes)
            ),
            "matrix_depth": indexed + -(-groups // per_word),
            **apart,
            "vector_depth": max(self.regions(n).depth for n in range(len(self.programs))),
            "cells": sum(s.cells(pes, self.units) for s in shapes),
            "output_depth": self.output_beats,
            "program_depth": sum(
                8 * passes * len(program) + 12 + 2 * len(linear[:-1]) for program in self.programs
            ),
            "projectors": self.projectors,
            "linear": sum(layer.beats(self.projectors) for layer in linear),
            "contexts": self.contexts,
        }

    @property
    def in_rows(self) -> Needs:
        """The same with rows of few bits, if the head has such and they are fewer bits stored."""
        head = self.model.shape.head
        if not self.dense or head is None or not head.row_bits or head.hidden:
            return self
        rows = replace(self, row_bits=head.row_bits)
        saves = rows.sizes["value_bits"] < self.sizes["value_bits"]
        return rows if saves or rows.sizes["matrix_depth"] < self.sizes["matrix_depth"] else self

    def design(self, **options: int | bool) -> Design:
        """The smallest design that holds the model.

        The output buffer takes two frames, or one of each context whose frames may be under way.
        """
        sizes = self.sizes
        depths = {
            "output_depth": max(self._least_out, self._frames_out * sizes["output_depth"]),
            # a power of two: what lies beyond the program halts
            "program_depth": 1 << (max(16, sizes["program_depth"]) - 1).bit_length(),
        }
        if options.get("compact"):
            options = self._compact | options
        act_bits = self.model.shape.layers[0].hidden.width
        reach, *wider = sorted({layer.arithmetic.reach for layer in self.model.shape.layers})
        fixed: Mapping[str, int | bool | str | tuple[int, ...]] = {
            **sizes,
            **depths,
            "act_bits": act_bits,
            "cell": self.model.shape.cell,
            "reach": reach,
            "wider": tuple(wider),
            "by_gate": self.by_gate,
            "rectified": len(self.linear) > 1,
            "slot_units": self.slot_units,
            "slot_results": self.slot_results,
            **({"batched": True} if self.batched else {}),
            **options,
        }
        return Design(pes=self.pes, lanes=self.lanes, units=self.units, **fixed)  # type: ignore[arg-type]

    @property
    def _least_out(self) -> int:
        """Beats that the output buffer takes at least."""
        return LEAST_OUTPUT if self.batched else 1

    @property
    def _frames_out(self) -> int:
        """Frames that the output buffer takes: of all contexts where these run together."""
        return self.contexts if self.batched else max(2, min(self.contexts, MOST_BACK))

    @property
    def _compact(self) -> dict[str, int | bool]:
        """What a compact design is made for: shifts, and matrix memories of 16 bits."""
        word = self.lanes * (self.sizes["value_bits"] + self.sizes["index_bits"])
        return {
            "max_align": max(map(Scales.largest, self.model.shape.layers)),
            "pieces": -(-word // PIECE_BITS),
        }

    def _check_joints(self, shapes: tuple[LayerShape, ...]) -> None:
        """Vectors lie as all their readers expect."""
        if self.model.directions == 2:
            found = {shape.ih.bank_width for shape in shapes}
            if len(found) > 1:
                raise DesignError(
                    f"the two directions see inputs {sorted(found)} places wide: "
                    "prune weight_ih of both with the same banks"
                )
            return
        for n, (giver, taker) in enumerate(pairwise(shapes)):
            if giver.hh.bank_width != taker.ih.bank_width:
                raise DesignError(
                    f"weight_hh of layer {n} has banks {giver.hh.bank_width} wide on "
                    f"{self.lanes} lanes, weight_ih of layer {n + 1} {taker.ih.bank_width}: "
                    "both read the same vector, prune them with the same banks"
                )


def design_for(
    model: Model | ModelShape,
    pes: int,
    lanes: int,
    units: int | None = None,
    *,
    projectors: int | None = None,
    contexts: int = 1,
    head: bool = False,
    largest: int | None = None,
    **options: int | bool,
) -> Design:
    """The smallest design of this array that holds a model.

    Parameters
    ----------
    model : Model or ModelShape
    pes, lanes : int
        M and N; N must divide the banks of every matrix.
    units, projectors : int, optional
        Element-wise lanes and projectors; by default the fewest that keep up with the
        products.
    contexts : int
    head : bool
        Whether the model's linear output layer runs on the array too.
    largest : int, optional
        k, logits that a screen unit finds of every frame's; see
        :func:`~compiler.array.screen.behind.screen_behind`. By default of a screened head without
        ``head``.
    **options
        ``fan_in``, ``streamed``, ``deep``, ``pieces``, ``compact``, ``max_align``, ``by_gate``,
        ``checked``, ``walk``, ``dense``, ``parts``, ``unguarded``, ``block_banks``, ``spread``,
        ``screen_digits``, ``screen_lanes``, ``planes``, ``batched``, ``shallow``, ``all_pes`` (none
        that has room for a row is left idle); ``max_align`` and ``pieces`` are what the model needs
        if the design is compact, ``by_gate`` is what ``asks_by_gate`` says if it is not.

    Raises
    ------
    DesignError
        If the array cannot carry the model.
    """
    known("an array", options, OPTIONS)
    given = {"units": units, "projectors": projectors}
    counts = {"pes": pes, "lanes": lanes, "contexts": contexts}
    found = check_counts(counts | {name: n for name, n in given.items() if n is not None})
    flags = {name: value for name, value in options.items() if name in FLAGS}
    check_flags(flags | {"head": head})
    if largest is not None:
        check_counts({"largest": largest}, least=0)
    cell = model.shape.cell
    check_pes(found["pes"], cell, found["lanes"])
    if options.get("compact"):
        found.setdefault("units", found["pes"] // cell_named(cell).abreast)
    dense, batched = (bool(options.pop(name, False)) for name in ("dense", "batched"))
    alike = bool(options.get("compact")) or batched  # rows of all gates share a slot
    by_gate = options.pop("by_gate", asks_by_gate(model) and not alike)
    needs = Needs(
        model, **found, head=bool(head), by_gate=bool(by_gate), dense=dense, batched=batched
    ).in_rows
    whole = bool(options.pop("all_pes", False) or options.get("compact") or batched)
    needs = needs if whole else needs.unhurried
    if head and largest:
        raise DesignError(
            f"largest = {largest} beside head: a screen unit takes the head's place; leave one out"
        )
    sizes = {name: options.pop(given) for given, name in SCREEN.items() if given in options}
    design = needs.design(**options)
    screen = screen_behind(model, design, 0 if head else largest, **sizes)
    return replace(design, screen=screen)


def check_supported(model: Model | ModelShape, *, head: bool = False) -> None:
    """Raise a :class:`.DesignError` that names what the accelerator cannot run, if anything."""
    layers = model.shape.layers
    for n, layer in enumerate(layers):
        width = layers[0].hidden.width
        for name, fixed in (("x", layer.input), ("h", layer.hidden), ("output", layer.output)):
            if fixed.width != width:
                raise DesignError(
                    f"{name} of layer {n} has {fixed.width} bits, h of the first layer {width}: "
                    "the array has one width; quantise all activations with the same act_bits"
                )
    for n, linear in enumerate(model.head.shape.layers if head and model.head else ()):
        if linear.input.width != layers[0].hidden.width:
            raise DesignError(
                f"linear layer {n} of the head takes {linear.input.width} bits, h of the first "
                f"layer has {layers[0].hidden.width}: the array has one width; quantise all "
                "activations with the same act_bits"
            )
    if head and model.head is None:
        raise DesignError("the model has no linear output layer: pack it with its classifier")
    if head and model.directions == 2:
        raise DesignError(
            "the linear output layer reads both directions, which end in different cycles: "
            "leave it to the host (head=False)"
        )
    if head and model.shape.pool == "mean":
        raise DesignError(
            "the linear output layer runs on every frame, this head takes the mean over time "
            "(pool 'mean'): leave it to the host (head=False)"
        )
