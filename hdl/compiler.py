"""From a model and a design to memory contents and a program."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from csb_format.csb import Csb
from csb_format.design import GATES, Design, DesignError, Scales, check_supported, merged, region
from csb_format.fixed import IntArray
from csb_format.model import LstmLayer, Model
from csb_format.words import join_fields

from .loader import WORD, Space, header, space_widths
from .program import Instruction, Op

__all__ = ["Image", "Placement", "as_seen", "compile_model"]

PADDING = -1
MAX_LOADED = 1 << 16  # words: address bits of a load packet


@dataclass(frozen=True)
class Placement:
    """Where the units of a layer are worked on, and where their hidden state lies.

    Parameters
    ----------
    design : Design
    hidden_size : int
        H, units.
    bank_width : int
        w, places of h in a bank.
    """

    design: Design
    hidden_size: int
    bank_width: int

    @property
    def units(self) -> int:
        """Units with padding, N * w."""
        return self.design.lanes * self.bank_width

    @property
    def units_per_lane(self) -> int:
        """Units that an element-wise lane updates in a step, padding included."""
        return self.units // self.design.units

    @property
    def slots(self) -> int:
        """Rows that every PE works on in a pass."""
        return -(-GATES * self.units // self.design.pes)

    @property
    def order(self) -> IntArray:
        """Unit at each place of the processing order, int64 (slots * M / 4,), -1 for padding."""
        t = np.arange(self.slots * self.design.pes // GATES)
        unit = (t % self.design.lanes) * self.bank_width + t // self.design.lanes
        real = (t < self.units) & (unit < self.hidden_size)
        return np.where(real, unit, PADDING)

    @property
    def rows(self) -> IntArray:
        """Row of the gate matrix in each slot and PE, int64 (slots, M), -1 for padding."""
        unit = self.order.reshape(self.slots, -1, 1)
        row = unit + np.arange(GATES) * self.hidden_size
        return np.where(unit < 0, PADDING, row).reshape(self.slots, self.design.pes)

    def to_order(self, natural: IntArray) -> IntArray:
        """Values (..., H) by unit to values (..., units) as the lanes put them out."""
        order = self.order[: self.units]
        return np.where(order < 0, 0, natural[..., order])

    def from_order(self, ordered: IntArray) -> IntArray:
        """Values (..., units) as the lanes put them out to values (..., H) by unit."""
        order = self.order[: self.units]
        natural = np.zeros((*ordered.shape[:-1], self.hidden_size), ordered.dtype)
        natural[..., order[order >= 0]] = ordered[..., order >= 0]
        return natural


@dataclass(frozen=True)
class Image:
    """Contents of all memories of a design, for one model.

    Parameters
    ----------
    design : Design
    placement : Placement
    memories : dict
        Memory name (``matrix_000``, ``bias_000``, ``program``) to its words from 0 on.
    program : tuple of Instruction
    input_width : int
        Places of x in a bank, the beats of a frame.
    input_size : int
        Elements of x.
    """

    design: Design
    placement: Placement
    memories: dict[str, list[int]]
    program: tuple[Instruction, ...]
    input_width: int
    input_size: int

    def width(self, name: str) -> int:
        """Bits of a word of a memory."""
        return space_widths(self.design)[self._space(name)[0]]

    def load_words(self) -> list[int]:
        """The packets that load everything and start the program; see :mod:`hdl.loader`.

        Raises
        ------
        DesignError
            If a memory has more words than a packet's header can address.
        """
        words: list[int] = []
        for name, contents in self.memories.items():
            space, target = self._space(name)
            if len(contents) > MAX_LOADED:
                raise DesignError(
                    f"{name} has {len(contents)} words: the load stream reaches {MAX_LOADED}; "
                    "take more PEs, or start from memory images"
                )
            words += [header(space, target), len(contents)]
            words += list(_chunks(contents, self.width(name)))
        return [*words, header(Space.START)]

    def beats(self, frames: IntArray) -> IntArray:
        """Input frames (T, X) as beats (T, input_width, N): bank b holds x[b*w : b*w + w]."""
        padded = np.zeros((len(frames), self.design.lanes * self.input_width), np.int64)
        padded[:, : self.input_size] = frames
        return padded.reshape(len(frames), self.design.lanes, self.input_width).swapaxes(1, 2)

    @staticmethod
    def _space(name: str) -> tuple[Space, int]:
        kind, _, target = name.partition("_")
        return Space[kind.upper()], int(target or 0)


def compile_model(model: Model, design: Design) -> Image:
    """Order rows, lay out vectors, write memories and program.

    Parameters
    ----------
    model : Model
        One LSTM layer; every matrix has banks that ``design.lanes`` divides.
    design : Design

    Returns
    -------
    Image

    Raises
    ------
    DesignError
        If the model does not fit; the message names the memory and what it needs.
    """
    check_supported(model)
    layer = model.layers[0]
    ih, hh = (as_seen(matrix, design.lanes) for matrix in (layer.weight_ih, layer.weight_hh))
    placement = Placement(design, layer.hidden_size, hh.geometry.bank_width)
    _check_fit(layer, ih, hh, placement)
    program = _program(layer, ih, hh, placement)
    memories = _matrix_words((ih, hh), placement) | _bias_words(layer, placement)
    unused = [Instruction()] * (design.program_depth - len(program))
    memories["program"] = [word.encode(design) for word in (*program, *unused)]
    width = ih.geometry.bank_width
    return Image(design, placement, memories, program, width, layer.input_size)


def as_seen(matrix: Csb, lanes: int) -> Csb:
    """The matrix as an array of ``lanes`` runs it: banks merged, at least one entry a bank."""
    geometry = merged(matrix.geometry, lanes)
    matrix = matrix.merge_banks(matrix.geometry.banks // lanes)
    if geometry.nonzeros:
        return matrix
    dense = np.zeros((geometry.rows, geometry.columns), np.int64)
    one = type(geometry)(
        geometry.rows, geometry.columns, lanes, 1, geometry.value_bits, geometry.bank_width
    )
    return Csb.pack(dense, one, fill=True)


def _check_fit(layer: LstmLayer, ih: Csb, hh: Csb, placement: Placement) -> None:
    """Everything a design can lack, by name."""
    design = placement.design
    groups = ih.geometry.nonzeros + hh.geometry.nonzeros
    needs = {
        "value_bits": max(ih.geometry.value_bits, hh.geometry.value_bits),
        "index_bits": max(ih.geometry.index_bits, hh.geometry.index_bits),
        "row_groups": groups,
        "slots": placement.slots,
        "matrix_depth": placement.slots * groups,
        "vector_depth": 2 * region(hh.geometry.bank_width) + 2 * region(ih.geometry.bank_width),
        "cells": max(placement.units_per_lane, placement.slots * design.units_per_slot),
        "output_depth": placement.units_per_lane,
    }
    for name, need in needs.items():
        if getattr(design, name) < need:
            raise DesignError(
                f"the model needs {name} = {need}, the design has {getattr(design, name)}: "
                "generate a larger design, or prune the model further"
            )
    formats = (layer.hidden, layer.state)
    if formats != (design.gate, design.state) or layer.input.width != design.act_bits:
        raise DesignError(
            f"the model's formats are x {layer.input}, h {layer.hidden}, c {layer.state}; "
            f"the design computes h {design.gate}, c {design.state}: quantise for "
            f"act_bits = {design.act_bits}"
        )


def _program(layer: LstmLayer, ih: Csb, hh: Csb, placement: Placement) -> tuple[Instruction, ...]:
    """Two passes a step, unrolled twice for the two places of x and of h."""
    scales = Scales.of(layer)
    x, h = _regions(ih.geometry.bank_width, hh.geometry.bank_width)
    slots, k_ih, k_hh = placement.slots, ih.geometry.nonzeros, hh.geometry.nonzeros
    setup = Instruction(
        Op.SETUP, next=1, frame_beats=ih.geometry.bank_width, frame_bases=(x[0], x[1])
    )
    program = [setup]
    for phase in (0, 1):
        inputs = Instruction(
            Op.PASS,
            next=2 + 2 * phase,
            wait_frame=True,
            release_frame=True,
            slots=slots,
            groups=k_ih,
            interval=k_ih,
            source=x[phase],
            align=scales.align_ih,
        )
        recurrent = Instruction(
            Op.PASS,
            next=(3, 1)[phase],
            elementwise=True,
            parked=True,
            slots=slots,
            groups=k_hh,
            interval=max(k_hh, placement.design.units_per_slot),
            matrix=slots * k_ih,
            source=h[1 - phase],
            align=scales.align_hh,
            target=h[phase],
            units=placement.units_per_lane,
            shift=scales.shift,
        )
        program += [inputs, recurrent]
    return tuple(program)


def _regions(x_width: int, h_width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Places of the two x and the two h regions, each at a multiple of its own size."""
    sizes = {"x": region(x_width), "h": region(h_width)}
    larger, smaller = sorted(sizes, key=lambda name: -sizes[name])
    start = {larger: 0, smaller: 2 * sizes[larger]}
    return (
        (start["x"], start["x"] + sizes["x"]),
        (start["h"], start["h"] + sizes["h"]),
    )


def _matrix_words(matrices: tuple[Csb, ...], placement: Placement) -> dict[str, list[int]]:
    """Words of every PE's matrix memory: slot by slot, group by group, matrix by matrix."""
    design = placement.design
    words = [_pass_words(matrix, placement) for matrix in matrices]
    return {
        f"matrix_{pe:03d}": [word for part in words for word in part[:, pe].ravel().tolist()]
        for pe in range(design.pes)
    }


def _pass_words(matrix: Csb, placement: Placement) -> np.ndarray:
    """Object array (slots, M, k) of memory words; padding rows hold zeros."""
    design, rows = placement.design, placement.rows
    entries = np.stack([matrix.values, matrix.indices.astype(np.int64)], axis=-1)
    placed = np.where(rows[..., None, None, None] < 0, 0, entries[rows])
    widths = [design.value_bits, design.index_bits] * design.lanes
    return join_fields(placed.reshape(*placed.shape[:3], -1), widths)


def _bias_words(layer: LstmLayer, placement: Placement) -> dict[str, list[int]]:
    """Words of every element-wise lane's bias memory: gate i lowest."""
    design = placement.design
    bias = layer.bias.reshape(GATES, -1).T
    order = placement.order[: placement.units]
    placed = np.where(order[:, None] < 0, 0, bias[order])
    words = join_fields(placed, design.state.width).reshape(-1, design.units)
    return {f"bias_{lane:03d}": words[:, lane].tolist() for lane in range(design.units)}


def _chunks(words: list[int], width: int) -> Iterator[int]:
    """Each word as 32-bit words, lowest first."""
    for word in words:
        for i in range(-(-width // WORD)):
            yield word >> (WORD * i) & 0xFFFFFFFF
