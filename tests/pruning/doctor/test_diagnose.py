from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from compiler.array.placement import row_order
from csb_format.geometry import Geometry
from pruning.doctor.diagnose import KEEP_ENERGY, MatrixFigures, bank_loads, diagnose, utilisation
from pruning.importers import Imported
from pruning.mask.masks import bank_balanced_mask

ROWS = 4096
PAGE = Path(__file__).resolve().parents[3] / "docs/doctor.md"


def gaussian(columns: int, rows: int = ROWS, seed: int = 0) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))


def unstructured(weight: Tensor, sparsity: float = 0.875) -> Tensor:
    order = weight.abs().flatten().sort().indices
    mask = torch.ones(weight.numel(), dtype=torch.bool)
    mask[order[: round(sparsity * weight.numel())]] = False
    return mask.reshape(weight.shape)


def pruned(weight: Tensor, mask: Tensor, dense: bool = True) -> Imported:
    return Imported({"w": weight * mask}, {"w": mask}, "test", (), {"w": weight} if dense else {})


def examine(model: Imported, **options: Any) -> MatrixFigures:
    return diagnose(model, **options).matrices[0]


def test_the_page_has_the_figures_of_its_example() -> None:
    weight = gaussian(1024)
    found = examine(pruned(weight, unstructured(weight)), lanes=(16, 32, 64))
    kept = [lane.from_dense.l2 for lane in found.lanes if lane.from_dense]
    assert found.present is not None
    now = f"L2 energy of all weights after rebalancing (now {found.present.l2:.1%})"
    lines = [
        ["banks", "16", "32", "64"],
        ["busy, 1 PE", *(f"{lane.utilisation:.0%}" for lane in found.lanes)],
        ["busy, 16 PEs", *(f"{lane.pes_utilisation:.0%}" for lane in found.lanes)],
        [now, *(f"{share:.1%}" for share in kept)],
    ]
    text = PAGE.read_text("utf-8").replace(" %", "%")
    for line in lines:
        assert f"| {' | '.join(line)} |" in text


@pytest.mark.parametrize(
    ("columns", "busy", "together", "energy"),
    [
        (1024, (0.62, 0.49, 0.36), (0.49, 0.38, 0.28), (0.492, 0.482, 0.464)),
        (1536, (0.66, 0.54, 0.41), (0.55, 0.43, 0.33), (0.495, 0.489, 0.476)),
    ],
)
def test_published_figures_of_unstructured_masks(
    columns: int,
    busy: tuple[float, ...],
    together: tuple[float, ...],
    energy: tuple[float, ...],
) -> None:
    weight = gaussian(columns)
    found = examine(pruned(weight, unstructured(weight)), lanes=(16, 32, 64))
    assert found.sparsity == 0.875
    assert found.present is not None
    assert (found.present.l1, found.present.l2) == pytest.approx((0.308, 0.503), abs=1e-3)
    assert [f.utilisation for f in found.lanes] == pytest.approx(busy, abs=0.01)
    assert [f.pes_utilisation for f in found.lanes] == pytest.approx(together, abs=0.01)
    assert [f.from_dense.l2 for f in found.lanes if f.from_dense] == pytest.approx(energy, abs=1e-3)
    assert all(f.kept == found.nonzeros for f in found.lanes)
    assert found.suggested == 32


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 9),
    st.floats(0, 1), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_utilisation_is_what_a_walk_over_the_slots_counts(
    rows: int, columns: int, lanes: int, pes: int, density: float, seed: int
) -> None:
    lanes = min(lanes, columns)
    mask = np.random.default_rng(seed).random((rows, columns)) < density
    width = -(-columns // lanes)
    cycles = 0
    for slot in range(0, rows, pes):
        loads = [
            int(row[lane * width : (lane + 1) * width].sum())
            for row in mask[slot : slot + pes]
            for lane in range(lanes)
        ]
        cycles += max(loads)
    expected = mask.sum() / (lanes * pes * cycles) if cycles else 0.0
    assert utilisation(torch.from_numpy(mask), lanes, pes) == pytest.approx(expected)


@settings(max_examples=30)
@given(st.sampled_from([4, 8, 16]), st.integers(1, 3), st.integers(0, 99))
def test_balanced_masks_keep_their_array_busy_and_cost_nothing(
    banks: int, nonzeros: int, seed: int
) -> None:
    weight = gaussian(64, 32, seed)
    mask = bank_balanced_mask(weight, banks, nonzeros)
    found = examine(pruned(weight, mask, dense=False), lanes=(4, banks))
    for figures in found.lanes:
        assert figures.balanced
        assert figures.utilisation == figures.pes_utilisation == figures.rebalanced_utilisation == 1
        assert (figures.within.l1, figures.within.l2) == (1, 1)
        assert figures.from_dense is None
        assert figures.speedup == 1
    assert found.suggested == banks


def gate_by_gate(weight: Tensor, kept: tuple[int, ...], banks: int = 4) -> Tensor:
    """Each gate keeps its own number of weights in a bank."""
    parts = zip(weight.chunk(len(kept)), kept, strict=True)
    return torch.cat([bank_balanced_mask(part, banks, k) for part, k in parts])


@pytest.mark.parametrize("kept", [(1, 2, 1, 3), (2, 1, 3)])
def test_masks_that_are_balanced_gate_by_gate_are_balanced(kept: tuple[int, ...]) -> None:
    """Arrays take rows of one gate at once: nobody waits, and nothing is to be done."""
    weight = gaussian(32, 32 * len(kept))
    mask, name = gate_by_gate(weight, kept), "lstm.weight_hh_l0"
    model = Imported({name: weight * mask}, {name: mask}, "test", (), {})
    found = diagnose(model, (4, 8), 16).matrices[0]
    four, eight = found.lanes
    assert (four.balanced, eight.balanced, found.suggested) == (True, False, 4)
    assert four.pes_utilisation == four.rebalanced_utilisation == 1
    assert (four.speedup, four.kept, four.nonzeros) == (1, int(mask.sum()), 3)
    geometry = Geometry.of_parts(32 * len(kept), 32, 4, kept)
    assert four.csb_bytes == -(-geometry.packed_bits // 8)
    other = Imported({"w": weight * mask}, {"w": mask}, "test", (), {})  # of no cell
    assert not diagnose(other, (4,), 16).matrices[0].lanes[0].balanced


def test_rebalancing_within_present_weights_is_the_best_there_is() -> None:
    weight = torch.tensor([[4.0, 3.0, 2.0, 0.0, 1.0, 0.0, 0.0, 0.0]])
    figures = examine(pruned(weight, weight != 0, dense=False), lanes=(2,)).lanes[0]
    # Banks keep (4, 3) and (1, nothing); 2 is what goes.
    assert (figures.nonzeros, figures.kept) == (2, 4)
    assert figures.within.l1 == pytest.approx(8 / 10)
    assert figures.within.l2 == pytest.approx(26 / 30)
    assert figures.utilisation == pytest.approx(4 / 6)


def test_index_bits_and_bytes_are_those_of_csb() -> None:
    weight = gaussian(1024, 64)
    found = examine(pruned(weight, unstructured(weight)), lanes=(16,), value_bits=8)
    assert found.lanes[0].index_bits == 6
    assert found.lanes[0].csb_bytes == 64 * 16 * 8 * (8 + 6) // 8


def test_slots_are_made_of_the_gates_of_units() -> None:
    shapes = {"lstm.weight_ih_l0": (16, 8), "lstm.weight_hh_l0": (16, 4), "out.weight": (16, 4)}
    # Units 0 and 2 begin the two banks of h.
    expected = [0, 4, 8, 12, 2, 6, 10, 14, 1, 5, 9, 13, 3, 7, 11, 15]
    assert row_order("lstm.weight_ih_l0", shapes, 2).tolist() == expected
    assert row_order("lstm.weight_hh_l0", shapes, 2).tolist() == expected
    assert row_order("out.weight", shapes, 2).tolist() == list(range(16))


@pytest.mark.parametrize(
    ("shapes", "units"),
    [
        ({"weight_ih_l1_reverse": (20, 3), "weight_hh_l1_reverse": (20, 5)}, 5),
        ({"weight_ih": (15, 3), "weight_hh": (15, 5)}, 5),
        ({"weight_ih_l0": (20, 3), "weight_hh_l0": (20, 2), "weight_hr_l0": (2, 5)}, 5),
        ({"weight_ih_l0": (20, 3)}, 20),
    ],
    ids=["reverse", "GRU cell", "projection", "no recurrent matrix"],
)
@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_row_order_takes_every_row_once(
    shapes: dict[str, tuple[int, int]], units: int, lanes: int
) -> None:
    name = next(iter(shapes))
    order = row_order(name, shapes, lanes)
    assert sorted(order.tolist()) == list(range(shapes[name][0]))
    gates = shapes[name][0] // units
    if gates > 1:
        assert (order.reshape(-1, gates) % units == order[::gates, None] % units).all()


def test_pes_wait_for_the_gates_of_a_unit() -> None:
    weight = torch.zeros(8, 4)
    weight[:, 0] = 1
    weight[2, :2] = 1  # gate 1 of unit 0 takes two cycles
    hidden = torch.ones(8, 2)
    model = Imported({"weight_ih_l0": weight, "weight_hh_l0": hidden}, {}, "test")
    figures = examine(model, lanes=(2,), pes=4).at(2)
    assert figures.utilisation == pytest.approx(9 / (2 * 9))
    assert figures.pes_utilisation == pytest.approx(9 / (2 * 4 * (2 + 1)))


def test_suggestion_follows_the_share_that_is_asked_for() -> None:
    weight = gaussian(256, 256)
    model = pruned(weight, unstructured(weight))
    most = examine(model, keep_energy=0.5)
    assert most.suggested == 32  # 64 banks would take more weights
    assert "at least 50%" in most.reason
    none = examine(model, keep_energy=1)
    assert none.suggested == 4
    assert none.reason == "none keeps 100% of the present L2 energy, these keep most"


def test_suggestion_where_one_weight_per_bank_is_too_many() -> None:
    weight = torch.zeros(4, 64)
    weight[:, 0] = 1
    found = examine(pruned(weight, weight != 0))
    assert found.suggested == 4
    assert "one weight per bank is more than there are" in found.reason


def test_banks_beyond_the_columns_are_left_out() -> None:
    assert [f.lanes for f in examine(pruned(gaussian(12, 8), gaussian(12, 8) > 0)).lanes] == [4, 8]
    narrow = torch.ones(5, 1)
    assert [f.lanes for f in examine(pruned(narrow, narrow > 0)).lanes] == [1]


def test_masks_alone_count_every_weight_alike() -> None:
    mask = unstructured(gaussian(64, 16), 0.5)
    found = examine(Imported({}, {"w": mask}, "masks"), lanes=(4,))
    assert found.nonzeros == int(mask.sum())
    assert found.lanes[0].within.l1 == found.lanes[0].within.l2 <= 1


def test_kept_zeros_are_work_too() -> None:
    model = Imported({"w": torch.zeros(4, 8)}, {"w": torch.ones(4, 8).bool()}, "test")
    found = examine(model, lanes=(4,))
    assert (found.sparsity, found.lanes[0].utilisation, found.lanes[0].within.l2) == (0, 1, 1)


def test_loads_are_counts_of_every_bank() -> None:
    mask = torch.tensor([[1, 1, 0, 1, 0]]).bool()
    assert bank_loads(mask, 2).tolist() == [[2, 1]]


def test_half_precision_and_other_tensors(tmp_path: Any) -> None:
    state = {"w": gaussian(8, 8).bfloat16(), "b": torch.ones(8), "n": torch.ones(2, 2).long()}
    assert [m.name for m in diagnose(Imported(state, {}, "test")).matrices] == ["w"]


def test_matrix_without_a_weight_is_noted() -> None:
    model = Imported({"a": torch.zeros(4, 8), "b": torch.ones(4, 8)}, {}, "test")
    found = diagnose(model)
    assert [m.name for m in found.matrices] == ["b"]
    assert found.notes == ("a: no weight is left, not examined",)
    with pytest.raises(ValueError, match="a: no weight is left; prune less"):
        diagnose(model, names=["a"])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"lanes": (0,)}, r"lanes \[0\]: give at least one number"),
        ({"lanes": ()}, r"lanes \[\]: give at least one"),
        ({"pes": 0}, "0 PEs: must be at least 1"),
        ({"keep_energy": 95}, "keep_energy 95: it is a share"),
        ({"value_bits": 3}, "value_bits 3: must be 4 to 18"),
        ({"names": ["v"]}, "no matrix v in this model: it has w"),
    ],
)
def test_bad_arguments_are_named(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        diagnose(Imported({"w": torch.ones(4, 8)}, {}, "test"), **options)


def test_bad_models_are_named() -> None:
    weight = torch.ones(4, 8)
    weight[2, 5] = torch.nan
    with pytest.raises(ValueError, match=r"w is nan at \(2, 5\): train to finite weights"):
        diagnose(Imported({"w": weight}, {}, "test"))
    with pytest.raises(ValueError, match="no matrix at all in this model: it has none"):
        diagnose(Imported({"b": torch.ones(4)}, {}, "test"))


def test_default_share_is_the_documented_one() -> None:
    assert KEEP_ENERGY == diagnose(Imported({"w": torch.ones(4, 8)}, {}, "t")).keep_energy == 0.95


def test_a_dense_model_is_told_as_such_and_ranked_by_what_pruning_gives() -> None:
    torch.manual_seed(0)
    found = diagnose(Imported({"w": torch.randn(64, 12) + 9}, {}, "test"), [4, 8, 12])
    (matrix,) = found.matrices
    assert matrix.dense
    assert any(
        note.startswith("it is dense: no weight is removed, prune it") for note in found.notes
    )
    # 12 columns in 8 banks are 6 banks of 2 and two empty ones
    busy = {figures.lanes: figures.rebalanced_utilisation for figures in matrix.lanes}
    assert busy == {4: 1.0, 8: 0.75, 12: 1.0}
    assert matrix.at(4).csb_bytes < matrix.at(12).csb_bytes
    assert matrix.suggested == 4
    assert matrix.at(4).nonzeros == 1  # of 3, the nearest to 87.5 %


def test_a_pruned_model_is_not_called_dense() -> None:
    found = diagnose(Imported({"w": torch.eye(16), "v": torch.ones(16, 16)}, {}, "test"), [4])
    assert [matrix.dense for matrix in found.matrices] == [False, True]
    assert not any("it is dense" in note for note in found.notes)


@pytest.mark.parametrize("names", [(), ("a",)])
@pytest.mark.parametrize("kind", [torch.int8, torch.bool, torch.complex64, torch.float8_e5m2])
def test_matrices_that_are_no_floats_are_named(kind: torch.dtype, names: tuple[str, ...]) -> None:
    model = Imported({"a": torch.ones(4, 4).to(kind)}, {}, "test")
    told = str(kind).removeprefix("torch.")
    with pytest.raises(ValueError, match=rf"a of shape \(4, 4\): weights of {told}, not floats; "):
        diagnose(model, names=names)
