"""An array that trains, on its bit-exact models: commands as drivers send them, cycles counted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from compiler.abi.states import Emitted
from compiler.array.design import Design
from compiler.array.program import Sink
from compiler.array.widths import row_left
from compiler.learn.commands import (
    FACTOR_BITS,
    LEFT_BITS,
    PLACE_BITS,
    Learn,
    Update,
)
from compiler.learn.design import learns_head
from compiler.learn.layout import GRADIENT_BITS, LearningLayout
from compiler.learn.memories import Memories, entries_of, tensor_of
from compiler.learn.model import gradients_of, updated
from compiler.learn.packets import Loaded, packets_of
from compiler.learn.timing import update_cycles
from compiler.learn.transposed import back_cycles, turns_of
from compiler.lower.image import Image
from compiler.lower.learning.masters import layer_of, learning_passes
from compiler.lower.load import Space
from compiler.lower.passes import HEAD, Pass
from csb_format import Csb, IntArray, Model
from csb_format.words import split_fields
from engine.learn.cells.gru import GruFrame
from engine.learn.reference import ReferencePass
from engine.learn.tape import Piece


class ModelAccelerator:
    """What a learner asks of a driver, computed on what lies in memories."""

    def __init__(self, design: Design, bits: int):
        self.design, self._bits = design, bits
        self.updates = self.backs = self.loaded = self.left = 0  # words of biases do not count
        self._given: dict[int, int] = {}

    def load(self, image: Image) -> None:
        """Memories as an image has them."""
        self._image, self._memories = image, Memories.of(image)
        self._model: Model = image.model
        self._biases = dict[tuple[Space, int], list[int]]()
        for name, words in image.memories.items():
            kind, _, target = name.partition("_")
            if kind in ("bias", "linear"):
                self._biases[Space[kind.upper()], int(target)] = list(words)

    def command(self, words: list[int], *, wait: bool = True) -> None:
        """Load packets, one after the other."""
        biases = (Space.BIAS, Space.LINEAR)  # words of which do not count
        self.loaded += bool(words) and Space(words[0] >> 28) not in biases  # the header
        at = 0
        for one in packets_of(self.design, words):
            self.loaded += one.size * (one.space not in biases)
            self._packet(one, words[at : at + one.size])
            at += one.size

    def _packet(self, one: Loaded, words: list[int]) -> None:
        space, target, place, found, *_ = one
        if space in (Space.MATRIX, Space.GRADIENTS, Space.VECTOR):
            self._memories.write(self.design, words)
        elif space is Space.MASTER:
            self._memories.masters[target, place : place + len(found)] = found
        elif space in (Space.BIAS, Space.LINEAR):
            self._biases[space, target][place : place + len(found)] = found
        else:
            self._given |= {place + n: word for n, word in enumerate(found)}
            if Learn.GO in range(place, place + len(found)):
                self._go()

    def _pass(self) -> Pass:
        base = self._given[Learn.BASE]
        passes = learning_passes(self._image)
        return max(
            (p for p in passes if p.instruction.matrix <= base), key=lambda p: p.instruction.matrix
        )

    def _layout(self, given: Pass) -> LearningLayout:
        bits = GRADIENT_BITS if given.matrix == HEAD else self._bits
        answers = self._given.get(Learn.CHUNKS, 1) * self.design.lanes
        return LearningLayout(self._image, answers, given, bits)

    def _go(self) -> None:
        rate = self._given[Learn.RATE]
        place = rate >> FACTOR_BITS
        place -= (place >> PLACE_BITS - 1) << PLACE_BITS
        factor = rate & (1 << FACTOR_BITS) - 1
        update = Update(
            self._layout(self._pass()), place, factor, self._given[Learn.START], self._lefts()
        )
        assert update.registers == {Learn(n): self._given[n] for n in range(Learn.GO + 1)}
        self._memories = updated(update, self._memories)
        self.updates += update_cycles(update)

    def _lefts(self) -> tuple[int, ...]:
        """Of gates."""
        given, mask = self._given[Learn.LEFTS], (1 << LEFT_BITS) - 1
        return tuple(given >> LEFT_BITS * gate & mask for gate in range(self.design.abreast))

    def columns(self, words: list[int], beats: int) -> IntArray:
        """Sums of columns."""
        self.command(words)
        get, design, lanes = self._given.__getitem__, self.design, self.design.lanes
        slots, groups, width = get(Learn.SLOTS), get(Learn.GROUPS), get(Learn.WIDTH)
        matrix, sums = self._memories.matrix, np.zeros((lanes, width, lanes), np.int64)
        lefts = np.resize(self._lefts(), design.pes)
        for slot in range(slots):
            d, marks = gradients_of(matrix[get(Learn.GRADIENTS) + slot], design)
            if most := row_left(design):  # a register of so many bits
                lefts = (self._lefts()[0] - marks) % (1 << most.bit_length())
            d = d << lefts[:, None]
            first = get(Learn.BASE) + slot * groups
            entries = entries_of(matrix[first : first + groups], design)
            for group, pe, lane in np.ndindex(groups, design.pes, lanes):
                weight, place = entries[group, pe, lane]
                sums[lane, place] += weight * d[pe]
        self.backs += back_cycles(design, slots, groups, width)
        self.left += sums.size
        assert beats == lanes * width * turns_of(design)
        return sums.reshape(beats, -1)

    def register(self, name: str) -> dict[str, int]:
        """The weight that was read last."""
        asked, base = self._given[Learn.READ], self._given[Learn.BASE]
        pe, lane = asked & 0xFFFF, asked >> 16
        weight = int(entries_of(self._memories.matrix[base], self.design)[pe, lane, 0])
        low = int(self._memories.masters[pe, self._given[Learn.MASTERS] + lane])
        return {"weight": weight & (1 << self.design.value_bits) - 1, "master": low}

    def emitted(self, frames: IntArray) -> list[Emitted]:
        """The forward pass with the weights of now."""
        model, found = self._now(), list[Emitted]()
        x, piece = frames.T[:, :, None], Piece((len(frames),), 1)
        for part in self._image.parts:
            emissions, outs = [e for e in part.emissions if e.kind != "linear"], list[Any]()
            for n in part.layers:
                made: Any = ReferencePass(model.layers[n], n)
                reverse = model.directions == 2 and n % 2
                out = made.forward(x[:, ::-1] if reverse else x, piece)
                outs = [*outs, out[:, ::-1]] if reverse else [out]
                if model.directions == 1:
                    x = out
                given, values = _numbers(made)
                for emission in (e for e in emissions if e.layer == n):
                    found.append(Emitted(emission, given if emission.kind == "output" else values))
            x = np.concatenate(outs)
        if not learns_head(model.shape):
            return found
        assert model.head is not None
        y = x[:, :, 0].T.astype(np.int64) @ model.head.weight.T + model.head.bias
        return [*found, Emitted(self._image.parts[0].emissions[-1], {"y": y})]

    def _now(self) -> Model:
        model = self._model
        for given in learning_passes(self._image):
            at = self._layout(given)
            base = given.instruction.matrix
            values = entries_of(self._memories.matrix[base : base + given.words], self.design)
            numbers = values[..., 0].swapaxes(1, 2)
            if given.matrix == HEAD:
                assert model.head is not None
                model = replace(model, head=replace(model.head, weight=tensor_of(at, numbers)))
                continue
            n = layer_of(self._image, given)
            layer = model.layers[n]
            csb = next(m.matrix for m in layer.matrices if m.name == given.matrix)
            new = Csb(
                csb.geometry,
                tensor_of(at, numbers, csb.geometry.banks).astype(np.int32),
                csb.indices,
            )
            if given.matrix == "weight_hr":
                assert layer.projection is not None
                layer = replace(layer, projection=replace(layer.projection, weight=new))
            else:
                changed: dict[str, Any] = {given.matrix: new}
                layer = replace(layer, **changed)
            layers = list(model.layers)
            layers[n] = layer
            model = replace(model, layers=tuple(layers))
        return self._biased(model)

    def _biased(self, model: Model) -> Model:
        layers, head = list(model.layers), model.head
        assert head is not None
        passes = [given for part in self._image.parts for given in part.whole]
        for given in (one for one in passes if one.biased):
            placement, at = given.placement, given.instruction.bias
            space = Space.BIAS if given.sink == Sink.UNITS else Space.LINEAR
            words = [self._biases[space, lane] for lane in range(placement.lanes)]
            beats = [word[at + n] for n in range(placement.beats) for word in words]
            if space is Space.LINEAR:
                found = split_fields(beats, [self.design.forward_bits])[:, 0]
                head = replace(head, bias=placement.from_order(found))
                continue
            sums = split_fields(beats, [self.design.state.width] * self.design.sums).T
            bias = np.concatenate([placement.from_order(one) for one in sums])
            n = layer_of(self._image, given)
            layers[n] = replace(layers[n], bias=bias)
        return replace(model, layers=tuple(layers), head=head)


def _numbers(made: Any) -> tuple[dict[str, IntArray], dict[str, IntArray]]:
    """What leaves of a layer's projection, and of its cells."""
    values = {
        name: np.stack([getattr(frame, name)[0] for frame in made.tape]) for name in made.cell.taped
    }
    values |= {"h": np.stack(made.h)[:, 0]}
    values["c"] = np.stack([_kept(made.cell, frame)[0] for frame in made.tape])
    return {"r": np.stack(made.r[1:])[:, 0]}, values


def _kept(cell: Any, frame: Any) -> IntArray:
    """The kept state after a step."""
    if isinstance(frame, GruFrame):
        found: IntArray = cell.mix(frame.z, frame.n, frame.before)
        return found
    return np.asarray(cell.cell((frame.i, frame.f, frame.g, frame.o), frame.before))
