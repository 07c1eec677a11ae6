"""Suites: which cases there are, read from a TOML file."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from csb_format.cells import CELLS, LSTM, cell_named
from csb_format.precision import Precision

from .commands import OF_ALL, OF_COMMANDS, check_command, check_keys
from .figures import MOST_NAME, are_figures, printable
from .values import SuiteError, check_kind, check_known, check_one_of, positive, typed

__all__ = ["KINDS", "SIMULATORS", "Case", "ModelRecipe", "Suite", "SuiteError", "read_suite"]

SIMULATORS = ("icarus", "verilator", "verilator-free")
KINDS = ("network", "bus", "command")
AXES = (
    "model", "pes", "lanes", "simulator", "seed", "idle", "stall", "load", "contexts", "head",
    "largest",
)  # fmt: skip
DEFAULT_TIMEOUT = 600.0
MOST_CASES = 10_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_REPEATED = re.compile(r"~([1-9][0-9]{0,5})$")  # no case's own name ends so
BINS = ("touched", "all")


@dataclass(frozen=True)
class ModelRecipe:
    """A random network, or one that was packed.

    Parameters
    ----------
    input_size, hidden_size : int
    banks, k : int or list of 3 int
        Banks, and weights kept in each, of ``weight_ih``, ``weight_hh``, ``weight_hr``.
    layers, directions, projection, value_bits, act_bits : int
    classes : int
        Outputs of a linear layer; 0 for none.
    seed : int
        Of the weights.
    saturating : bool
        Whether biases drive cell states to both ends of their range, in some twenty frames.
    file : str
        A packed model instead, its path from the suite's folder.
    cell : str
        ``"lstm"``, ``"gru"`` or ``"gru0"``.
    screened : bool
        Whether the linear layer lies in planes, so that a screen unit finds its largest outputs.
    """

    input_size: int = 8
    hidden_size: int = 8
    banks: int | list[int] = 4
    k: int | list[int] = 1
    layers: int = 1
    directions: int = 1
    projection: int = 0
    value_bits: int = Precision.value_bits
    act_bits: int = Precision.act_bits
    classes: int = 0
    seed: int = 0
    saturating: bool = False
    file: str = ""
    cell: str = LSTM
    screened: bool = False


@dataclass(frozen=True)
class Case:
    """One thing to run.

    Parameters
    ----------
    name : str
        With its parameters in brackets; unique in a suite.
    kind : {"network", "bus", "command"}
        A model's frames through the accelerator's streams; the same through its AXI ports,
        with errors on the bus first; any program that writes figures.
    model : str
        Name of a :class:`ModelRecipe`.
    pes, lanes : int
        M, N.
    simulator : str
        One of ``SIMULATORS``.
    seed : int
        Of frames and pauses.
    lengths : list of int
        Frames of every sequence.
    idle, stall : float
        Share of cycles in which the source and the sink do not take part, 0..1 (exclusive).
    load : bool
        Load memories through the stream instead of starting from images.
    reload : bool
        Load another model first, then this one over it.
    contexts : int
    head : bool
        Run the linear output layer on the array.
    largest : int, optional
        Of a screened linear layer: outputs that the unit behind the array finds, 0 for no unit; by
        default as all commands.
    command : list of str
        Of kind ``command``: words of a program; ``{python}`` is the interpreter, ``{out}`` the
        JSON file of figures that it must write, ``{suite}`` the suite's folder.
    figures : list of str
        Of kind ``command``: which of them to keep; all numbers by default.
    expect : dict of str to number
        Figures that must be so, whatever the baseline.
    timeout : float
        Seconds after which the simulator is killed.
    """

    name: str
    kind: str = "network"
    model: str = ""
    pes: int = 4
    lanes: int = 4
    simulator: str = "icarus"
    seed: int = 0
    lengths: list[int] = field(default_factory=lambda: [3])
    idle: float = 0.0
    stall: float = 0.0
    load: bool = False
    reload: bool = False
    contexts: int = 1
    head: bool = False
    largest: int | None = None
    command: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    expect: dict[str, float] = field(default_factory=dict)
    timeout: float = DEFAULT_TIMEOUT

    @property
    def slug(self) -> str:
        """The name as a folder's."""
        return re.sub(r"[^A-Za-z0-9_.=~-]+", "_", self.name).strip("_")

    @property
    def base(self) -> str:
        """The name that the suite gives it, of a repetition too."""
        return _REPEATED.sub("", self.name)

    @property
    def repetition(self) -> int:
        """Which of its repetitions this is, from 1."""
        found = _REPEATED.search(self.name)
        return int(found[1]) if found else 1

    @property
    def traced(self) -> bool:
        """Whether a run of it can have waveforms."""
        return self.kind != "command"

    @property
    def seeded(self) -> bool:
        """Whether what it does depends on its seed."""
        return self.kind != "command" or any("{seed}" in word for word in self.command)

    @property
    def reseeded(self) -> bool:
        """Whether it has another seed than the suite says, so that figures may be others."""
        return self.repetition > 1 and self.seeded

    def repeated(self, number: int) -> Case:
        """A repetition of it: the first is the case itself, others have seeds of their own.

        Parameters
        ----------
        number : int
            From 1. The same number has the same seed everywhere.
        """
        if number == 1:
            return self
        digest = hashlib.sha256(f"{self.seed} {number}".encode()).digest()
        seed = int.from_bytes(digest[:4]) if self.seeded else self.seed
        return replace(self, name=f"{self.name}~{number}", seed=seed)

    @property
    def parameters(self) -> dict[str, Any]:
        """What it is, without its name, what is empty, and what means nothing to its kind."""
        found = asdict(self)
        del found["name"]
        if self.kind == "command":
            known = OF_COMMANDS | OF_ALL | ({"seed"} if self.seeded else set())
            found = {key: value for key, value in found.items() if key in known}
        return {key: value for key, value in found.items() if value not in ("", [], {})}


@dataclass(frozen=True)
class Suite:
    """Cases, and what they share.

    Parameters
    ----------
    name : str
    models : dict of str to ModelRecipe
    cases : tuple of Case
    tolerance : dict of str to float
        Share by which a figure may leave its baseline; all others are exact.
    folder : Path
        Where the file lies; paths in it start there.
    bins : {"touched", "all"}
        Which bins functional coverage is of: those that the cases can touch, or all there are.
    """

    name: str
    models: dict[str, ModelRecipe]
    cases: tuple[Case, ...]
    tolerance: dict[str, float]
    folder: Path
    bins: str = "touched"

    def repeated(self, times: int) -> Suite:
        """Each case several times, side by side."""
        every = (case.repeated(n) for case in self.cases for n in range(1, times + 1))
        return replace(self, cases=tuple(every))

    def only(self, *patterns: str) -> Suite:
        """The cases whose name contains one of several texts, or is one of them.

        Raises
        ------
        SuiteError
            If there is none for one of them.
        """
        chosen = {case.name: case for pattern in patterns for case in self._named(pattern)}
        places = {case.name: n for n, case in enumerate(self.cases)}
        found = sorted(chosen.values(), key=lambda case: (places[case.base], case.repetition))
        return replace(self, cases=tuple(found))

    def _named(self, pattern: str) -> tuple[Case, ...]:
        exact = tuple(case for case in self.cases if case.name == pattern)
        if repeated := _REPEATED.search(pattern):
            base, number = pattern[: repeated.start()], int(repeated[1])
            exact = exact or tuple(c.repeated(number) for c in self.cases if c.name == base)
        found = exact or tuple(case for case in self.cases if pattern in case.name)
        if not found:
            names = [case.name for case in self.cases[:5]] + ["..."] * (len(self.cases) > 5)
            raise SuiteError(f"no case is called {pattern!r}: there are {', '.join(names)}")
        return found


def read_suite(path: Path) -> Suite:
    """Read a suite.

    Parameters
    ----------
    path : Path
        A TOML file; docs/regress.md has the format.

    Raises
    ------
    SuiteError
        Naming the entry and the mend.
    """
    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise SuiteError(
            f"{path} is no TOML: byte {error.start} is not UTF-8; save it as UTF-8"
        ) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SuiteError(f"{path} is no TOML: {error or type(error).__name__}") from error
    except ValueError as error:
        raise SuiteError(f"{path} is no TOML: it holds a number of thousands of digits") from error
    try:
        return _suite(given, Path(path))
    except SuiteError as error:
        raise SuiteError(f"{path}: {error}") from error


def _suite(given: dict[str, Any], path: Path) -> Suite:
    known = {"name", "timeout", "tolerance", "models", "cases", "bins"}
    check_known(given, known, "the suite")
    bins = typed(str, given.get("bins", BINS[0]), "bins")
    check_one_of(bins, BINS, "bins")
    name = _named(typed(str, given.get("name", path.stem), "name"), "name")
    timeout = positive(given.get("timeout", DEFAULT_TIMEOUT), "timeout")
    models = {
        key: _model(key, value)
        for key, value in typed(dict, given.get("models", {}), "models").items()
    }
    tables = typed(list, given.get("cases", []), "cases")
    cases = tuple(case for n, table in enumerate(tables) for case in _cases(table, n, timeout))
    if not cases:
        raise SuiteError("it has no cases: add [[cases]] with name and model")
    _check_unique(cases)
    for case in cases:
        _check_case(case, models)
    _check_files(models, path.parent)
    tolerance = _tolerance(given.get("tolerance", {}))
    return Suite(name, models, cases, tolerance, path.parent, bins)


def _check_files(models: Mapping[str, ModelRecipe], folder: Path) -> None:
    """Packed models that are named are there: else each of their cases would be red for it."""
    for name, model in models.items():
        if model.file and not os.path.isfile(folder / model.file):  # pathlib's fails on some names
            raise SuiteError(
                f"model {name}: file = {model.file[:MOST_NAME]!r} is no file: give the path of a "
                "packed model, from the suite's folder"
            )


def _named(name: str, where: str) -> str:
    """A name as it may stand in records of a run."""
    if not printable(name):
        raise SuiteError(f"{where} = {name[:40]!a}: use printable characters, at most {MOST_NAME}")
    return name


def _model(name: str, given: Any) -> ModelRecipe:
    where = f"model {_named(name, 'a model')}"
    table = typed(dict, given, where)
    check_known(table, {f.name for f in fields(ModelRecipe)}, where)
    kinds: dict[str, Any] = {f.name: (int,) for f in fields(ModelRecipe)}
    kinds |= {"banks": (int, list), "k": (int, list), "saturating": (bool,), "screened": (bool,)}
    kinds |= {"file": (str,), "cell": (str,)}
    for key, value in table.items():
        check_kind(kinds[key], value, f"{where}: {key}")
        if isinstance(value, list) and not (
            len(value) == 3 and all(type(v) is int and 0 <= v < 1 << 20 for v in value)
        ):
            raise SuiteError(f"{where}: {key} = {value}: give a number, or three")
        if isinstance(value, int) and not 0 <= value < 1 << 20:
            raise SuiteError(f"{where}: {key} = {value}: must be 0 to {(1 << 20) - 1}")
    recipe = ModelRecipe(**table)
    check_one_of(recipe.cell, tuple(CELLS), f"{where}: cell")
    if recipe.projection and not cell_named(recipe.cell).projects:
        raise SuiteError(f"{where}: projection = {recipe.projection}: only an LSTM has one")
    return recipe


def _cases(given: Any, number: int, timeout: float) -> Iterator[Case]:
    """The product over all axes that are lists."""
    table: dict[str, Any] = {"timeout": timeout} | typed(dict, given, f"case {number}")
    where = f"case {table.get('name', number)}"
    check_known(table, {f.name for f in fields(Case)}, where)
    name = typed(str, table.pop("name", ""), f"{where}: name")
    if not _NAME.fullmatch(name):
        raise SuiteError(f"{where}: name {name!r}: use letters, digits, - _ and .")
    check_keys((key for key in given if key != "timeout"), table.get("kind"), where)
    axes: list[tuple[str, list[Any]]] = [
        (key, table[key]) for key in AXES if isinstance(table.get(key), list)
    ]
    count = 1
    for key, values in axes:
        count *= len(values)
        if not values or count > MOST_CASES:
            raise SuiteError(f"{where}: {key} makes {count} cases; 1 to {MOST_CASES} are possible")
    for chosen in itertools.product(*(values for _, values in axes)):
        picked = dict(zip((key for key, _ in axes), chosen, strict=True))
        inside = ",".join(f"{key}={_plain(value)}" for key, value in picked.items())
        full = f"{name}[{inside}]" if inside else name
        yield _case(full, table | picked)


def _case(name: str, table: Mapping[str, Any]) -> Case:
    where = f"case {name}"
    kinds: dict[str, Any] = {
        "kind": (str,), "model": (str,), "simulator": (str,), "lengths": (list,),
        "idle": (int, float), "stall": (int, float), "load": (bool,), "reload": (bool,),
        "head": (bool,), "command": (list,), "figures": (list,), "expect": (dict,),
        "timeout": (int, float),
    }  # fmt: skip
    for key, value in table.items():
        check_kind(kinds.get(key, (int,)), value, f"{where}: {key}")
    return Case(name, **table)


def _check_case(case: Case, models: Mapping[str, ModelRecipe]) -> None:
    where = f"case {case.name}"
    check_one_of(case.kind, KINDS, f"{where}: kind")
    check_one_of(case.simulator, SIMULATORS, f"{where}: simulator")
    positive(case.timeout, f"{where}: timeout")
    for name, share in (("idle", case.idle), ("stall", case.stall)):
        if not 0 <= share < 1:
            raise SuiteError(f"{where}: {name} = {share}: must be at least 0 and below 1")
    for name, least in (("pes", 1), ("lanes", 1), ("contexts", 1), ("seed", 0), ("largest", 0)):
        if name == "largest" and case.largest is None:
            continue
        if not least <= getattr(case, name) < 1 << 32:
            raise SuiteError(f"{where}: {name} = {getattr(case, name)}: at least {least}")
    if not case.lengths or not all(type(n) is int and 0 < n < 1 << 20 for n in case.lengths):
        raise SuiteError(f"{where}: lengths = {case.lengths}: give frames of each sequence, from 1")
    if not are_figures(case.expect) or not all(
        type(v) in (int, float) for v in case.expect.values()
    ):
        raise SuiteError(f"{where}: expect = {case.expect}: give finite numbers by figure")
    if case.kind == "command":
        check_command(case.command, case.figures, where)
    elif case.model not in models:
        raise SuiteError(
            f"{where}: model {case.model!r} is not there: add [models.{case.model or 'NAME'}]"
        )


def _check_unique(cases: tuple[Case, ...]) -> None:
    seen: dict[str, str] = {}
    for case in cases:
        if case.slug in seen:
            raise SuiteError(f"two cases are called {case.name}: give one another name")
        seen[case.slug] = case.name


def _tolerance(given: Any) -> dict[str, float]:
    table = typed(dict, given, "tolerance")
    for key, value in table.items():
        check_kind((int, float), value, f"tolerance: {key}")
        if not 0 <= value <= 1:
            raise SuiteError(f"tolerance: {key} = {value}: must be a share, 0 to 1")
    return {key: float(value) for key, value in table.items()}


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
