"""Which tensors of a file are the recurrent module's; and what takes it out of a larger network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from ..importers import Cut, Imported
from ..importers.checkpoint import CheckpointError
from ..importers.cut import PARAMETER, module_of, recurrent_modules
from ..reset_first import MARK
from .misfits import foreign_names

__all__ = ["cutting", "heads", "members"]

_FEW = 5
_PAGE = "docs/partial.md"


def members(found: Imported) -> dict[str, str]:
    """Parameters of the recurrent module, by their names in ``nn.LSTM``, with those in the file.

    Modules that are named one after the other, or cells of a list, become layers.

    Raises
    ------
    CheckpointError
        If there is none, or more than one and none is named.
    """
    state = found.state_dict
    prefixes = _only(state) if found.cut.lstm is None else found.cut.prefixes(state)
    names: dict[str, str] = {}
    before = 0
    for prefix in prefixes:
        layers = {0}
        for name in state:
            match = PARAMETER.fullmatch(name)
            if match and match[1] == prefix and not match[2]:
                number = int(match[4] or 0)
                layers.add(number)
                names[f"{match[3]}_l{before + number}{match[5] or ''}"] = name
        before += max(layers) + 1
    if not names:
        raise CheckpointError(f"--lstm {found.cut.lstm}: it has no weights: save its state dict")
    return names


def _only(state: Mapping[str, Tensor]) -> list[str]:
    found = _whole(state)
    if not found and (error := foreign_names(state)):
        raise error
    if len(found) == 1:
        return found
    named = ", ".join(f"{prefix}weight_ih..." for prefix in found)
    mend = "".join(f"; {each}" for each in _each(state, found))
    raise CheckpointError(
        f"{len(found)} recurrent modules ({named or 'found: ' + _some(state)}): a checkpoint "
        "must hold exactly one nn.LSTM or nn.GRU, named as torch names its parameters"
        f"{mend}; pack the matrices of other networks with --matrices"
    )


def _whole(names: Iterable[str]) -> list[str]:
    return recurrent_modules(name for name in names if PARAMETER.fullmatch(name))


def _each(state: Mapping[str, Tensor], prefixes: Sequence[str]) -> list[str]:
    """How each of some modules is taken out; those of a list together."""
    if len(prefixes) < 2:
        return []
    called = list(dict.fromkeys(map(_together, prefixes)))[:_FEW]
    said = [f"`{cutting(state, each)}`" for each in called]
    return [f"a part of it: {', or '.join(said)} ({_PAGE})"]


def _together(prefix: str) -> str:
    above, _, number = prefix[:-1].rpartition(".")
    return above if above and number.isdecimal() else module_of(prefix)


def cutting(state: Mapping[str, Tensor], called: str) -> str:
    """The options that take a module, and its head if one fits, out of a larger network."""
    prefixes = Cut(called).prefixes(state)
    own = {n for n in state if (m := PARAMETER.match(n)) and m[1] in prefixes}
    own |= {prefix + MARK for prefix in prefixes} & set(state)
    rest = {name: tensor for name, tensor in state.items() if name not in own}
    head = _last(rest, heads(rest, _width(state, prefixes[-1])))
    kept = own | ({f"{head}.weight", f"{head}.bias"} if head else set())
    ignore = _modules([name for name in rest if name not in kept], kept)
    return Cut(called, head, ignore if len(ignore) <= _FEW else ("*",)).words()


def _last(rest: Mapping[str, Tensor], fits: Sequence[str]) -> str | None:
    """The one linear layer that fits and feeds no other, as far as shapes tell."""
    if len(fits) != 1 or "." not in fits[0]:
        return None
    rows = len(rest[fits[0]])
    fed = [n for n in heads(rest, rows) if n != fits[0]]
    return None if fed else fits[0].removesuffix(".weight")


def _modules(names: Sequence[str], kept: Iterable[str]) -> tuple[str, ...]:
    """Modules of tensors, by the shortest name that none of those that are kept has."""
    above = {name[:at] for name in kept for at, mark in enumerate(name) if mark == "."}
    found: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        short = (".".join(parts[:n]) for n in range(1, len(parts)))
        found[next((each for each in short if each not in above), name)] = None
    return tuple(found)


def _width(state: Mapping[str, Tensor], prefix: str) -> int:
    """Elements of a recurrent module's output; 0 where its tensors do not tell."""
    own = {
        m[0][len(prefix) :]: state[n]
        for n in state
        if (m := PARAMETER.fullmatch(n)) and m[1] == prefix
    }
    hidden = own.get("weight_hh_l0", own.get("weight_hh"))
    if hidden is None or hidden.ndim != 2:
        return 0
    return hidden.shape[1] * (1 + any(name.endswith("_reverse") for name in own))


def heads(rest: Mapping[str, Tensor], width: int) -> list[str]:
    """Weights of linear layers that take so many values."""
    return [
        name
        for name, tensor in rest.items()
        if name.rpartition(".")[2] == "weight"
        and tensor.ndim == 2
        and tensor.shape[1] == width
        and len(tensor)
    ]


def _some(names: Mapping[str, Tensor]) -> str:
    return ", ".join(list(names)[:_FEW]) or "no tensors"
