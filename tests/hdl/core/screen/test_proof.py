"""No row of the true top k is ever dropped: the proof, in three steps.

1. A bound is at least its logit. In real numbers this is the inequality of Cauchy and Schwarz; for
   the integers as built it is tried here for **all** rows of a small head, and a grid of states.
2. The list holds, whenever no pair is on its way, the k best of all pairs that have come, and its
   k-th logit never falls: by induction over the gateware, for a pair that the solver chooses.
3. A queue loses nothing: what arrives is kept unless its bound is below the k-th largest logit of
   that cycle, and there is always room: by induction over the gateware.

So a row that is dropped has ``logit <= bound < k-th largest then <= k-th largest in the end``: k
other outputs have larger logits. Widths and k are small here; the blocks are the same for all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Assert, Assume, Cat, Module, Signal, Value
from amaranth.lib import data

from compiler.array.screen.design import ScreenDesign
from csb_format import DenseLayer, Fixed
from csb_format.screening.bounds import FRACTION, query_of
from csb_format.screening.layer import ScreenedLayer
from hdl.core.screen.largest import Largest
from hdl.core.screen.layouts import pair_layout
from hdl.core.screen.survivors import Survivors
from sim.check.proof import ProofError, prove_by_induction
from tests.hdl.free_block import FreeBlock

TINY = ScreenDesign(4, 2, 2, 2, 2, 1, 4, 3, 3, 0, 0, 0, 0)


def test_bounds_cover_all_weights_and_states_of_a_small_head() -> None:
    """All 1,024 rows of two weights of 5 bits, 1,024 states of two elements of 9."""
    weights = np.stack(np.meshgrid(*[np.arange(-16, 16)] * 2), axis=-1).reshape(-1, 2)
    states = np.stack(np.meshgrid(*[np.arange(-32, 32, 2) * 8 + 3] * 2), axis=-1).reshape(-1, 2)
    bias = np.random.default_rng(0).integers(-50, 50, len(weights))
    layer = ScreenedLayer.of(DenseLayer(weights, Fixed(5, 2), Fixed(9, 4), bias))
    logits = layer.logits(states)[:, layer.order] << FRACTION
    for state, row in zip(states, logits, strict=True):
        query = query_of(state)
        assert (layer.first_bounds(query) >= row).all()
        assert (layer.second_bounds(query) >= row).all()
        assert (np.repeat(layer.blocks.bounds(query.norm), 16) >= row).all()


def better(one: Any, other: Any) -> Value:
    return (one.logit > other.logit) | ((one.logit == other.logit) & (one.index < other.index))


class Ring(FreeBlock):
    """A pair that the solver chooses stays in the list until k better ones are there."""

    broken = False

    def state(self, m: Module, block: Largest) -> None:
        layout = pair_layout(block.design)
        pair, before = data.View(layout, self.chosen), Signal(layout.size)
        begun, came, least = Signal(), Signal(), Signal.like(block.least)
        m.d.sync += [before.eq(self.chosen), begun.eq(1), least.eq(block.least)]
        whole, places, held = block._step == 0, block._places, block._held
        same = block.start & (block.pair.index == pair.index)
        m.d.comb += [
            Assume(~begun | (self.chosen == before)),
            Assume(~block.clear & ~block.turn),
            Assume(~block.start | whole),
            # an output comes once
            Assume(~same | ((block.pair.logit == pair.logit) & ~came)),
        ]
        with m.If(same):
            m.d.sync += came.eq(1)
        here = Cat(h & (p == pair) for h, p in zip(held, places, strict=True)).any()
        beaten = Cat(h & better(p, pair) for h, p in zip(held, places, strict=True)).all()
        ordered = [~held[1] | (held[0] & ~better(places[1], places[0]))]
        last = block.least.value == places[-1].logit
        stays = here & (not self.broken)
        m.d.comb += [
            Assert(~whole | ~came | stays | beaten),
            *(Assert(~whole | fact) for fact in ordered),
            Assert(~whole | (block.least.valid == held[-1])),
            Assert(~whole | ~held[-1] | last),
            Assert(~begun | ~least.valid | block.least.valid),
            Assert(~begun | ~least.valid | (block.least.value >= least.value)),
            Assert(~whole | came | ~here),
        ]


class Queue(FreeBlock):
    """There is room for what arrives, and only what is proven to be out is dropped."""

    broken = False

    def state(self, m: Module, block: Survivors) -> None:
        flight, queue = Signal(3), block._queue
        m.d.sync += flight.eq(flight + block.claim - block.arrive)
        out = block.least.valid & (block.bound < block.least.value)
        m.d.comb += [
            Assume(~block.claim | block.room | (self.broken & 1)),
            Assume(~block.arrive | flight.any()),
            Assume(~block.pop | block.valid),
            Assert(block._free + flight + queue.level == 2),
            Assert(queue.w_en == (block.arrive & ~out)),
            Assert(~queue.w_en | queue.w_rdy),
            Assert(~block.valid | (queue.level != 0)),
            Assert(block.idle == ((flight == 0) & (queue.level == 0))),
        ]


def test_the_list_keeps_the_largest() -> None:
    prove_by_induction(Ring(Largest(TINY), chosen=pair_layout(TINY).size), steps=6)


def test_a_queue_loses_nothing() -> None:
    prove_by_induction(Queue(Survivors(TINY, 2, 2)), steps=3)


@pytest.mark.parametrize("spec", [Ring, Queue])
def test_a_broken_claim_is_found(spec: type[FreeBlock], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec, "broken", True)
    block = Largest(TINY) if spec is Ring else Survivors(TINY, 2, 2)
    chosen = {"chosen": pair_layout(TINY).size} if spec is Ring else {}
    with pytest.raises(ProofError):
        prove_by_induction(spec(block, **chosen), steps=6)
