"""A user's whole module with its recurrent part on packed integers, the rest as it is."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from csb_format.cells import LSTM
from csb_format.fixed import Fixed, IntArray
from csb_format.model import LstmLayer, Model

from ..cells import module_of_cell
from ..importers.checkpoint import UnsupportedLayerError

__all__ = ["IntegerCell", "IntegerLayers", "LayerArithmetic", "replaced"]

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Both = tuple[Tensor, Tensor]


class LayerArithmetic(Protocol):
    """One direction of a layer in integers, :class:`engine.reference.LayerModel`."""

    layer: LstmLayer

    def step(self, x: IntArray, r: IntArray, c: IntArray) -> tuple[IntArray, IntArray]:
        """Hidden and kept state after a frame."""

    def project(self, h: IntArray) -> IntArray:
        """Output of a hidden state."""


_CELLS = nn.LSTMCell | nn.GRUCell
Arithmetic = Callable[[LstmLayer], LayerArithmetic]


class IntegerLayers(nn.Module):
    """What an ``nn.LSTM`` or ``nn.GRU`` does, on packed integers: the accelerator's bits.

    Inputs and states given are rounded to their formats and saturate; what comes out is the
    integers' exact values. There are no gradients, and no dropout between layers. A GRU keeps two
    bits more than its outputs have; a state that is given has none of them.

    Parameters
    ----------
    model : Model
        Without its head, which stays with the host.
    arithmetic : callable
        Makes the arithmetic of a layer.
    batch_first : bool
        As of ``nn.LSTM`` and ``nn.GRU``.
    """

    def __init__(self, model: Model, arithmetic: Arithmetic, batch_first: bool = False) -> None:
        super().__init__()
        self.model, self.batch_first = model, batch_first
        self._gru = model.cell != LSTM
        self._levels = [[arithmetic(layer) for layer in level] for level in model.levels]

    def forward(
        self, frames: Tensor | PackedSequence, states: Both | Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Both | Tensor]:
        """As ``nn.LSTM`` or ``nn.GRU``.

        Parameters
        ----------
        frames : Tensor or PackedSequence
            (T, B, X), (B, T, X) if batch first, or (T, X).
        states : (Tensor, Tensor), or Tensor, optional
            ``h_0`` and ``c_0``, (layers * D, B, ...); of a GRU ``h_0``.

        Returns
        -------
        outputs, (h_n, c_n)
            Of a GRU outputs, h_n.
        """
        if isinstance(states, Tensor):
            states = states, states
        outputs, ends = self._outputs(frames, states)
        return outputs, ends[0] if self._gru else ends

    def _outputs(
        self, frames: Tensor | PackedSequence, states: Both | None
    ) -> tuple[Tensor | PackedSequence, Both]:
        if isinstance(frames, PackedSequence):
            padded, lengths = pad_packed_sequence(frames, batch_first=True)
            outputs, ends = self._run(padded, lengths.numpy(), states)
            packed = pack_padded_sequence(outputs, lengths, batch_first=True, enforce_sorted=False)
            return packed, ends
        single = frames.ndim == 2
        turned = frames[None] if single else frames if self.batch_first else frames.transpose(0, 1)
        if single and states is not None:
            states = states[0][:, None], states[1][:, None]
        every = np.full(len(turned), turned.shape[1])
        outputs, (h, c) = self._run(turned, every, states)
        if single:
            return outputs[0], (h[:, 0], c[:, 0])
        return (outputs if self.batch_first else outputs.transpose(0, 1)), (h, c)

    def _run(self, frames: Tensor, lengths: IntArray, states: Both | None) -> tuple[Tensor, Both]:
        """Outputs (B, T, D * R) and last states of frames (B, T, X)."""
        first = self.model.layers[0].input
        ints = first.quantise(frames.detach().cpu().double().numpy())
        outputs, cells = [], []
        for number, level in enumerate(self._levels):
            found = []
            for way, one in enumerate(level):
                at = number * len(level) + way
                given = None if states is None else (states[0][at], states[1][at])
                r, c = _initial(one.layer, given, len(ints))
                found.append(_layer(one, ints, lengths, r, c, backwards=way == 1))
            ints = np.concatenate([each[0] for each in found], -1)
            outputs += [
                _real(each[1], one.layer.output, frames)
                for each, one in zip(found, level, strict=True)
            ]
            cells += [
                _real(each[2], _kept(one.layer), frames)
                for each, one in zip(found, level, strict=True)
            ]
        whole = _real(ints, self.model.layers[-1].output, frames)
        return whole, (torch.stack(outputs), torch.stack(cells))


class IntegerCell(nn.Module):
    """What an ``nn.LSTMCell`` or ``nn.GRUCell`` does, on the packed integers of a layer.

    Parameters
    ----------
    one : LayerArithmetic
    """

    def __init__(self, one: LayerArithmetic) -> None:
        super().__init__()
        self._one = one

    def forward(self, frame: Tensor, states: Both | Tensor | None = None) -> Both | Tensor:
        """As the cell: frames (B, X) or (X,), states (B, H) or (H,)."""
        if isinstance(states, Tensor):
            states = states, states
        layer, batch = self._one.layer, frame if frame.ndim == 2 else frame[None]
        given = None if states is None else tuple(s.reshape(len(batch), -1) for s in states)
        h, c = _initial(layer, given, len(batch))  # type: ignore[arg-type]
        x = layer.input.quantise(batch.detach().cpu().double().numpy())
        h, c = self._one.step(x, h, c)
        shape = (*frame.shape[:-1], -1)
        hidden = _real(h, layer.hidden, frame).reshape(shape)
        if layer.cell != LSTM:
            return hidden
        return hidden, _real(c, _kept(layer), frame).reshape(shape)


def _initial(layer: LstmLayer, given: Both | None, batch: int) -> tuple[IntArray, IntArray]:
    if given is None:
        sizes = (layer.output_size, layer.hidden_size)
        r, c = (np.zeros((batch, size), np.int64) for size in sizes)
        return r, c
    r, c = (each.detach().cpu().double().numpy() for each in given)
    return layer.output.quantise(r), _kept(layer).quantise(c)


def _kept(layer: LstmLayer) -> Fixed:
    """Format of what a cell keeps."""
    return layer.arithmetic.kept


def _layer(
    one: LayerArithmetic, x: IntArray, lengths: IntArray, r: IntArray, c: IntArray, backwards: bool
) -> tuple[IntArray, IntArray, IntArray]:
    """Outputs (B, T, R) of a direction, and its last output and cell state."""
    order = np.tile(np.arange(x.shape[1]), (len(x), 1))
    if backwards:
        order = np.where(order < lengths[:, None], lengths[:, None] - 1 - order, order)
    outputs = np.zeros((*x.shape[:2], one.layer.output_size), np.int64)
    rows = np.arange(len(x))
    for t in range(x.shape[1]):
        live = rows[lengths > t]
        at = order[live, t]
        h, c[live] = one.step(x[live, at], r[live], c[live])
        r[live] = one.project(h)
        outputs[live, at] = r[live]
    return outputs, r, c


def _real(ints: IntArray, fixed: Fixed, like: Tensor) -> Tensor:
    return torch.from_numpy(fixed.dequantise(ints)).to(like.device, like.dtype)


def replaced(module: ModuleT, name: str, model: Model, arithmetic: Arithmetic) -> ModuleT:
    """A copy of a module whose recurrent submodule runs on integers; see ``sparseflow.replace``."""
    try:
        old = module.get_submodule(name)
    except AttributeError as error:
        there = [n for n, each in module.named_modules() if isinstance(each, nn.RNNBase)]
        there += [n for n, each in module.named_modules() if isinstance(each, nn.RNNCellBase)]
        named = ", ".join(there) or "there is none"
        raise ValueError(f"there is no submodule {name!r}; recurrent ones: {named}") from error
    if old is module:
        raise ValueError("the module itself is recurrent: give one that holds it, and its name")
    new = _new(old, name, model, arithmetic)
    made = copy.deepcopy(module, {id(old): new})  # it takes the old one for copied already
    return made


def _new(old: nn.Module, name: str, model: Model, arithmetic: Arithmetic) -> nn.Module:
    members = [old] if isinstance(old, _CELLS | nn.RNNBase) else list(old.children())
    kind = module_of_cell(model.cell).__name__
    if isinstance(old, nn.LSTM | nn.GRU):
        _check(name, members, kind, model)
        return IntegerLayers(model, arithmetic, old.batch_first)
    if members and all(isinstance(each, _CELLS) for each in members):
        _check(name, members, f"{kind}Cell", model)
        cells = [IntegerCell(arithmetic(layer)) for layer in model.layers]
        return cells[0] if isinstance(old, _CELLS) else nn.ModuleList(cells)
    raise UnsupportedLayerError(
        f"{name} is {type(old).__name__}: only an nn.LSTM, an nn.GRU, their cells or a list of "
        "cells have integers"
    )


Sizes = tuple[list[tuple[int, int]], int, int]


def _sizes(modules: Sequence[Any]) -> Sizes:
    """Inputs and units of every level, directions, and outputs of one; of what torch holds."""
    first = modules[0]
    if not isinstance(first, nn.RNNBase):
        return [(m.input_size, m.hidden_size) for m in modules], 1, first.hidden_size
    ways, outputs = 1 + first.bidirectional, first.proj_size or first.hidden_size
    above = [(ways * outputs, first.hidden_size)] * (first.num_layers - 1)
    return [(first.input_size, first.hidden_size), *above], ways, outputs


def _check(name: str, members: Sequence[nn.Module], kind: str, model: Model) -> None:
    wanted, mine = _sizes(members), {type(each).__name__ for each in members}
    if mine != {kind}:
        raise ValueError(
            f"{name} is {', '.join(sorted(mine))}, the model one of {kind}: give the one packed of "
            "it"
        )
    levels = [(level[0].input_size, level[0].hidden_size) for level in model.levels]
    found = levels, model.directions, model.layers[-1].output_size
    if found != wanted:
        told = [
            f"layers {s[0]} (inputs, units), {s[1]} directions, {s[2]} outputs of each"
            for s in (wanted, found)
        ]
        raise ValueError(f"{name} has {told[0]}, the model {told[1]}: give the one packed of it")
