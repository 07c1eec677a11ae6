import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from csb_format.csb import UnbalancedError
from csb_format.geometry import Geometry
from pruning.mask.views import (
    Banks,
    Blocks,
    Rows,
    Unstructured,
    View,
    check_pattern,
    pattern_mask,
    row_balanced,
)

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@st.composite
def views(draw: st.DrawFn, rows: int, columns: int) -> View:
    banks, down = draw(st.integers(1, columns)), draw(st.integers(1, rows))
    fitting: list[View] = [
        Banks(banks),
        Banks(width=banks),
        row_balanced(),
        Blocks(down, banks),
        Blocks(down, banks, balanced=True),
        Rows(),
        Unstructured(),
    ]
    return draw(st.sampled_from(fitting))


@st.composite
def cases(draw: st.DrawFn) -> tuple[View, Tensor, int]:
    """A view that fits, scores full of ties in any dtype, and k up to a whole group."""
    rows, columns = draw(st.integers(1, 7)), draw(st.integers(1, 23))
    view = draw(views(rows, columns))
    keep = draw(st.integers(1, view.layout(rows, columns).units))
    levels = draw(st.integers(1, 9))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    score = torch.randint(0, levels, (rows, columns), generator=generator)
    return view, score.to(draw(st.sampled_from(DTYPES))), keep


@given(cases())
def test_no_weight_is_lost_on_the_way_there_and_back(case: tuple[View, Tensor, int]) -> None:
    view, score, _ = case
    layout, grouped = view.layout(*score.shape), view.group(score, -5.0)
    assert grouped.shape == (layout.groups, layout.units, layout.size)
    assert torch.equal(view.ungroup(grouped, *score.shape), score)
    assert int((grouped != -5).sum()) == score.numel()


def naive(view: View, score: Tensor, keep: int) -> Tensor:
    """Sort the units of every group in plain Python."""
    grouped = view.group(score.double(), 0.0)
    real = view.group(torch.ones_like(score, dtype=torch.double), 0.0)
    chosen = torch.zeros_like(real)
    for group in range(len(grouped)):
        units = [u for u in range(grouped.shape[1]) if real[group, u].any()]
        # float32, in which means are compared.
        means = {u: float((grouped[group, u].sum() / real[group, u].sum()).float()) for u in units}
        best = sorted(units, key=lambda u: (-means[u], u))[:keep]
        chosen[group, best] = 1
    return view.ungroup(chosen, *score.shape).bool()


@settings(deadline=None)
@given(cases())
def test_mask_is_the_one_that_sorting_gives(case: tuple[View, Tensor, int]) -> None:
    view, score, keep = case
    mask = pattern_mask(view, score, keep)
    assert torch.equal(mask, naive(view, score, keep))
    check_pattern(view, mask, keep)


@given(cases())
def test_strides_do_not_matter(case: tuple[View, Tensor, int]) -> None:
    view, score, keep = case
    turned = score.t().contiguous().t()
    sliced = torch.stack([score, score + 1], dim=-1)[..., 0]
    expected = pattern_mask(view, score, keep)
    assert torch.equal(pattern_mask(view, turned, keep), expected)
    assert torch.equal(pattern_mask(view, sliced, keep), expected)


@given(cases())
def test_a_smaller_mask_among_a_larger_one_is_its_subset(case: tuple[View, Tensor, int]) -> None:
    view, score, keep = case
    larger = pattern_mask(view, score, keep)
    moved = score.masked_fill(~larger, 100.0)
    smaller = pattern_mask(view, moved, max(1, keep - 1), among=larger)
    assert not (smaller & ~larger).any()


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(1, 5))
def test_banks_are_the_geometry_of_the_packed_format(
    columns: int, banks: int, sparsity: float, rows: int
) -> None:
    banks = min(banks, columns)
    layout = Banks(banks).layout(rows, columns)
    expected = Geometry.nearest(rows, columns, banks, sparsity)
    assert layout.nearest(sparsity) == expected.nonzeros
    assert layout.sparsity(expected.nonzeros) == pytest.approx(expected.sparsity)
    assert Banks(banks).geometry(rows, columns, expected.nonzeros) == expected


@given(cases(), st.floats(0, 1))
def test_nearest_is_nearest_and_ties_keep_more(
    case: tuple[View, Tensor, int], sparsity: float
) -> None:
    layout = case[0].layout(*case[1].shape)
    wanted = layout.kept(layout.units) * (1 - sparsity)
    every = range(1, layout.units + 1)
    distances = {keep: abs(layout.kept(keep) - wanted) for keep in every}
    near = layout.nearest(sparsity)
    assert distances[near] == pytest.approx(min(distances.values()), abs=1e-9)


def test_half_way_keeps_more() -> None:
    assert Banks(1).layout(1, 4).nearest(0.375) == 3
    assert Banks(1).layout(1, 4).nearest(0.625) == 2
    assert Banks(1).layout(1, 4).nearest(1.0) == 1


def test_all_equal_keeps_the_lowest() -> None:
    ones = torch.ones(3, 5)
    assert pattern_mask(Unstructured(), ones, 6).int().tolist() == [
        [1] * 5,
        [1, 0, 0, 0, 0],
        [0] * 5,
    ]
    assert pattern_mask(Rows(), ones, 1).int().tolist() == [[1] * 5, [0] * 5, [0] * 5]
    assert pattern_mask(Blocks(2, 2), ones, 1).int().tolist() == [[1, 1, 0, 0, 0]] * 2 + [[0] * 5]


def test_cut_blocks_are_not_at_a_disadvantage() -> None:
    score = torch.tensor([[1.0, 1, 1, 1, 2]])
    assert pattern_mask(Blocks(1, 4), score, 1).int().tolist() == [[0, 0, 0, 0, 1]]


def test_a_bank_width_makes_as_many_banks_as_it_takes() -> None:
    assert Banks(width=32).shape(153) == (5, 32)
    assert Banks(width=32).geometry(8, 153, 4).bank_columns == (32, 32, 32, 32, 25)
    mask = pattern_mask(Banks(width=32), torch.rand(8, 153), 4)
    assert [int(bank.sum()) for bank in mask.split(32, dim=1)] == [32] * 5


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("view", [Banks(2), Blocks(2, 2), Unstructured()])
def test_not_finite_is_refused(view: View, bad: float) -> None:
    score = torch.zeros(3, 4)
    score[2, 1] = bad
    with pytest.raises(ValueError, match=rf"weight or score at \(2, 1\) is {bad}: train to finite"):
        pattern_mask(view, score, 1)


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (Banks(65), "65 banks for 4 columns: choose 1 to 64 banks"),
        (Banks(0), "0 banks for 4 columns"),
        (Banks(width=5), "5 columns in a bank for 4 columns"),
        (Blocks(4, 1), "blocks of 4 x 1 for a 3 x 4 matrix: choose blocks of 1 x 1 to 3 x 4"),
        (Blocks(0, 1), "blocks of 0 x 1"),
    ],
)
def test_a_view_that_does_not_fit(view: View, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pattern_mask(view, torch.zeros(3, 4), 1)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4,), (2, 2, 2)])
def test_shapes_that_are_no_matrix(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be a matrix with rows and columns"):
        pattern_mask(Banks(1), torch.zeros(shape), 1)


def test_other_bad_input() -> None:
    score = torch.zeros(3, 4)
    with pytest.raises(ValueError, match=r"mask of shape \(4, 3\) for a weight of shape \(3, 4\)"):
        pattern_mask(Banks(2), score, 1, among=torch.ones(4, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"weight of type torch.int64: must be floating point"):
        pattern_mask(Banks(2), score.long(), 1)
    with pytest.raises(ValueError, match="0 entries to keep per group: must be at least 1"):
        pattern_mask(Banks(2), score, 0)
    with pytest.raises(ValueError, match="give either the count of banks or their width"):
        Banks()
    with pytest.raises(ValueError, match="give either the count of banks or their width"):
        Banks(2, 2)


@pytest.mark.parametrize("width", [1, 2])
def test_one_wide_matrices(width: int) -> None:
    column = torch.rand(5, width)
    assert int(pattern_mask(Banks(width), column, 1).sum()) == 5 * width
    assert int(pattern_mask(Unstructured(), column, 3).sum()) == 3


def test_pattern_violations_are_named() -> None:
    mask = pattern_mask(Banks(2), torch.rand(3, 8), 2)
    mask[1, :4] = True
    with pytest.raises(UnbalancedError, match="group 2 keeps 4 units, expected 2"):
        check_pattern(Banks(2), mask, 2)
    mask = torch.ones(4, 4, dtype=torch.bool)
    mask[0, 0] = False
    with pytest.raises(UnbalancedError, match="unit 0 of group 0 is kept in part"):
        check_pattern(Blocks(2, 2), mask, 4)
