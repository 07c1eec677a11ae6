"""What pack refuses: unbalanced, out of range, not integer, outside the mask."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse

from csb_format import Csb, Geometry, UnbalancedError


class TestRefusals:
    geometry = Geometry(rows=2, columns=6, banks=2, nonzeros=1, value_bits=8)
    dense = np.array([[1, 0, 0, 0, 2, 0], [0, 3, 0, 4, 0, 0]])

    def test_too_many(self) -> None:
        dense = self.dense.copy()
        dense[1, 5] = 9
        with pytest.raises(
            UnbalancedError, match=r"row 1, bank 1 keeps 2 weights, expected 1.*prune"
        ):
            Csb.pack(dense, self.geometry)
        with pytest.raises(UnbalancedError, match=r"row 1, bank 1 keeps 2"):
            Csb.pack(dense, self.geometry, fill=True)

    def test_too_few(self) -> None:
        dense = self.dense.copy()
        dense[0, 0] = 0
        with pytest.raises(
            UnbalancedError, match=r"row 0, bank 0 keeps 0 weights, expected 1.*mask, or fill=True"
        ):
            Csb.pack(dense, self.geometry)

    @pytest.mark.parametrize("value", [-129, 128, 1 << 40])
    def test_value_out_of_range_names_value_row_and_column(self, value: int) -> None:
        dense = self.dense.copy()
        dense[1, 3] = value
        with pytest.raises(
            ValueError,
            match=rf"value {value} in row 1, column 3: 8 bits hold -128 to 127; use more",
        ):
            Csb.pack(dense, self.geometry)

    def test_unsigned_values_do_not_wrap(self) -> None:
        dense = self.dense.astype(np.uint64)
        dense[0, 0] = (1 << 64) - 1
        with pytest.raises(ValueError, match=r"value 18446744073709551615 in row 0, column 0"):
            Csb.pack(dense, self.geometry)

    @pytest.mark.parametrize("bad", [1.0, 0.5, np.nan])
    def test_float_matrix(self, bad: float) -> None:
        with pytest.raises(ValueError, match=r"dtype float64: CSB holds integers; quantise it"):
            Csb.pack(self.dense + bad, self.geometry)

    def test_bool_matrix(self) -> None:
        with pytest.raises(ValueError, match=r"dtype bool: CSB holds integers"):
            Csb.pack(self.dense != 0, self.geometry)

    @pytest.mark.parametrize("shape", [(2, 5), (3, 6), (12,), (1, 2, 6)])
    def test_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"dense matrix has shape .*needs \(2, 6\)"):
            Csb.pack(np.zeros(shape, int), self.geometry)

    def test_value_outside_the_mask(self) -> None:
        mask = self.dense != 0
        mask[1, 1], mask[1, 2] = False, True
        with pytest.raises(ValueError, match=r"value 3 in row 1, column 1 is outside the mask"):
            Csb.pack(self.dense, self.geometry, mask)

    def test_mask_of_integers(self) -> None:
        with pytest.raises(ValueError, match=r"mask has dtype int64 .*must be bool"):
            Csb.pack(self.dense, self.geometry, (self.dense != 0).astype(np.int64))

    def test_mask_of_another_shape(self) -> None:
        with pytest.raises(ValueError, match=r"mask has dtype bool and shape \(2, 5\)"):
            Csb.pack(self.dense, self.geometry, np.ones((2, 5), bool))

    def test_duplicate_scipy_entries_are_summed(self) -> None:
        coo = scipy.sparse.coo_array(([3, 4, 5], ([0, 0, 0], [1, 1, 2])), shape=(1, 4))
        assert Csb.from_scipy(coo, Geometry(1, 4, 2, 1)).to_dense().tolist() == [[0, 7, 5, 0]]
        csr = scipy.sparse.csr_array(([3, 4, 5], [1, 1, 2], [0, 3]), shape=(1, 4))
        assert Csb.from_scipy(csr, Geometry(1, 4, 2, 1)).to_dense().tolist() == [[0, 7, 5, 0]]
        assert csr.nnz == 3  # the caller's matrix is untouched

    def test_float_scipy_matrix(self) -> None:
        sparse = scipy.sparse.csr_array(self.dense.astype(float))
        with pytest.raises(ValueError, match="dtype float64"):
            Csb.from_scipy(sparse, self.geometry)

    def test_unbalanced_scipy_matrix(self) -> None:
        with pytest.raises(UnbalancedError, match=r"row 0, bank 0 keeps 3"):
            Csb.from_scipy(scipy.sparse.csr_array(np.ones((2, 6), int)), self.geometry)
