"""Commands are derived from their options: nothing stands twice."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from compiler.array.design import Array
from csb_format.precision import Balance, Precision
from sim.check.engines import ENGINE
from sparseflow.commands.derived import derived, within
from sparseflow.steps import options, pipeline, preparing
from sparseflow.steps.options import Said
from sparseflow.steps.tuning.controls import QAT, Controls, OptimizerName, ScheduleName


@dataclass(frozen=True)
class Small:
    """Of a command for the test."""

    path: Annotated[Path, Said("A place.", argument=True)]
    count: Annotated[int, Said("How many.", least=2, most=8, multiple=2)] = 4
    loud: Annotated[bool, Said("Say it.", name="--loud")] = False


def run(*words: str) -> tuple[int, str, list[Small]]:
    seen: list[Small] = []
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @derived(Small)
    def small(given: Small) -> None:
        """Do little."""
        seen.append(given)

    done = CliRunner().invoke(app, list(words))
    return done.exit_code, done.output, seen


def test_a_command_is_given_its_options() -> None:
    assert run("here") == (0, "", [Small(Path("here"))])
    assert run("here", "--count", "6", "--loud")[2] == [Small(Path("here"), 6, True)]


def test_help_shows_what_the_fields_say() -> None:
    code, text, _ = run("--help")
    assert code == 0
    for shown in ("Do little.", "A place.", "How many.", "default: 4", "--loud"):
        assert shown in text
    assert "--no-loud" not in text


@pytest.mark.parametrize(("count", "told"), [("1", "1 must be"), ("3", "3 must be"), ("10", "10")])
def test_a_value_out_of_range_is_named(count: str, told: str) -> None:
    code, text, seen = run("here", "--count", count)
    assert (code, seen) == (2, [])
    assert told in text


def test_within_says_what_is_allowed() -> None:
    assert within(4, multiple=4)(8) == 8
    assert within(1)(None) is None
    with pytest.raises(typer.BadParameter, match="6 must be a multiple of 4, at least 4"):
        within(4, multiple=4)(6)


CLASSES: list[type[Any]] = [
    found
    for name, found in vars(options).items()
    if name.endswith("Options") and inspect.isclass(found)
]


@pytest.mark.parametrize("found", CLASSES, ids=lambda found: found.__name__)
def test_every_field_says_what_it_is(found: type) -> None:
    parameters = inspect.signature(derived(found)(print)).parameters
    assert list(parameters) == [field.name for field in fields(found)]


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (preparing.prune_checkpoint, options.PruneOptions),
        (preparing.pack, options.PackOptions),
        (pipeline.verilog, options.VerilogOptions),
        (pipeline.simulate, options.SimulateOptions),
        (pipeline.demo, options.DemoOptions),
    ],
)
def test_steps_take_their_defaults_from_the_options(
    function: Callable[..., object], found: type
) -> None:
    mine = {f.name: f.default for f in fields(found) if f.default is not MISSING}
    given = inspect.signature(function).parameters
    # no list; needed where no single matrices are packed; a top instead of its name; a file or
    # several
    apart = {"wishes", "calibration", "top", "also"}
    shared = {name for name in mine if name in given and name not in apart}
    assert shared
    for name in shared:
        assert given[name].default is mine[name] or given[name].default == mine[name], name


ROOMS = ("csb_format", "compiler", "engine", "pruning", "hdl", "sim", "boards", "sparseflow")
# Files that say it of something else: a format of files, a network of a test.
THEIRS = {"sim/regress/suite/suite.py", "pruning/tasks/networks/sequence.py"}
ONCE = ("value_bits", "act_bits", "percentile", "sparsity", "keep_energy", "retries", "epochs")


def literal_defaults(source: str) -> Iterator[str]:
    """Names that a signature or a class gives a number or a text of its own."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            given = node.args
            names = [*given.posonlyargs, *given.args][-len(given.defaults) :]
            pairs = [*zip(names, given.defaults, strict=False)]
            pairs += [(n, d) for n, d in zip(given.kwonlyargs, given.kw_defaults, strict=True) if d]
            yield from (name.arg for name, value in pairs if is_literal(value))
        elif isinstance(node, ast.AnnAssign) and node.value and is_literal(node.value):
            yield ast.unparse(node.target)


def is_literal(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value not in (None, False, True, 0, "")


@pytest.mark.parametrize("name", ONCE)
def test_a_default_stands_in_one_place(name: str) -> None:
    root = Path(options.__file__).parents[3]
    files = [path for room in ROOMS for path in (root / room).rglob("*.py")]
    found = [
        path.relative_to(root).as_posix()
        for path in files
        for other in literal_defaults(path.read_text("utf-8"))
        if other == name
    ]
    assert len(set(found) - THEIRS) <= 1, found


def test_the_front_door_and_the_steps_have_no_default_of_an_option() -> None:
    root = Path(options.__file__).parents[3]
    said = {field.name for found in CLASSES for field in fields(found)} | {"array"}
    files = [root / "sparseflow" / "api.py", root / "pruning" / "face.py"]
    files += [*(root / "sparseflow" / "commands").glob("*.py")]
    files += [*(root / "sparseflow" / "steps").glob("*.py")]
    for path in files:
        assert not said & set(literal_defaults(path.read_text("utf-8"))), path


def test_literal_defaults_are_found() -> None:
    text = "def f(a, b=2, *, c='x', d=None, e=E.e): ...\nclass G:\n    h: int = 3\n    i: int = E.i"
    assert list(literal_defaults(text)) == ["b", "c", "h"]


def test_a_training_is_by_default_that_of_the_recipe() -> None:
    from pruning.tasks.networks.sequence import Training
    from pruning.tasks.recipes.finetune_integers import TUNING
    from pruning.tasks.recipes.recipe import Recipe
    from pruning.tasks.training.controls import OPTIMIZERS, SCHEDULES

    assert Controls().training() == Recipe().tuning != Training()
    assert QAT.training() == TUNING
    assert (options.PruneOptions.lr, options.PackOptions.lr) == (Controls().lr, QAT.lr)
    assert [*OptimizerName] == [*OPTIMIZERS]
    assert [*ScheduleName] == [*SCHEDULES]


def test_options_take_precision_balance_and_array_from_where_they_stand() -> None:
    pack, prune, simulate = options.PackOptions, options.PruneOptions, options.SimulateOptions
    mine = Precision(pack.value_bits, pack.act_bits, pack.per_gate, pack.percentile)
    assert mine == Precision()
    assert (prune.banks, prune.sparsity) == (Balance.banks, Balance.sparsity)
    assert (simulate.pes, simulate.lanes, simulate.simulator) == (Array.pes, Array.lanes, ENGINE)
