"""Commands are derived from their options: nothing stands twice."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from csb_format.precision import Balance, Precision
from pruning.integers import calibrate, formats, qat
from pruning.integers.quantise import quantise
from sparseflow.commands.derived import derived, within
from sparseflow.steps import options, pipeline, preparing
from sparseflow.steps.options import Said


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


CLASSES = [
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
    apart = {"wishes", "calibration"}  # no list; needed where no single matrices are packed
    shared = {name for name in mine if name in given and name not in apart}
    assert shared
    for name in shared:
        assert given[name].default is mine[name] or given[name].default == mine[name], name


def test_precision_and_balance_stand_once() -> None:
    wanted: dict[str, Any] = {f.name: f.default for f in fields(Precision)}
    for function in (quantise, calibrate.calibrate, formats.choose_formats):
        given = inspect.signature(function).parameters
        for name in wanted.keys() & given.keys():
            assert given[name].default == wanted[name]
    assert qat.Precision() == qat.Precision(**wanted)
    assert (options.PruneOptions.banks, options.PruneOptions.sparsity) == (
        Balance.banks,
        Balance.sparsity,
    )
    rooms = Path(options.__file__).parents[2]
    for room in ("pruning", "sparseflow", "sim", "boards", "compiler", "engine", "csb_format"):
        for path in (rooms / room).rglob("*.py"):
            found = path.read_text("utf-8").count("percentile: float = 100")
            assert found == (path.name == "precision.py"), path
