"""What of a larger network's state dict is read; all the rest is set aside, by name."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import TypeVar

from torch import Tensor

from ..reset_first import MARK
from .checkpoint import CheckpointError

__all__ = ["METADATA", "PARAMETER", "Cut", "module_of", "recurrent_modules", "told_aside"]

METADATA = "sparseflow.cut"
"""Key of a file's metadata under which ``prune`` notes the cut."""

PARAMETER = re.compile(
    r"^((?:.*?\.)??)(parametrizations\.)?((?:weight|bias)_(?:ih|hh|hr))(?:_l(\d+)(_reverse)?)?(?=$|[._])"
)
"""A recurrent module's parameter, also as masks and parametrisations name it.

Groups: the module with a dot, whether it is parametrised, kind, layer, direction."""

_LINEAR = r"(parametrizations\.)?(weight|bias)(?=$|[._])"
_MANY = 12
Value = TypeVar("Value")


@dataclass(frozen=True)
class Cut:
    """What of a checkpoint the array takes; names are those of the user's modules.

    Parameters
    ----------
    lstm : str, optional
        The recurrent module, ``encoder.lstm``; several, one upon the other, with commas; a list
        of them, ``cells`` for ``cells.0``, ``cells.1``; ``.`` for one without a name. By default
        the only one that is not ignored.
    head : str, optional
        The linear layer on its output. By default the only one that fits and is not ignored.
        Several, with commas, in the order in which they run, each but the last before a ReLU; an
        ``nn.Sequential`` of them by its name, ``head`` for ``head.0``, ``head.2``.
    ignore : tuple of str
        Modules, or patterns of tensors' names (``norm*``, ``*`` for all the rest), that are left
        out. What ``lstm`` and ``head`` name is not.
    """

    lstm: str | None = None
    head: str | None = None
    ignore: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != Cut()

    def options(self) -> dict[str, str | list[str]]:
        """As the command line takes it: option to what is said."""
        given = {"lstm": self.lstm, "head": self.head, "ignore": list(self.ignore)}
        return {name: value for name, value in given.items() if value}

    def words(self) -> str:
        """The options as they are typed."""
        each = [(f"--{n}", v) for n, v in self.options().items() if isinstance(v, str)]
        return shlex.join(
            [word for pair in (*each, *(("--ignore", p) for p in self.ignore)) for word in pair]
        )

    def text(self) -> str:
        """For a file's metadata."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def noted(cls, metadata: Mapping[str, str]) -> Cut | None:
        """What :meth:`text` has noted in a file; None if it has not.

        Raises
        ------
        CheckpointError
            If it notes something else.
        """
        if METADATA not in metadata:
            return None
        try:
            given = json.loads(metadata[METADATA])
            ignore = given.pop("ignore")
            plain = all(isinstance(v, str | None) for v in given.values())
            if plain and isinstance(ignore, list) and all(isinstance(p, str) for p in ignore):
                return cls(ignore=tuple(ignore), **given)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
            pass
        raise CheckpointError(f"its metadata has a damaged {METADATA}: prune again")

    def prefixes(self, names: Iterable[str]) -> list[str]:
        """Recurrent modules that ``lstm`` names, each with a dot at its end, from the input on.

        Raises
        ------
        CheckpointError
            Naming those that there are.
        """
        there = recurrent_modules(names)
        found: list[str] = []
        for called in (self.lstm or "").split(","):
            own = "" if called.strip() == "." else f"{called.strip()}."
            below = [p for p in there if re.fullmatch(re.escape(own) + r"\d+\.", p)]
            if own not in there and not below:
                raise CheckpointError(
                    f"--lstm {called.strip()}: there is no such recurrent module; name one of "
                    f"{', '.join(module_of(p) for p in there) or 'none: the file has none'}"
                )
            found += [own] if own in there else sorted(below, key=_number)
        if twice := next((p for p in found if found.count(p) > 1), None):
            raise CheckpointError(f"--lstm {self.lstm}: {module_of(twice)} is named twice")
        return found

    def split(self, tensors: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, Value]]:
        """What is read, and what is set aside.

        Raises
        ------
        CheckpointError
            For a name or a pattern that fits nothing, or one that leaves no recurrent module.
        """
        chosen = self._chosen(list(tensors))
        out = {name for p in self.ignore for name in self._ignored(p, tensors, chosen)}
        kept = {name: value for name, value in tensors.items() if name not in out}
        for mark in {prefix + MARK for prefix in recurrent_modules(kept)} & out:
            kept[mark] = tensors[mark]  # without it another network would be read
            out.remove(mark)
        there = recurrent_modules(tensors)
        if there and not recurrent_modules(kept):
            raise CheckpointError(
                f"--ignore {' --ignore '.join(self.ignore)} leaves no recurrent module: name the "
                f"one that is meant, --lstm {' or --lstm '.join(module_of(p) for p in there)}"
            )
        return kept, {name: value for name, value in tensors.items() if name in out}

    def heads(self, names: Sequence[str]) -> list[str]:
        """Linear layers that ``head`` names, in the order in which they run; none if it does not.

        Raises
        ------
        CheckpointError
            Naming those that there are.
        """
        if self.head is None:
            return []
        asked, found = [part.strip() for part in self.head.split(",")], list[str]()
        if not all(asked):
            raise CheckpointError(
                f"--head {self.head!r}: a name is empty: write names with single commas between"
            )
        for called in asked:
            own = re.compile(rf"{re.escape(called)}\.{_LINEAR}")
            below = re.compile(rf"({re.escape(called)}\.\d+)\.{_LINEAR}")
            plain = [n for n in names if not PARAMETER.match(n)]
            parts = {m[1] for n in plain if (m := below.match(n))}
            if any(map(own.match, plain)):
                found.append(called)
            elif parts:
                found += _sequential(called, parts)
            else:
                self._refuse(called, names, recurrent=any(map(own.match, names)))
        if twice := next((name for name in found if found.count(name) > 1), None):
            raise CheckpointError(f"--head {self.head}: {twice} is named twice")
        return found

    def _refuse(self, called: str, names: Sequence[str], *, recurrent: bool) -> None:
        own = set() if self.lstm is None else set(self.prefixes(names))
        linear = [n.removesuffix(".weight") for n in names if n.endswith(".weight")]
        what = "that is a recurrent module" if recurrent else "there is no such linear layer"
        twice = ", which --lstm names too: one name cannot be both" * (f"{called}." in own)
        raise CheckpointError(
            f"--head {called}: {what}{twice}; name one of "
            f"{', '.join(linear) or 'none: the file has no linear layer'}"
        )

    def _chosen(self, names: Sequence[str]) -> set[str]:
        own = set() if self.lstm is None else set(self.prefixes(names))
        found = {n for n in names if (match := PARAMETER.match(n)) and match[1] in own}
        for head in self.heads(names):
            linear = re.compile(rf"{re.escape(head)}\.{_LINEAR}")
            found |= {n for n in names if linear.match(n) and not PARAMETER.match(n)}
        return found

    def _ignored(self, pattern: str, names: Iterable[str], chosen: set[str]) -> list[str]:
        left = [name for name in names if name not in chosen]
        found = [n for n in left if fnmatchcase(n, pattern) or n.startswith(f"{pattern}.")]
        if not found and pattern != "*":
            named = ", ".join(dict.fromkeys(n.rpartition(".")[0] or n for n in left))
            raise CheckpointError(
                f"--ignore {pattern}: nothing is called so beside what --lstm and --head name; "
                f"there {'are ' + named if named else 'is nothing else'}"
            )
        return found


def recurrent_modules(names: Iterable[str]) -> list[str]:
    """Modules that have a recurrent parameter, each with a dot at its end, as they come."""
    matches = (PARAMETER.match(name) for name in names)
    return list(dict.fromkeys(match[1] for match in matches if match))


def module_of(prefix: str) -> str:
    """A module's name as ``--lstm`` takes it."""
    return prefix.removesuffix(".") or "."


def _sequential(called: str, parts: Iterable[str]) -> list[str]:
    """Linear layers of an ``nn.Sequential`` in their order; something must lie between two."""
    found = sorted(parts, key=lambda part: int(part.rpartition(".")[2]))
    for one, other in pairwise(found):
        if int(other.rpartition(".")[2]) - int(one.rpartition(".")[2]) < 2:
            raise CheckpointError(
                f"--head {called}: nothing lies between {one} and {other}, where a head of several "
                "linear layers has a ReLU; make one layer of the two, or name them one by one"
            )
    return found


def _number(prefix: str) -> int:
    return int(prefix.rstrip(".").rpartition(".")[2])


def told_aside(aside: Mapping[str, Tensor]) -> tuple[str, ...]:
    """The line that says what is left out: every tensor, or every module of many; none without."""
    if not aside:
        return ()
    shown = [f"{name} {tuple(t.shape)}" for name, t in aside.items()]
    if len(aside) > _MANY:
        modules: dict[str, list[Tensor]] = {}
        for name, tensor in aside.items():
            modules.setdefault(name.rpartition(".")[0] or name, []).append(tensor)
        shown = [f"{name} ({_weights(found)})" for name, found in modules.items()]
    return (f"not on the array: {', '.join(shown)}; scores are of the part that is cut out alone",)


def _weights(tensors: Sequence[Tensor]) -> str:
    return f"{len(tensors)} tensors, {sum(math.prod(t.shape) for t in tensors):,} values"
