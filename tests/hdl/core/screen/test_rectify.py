"""A unit behind a ReLU gives the whole layer's activations, in the cycle that its model says."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import verilog

from compiler.array.screen.rectify import RectifyDesign
from compiler.lower.screen import screen_image
from compiler.timing.rectify_cycles import RectifiedState, RectifyCycles
from csb_format.fixed import Fixed, IntArray
from csb_format.heads.mlp import MlpHead
from csb_format.model import DenseLayer
from csb_format.scales import DesignError
from csb_format.screening.adversaries import adversarial_head, adversarial_states
from csb_format.screening.layer import ScreenedLayer
from engine.rectified import rectified
from hdl.core.screen.rectify import RectifyUnit
from hdl.core.screen.unit import COUNTERS
from tests.screens import drawn_queues


class Case:
    """A unit, its head, and states for it."""

    def __init__(self, seed: int, count: int = 3, **sizes: int):
        rng = np.random.default_rng([29, seed])
        first = ScreenedLayer.of(adversarial_head(rng, **sizes), int(rng.integers(0, 1 << 18)))
        if seed % 2:  # any order of rows
            first = first.after(rng.permutation(first.output_size)[::2])
        sums = first.weight_format.frac + first.input.frac
        given = Fixed(int(rng.integers(2, 17)), sums - int(rng.integers(0, 20)))
        ones = np.ones((1, first.output_size), np.int64)
        self.head = MlpHead.of(first, DenseLayer(ones, Fixed(8, 4), given, np.zeros(1, np.int64)))
        elements = int(rng.integers(1, 4))
        design = RectifyDesign.of_head(
            self.head,
            digits=int(rng.integers(1, 50)),
            lanes=elements * int(rng.integers(1, 6)),
            elements=elements,
        )
        self.design = replace(design, **drawn_queues(rng))
        self.layer, self.states = first, adversarial_states(rng, first, count)

    def expected(self) -> list[RectifiedState]:
        return RectifyCycles(self.design, self.head).states(self.states)

    @property
    def unit(self) -> RectifyUnit:
        return RectifyUnit(self.design, screen_image(self.design, self.layer))


@pytest.fixture
def make_rectify_bench(make_bench: Any) -> Any:
    """The bench of a screen unit, whose sink takes activations."""

    class Bench(make_bench):
        def _unit(self) -> RectifyUnit:
            return self.case.unit  # type: ignore[no-any-return]

        async def _sink(self, ctx: Any) -> None:
            beats = self.unit.activations
            for _ in self.case.states:
                found, last, counts = [], 0, dict[str, int]()
                while not last:
                    await self._pause(ctx, beats.ready)
                    payload, counts = (
                        await ctx.tick().sample(beats.payload, self.unit.counts).until(beats.valid)
                    )
                    last = payload.last
                    found.append(payload.value)
                self.results.append((found, {n: counts[n] for n in COUNTERS}, self.now))

    return Bench


def check(bench: Any, *, cycles: bool) -> None:
    expected = bench.case.expected()
    bench.run()
    assert len(bench.results) == len(expected)
    pairs = zip(bench.results, bench.taken, expected, strict=True)
    for (found, counts, when), taken, wanted in pairs:
        assert found == list(wanted.activations)
        assert counts == {name: getattr(wanted, name) for name in counts}
        if cycles:
            assert when - taken == wanted.cycles


@pytest.mark.quick(3)
@pytest.mark.parametrize("seed", range(40))
def test_unit_is_its_model(seed: int, make_rectify_bench: Any) -> None:
    case = Case(seed, outputs=20 + seed, inputs=9) if seed < 3 else Case(seed)
    found, expected = rectified(case.head, case.states), case.expected()
    whole = case.head.activations(case.states)
    assert np.array_equal(whole, [wanted.activations for wanted in expected])
    assert np.array_equal(whole, found.activations)
    for name in ("first", "second", "exact"):  # the pipeline changes no verdict
        assert getattr(found, name).tolist() == [getattr(wanted, name) for wanted in expected]
    check(make_rectify_bench(case), cycles=True)


@pytest.mark.quick(1)
@pytest.mark.parametrize("seed", range(100, 108))
def test_pauses_change_no_activation(seed: int, make_rectify_bench: Any) -> None:
    check(make_rectify_bench(Case(seed, outputs=18, inputs=7), pauses=0.5), cycles=False)


BENCH = """
module bench;
  reg clk = 0, rst = 1; always #5 clk = ~clk;
  reg [{bits}-1:0] beats [0:{count}-1]; initial $readmemh("beats.mem", beats);
  integer at = 0, now = 0, done = 0;
  wire ready, valid, last; wire [{width}-1:0] value;
  rectify unit(.clk(clk), .rst(rst), .hidden__valid(!rst && at < {count}), .hidden__ready(ready),
    .hidden__payload(beats[at < {count} ? at : 0]), .activations__valid(valid),
    .activations__ready(1'b1), .activations__payload({{last, value}}),
    .write(0));
  always @(posedge clk) begin
    now <= now + 1;
    if (!rst && ready && at < {count}) begin at <= at + 1; $display("beat %0d", now); end
    if (valid) begin
      $display("value %0d %0d %0d", value, last, now);
      if (last) done = done + 1;
      if (done == {states}) $finish;
    end
    if (now == {limit}) $finish;
  end
  initial #22 rst = 0;
endmodule
"""


@pytest.mark.quick(1)
@pytest.mark.parametrize("seed", range(200, 206))
def test_verilog_is_its_model(seed: int, tmp_path: Path) -> None:
    case = Case(seed, outputs=17, inputs=6) if seed == 200 else Case(seed)
    design, expected = case.design, case.expected()
    text = verilog.convert(case.unit, name="rectify", emit_src=False, strip_internal_attrs=True)
    words = beats_of(design, case.states)
    limit = 200 + design.rows + sum(w.cycles + design.beats for w in expected)
    shown = BENCH.format(
        bits=design.act_bits * design.elements, count=len(words), width=design.width - 1,
        states=len(expected), limit=2 * limit,
    )  # fmt: skip
    (tmp_path / "beats.mem").write_text("\n".join(f"{word:x}" for word in words))
    (tmp_path / "bench.v").write_text(text + shown)
    command = ["iverilog", "-g2005", "-s", "bench", "-o", "sim", "bench.v"]
    subprocess.run(command, cwd=tmp_path, check=True)
    told = subprocess.run(["vvp", "-n", "sim"], cwd=tmp_path, check=True, capture_output=True)
    lines = told.stdout.decode()
    taken = [int(when) for when in re.findall(r"beat (\d+)", lines)][
        design.beats - 1 :: design.beats
    ]
    found = [[int(n) for n in row] for row in re.findall(r"value (\d+) (\d) (\d+)", lines)]
    values = np.array([row[0] for row in found]).reshape(len(expected), -1)
    assert values.tolist() == [list(wanted.activations) for wanted in expected]
    ends = [row[2] for row in found if row[1]]
    assert [end - begin for end, begin in zip(ends, taken, strict=True)] == [
        wanted.cycles for wanted in expected
    ]


def beats_of(design: RectifyDesign, states: IntArray) -> list[int]:
    """Words of the stream of hidden states."""
    padded = np.zeros((len(states), design.beats * design.elements), np.int64)
    padded[:, : design.columns] = states
    mask = (1 << design.act_bits) - 1
    return [
        sum((int(v) & mask) << design.act_bits * n for n, v in enumerate(beat))
        for beat in padded.reshape(-1, design.elements)
    ]


def test_a_layer_without_planes_has_no_unit() -> None:
    case = Case(0)
    with pytest.raises(DesignError, match=r"take ScreenedLayer\.of"):
        RectifyDesign.of_head(
            MlpHead.of(case.layer.dense, case.head.last), digits=4, lanes=2, elements=1
        )


def test_what_was_made_for_another_head_is_refused() -> None:
    """Sizes, lanes, and what lies behind the ReLU."""
    mine, other = Case(0, outputs=5, inputs=4), Case(2, outputs=4, inputs=4)
    image = screen_image(other.design, other.layer)
    with pytest.raises(DesignError, match="was made for another screen unit"):
        RectifyUnit(mine.design, image)
    wider = replace(mine.design, lanes=2 * mine.design.lanes)
    with pytest.raises(DesignError, match="was made for another screen unit"):
        RectifyUnit(wider, screen_image(mine.design, mine.layer))
    with pytest.raises(ValueError, match="rows 4 of a head for a screen unit with 5"):
        RectifyCycles(mine.design, other.head)
    with pytest.raises(ValueError, match=r"shift=.* behind the unit: make a unit for this head"):
        RectifyCycles(replace(mine.design, shift=mine.design.shift + 1), mine.head)
