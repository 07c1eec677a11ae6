"""Every command that a page, a result, an example or a docstring names can be given."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import typer

from sparseflow.commands.cli import app

if TYPE_CHECKING:
    from tests.bench.conftest import RunModule

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "Makefile")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.py")),
    *sorted(p for kind in ("toml", "sh", "yml") for p in (ROOT / "examples").rglob(f"*.{kind}")),
    *sorted((ROOT / "examples").rglob("*.ipynb")),
    *sorted((ROOT / ".github").rglob("*.yml")),
]
RESULTS = sorted((ROOT / "bench" / "results").glob("*.json"))
SOURCES = sorted((ROOT / "bench").rglob("*.py"))
MODULE = re.compile(
    r"(?:python3?(?:\.\d+)?|\{python\})\s+-m\s+([a-z_][\w.]*)((?:(?!``)[^`\n&|>;])*)"
)
SPARSEFLOW = re.compile(
    r"(?:^[#\s]*|[`/]|-m )sparseflow[ \t]+([a-z][a-z-]*)((?:(?!``)[^`\n&|;#])*)", re.MULTILINE
)
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")


def joined(text: str) -> str:
    """Lines that end in a backslash in one; words of a list as words of a line."""
    return re.sub(r"\\\n\s*", " ", text).replace('", "', " ").replace("\\n", "\n")


def commands_in(value: Any) -> Iterator[str]:
    """All values of ``command`` and ``commands`` of a result."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in ("command", "commands"):
                yield from [inner] if isinstance(inner, str) else inner
            else:
                yield from commands_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from commands_in(inner)


def shell(path: Path) -> str:
    """What a file has to say to a shell: of Markdown, the code that is not Python."""
    text = path.read_text("utf-8")
    if path.suffix == ".json":
        return "\n".join(commands_in(json.loads(text)))
    if path.suffix != ".md":
        return joined(text)
    blocks = [code for kind, code in FENCE.findall(text) if kind != "python"]
    spans = re.findall(r"`([^`]+)`", FENCE.sub("", text))
    return joined("\n".join([*blocks, *(" ".join(span.split()) for span in spans)]))


def options(words: str) -> set[str]:
    """Options of a command, without those of a command in its arguments."""
    return set(OPTION.findall(re.sub(r"'[^']*'|\"[^\"]*\"", "", words)))


@pytest.fixture(scope="module")
def help_of() -> dict[str, str]:
    """What commands have said of themselves, by module."""
    return {}


def texts() -> list[Any]:
    files = [path for path in (*PAGES, *RESULTS, *SOURCES) if path.exists()]
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in files]


@pytest.mark.parametrize("path", texts())
def test_modules_that_it_names_can_be_run(
    path: Path,
    runnable: list[str],
    run_module: RunModule,
    help_of: dict[str, str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for name, words in MODULE.findall(shell(path)):
        module = name.rstrip(".")
        if not module.islower():  # capitals stand for a name of the reader's
            continue
        if (ROOT / module.partition(".")[0]).is_dir():
            assert module in runnable, f"{path.name} names python -m {module}"
        else:
            assert importlib.util.find_spec(module), f"{path.name} names python -m {module}"
        if module.startswith("bench.") and options(words):
            if module not in help_of:
                run_module(module, "--help")
                help_of[module] = capsys.readouterr().out
            known = set(OPTION.findall(help_of[module]))
            assert options(words) <= known, f"{path.name}: {module} {words}"


def subcommand(name: str, words: str) -> tuple[click.Command | None, str]:
    """A command of sparseflow, or of a group of its commands."""
    group: Any = typer.main.get_command(app)
    found = group.commands.get(name)
    if hasattr(found, "commands") and words.split():
        inner = words.split()[0]
        whole = found.commands.get("model")  # what `predict MODEL` stands for
        return found.commands.get(inner, whole), f"{name} {inner}"
    return found, name


@pytest.mark.parametrize("path", texts())
def test_commands_that_it_names_are_there(path: Path) -> None:
    for first, words in SPARSEFLOW.findall(shell(path)):
        found, name = subcommand(first, words)
        assert found is not None, f"{path.name} names sparseflow {name}"
        known = {option for p in found.params for option in (*p.opts, *p.secondary_opts)}
        assert options(words) <= known | {"--help"}, f"{path.name}: sparseflow {name} {words}"


def test_a_command_that_is_gone_is_found(tmp_path: Path, runnable: list[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "See `python -m\nbench.arrays --json FILE`.\n\n```sh\nsparseflow emit --to x\n```\n"
    )
    assert MODULE.findall(shell(page)) == [("bench.arrays", " --json FILE")]
    assert "bench.arrays" not in runnable
    ((name, words),) = SPARSEFLOW.findall(shell(page))
    assert (subcommand(name, words)[0], options(words)) == (None, {"--to"})


def test_targets_of_make_that_pages_name_are_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    for path in (p for p in PAGES if p.suffix == ".md" and p.exists()):
        assert set(re.findall(r"^make ([a-z]+)", shell(path), re.MULTILINE)) <= targets, path.name
