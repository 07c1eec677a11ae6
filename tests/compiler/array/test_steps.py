"""What cycles follow from, as docs/behaviour.md says: the same counts, the same cycles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.array.steps import Counts, causes, counts, whole_units
from compiler.lower.schedule import schedule
from compiler.timing.cycle_model import step_cycles
from compiler.timing.shared import SharedCycles
from csb_format.scales import DesignError
from csb_format.shape import ModelShape, uniform_shape

CELLS = ("lstm", "lstm", "lstm", "gru")


def drawn(rng: np.random.Generator, **fixed: Any) -> tuple[dict[str, Any], int, int]:
    """Knobs of a small network, M and N; from few values, so that counts meet again."""
    lanes = int(rng.choice([2, 4]))
    banks = lanes * int(rng.integers(1, 3))
    cell = str(rng.choice(CELLS))
    found = {
        "input_size": int(rng.integers(8, 17)),
        "hidden_size": int(rng.integers(8, 25)),
        "banks": (banks,) * 3,
        "nonzeros": (int(rng.integers(1, 3)),) * 3,
        "layers": int(rng.integers(1, 3)),
        "directions": int(rng.choice([1, 1, 2])),
        "projection": int(rng.choice([0, 0, 8])) if cell == "lstm" else 0,
        "value_bits": int(rng.choice([4, 8, 16])),
        "act_bits": int(rng.choice([8, 16])),
        "cell": cell,
    }
    return found | fixed, 4 * int(rng.integers(1, 7)), lanes


def cycles_of(shape: ModelShape, design: Design) -> float:
    return step_cycles(schedule(shape, design), design.contexts)


@pytest.mark.quick(1)
@pytest.mark.parametrize("seed", range(8))
def test_the_same_counts_take_the_same_cycles(seed: int) -> None:
    rng, known, met = np.random.default_rng(seed), dict[Counts, float](), 0
    contexts = int(rng.integers(1, 3))
    alike = {name: drawn(rng)[0][name] for name in ("layers", "directions", "cell", "projection")}
    alike["projection"] *= alike["cell"] == "lstm"
    for _ in range(80):
        knobs, pes, lanes = drawn(rng, hidden_size=int(rng.integers(8, 13)), **alike)
        try:
            shape = uniform_shape(**knobs)
            design = design_for(shape, pes, lanes, contexts=contexts, deep=bool(seed % 2))
        except DesignError:
            continue
        what, taken = counts(shape, design), cycles_of(shape, design)
        met += what in known
        assert known.setdefault(what, taken) == taken, f"{knobs} on {pes} x {lanes}"
    assert met > 10


@pytest.mark.quick(3)
@pytest.mark.parametrize("seed", range(100))
def test_no_size_loses_to_the_whole_places_that_hold_it(seed: int) -> None:
    """Of every size about a random network the rule's own takes as many cycles, no one less."""
    rng = np.random.default_rng([seed, 1])
    lanes, layers = int(rng.choice([1, 2, 4, 8])), int(rng.integers(1, 3))
    banks, pes = lanes * int(rng.integers(1, 3)), 4 * int(rng.integers(1, 17))
    inputs, hidden = int(rng.integers(16, 100)), int(rng.integers(16, 200))
    k = int(rng.integers(1, 4))

    def taken(units: int) -> float:
        shape = uniform_shape(inputs, units, (banks,) * 2, (k, k), layers=layers)
        return cycles_of(shape, design_for(shape, pes, lanes))

    last = whole_units(hidden, lanes)
    about = range(max(banks, last - 2 * lanes - 1), last + lanes + 2)
    found = {units: taken(units) for units in about}
    for units, cycles in found.items():
        whole = whole_units(units, lanes)
        assert cycles == found.get(whole, cycles), f"{units} of {lanes} lanes"
    changed = [n for n in about[1:] if found[n] != found[n - 1]]
    assert all(n % lanes == 1 % lanes for n in changed)


def test_shared_cycles_are_those_of_the_cycle_model() -> None:
    shared = SharedCycles()
    for bits in ((4, 8), (8, 8), (16, 16)):
        for banks, k in ((4, 2), (8, 1)):  # the same groups of 4 lanes
            shape = uniform_shape(
                16, 24, (banks,) * 2, (k, k), value_bits=bits[0], act_bits=bits[1]
            )
            design = design_for(shape, 8, 4)
            assert shared(shape, design) == cycles_of(shape, design)
    assert len(shared) == 1


def test_causes_are_named() -> None:
    def at(units: int, layers: int = 1, k: int = 2) -> Counts:
        shape = uniform_shape(12, units, (8, 8), (1, k), layers=layers)
        return counts(shape, design_for(shape, 16, 8))

    assert causes(at(24), at(24), 16) == ()
    assert causes(at(24), at(25), 16) == (
        "slots of 16 PEs, 6 to 8", "places of h in a bank, 3 to 4",
    )  # fmt: skip
    assert causes(at(24, k=1), at(24), 16)[0] == "groups of a row of weight_hh, 1 to 2"
    assert causes(at(24), at(24, layers=2), 16)[0] == "layers, 1 to 2"
    assert [whole_units(n, 8) for n in (1, 8, 9, 121)] == [8, 8, 16, 128]


def test_rules_on_a_hundred_random_models() -> None:
    """The largest size of a step loses to no size of its step; what leaving a step brings."""
    rng, shared, gains = np.random.default_rng(0), SharedCycles(), []
    for _ in range(100):
        lanes = int(rng.choice([2, 4, 8]))
        banks = lanes * int(rng.choice([1, 2]))
        pes, k = int(rng.choice([4, 8, 16, 32])), int(rng.integers(1, 4))
        units, inputs = int(rng.integers(2 * banks, 128)), int(rng.integers(banks, 64))

        def cycles(size: int) -> float:
            shape = uniform_shape(inputs, size, (banks,) * 3, (k,) * 3)  # noqa: B023
            return shared(shape, design_for(shape, pes, lanes))  # noqa: B023

        own, whole = cycles(units), whole_units(units, lanes)
        assert all(cycles(size) == own for size in range(units, whole + 1))
        if cycles(units - 1) < own:  # one past a step
            near = range(max(2 * banks, int(0.9 * units)), int(1.1 * units) + 1)
            gains.append(max(size / cycles(size) for size in near) * own / units - 1)
    assert len(gains) == 21
    assert np.mean(gains) == pytest.approx(0.060, abs=0.001)
    assert (min(gains), max(gains)) == pytest.approx((0.011, 0.171), abs=0.001)
    assert sum(gain >= 0.1 for gain in gains) == 2
