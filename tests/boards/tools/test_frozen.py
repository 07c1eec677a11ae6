"""A placer that is frozen is known by its overlaps, whatever its log looks like just now."""

from __future__ import annotations

from pathlib import Path

import pytest

from boards.tools.errors import Unplaced
from boards.tools.frozen import frozen
from boards.tools.limits import PATIENCE


def overlap(comb: float, ram: float) -> str:
    return (
        f"Info: iter=7 steplen=1.7 a=346.9 penalty=[1.0, 1.0]\n"
        f"Info: overlap: COMB={comb:.1f}%, FF=0.3%, RAM={ram:.1f}%, MUL=0.0%\n"
    )


def test_the_largest_overlap_must_fall(tmp_path: Path) -> None:
    """As with four fifths of the block RAM: that of look-up tables falls for a long time yet."""
    log, check = tmp_path / "log", frozen(patience=10)
    check(log)
    lines = [overlap(40 - n, 50 - n) for n in range(20)]
    lines += [overlap(20 - n / 10, 30.0) for n in range(10)]
    log.write_text("".join(lines))
    check(log)
    log.write_text("".join([*lines, overlap(19.0, 30.0)]))
    with pytest.raises(Unplaced, match=r"frozen: overlap of RAM 30 %, no less for 10 iterations"):
        check(log)


def test_a_placer_that_gets_on_is_left_alone(tmp_path: Path) -> None:
    log, check = tmp_path / "log", frozen(patience=10)
    text = ""
    for n in range(200):
        text += overlap(100 - n / 10 // 0.8 * 0.8, 0.0)  # falls every eighth time
        log.write_text(text)
        check(log)
    log.write_text(text + "Info: Running simulated annealing\n" * 20)
    check(log)


def test_half_a_line_is_read_once_it_is_whole(tmp_path: Path) -> None:
    log, check = tmp_path / "log", frozen(patience=1)
    whole = overlap(1.0, 30.0)
    log.write_text(whole + "Info: overlap: COMB=1.0%, FF=0.0%, RAM=3")
    check(log)
    log.write_text(whole + "Info: overlap: COMB=1.0%, FF=0.0%, RAM=30.0%, MUL=0.0%\n")
    with pytest.raises(Unplaced, match=r"RAM 30 %"):
        check(log)


def test_a_placer_has_more_patience_than_a_healthy_one_needs() -> None:
    """Of the shipped network until it froze, and of the smallest array: 80 at first, 25 later."""
    assert PATIENCE >= 2 * 80
