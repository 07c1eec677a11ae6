"""What a user asks for single matrices: ``--for weight_ih:banks=16,sparsity=0.5``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

__all__ = ["KINDS", "Wish", "is_called", "parse", "spread"]

KINDS = ("weight_ih", "weight_hh", "weight_hr")
_KEYS = {"banks": int, "width": int, "sparsity": float}


@dataclass(frozen=True)
class Wish:
    """What one matrix is to be pruned to, or is packed in; None is not said.

    Parameters
    ----------
    banks : int, optional
        Banks in a row, at least 1.
    width : int, optional
        Columns of a bank, at least 1, instead of their count.
    sparsity : float, optional
        0..1.
    """

    banks: int | None = None
    width: int | None = None
    sparsity: float | None = None

    def over(self, other: Wish) -> Wish:
        """Combine: what it says, and the rest from another wish."""
        cut = (
            self
            if self.banks or self.width
            else replace(self, banks=other.banks, width=other.width)
        )
        return cut if cut.sparsity is not None else replace(cut, sparsity=other.sparsity)


def parse(texts: Iterable[str]) -> list[tuple[str, Wish]]:
    """Read ``NAME:key=value,...``; keys are ``banks`` or ``width``, and ``sparsity``.

    Raises
    ------
    ValueError
        Naming the text and the mend.
    """
    return [_parse(text) for text in texts]


def _parse(text: str) -> tuple[str, Wish]:
    name, colon, rest = text.partition(":")
    try:
        pairs = [part.split("=") for part in rest.split(",")]
        given = {key.strip(): _KEYS[key.strip()](value) for key, value in pairs}
    except (KeyError, ValueError) as error:
        raise ValueError(_usage(text)) from error
    wish = Wish(**given)
    if not (colon and name.strip()) or len(given) < len(pairs) or {"banks", "width"} <= set(given):
        raise ValueError(_usage(text))
    _check(text, wish)
    return name.strip(), wish


def _usage(text: str) -> str:
    return (
        f"--for {text!r}: write NAME:key=value,... with banks or width, and sparsity, for "
        "example weight_ih:banks=16,sparsity=0.5"
    )


def _check(text: str, wish: Wish) -> None:
    for count in (wish.banks, wish.width):
        if count is not None and count < 1:
            raise ValueError(f"--for {text!r}: {count} must be at least 1")
    if wish.sparsity is not None and not 0 <= wish.sparsity <= 1:
        raise ValueError(
            f"--for {text!r}: sparsity {wish.sparsity} must be 0 to 1, the share of weights removed"
        )


def is_called(name: str, called: str) -> bool:
    """Whether a parameter goes by a name: its own, the last part of it, or its kind."""
    leaf = name.rpartition(".")[2]
    return called in (name, leaf) or (called in KINDS and leaf.startswith(called))


def spread(
    wishes: Sequence[tuple[str, Wish]],
    names: Sequence[str],
    default: Wish,
    noted: Mapping[str, Wish] | None = None,
) -> dict[str, Wish]:
    """The wish of every matrix.

    Parameters
    ----------
    wishes : sequence of (str, Wish)
        By parameter name (``lstm.weight_hh_l1``, or ``weight_hh_l1``), or by kind
        (``KINDS``), which a parameter's own wish goes before. Of two for the same, the
        last counts.
    names : sequence of str
        Matrices there are.
    default : Wish
    noted : mapping of str to Wish, optional
        What goes before the default.

    Raises
    ------
    ValueError
        For a wish that fits no matrix.
    """
    found = dict.fromkeys(names, default) | {n: w for n, w in (noted or {}).items() if n in names}
    for called, wish in sorted(wishes, key=lambda item: item[0] not in KINDS):
        fitting = [name for name in names if is_called(name, called)]
        if not fitting:
            raise ValueError(
                f"--for {called}: there is no such matrix; name one of {', '.join(names)}, or a "
                f"kind ({', '.join(KINDS)})"
            )
        found |= {name: wish.over(found[name]) for name in fitting}
    return found
