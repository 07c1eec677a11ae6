"""Words among rows: each beat where the accelerator looks for it, nothing lost."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.abi.dma import weave
from compiler.abi.dma_registers import TAIL


@pytest.mark.parametrize("bits", [64, 128, 512])
@pytest.mark.parametrize(("rows", "words"), [(100, 37), (3, 200), (0, 9), (40, 0), (64, 8), (1, 1)])
def test_words_are_woven_into_rows_and_end_behind_them(bits: int, rows: int, words: int) -> None:
    """Taken apart by the rule of the hardware: a phase, what is left of each."""
    size, each = bits // 8, bits // 32
    rng = np.random.default_rng(rows + words)
    row_data = rng.integers(0, 256, rows * size, np.uint8).tobytes()
    word_data = rng.integers(0, 1 << 32, words, np.uint32)
    woven = weave(row_data, word_data.tolist(), bits)
    rows_left, words_left, found, taken = rows, words, b"", b""
    for phase, at in enumerate(range(0, len(woven), size)):
        beat = woven[at : at + size]
        early = phase % each == 0 and words_left > max(TAIL, each)
        if words_left and (not rows_left or early):
            taken += beat[: 4 * words_left]
            words_left = max(0, words_left - each)
        else:
            found, rows_left = found + beat, rows_left - 1
    assert (found, taken) == (row_data, word_data.tobytes())
    assert rows_left == words_left == 0
