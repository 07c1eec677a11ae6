"""The frozen tables are those of their sources, and searches on them are repeatable."""

from __future__ import annotations

import pytest

from bench.tune.search import METHODS, _rows
from bench.tune.tables import TABLES, table


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_whole(name: str) -> None:
    found = table(name)
    assert len(found.choices) >= 24
    bits = {len(choice.fronts) for choice in found.choices}
    assert bits == {len(losses) for losses in found.losses.values()}
    assert any(loss < found.limit for losses in found.losses.values() for loss in losses)
    for choice in found.choices:
        for front in choice.fronts:
            assert all(us > 0 and 0 < share <= 1 for us, share in front)


def test_a_search_repeats_itself() -> None:
    found = table("ptb200")
    assert METHODS["ours"](found, 3, 6) == METHODS["ours"](found, 3, 6)
    rows = list(_rows(found, range(1), smallest=True))
    assert {row["method"] for row in rows} == {"random", "ours"}
    assert all(0 <= row["hypervolume_share"] <= 1 for row in rows)
