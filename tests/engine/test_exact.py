"""The compiled model equals the NumPy one in every bit, whatever the network."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csb_format import Fixed, IntArray, LstmLayer, Model
from csb_format.cells.cell import reaches
from csb_format.random_models import random_frames, random_network
from csb_format.scales import Scales
from engine import exact, exact_layer
from engine.exact import FastModel, State
from engine.kernels import product_loops as csb_kernels
from engine.kernels.exact_loops import LANES
from engine.kernels.lanes import WIDTH
from engine.reference import IntegerModel, Trace

LENGTHS = [3, 7, 1, 7, 0, 4]


def network(seed: int, **more: Any) -> tuple[Model, np.random.Generator]:
    rng = np.random.default_rng(seed)
    sizes: dict[str, Any] = {"input_size": 10, "hidden_size": 9, "banks": 4, "k": (2, 2, 1)}
    return random_network(rng, **(sizes | more)), rng


def assert_equal(got: list[Trace], want: list[Trace]) -> None:
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        for name in ("hidden", "cell", "output"):
            assert getattr(one, name).dtype == np.int64
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def compare(model: Model, sequences: list[IntArray]) -> list[Trace]:
    want = IntegerModel(model).run(sequences)
    assert_equal(FastModel(model).run(sequences), want)
    return want


@given(st.integers(0, 2**32), st.integers(4, 18), st.integers(6, 18), st.data())
@settings(max_examples=60, deadline=None)
def test_any_network(seed: int, value_bits: int, act_bits: int, data: st.DataObject) -> None:
    x, h = data.draw(st.integers(1, 20)), data.draw(st.integers(1, 12))
    p = data.draw(st.integers(0, h))
    layers, directions = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 2))
    narrowest = [min(x, directions * (p or h)) if layers > 1 else x, p or h, h]
    banks = tuple(data.draw(st.integers(1, n)) for n in narrowest)
    kept = st.integers(0, 5)
    by_gate = st.one_of(kept, st.tuples(kept, kept, kept, kept))
    k = (data.draw(by_gate), data.draw(by_gate), data.draw(kept))
    rng = np.random.default_rng(seed)
    assert len(banks) == len(k) == 3
    reach = data.draw(st.sampled_from(reaches(act_bits)))
    model = random_network(
        rng, x, h, banks, k, layers, directions, p, value_bits, act_bits, reach=reach
    )
    lengths = data.draw(st.lists(st.integers(0, 6), max_size=6))
    compare(model, random_frames(rng, model, lengths))


@pytest.mark.parametrize(
    "count", [1, 2, WIDTH, WIDTH + 1, LANES - 1, LANES, LANES + 1, 2 * LANES + 3]
)
def test_any_number_of_sequences(count: int) -> None:
    model, rng = network(1, layers=2, directions=2, projection=5)
    lengths = rng.integers(0, 9, count).tolist()
    want = compare(model, random_frames(rng, model, lengths))
    assert max(np.abs(t.output).max(initial=0) for t in want) > 1000


@pytest.mark.parametrize("count", [1, 3, LANES + 2])
def test_a_gru(count: int) -> None:
    """Also where the sums of n, which do not meet, are shifted left."""
    model, rng = network(3, layers=2, directions=2, cell="gru")
    compare(model, random_frames(rng, model, rng.integers(0, 5, count).tolist()))
    model, rng = network(4, cell="gru", value_bits=6, act_bits=10)
    ih, hh = ((Fixed(6, 3), Fixed(6, 4), Fixed(6, n)) for n in (-3, -6))
    layer = replace(model.layers[0], weight_ih_format=ih, weight_hh_format=hh, input=Fixed(10, 7))
    scales = Scales.of(layer)
    assert scales.align_ih[2] > 0
    assert scales.align_hh[2] > scales.align_ih[2]
    compare(replace(model, layers=(layer,)), random_frames(rng, model, [3] * count))


@pytest.mark.parametrize("count", [1, 3, LANES + 2])
def test_a_gru_whose_reset_comes_first(count: int) -> None:
    model, rng = network(3, layers=2, directions=2, cell="gru0")
    compare(model, random_frames(rng, model, rng.integers(0, 5, count).tolist()))
    model, rng = network(4, cell="gru0", value_bits=6, act_bits=18)
    compare(model, random_frames(rng, model, [3] * count))
    # rows n of weight_hh are a matrix of their own, whatever each gate keeps
    model, rng = network(5, cell="gru0", hidden_size=12, k=((3, 1, 2), (2, 3, 1), 1))
    assert model.layers[0].weight_hh.geometry.parts == (2, 3, 1)
    compare(model, random_frames(rng, model, [3] * count))


@pytest.mark.parametrize("many", [False, True], ids=["side by side", "in registers"])
def test_every_way_of_a_gru_whose_reset_comes_first(
    many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left runs alone; places that become free are taken."""
    monkeypatch.setattr(exact_layer, "_ALONE_PLAIN", exact_layer._Costs(1e9, 0, 0))
    fewest = LANES + 1 if many else 3
    monkeypatch.setattr(exact_layer.ExactLayer, "_fewest", lambda layer: fewest)
    model, rng = network(13, layers=2, hidden_size=19, value_bits=8, cell="gru0")
    compare(model, random_frames(rng, model, [4, 40, 1, 0, 9, 2, 2, 33, 5, 6, 1]))


@pytest.mark.parametrize("fewest", [2, 3, 5])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("act_bits", [12, 18])
def test_what_is_left_runs_alone(
    fewest: int, directions: int, act_bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as there are enough sequences they run side by side, then one by one."""
    model, rng = network(5, layers=2, directions=directions, projection=4, act_bits=act_bits)
    monkeypatch.setattr(exact_layer.ExactLayer, "_fewest", lambda layer: fewest)
    compare(model, random_frames(rng, model, [9, 2, 7, 0, 7, 3, 12]))


@pytest.mark.parametrize("value_bits", [8, 16])
@pytest.mark.parametrize("directions", [1, 2])
def test_places_that_become_free_are_taken(
    value_bits: int, directions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In registers, four at a time; the last two of all, here of 40 and 33 steps, one by one."""
    monkeypatch.setattr(exact_layer, "_ALONE_PLAIN", exact_layer._Costs(1e9, 0, 0))
    monkeypatch.setattr(exact_layer.ExactLayer, "_fewest", lambda layer: LANES + 1)
    sizes: dict[str, Any] = {"hidden_size": 19, "projection": 11, "value_bits": value_bits}
    for projection in (11, 0):
        sizes["projection"] = projection
        model, rng = network(13, layers=2, directions=directions, **sizes)
        lengths = [4, 40, 1, 0, 9, 2, 2, 33, 5, 6, 1]
        compare(model, random_frames(rng, model, lengths))


def test_the_faster_way_is_chosen() -> None:
    """A large layer alone in registers, where there are any; a small one side by side."""
    large, _ = network(6, input_size=512, hidden_size=512, banks=16, k=(8, 8, 0), value_bits=8)
    small, _ = network(6, input_size=16, hidden_size=64, banks=8, k=(1, 2, 0), value_bits=8)
    fewest = [FastModel(model)._levels[0][0].fewest for model in (small, large)]
    assert 1 < fewest[0] <= LANES
    assert fewest[0] < fewest[1] or not csb_kernels.permutes()


@pytest.mark.parametrize("directions", [1, 2])
def test_one_sequence_without_permutations(
    directions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a CPU without AVX-512 runs; and one sequence in registers where there is one."""
    sizes: dict[str, Any] = {"layers": 2, "directions": directions, "projection": 5}
    model, rng = network(12, **sizes)
    dear = exact_layer._Costs(1e9, 0, 0)  # else so small a network takes the plain loop
    monkeypatch.setattr(exact_layer, "_ALONE_PLAIN", dear)
    able = csb_kernels.permutes()
    assert all(bool(level[0]._products) == able for level in FastModel(model)._levels)
    compare(model, random_frames(rng, model, [9]))
    monkeypatch.setattr(csb_kernels, "permutes", lambda: False)
    assert not any(level[0]._products for level in FastModel(model)._levels)
    compare(model, random_frames(rng, model, [9]))


@pytest.mark.parametrize("bits", [(4, 6), (18, 18), (16, 16), (8, 8)])
@pytest.mark.parametrize("count", [1, 12])
def test_ends_of_every_range(bits: tuple[int, int], count: int) -> None:
    """Largest inputs, weights and biases that drive gates to their ends, full cells."""
    model, rng = network(2, k=(3, 3, 3), projection=6, value_bits=bits[0], act_bits=bits[1])
    layer = model.layers[0]
    ends = [layer.state.min, layer.state.max]
    sequences = [rng.choice([layer.input.min, layer.input.max], (40, 10)) for _ in range(count)]
    bias = rng.choice(ends, 36)
    bias[:18] = layer.state.max  # i and f open: the cell adds up
    filling = replace(layer, bias=bias)
    want = compare(replace(model, layers=(filling,)), sequences)
    assert np.isin(np.concatenate([t.cell for t in want]), ends).any()
    compare(replace(model, layers=(coarse(layer, 6),)), sequences)


def coarse(layer: LstmLayer, bits: int) -> LstmLayer:
    """Weights ``2**bits`` times as large."""
    ih, hh = (
        Fixed(one.width, one.frac - bits)
        for one in (layer.gate_formats("weight_ih")[0], layer.gate_formats("weight_hh")[0])
    )
    return replace(layer, weight_ih_format=ih, weight_hh_format=hh)


def test_a_projection_that_saturates() -> None:
    model, rng = network(3, k=(3, 3, 3), projection=6)
    projection = model.layers[0].projection
    assert projection is not None
    narrow = replace(projection, weight_format=replace(projection.weight_format, frac=10))
    model = replace(model, layers=(replace(model.layers[0], projection=narrow),))
    want = compare(model, random_frames(rng, model, [30, 20]))
    output = np.concatenate([t.output for t in want])
    assert (output == narrow.output.max).any()
    assert (output == narrow.output.min).any()


def test_a_projection_that_shifts_left() -> None:
    model, rng = network(3, projection=6)
    projection = model.layers[0].projection
    assert projection is not None
    wide = replace(projection, output=Fixed(40, 36))
    model = replace(model, layers=(replace(model.layers[0], projection=wide),))
    model = replace(model, layers=(with_hh_frac(model.layers[0], -3),))
    compare(model, random_frames(rng, model, LENGTHS))


def with_hh_frac(layer: LstmLayer, frac: int) -> LstmLayer:
    return replace(layer, weight_hh_format=Fixed(layer.gate_formats("weight_hh")[0].width, frac))


@pytest.mark.parametrize("width", [25, 26, 36, 40])
def test_wide_inputs_leave_floats(width: int) -> None:
    """Beyond float32's 24 bits, or with sums beyond 2**53, tiles would be wrong."""
    model, rng = network(4, k=(3, 2, 0))
    layer = model.layers[0]
    model = replace(model, layers=(replace(layer, input=Fixed(width, layer.input.frac)),))
    sequences = random_frames(rng, model, LENGTHS)
    sequences[0][:] = 2 ** (width - 1) - 1
    sequences[1][:] = 2 ** (width - 1) - 3
    compare(model, sequences)
    assert (FastModel(model)._levels[0][0].types is not None) == (width == 25)
    compare(model, random_frames(rng, model, [2] * (LANES + 3)))


def test_gates_of_their_own_formats() -> None:
    model, rng = network(5)
    layer = model.layers[0]
    formats = tuple(replace(layer.gate_formats("weight_ih")[0], frac=f) for f in (14, 17, 19, 15))
    assert len(formats) == 4
    model = replace(model, layers=(replace(layer, weight_ih_format=formats),))
    compare(model, random_frames(rng, model, LENGTHS))


@pytest.mark.parametrize("batch", [1, 5, 40])
def test_streaming_equals_whole_sequences(batch: int) -> None:
    model, rng = network(6, layers=2, projection=4)
    fast, frames = FastModel(model), np.stack(random_frames(rng, model, [6] * batch))
    want, state = fast.run(list(frames)), fast.start(batch)
    for t in range(6):
        before = state
        state = fast.step(frames[:, t], before)
        for name in ("hidden", "cell", "output"):
            last = getattr(state.layers[-1], name)
            np.testing.assert_array_equal(last, np.stack([getattr(w, name)[t] for w in want]))
        np.testing.assert_array_equal(state.output, state.layers[-1].output)
        again = fast.step(frames[:, t], before)
        np.testing.assert_array_equal(again.output, state.output)


def test_no_sequences_and_no_frames() -> None:
    model, rng = network(7, directions=2)
    assert FastModel(model).run([]) == []
    compare(model, random_frames(rng, model, [0, 0]))


def test_input_is_left_alone_and_may_be_strided() -> None:
    model, rng = network(8)
    frames = random_frames(rng, model, [8])[0]
    kept, narrow = frames.copy(), frames.astype(np.int16)
    want = IntegerModel(model).run([kept[::2]])
    assert_equal(FastModel(model).run([frames[::2]]), want)
    assert_equal(FastModel(model).run([narrow[::2]]), want)
    np.testing.assert_array_equal(frames, kept)


@pytest.mark.parametrize(
    ("frames", "match"),
    [
        (np.zeros((3, 9), int), r"sequence 1 has shape \(3, 9\): it must be \(any number, 10\)"),
        (np.zeros(10, int), r"sequence 1 has shape \(10,\)"),
        (np.zeros((3, 10)), r"dtype float64: quantise it to integers first"),
        (np.full((1, 10), 32768), r"holds 32768: its format s16\.\d+ holds -32768 to 32767; quant"),
        (np.full((1, 10), -32769), r"holds -32769"),
        (np.full((1, 10), 2**64 - 1, np.uint64), r"holds 18446744073709551615"),
    ],
)
def test_bad_frames(frames: Any, match: str) -> None:
    fast = FastModel(network(9)[0])
    with pytest.raises(ValueError, match=match):
        fast.run([np.zeros((2, 10), np.int64), frames])


def test_bad_steps() -> None:
    model, _ = network(10)
    fast, x = FastModel(model), np.zeros((2, 10), np.int64)
    with pytest.raises(ValueError, match=r"x holds 40000: its format"):
        fast.step(x + 40000, fast.start(2))
    with pytest.raises(ValueError, match=r"x holds 2 sequences, .* 3: take it from start\(2\)"):
        fast.step(x, fast.start(3))
    with pytest.raises(ValueError, match=r"state of 0 layers for 1 layers in 1 directions"):
        fast.step(x, State(()))
    with pytest.raises(ValueError, match=r"batch 0: must be at least 1"):
        fast.start(0)
    zero = fast.start(2).layers[0]
    with pytest.raises(ValueError, match=r"cell of layer 0 holds 1048576: its format s18"):
        fast.step(x, State((replace(zero, cell=zero.cell + (1 << 20)),)))
    with pytest.raises(ValueError, match=r"2 directions: it cannot run step by step"):
        FastModel(network(10, directions=2)[0]).start()


def test_sums_beyond_64_bits_are_refused() -> None:
    model, _ = network(11, k=(3, 2, 0), value_bits=18)
    layer = replace(model.layers[0], input=Fixed(48, 13))
    with pytest.raises(ValueError, match=r"a sum of layer 0 can reach \d+ .* narrower formats"):
        FastModel(replace(model, layers=(layer,)))


def test_runs_where_no_folder_can_be_written(tmp_path: Path) -> None:
    """An installed package may lie in a read-only folder, and its user have no home."""
    code = (
        "import numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from engine.kernels import cell_loops\n"
        "print(type(cell_loops._round._cache).__name__, cell_loops._round(5, 1))\n"
    )
    root = Path(exact.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"NullCache 3\s*", done.stdout)
