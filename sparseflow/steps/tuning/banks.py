"""Whether banks fit the matrices of a network, told of all of them by their names in its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from csb_format.geometry import most_banks
from pruning.mask.views import Banks

__all__ = ["check_banks", "uneven"]

_SHOWN = 12  # divisors


def check_banks(sizes: Mapping[str, tuple[int, int]], views: Mapping[str, Banks]) -> None:
    """Refuse more banks than a matrix may have, or wider ones than it has columns.

    Parameters
    ----------
    sizes : mapping of str to (int, int)
        Rows and columns by name.
    views : mapping of str to Banks
        What each is to be grouped in.

    Raises
    ------
    ValueError
        Naming every such matrix with its size, and the counts that fit and divide.
    """
    narrow = {n: view for n, view in views.items() if _asked(view) > _most(view, sizes[n][1])}
    if not narrow:
        return
    told = ", ".join(f"{name} ({_size(sizes[name])})" for name in narrow)
    name, least = min(((n, columns) for n, (_, columns) in sizes.items()), key=lambda one: one[1])
    first = next(iter(narrow.values()))
    what = "banks" if first.width is None else "columns in a bank"
    option = "--banks" if first.width is None else "--bank-width"
    raise ValueError(
        f"{_asked(first)} {what}: more than there can be of {told}; {option} of 1 to "
        f"{_most(first, least)} fits all matrices, {_divisors(least)} divide the columns of "
        f"{name}; --for {name}:banks=N is for one"
    )


def uneven(sizes: Mapping[str, tuple[int, int]], views: Mapping[str, Banks]) -> Iterator[str]:
    """A line for each matrix some of whose banks have no column: multipliers that always wait."""
    for name, view in views.items():
        banks, width = view.shape(columns := sizes[name][1])
        if empty := banks - -(-columns // width):
            yield (
                f"{name} ({_size(sizes[name])}): {empty} of {banks} banks are without a column, "
                f"and their multipliers wait; {_divisors(columns)} divide its columns"
            )


def _asked(view: Banks) -> int:
    return view.count or view.width or 0


def _most(view: Banks, columns: int) -> int:
    """Most that can be asked for: banks may be wholly padding, a bank is not wider than a row."""
    return most_banks(columns) if view.width is None else columns


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _divisors(columns: int) -> str:
    found = [n for n in range(1, columns + 1) if columns % n == 0][:_SHOWN]
    return ", ".join(map(str, found))
