"""CSB: every round trip for any geometry, exact products, and refusals."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import csb_format
from csb_format import Csb, Geometry

Array = npt.NDArray[Any]

SHAPES = [
    (1, 1, 1, 1),
    (1, 7, 1, 0),
    (1, 7, 1, 7),
    (2, 5, 5, 1),
    (3, 12, 8, 1),
    (3, 12, 8, 2),
    (4, 11, 8, 1),
    (4, 10, 4, 3),
]


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    columns = draw(st.integers(1, 24))
    banks = draw(st.integers(1, columns))
    kept = st.integers(0, -(-columns // banks))
    parts = draw(st.lists(kept, min_size=1, max_size=4))
    rows = len(parts) * draw(st.integers(1, 6 // len(parts)))
    return Geometry.of_parts(rows, columns, banks, parts, draw(st.integers(4, 18)))


def k_of(g: Geometry, row: int) -> int:
    return g.parts[row * len(g.parts) // g.rows] if g.parts else g.nonzeros


def random_mask(g: Geometry, rng: np.random.Generator) -> Array:
    mask = np.zeros((g.rows, g.padded_columns), np.bool_)
    for bank, size in enumerate(g.bank_columns):
        for row in range(g.rows):
            kept = rng.permutation(size)[: k_of(g, row)]
            mask[row, bank * g.bank_width + kept] = True
    return mask[:, : g.columns]


def random_matrix(g: Geometry, seed: int) -> tuple[Array, Array]:
    """A balanced matrix and its mask; some kept weights are zero or at an end of the range."""
    rng = np.random.default_rng(seed)
    half = 1 << (g.value_bits - 1)
    dense = rng.integers(-half, half, (g.rows, g.columns))
    dense = np.where(rng.random(dense.shape) < 0.3, rng.choice([0, -half, half - 1]), dense)
    mask = random_mask(g, rng)
    return dense * mask, mask


def naive_entries(dense: Array, mask: Array, g: Geometry) -> list[tuple[int, int]]:
    """(value, index) in the paper's order, straight from its words."""
    entries = []
    for row in range(g.rows):
        banks, k = [], k_of(g, row)
        for bank, size in enumerate(g.bank_columns):
            start = bank * g.bank_width
            kept = [i for i in range(size) if mask[row, start + i]]
            padding = list(range(size, g.bank_width))[: k - len(kept)]
            banks.append(
                [(int(dense[row, start + i]), i) for i in kept] + [(0, i) for i in padding]
            )
        entries += [bank[j] for j in range(k) for bank in banks]
    return entries


any_matrix = st.tuples(geometries(), st.integers(0, 1000))


def for_all_shapes(test: Any) -> Any:
    for shape in SHAPES:
        test = example((Geometry(*shape, value_bits=5), 3))(test)
    return given(any_matrix)(test)


@for_all_shapes
def test_dense_and_mask_round_trip(matrix: tuple[Geometry, int]) -> None:
    dense, mask = random_matrix(*matrix)
    csb = Csb.pack(dense, matrix[0], mask)
    np.testing.assert_array_equal(csb.to_dense(), dense)
    np.testing.assert_array_equal(csb.to_mask(), mask)
    assert csb.real_nonzeros == matrix[0].real_nonzeros == np.count_nonzero(mask)


@for_all_shapes
def test_order_is_the_papers(matrix: tuple[Geometry, int]) -> None:
    dense, mask = random_matrix(*matrix)
    csb = Csb.pack(dense, matrix[0], mask)
    g = matrix[0]
    kept = np.array([k_of(g, row) for row in range(g.rows)])
    stored = np.broadcast_to(np.arange(g.nonzeros)[:, None] < kept[:, None, None], csb.values.shape)
    values, indices = csb.values[stored].tolist(), csb.indices[stored].tolist()
    assert list(zip(values, indices, strict=True)) == naive_entries(dense, mask, g)
    assert not csb.values[~stored].any()
    assert not csb.indices[~stored].any()
    assert Csb(g, csb.values, csb.indices).equals(csb)


@for_all_shapes
def test_bits_round_trip_at_the_exact_size(matrix: tuple[Geometry, int]) -> None:
    g = matrix[0]
    csb = Csb.pack(*_args(matrix))
    stream = csb.pack_bits()
    assert len(stream) == -(-g.slots * (g.value_bits + g.index_bits) // 8)
    assert Csb.unpack_bits(g, stream).equals(csb)


@for_all_shapes
def test_bit_stream_is_value_then_index_lsb_first(matrix: tuple[Geometry, int]) -> None:
    g = matrix[0]
    dense, mask = random_matrix(*matrix)
    number = 0
    for n, (value, index) in enumerate(naive_entries(dense, mask, g)):
        word = value % (1 << g.value_bits) + (index << g.value_bits)
        number |= word << (n * g.bits_per_nonzero)
    assert int.from_bytes(Csb.pack(dense, g, mask).pack_bits(), "little") == number


@for_all_shapes
def test_scipy_round_trip_keeps_stored_zeros(matrix: tuple[Geometry, int]) -> None:
    csb = Csb.pack(*_args(matrix))
    sparse = csb.to_scipy()
    assert sparse.nnz == csb.real_nonzeros
    np.testing.assert_array_equal(sparse.toarray(), csb.to_dense())
    for form in ("csr", "csc", "coo"):
        assert Csb.from_scipy(sparse.asformat(form), matrix[0]).equals(csb)


@given(any_matrix, st.integers(1, 62), st.integers(0, 3))
def test_matvec_equals_the_dense_product(
    matrix: tuple[Geometry, int], bits: int, batch: int
) -> None:
    csb = Csb.pack(*_args(matrix))
    rng = np.random.default_rng(matrix[1])
    x = rng.integers(-(1 << bits), 1 << bits, (batch, matrix[0].columns))
    exact = x.astype(object) @ csb.to_dense().T.astype(object)
    largest = max((abs(int(v)) for v in x.ravel()), default=0)
    assume(int(np.abs(csb.to_dense()).sum(axis=1).max()) * largest < 1 << 63)
    product = csb.matvec(x)
    assert product.dtype == np.int64
    assert product.tolist() == exact.tolist()
    assert all(
        csb.matvec(row).tolist() == want for row, want in zip(x, exact.tolist(), strict=True)
    )


@given(any_matrix, st.integers(1, 6))
def test_merging_preserves_matrix_balance_and_size(
    matrix: tuple[Geometry, int], factor: int
) -> None:
    g = matrix[0]
    assume(g.banks % factor == 0)
    csb = Csb.pack(*_args(matrix))
    merged = csb.merge_banks(factor)
    assert merged.values.shape == (g.rows, g.nonzeros * factor, g.banks // factor)
    np.testing.assert_array_equal(merged.to_dense(), csb.to_dense())
    np.testing.assert_array_equal(merged.to_mask(), csb.to_mask())
    assert merged.real_nonzeros == csb.real_nonzeros
    assert Csb.unpack_bits(merged.geometry, merged.pack_bits()).equals(merged)


def _args(matrix: tuple[Geometry, int]) -> tuple[Array, Geometry, Array]:
    dense, mask = random_matrix(*matrix)
    return dense, matrix[0], mask


def test_merging_twice_is_merging_once_by_the_product() -> None:
    csb = Csb.pack(*_args((Geometry(4, 29, 12, 2), 5)))
    assert csb.merge_banks(2).merge_banks(3).equals(csb.merge_banks(6))


def test_22_bits_a_nonzero_at_16_bits_in_banks_of_64() -> None:
    g = Geometry(rows=4, columns=256, banks=4, nonzeros=8)
    csb = Csb.pack(*_args((g, 1)))
    assert 8 * len(csb.pack_bits()) == 22 * np.count_nonzero(csb.to_mask())


def test_a_written_out_matrix() -> None:
    g = Geometry(rows=1, columns=6, banks=2, nonzeros=2, value_bits=4)
    csb = Csb.pack([[1, 0, -2, 0, 3, 7]], g)
    assert csb.values.tolist() == [[[1, 3], [-2, 7]]]
    assert csb.indices.tolist() == [[[0, 1], [2, 2]]]
    # 6 bits each: 00_0001, 01_0011, 10_1110, 10_0111, first entry in the lowest bits.
    assert csb.pack_bits() == int("100111101110010011000001", 2).to_bytes(3, "little")


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint64])
def test_any_integer_dtype(dtype: type[np.integer[Any]]) -> None:
    dense = np.array([[1, 0, 0, 2]], dtype)
    assert Csb.pack(dense, Geometry(1, 4, 2, 1)).to_dense().tolist() == [[1, 0, 0, 2]]


def test_arrays_are_copies_and_read_only() -> None:
    values, indices = np.ones((1, 1, 2), np.int32), np.zeros((1, 1, 2), np.uint16)
    csb = Csb(Geometry(1, 4, 2, 1), values, indices)
    values[:] = 5
    assert csb.values.tolist() == [[[1, 1]]]
    for array in (csb.values, csb.indices, csb.column_indices):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0, 0] = 1


def test_fill_keeps_the_lowest_free_columns() -> None:
    g = Geometry(1, 10, 2, 3)
    csb = Csb.pack([[0, 0, 4, 0, 0, 0, 0, 0, 0, 0]], g, fill=True)
    assert csb.indices[0, :, 0].tolist() == [0, 1, 2]
    assert csb.values[0, :, 0].tolist() == [0, 0, 4]
    assert csb.indices[0, :, 1].tolist() == [0, 1, 2]


@given(any_matrix)
def test_fill_of_a_matrix_with_zeros_keeps_its_values(matrix: tuple[Geometry, int]) -> None:
    dense, _ = random_matrix(*matrix)
    csb = Csb.pack(dense, matrix[0], fill=True)
    np.testing.assert_array_equal(csb.to_dense(), dense)
    assert csb.real_nonzeros == matrix[0].real_nonzeros


def test_equals_sees_values_indices_and_geometry() -> None:
    g = Geometry(1, 4, 2, 1)
    csb = Csb.pack([[1, 0, 0, 2]], g)
    assert csb.equals(Csb.pack([[1, 0, 0, 2]], g))
    assert not csb.equals(Csb.pack([[1, 0, 0, 3]], g))
    assert not csb.equals(Csb.pack([[0, 1, 0, 2]], g))
    assert not csb.equals(Csb.pack([[1, 0, 0, 2]], Geometry(1, 4, 2, 1, 15)))


class TestDamagedEntries:
    geometry = Geometry(rows=1, columns=7, banks=2, nonzeros=2, value_bits=5)
    values = np.array([[[1, 2], [3, 4]]])
    indices = np.array([[[0, 1], [3, 2]]])

    def build(self, **changed: Any) -> Csb:
        return Csb(self.geometry, **({"values": self.values, "indices": self.indices} | changed))

    def test_undamaged(self) -> None:
        assert self.build().to_dense().tolist() == [[1, 0, 0, 3, 0, 2, 4]]

    def test_shape(self) -> None:
        with pytest.raises(ValueError, match=r"values have shape \(1, 4\).*needs \(1, 2, 2\)"):
            self.build(values=self.values.reshape(1, 4))

    def test_dtype(self) -> None:
        with pytest.raises(ValueError, match=r"indices have dtype float64: convert"):
            self.build(indices=self.indices.astype(float))

    def test_value(self) -> None:
        with pytest.raises(ValueError, match=r"value 16 of entry 1 in row 0, bank 1: 5 bits hold"):
            self.build(values=np.array([[[1, 2], [3, 16]]]))

    @pytest.mark.parametrize("index", [4, -1, 65536])
    def test_index(self, index: int) -> None:
        with pytest.raises(ValueError, match=rf"index {index} of entry 1 in row 0, bank 0: a bank"):
            self.build(indices=np.array([[[0, 1], [index, 2]]]))

    @pytest.mark.parametrize("first", [2, 3])
    def test_order(self, first: int) -> None:
        indices = np.array([[[0, first], [3, 2]]], np.uint16)
        with pytest.raises(ValueError, match=r"row 0, bank 1 do not increase at entry 1: sort"):
            self.build(indices=indices)

    def test_value_in_padding(self) -> None:
        with pytest.raises(ValueError, match=r"value 4 .*padding column 7 of 7: .*must be 0"):
            self.build(indices=np.array([[[0, 1], [3, 3]]]))


class TestDamagedStream:
    geometry = Geometry(rows=1, columns=3, banks=1, nonzeros=1, value_bits=4)

    @pytest.mark.parametrize("size", [0, 2])
    def test_length(self, size: int) -> None:
        with pytest.raises(ValueError, match=rf"stream of {size} bytes: this geometry takes 1"):
            Csb.unpack_bits(self.geometry, bytes(size))

    def test_bits_after_the_end(self) -> None:
        assert Csb.unpack_bits(self.geometry, b"\x1f").to_dense().tolist() == [[0, -1, 0]]
        with pytest.raises(ValueError, match=r"bits set after its last entry \(bit 6\)"):
            Csb.unpack_bits(self.geometry, b"\x5f")

    def test_index_beyond_the_bank(self) -> None:
        with pytest.raises(ValueError, match="index 3 of entry 0"):
            Csb.unpack_bits(self.geometry, b"\x31")


class TestVectors:
    csb = Csb.pack(np.full((1, 2), 1 << 16), Geometry(1, 2, 1, 2, 18))

    @pytest.mark.parametrize("shape", [(), (3,), (2, 3), (1, 1, 2)])
    def test_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"vector of shape .*give \(2,\) or \(batch, 2\)"):
            self.csb.matvec(np.zeros(shape, int))

    def test_dtype(self) -> None:
        with pytest.raises(ValueError, match="dtype float64: quantise it"):
            self.csb.matvec([0.5, 1.0])

    def test_sums_stay_exact_up_to_64_bits(self) -> None:
        largest = (1 << 46) - 1
        assert self.csb.matvec([largest, largest]).tolist() == [largest << 17]
        assert self.csb.matvec([largest, -(1 << 45) - 1]).tolist() == [((1 << 45) - 2) << 16]

    @pytest.mark.parametrize("large", [1 << 46, -(1 << 63)])
    def test_sums_beyond_64_bits(self, large: int) -> None:
        with pytest.raises(ValueError, match=rf"vector holds {abs(large)}: a sum could leave 64"):
            self.csb.matvec([large, 0])


def lines_executed(rows: int) -> int:
    """Lines of our Python that packing and reading back take for a matrix of so many rows."""
    g = Geometry(rows, 24, 5, 2)
    dense, mask = random_matrix(g, 1)
    count = 0
    ours = str(Path(csb_format.__file__).parent)

    def tracer(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        # not what the garbage collector happens to call in between
        if not frame.f_code.co_filename.startswith(ours):
            return None
        count += event == "line"
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        csb = Csb.pack(dense, g, mask, fill=True)
        Csb.unpack_bits(g, csb.pack_bits()).merge_banks(5).to_dense()
    finally:
        sys.settrace(before)
    return count


def test_no_python_loop_over_rows() -> None:
    lines_executed(2)  # the first call imports
    assert lines_executed(2) == lines_executed(300) > 50
