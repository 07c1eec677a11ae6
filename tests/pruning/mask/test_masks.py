import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from csb_format.csb import UnbalancedError
from csb_format.geometry import Geometry
from pruning.mask.masks import (
    bank_balanced_mask,
    bank_view,
    check_balanced,
    kept_weights,
    packed_geometry,
)
from pruning.mask.selection import select_top
from pruning.mask.views import Banks


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, int, int]:
    """A weight full of ties, banks that may be ragged, and k up to beyond a bank's width."""
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 40))
    banks = draw(st.integers(1, columns))
    nonzeros = draw(st.integers(1, -(-columns // banks) + 2))
    levels = draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    weight = torch.randint(-levels, levels, (rows, columns), generator=generator).float()
    return weight, banks, nonzeros


def naive(weight: Tensor, banks: int, nonzeros: int) -> Tensor:
    rows, columns = weight.shape
    width = -(-columns // banks)
    mask = torch.zeros(rows, columns, dtype=torch.bool)
    for row in range(rows):
        for start in range(0, columns, width):
            inside = range(start, min(start + width, columns))
            best = sorted(inside, key=lambda c: (-abs(weight[row, c].item()), c))
            mask[row, best[:nonzeros]] = True
    return mask


@given(cases())
def test_mask_is_the_one_that_sorting_gives(case: tuple[Tensor, int, int]) -> None:
    assert torch.equal(bank_balanced_mask(*case), naive(*case))


@given(cases())
def test_mask_is_balanced_with_k_or_all_real_columns(case: tuple[Tensor, int, int]) -> None:
    weight, banks, nonzeros = case
    width = -(-weight.shape[1] // banks)
    assert check_balanced(bank_balanced_mask(*case), banks) == min(nonzeros, width)


@given(cases())
def test_strides_do_not_matter(case: tuple[Tensor, int, int]) -> None:
    weight, banks, nonzeros = case
    turned = weight.t().contiguous().t()
    sliced = torch.stack([weight, weight + 1], dim=-1)[..., 0]
    expected = bank_balanced_mask(weight, banks, nonzeros)
    assert torch.equal(bank_balanced_mask(turned, banks, nonzeros), expected)
    assert torch.equal(bank_balanced_mask(sliced, banks, nonzeros), expected)


@given(cases())
def test_a_smaller_mask_among_a_larger_one_is_its_subset(case: tuple[Tensor, int, int]) -> None:
    weight, banks, nonzeros = case
    larger = bank_balanced_mask(weight, banks, nonzeros)
    moved = torch.where(larger, weight, 100.0)
    smaller = bank_balanced_mask(moved, banks, max(1, nonzeros - 1), among=larger)
    assert not (smaller & ~larger).any()


def test_all_equal_keeps_the_lowest_columns() -> None:
    mask = bank_balanced_mask(torch.full((2, 7), -3.0), banks=2, nonzeros=2)
    assert mask.tolist() == [[True, True, False, False, True, True, False]] * 2


def test_twelve_columns_in_eight_banks_leave_two_banks_empty() -> None:
    mask = bank_balanced_mask(torch.arange(12.0)[None], banks=8, nonzeros=1)
    assert mask.sum() == 6
    assert check_balanced(mask, 8) == 1


@given(cases())
def test_view_holds_every_weight_and_padding(case: tuple[Tensor, int, int]) -> None:
    weight, banks, _ = case
    view = bank_view(weight, banks, fill=9.0)
    assert view.shape == (weight.shape[0], banks, -(-weight.shape[1] // banks))
    assert torch.equal(view.flatten(1)[:, : weight.shape[1]], weight)
    assert (view.flatten(1)[:, weight.shape[1] :] == 9.0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_float_type(dtype: torch.dtype) -> None:
    weight = torch.tensor([[1.0, -2.0, 0.5, 0.0, 0.0, 0.25]], dtype=dtype)
    mask = bank_balanced_mask(weight, banks=2, nonzeros=1)
    assert mask.tolist() == [[False, True, False, False, False, True]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_not_finite_is_refused(bad: float) -> None:
    weight = torch.zeros(3, 4)
    weight[2, 1] = bad
    with pytest.raises(ValueError, match=rf"weight or score at \(2, 1\) is {abs(bad)}: train"):
        bank_balanced_mask(weight, banks=2, nonzeros=1)


@pytest.mark.parametrize("banks", [0, -1, 65])
def test_banks_out_of_range(banks: int) -> None:
    with pytest.raises(ValueError, match=rf"{banks} banks for 4 columns: choose 1 to 64"):
        bank_view(torch.zeros(2, 4), banks)


def test_not_a_matrix() -> None:
    with pytest.raises(ValueError, match=r"weight of shape \(4,\): must be a matrix"):
        bank_view(torch.zeros(4), 2)


def test_keeping_none_is_refused() -> None:
    with pytest.raises(ValueError, match="0 entries to keep per group: must be at least 1"):
        select_top(torch.zeros(2, 4), 0)


@pytest.mark.parametrize(("change", "count"), [(True, 3), (False, 1)])
def test_unbalanced_names_row_bank_and_counts(change: bool, count: int) -> None:
    mask = bank_balanced_mask(torch.ones(4, 12), banks=3, nonzeros=2)
    mask[1, 6 if change else 5] = change
    with pytest.raises(UnbalancedError, match=rf"row 1, bank 1 keeps {count} weights, expected 2"):
        check_balanced(mask, 3)


def test_expected_count_is_held_against_every_bank() -> None:
    mask = bank_balanced_mask(torch.ones(4, 12), banks=3, nonzeros=2)
    with pytest.raises(UnbalancedError, match="row 0, bank 0 keeps 2 weights, expected 3"):
        check_balanced(mask, 3, expected=3)


def test_a_ragged_bank_must_hold_all_its_columns() -> None:
    mask = bank_balanced_mask(torch.ones(2, 7), banks=2, nonzeros=4)
    mask[1, 6] = False
    with pytest.raises(UnbalancedError, match="row 1, bank 1 keeps 2 weights, expected 3"):
        check_balanced(mask, 2)


@given(cases())
def test_balance_comes_before_among_and_padding_is_never_chosen(
    case: tuple[Tensor, int, int],
) -> None:
    weight, banks, nonzeros = case
    nothing = torch.zeros_like(weight, dtype=torch.bool)
    mask = bank_balanced_mask(weight, banks, nonzeros, among=nothing)
    check_balanced(mask, banks, nonzeros)


def test_a_bank_width_instead_of_a_count() -> None:
    mask = bank_balanced_mask(torch.rand(3, 7), Banks(width=3), nonzeros=2)
    assert [int(bank.sum()) for bank in mask.split(3, dim=1)] == [6, 6, 3]
    assert check_balanced(mask, Banks(width=3)) == 2
    assert packed_geometry(mask, Geometry(3, 7, 3, 2, 8, 3), 16) == Geometry(3, 7, 3, 2)
    wide = bank_balanced_mask(torch.rand(3, 153), Banks(width=32), nonzeros=4)
    geometry = Banks(width=32).geometry(3, 153, 4)
    assert geometry != Geometry(3, 153, 5, 4)  # banks of 31
    assert packed_geometry(wide, geometry, 16) == geometry


@pytest.mark.parametrize(
    "geometry", [Geometry(4, 12, 3, 2), Geometry(3, 13, 3, 2), Geometry(3, 12, 8, 1).merged(2)]
)
def test_the_geometry_of_another_matrix(geometry: Geometry) -> None:
    mask = bank_balanced_mask(torch.rand(3, 12), 3, 2)
    with pytest.raises(ValueError, match=r"does not fit weights of shape 3 x 12: give the geom"):
        packed_geometry(mask, geometry, 16)


@pytest.mark.parametrize("mask", [torch.ones(3, 4), torch.ones(4, 3, dtype=torch.bool)])
def test_a_mask_of_another_shape_or_type(mask: Tensor) -> None:
    with pytest.raises(ValueError, match=r"mask of torch\..* for weights of shape \(3, 4\): give"):
        kept_weights(torch.zeros(3, 4), mask)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4,)])
def test_nothing_to_balance(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be a matrix with rows and columns"):
        check_balanced(torch.ones(shape, dtype=torch.bool), 1)
    with pytest.raises(ValueError, match="must be a matrix with rows and columns"):
        bank_balanced_mask(torch.ones(shape), 1, 1)


def test_parts_keep_a_k_each() -> None:
    geometry = Geometry.of_parts(6, 8, 2, (3, 1, 2), 8)
    weight = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    kept = zip(weight.split(2), geometry.parts, strict=True)
    mask = torch.cat([bank_balanced_mask(part, 2, k) for part, k in kept])
    assert packed_geometry(mask, geometry, 8) == geometry
    with pytest.raises(UnbalancedError, match="row 2, bank 0 keeps 1 weights, expected 2"):
        packed_geometry(mask, Geometry.of_parts(6, 8, 2, (3, 2, 2), 8), 8)
