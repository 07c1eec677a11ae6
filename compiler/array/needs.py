"""What a model needs of an array: shapes as the array sees them, and places in its memories."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

from csb_format.arguments import known
from csb_format.cells import cell_named
from csb_format.scales import DesignError, Scales

from .design import Design, check_counts, check_flags, check_pes
from .regions import LayerWidths, Regions

if TYPE_CHECKING:
    from csb_format.geometry import Geometry
    from csb_format.model import Model
    from csb_format.shape import LstmShape, ModelShape

__all__ = [
    "LayerShape",
    "Needs",
    "check_supported",
    "design_for",
    "fewest_lanes",
    "merged",
    "programs",
]

FLAGS = ("streamed", "deep", "compact", "checked")
OPTIONS = (*FLAGS, "fan_in", "pieces", "max_align")  # of a design, besides its sizes
PIECE_BITS = 16  # of the single-port memories of iCE40


def programs(model: ModelShape) -> tuple[tuple[LstmShape, ...], ...]:
    """Layers that run in one program: all of them, or the two directions of each level.

    A level of two directions needs the last frame of the level before to start, so each
    is a program of its own and the host turns the outputs of one into the frames of the
    next.
    """
    return (model.layers,) if model.directions == 1 else model.levels


def merged(geometry: Geometry, lanes: int) -> Geometry:
    """A matrix's geometry as an array of ``lanes`` runs it: adjacent banks merged.

    A matrix without a weight keeps one entry a bank, of value 0.

    Raises
    ------
    DesignError
        If ``lanes`` does not divide the banks.
    """
    if geometry.banks % lanes:
        raise DesignError(
            f"lanes = {lanes} does not divide the {geometry.banks} banks that the matrix of "
            f"{geometry.rows} x {geometry.columns} was pruned with: choose a divisor of "
            f"{geometry.banks}, or prune with other banks"
        )
    seen = geometry.merged(geometry.banks // lanes)
    return replace(seen, nonzeros=max(1, seen.nonzeros))


def fewest_lanes(
    pes: int, lanes: int, groups: int, *, rows: int = 1, projectors: bool = False
) -> int:
    """Fewest element-wise lanes (or projectors) that keep up with the products.

    Every slot they take ``pes / rows`` results in ``groups`` cycles or more; they must
    divide these results and the vector lanes, so that each serves banks of its own. Where
    none keeps up, the most that are possible.
    """
    results = pes // rows
    fitting = [n for n in range(1, lanes + 1) if lanes % n == 0 and results % n == 0]
    if projectors:  # more than N: several places of a bank are written at once
        fitting += [n for n in (2 * lanes, 4 * lanes, 8 * lanes) if results % n == 0]
    return next((n for n in fitting if results // n <= groups), fitting[-1] if fitting else 1)


@dataclass(frozen=True)
class LayerShape:
    """Geometries of one layer's matrices on N lanes.

    Parameters
    ----------
    ih, hh : Geometry
    hr : Geometry or None
        Of the projection.
    abreast : int
        Rows of a unit that PEs side by side work on at once.
    resets : bool
        Whether rows of ``hh`` read ``r * h``.
    """

    ih: Geometry
    hh: Geometry
    hr: Geometry | None
    abreast: int = 4
    resets: bool = False

    @classmethod
    def of(cls, layer: LstmShape, lanes: int) -> LayerShape:
        """Shapes of a layer on ``lanes`` multipliers a PE."""
        return cls(
            merged(layer.weight_ih, lanes),
            merged(layer.weight_hh, lanes),
            merged(layer.weight_hr, lanes) if layer.weight_hr else None,
            layer.arithmetic.abreast,
            bool(layer.arithmetic.resets),
        )

    @property
    def lanes(self) -> int:
        """N."""
        return self.ih.banks

    @property
    def gates(self) -> int:
        """Rows of ``ih`` for each unit."""
        return self.ih.rows // (self.hr or self.hh).columns

    @property
    def matrices(self) -> tuple[Geometry, ...]:
        """All matrices, in the order in which memory holds them."""
        return (self.ih, self.hh) if self.hr is None else (self.ih, self.hh, self.hr)

    @property
    def widths(self) -> LayerWidths:
        """Places in a bank of its vectors."""
        hidden = self.hr.bank_width if self.hr else 0
        return LayerWidths(self.hh.bank_width, hidden, self.hidden if self.resets else 0)

    @property
    def hidden(self) -> int:
        """Places of h in a bank."""
        return (self.hr or self.hh).bank_width

    def slots(self, pes: int) -> int:
        """Rows of each gate matrix that every PE works on."""
        turns = self.gates // self.abreast
        return turns * -(-self.abreast * self.lanes * self.hidden // pes)

    def projection_slots(self, pes: int) -> int:
        """Rows of the projection that every PE works on; 0 without one."""
        return -(-self.lanes * self.hh.bank_width // pes) if self.hr else 0

    def groups(self, pes: int) -> int:
        """CSB groups that every PE stores."""
        gates = self.slots(pes) * (self.ih.nonzeros + self.hh.nonzeros)
        return gates + self.projection_slots(pes) * (self.hr.nonzeros if self.hr else 0)

    def units(self, units: int) -> int:
        """Beats of ``units`` results in which h comes home."""
        return -(-self.lanes * self.hidden // units)

    def projected(self, projectors: int) -> int:
        """Beats in which the projected state comes home; 0 without a projection."""
        return -(-self.lanes * self.hh.bank_width // projectors) if self.hr else 0

    def cells(self, pes: int, units: int) -> int:
        """Places in the memories of an element-wise lane, those of padding rows included."""
        return max(self.units(units), self.slots(pes) * pes // (self.gates * units))


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

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", self.model.shape)
        check_supported(self.model, head=self.head)
        for shapes in self.programs:
            self._check_joints(shapes)
        if not self.units:
            object.__setattr__(self, "units", self._fewest_units)
        if not self.projectors and self._rounded:
            fewest = fewest_lanes(self.pes, self.lanes, min(self._rounded), projectors=True)
            object.__setattr__(self, "projectors", fewest)

    @property
    def _fewest_units(self) -> int:
        abreast = cell_named(self.model.shape.cell).abreast
        return fewest_lanes(self.pes, self.lanes, self._least, rows=abreast)

    @cached_property
    def programs(self) -> tuple[tuple[LayerShape, ...], ...]:
        """Shapes of the layers of every program."""
        return tuple(
            tuple(LayerShape.of(layer, self.lanes) for layer in layers)
            for layers in programs(self.model.shape)
        )

    @property
    def shapes(self) -> tuple[LayerShape, ...]:
        """Shapes of all layers."""
        return tuple(shape for program in self.programs for shape in program)

    @property
    def _least(self) -> int:
        """Fewest groups of a pass that feeds the element-wise lanes."""
        entry = len(self.programs[0]) if self.model.directions == 2 else 1
        shapes = [(n, shape) for program in self.programs for n, shape in enumerate(program)]
        finishing = [s.hh.nonzeros if n < entry else s.ih.nonzeros for n, s in shapes]
        return min(finishing + [s.hh.nonzeros for _, s in shapes if s.resets])

    @property
    def _rounded(self) -> list[int]:
        """Groups of the passes that feed the projectors."""
        found = [shape.hr.nonzeros for shape in self.shapes if shape.hr]
        return found + [self.head_groups] * self.head

    @property
    def head_groups(self) -> int:
        """Groups of a row of the linear output layer, which is dense."""
        return self.shapes[-1].hh.bank_width

    @property
    def _head_elements(self) -> int:
        """Outputs of the linear layer with padding to whole places; 0 without one."""
        if not (self.head and self.model.head):
            return 0
        return -(-self.model.head.output_size // self.lanes) * self.lanes

    @property
    def head_slots(self) -> int:
        """Rows of the linear output layer that every PE works on."""
        return -(-self._head_elements // self.pes)

    @property
    def head_beats(self) -> int:
        """Beats in which the linear output layer's results leave."""
        return -(-self._head_elements // self.projectors) if self.head else 0

    @property
    def write_ports(self) -> int:
        """Places of a bank that one beat writes."""
        return max(1, self.projectors // self.lanes)

    def regions(self, program: int) -> Regions:
        """Where a program's vectors lie."""
        shapes, parts = self.programs[program], self.model.directions
        widths = [shape.widths for shape in shapes]
        entry = shapes[0].ih.bank_width
        return Regions.of(entry, parts, widths, self.contexts, self.write_ports)

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
        return max(sum(s.slots(self.pes) for s in program) for program in self.programs)

    @property
    def sizes(self) -> dict[str, int]:
        """The least value of every size of a :class:`~compiler.array.design.Design`."""
        pes, shapes = self.pes, self.shapes
        matrices = [matrix for shape in shapes for matrix in shape.matrices]
        head = self.model.head if self.head else None
        head_index = (self.head_groups - 1).bit_length() if head else 0
        head_bits = head.weight_format.width if head else 0
        rows = [s.ih.nonzeros + s.hh.nonzeros for s in shapes] + self._rounded
        passes = len(cell_named(self.model.shape.cell).passes)
        return {
            "value_bits": max(head_bits, *(m.value_bits for m in matrices)),
            "index_bits": max(1, head_index, *(m.index_bits for m in matrices)),
            "row_groups": max(rows),
            "slots": max(self._parked, self.head_slots, *(s.projection_slots(pes) for s in shapes)),
            "matrix_depth": sum(s.groups(pes) for s in shapes)
            + self.head_slots * self.head_groups * bool(head),
            "vector_depth": max(self.regions(n).depth for n in range(len(self.programs))),
            "cells": sum(s.cells(pes, self.units) for s in shapes),
            "output_depth": self.output_beats,
            "program_depth": sum(8 * passes * len(program) + 12 for program in self.programs),
            "projectors": self.projectors,
            "linear": self.head_beats,
            "contexts": self.contexts,
        }

    def design(self, **options: int | bool) -> Design:
        """The smallest design that holds the model; the output buffer takes two frames."""
        sizes = self.sizes
        depths = {
            "output_depth": 2 * sizes["output_depth"],
            # a power of two: what lies beyond the program halts
            "program_depth": 1 << (max(16, sizes["program_depth"]) - 1).bit_length(),
        }
        if options.get("compact"):
            options = self._compact | options
        act_bits = self.model.shape.layers[0].hidden.width
        fixed: Mapping[str, int | bool | str] = {
            **sizes,
            **depths,
            "act_bits": act_bits,
            "cell": self.model.shape.cell,
            "reach": self.model.shape.layers[0].arithmetic.reach,
            **options,
        }
        return Design(pes=self.pes, lanes=self.lanes, units=self.units, **fixed)  # type: ignore[arg-type]

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
    **options
        ``fan_in``, ``streamed``, ``deep``, ``checked``, ``pieces``, ``compact``, ``max_align``;
        the last and ``pieces`` are what the model needs if the design is compact.

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
    cell = model.shape.cell
    check_pes(found["pes"], cell)
    if options.get("compact"):
        found.setdefault("units", found["pes"] // cell_named(cell).abreast)
    return Needs(model, **found, head=bool(head)).design(**options)


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
        if layer.state != layers[0].state:
            raise DesignError(
                f"states of layer {n} are in {layer.state}, those of the first in "
                f"{layers[0].state}: the array has one range for all layers; quantise with one "
                "reach (--cell-range)"
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
