"""Suites from files: what is read, what is refused, and never anything untyped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sim.regress.jobs.bin_coverage import bins_of, bus_bins, covered
from sim.regress.suite.hardware import Hardware
from sim.regress.suite.suite import ModelRecipe, SuiteError, read_suite

MODEL = "[models.m]\ninput_size = 8\n"
CASE = '[[cases]]\nname = "a"\nmodel = "m"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "suite.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_lists_multiply_and_name_the_cases(tmp_path: Path) -> None:
    more = 'simulator = ["icarus", "verilator"]\nstall = [0.0, 0.5]\nlengths = [3, 2]\n'
    suite = read_suite(written(tmp_path, MODEL + CASE + more))
    assert [case.name for case in suite.cases] == [
        "a[simulator=icarus,stall=0.0]",
        "a[simulator=icarus,stall=0.5]",
        "a[simulator=verilator,stall=0.0]",
        "a[simulator=verilator,stall=0.5]",
    ]
    assert {tuple(case.lengths) for case in suite.cases} == {(3, 2)}
    assert suite.name == "suite"
    assert len({case.slug for case in suite.cases}) == 4


def test_a_part_of_a_suite(tmp_path: Path) -> None:
    more = "seed = [1, 10]\n"
    suite = read_suite(written(tmp_path, MODEL + CASE + more))
    assert [case.name for case in suite.only("seed=1").cases] == ["a[seed=1]", "a[seed=10]"]
    assert [case.name for case in suite.only("a[seed=1]").cases] == ["a[seed=1]"]
    several = suite.only("a[seed=10]", "a[seed=1]")
    assert [case.name for case in several.cases] == ["a[seed=1]", "a[seed=10]"]
    with pytest.raises(SuiteError, match=r"no case is called 'b'"):
        suite.only("b")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("name = ", "is no TOML"),
        ('name = "s"', r"it has no cases: add \[\[cases\]\]"),
        (MODEL + CASE + "colour = 1", r"case a has no 'colour'"),
        (MODEL + CASE + 'seed = "x"', r"case a: seed = 'x': give a whole number"),
        (MODEL + CASE + "seed = true", r"seed = True: give a whole number"),
        (MODEL + CASE + 'simulator = "vcs"', r"simulator = 'vcs': choose one of icarus"),
        (MODEL + CASE + "stall = 1.0", r"stall = 1.0: must be at least 0 and below 1"),
        (MODEL + CASE + "stall = []", r"stall makes 0 cases"),
        (MODEL + CASE + "lengths = [0]", r"lengths = \[0\]: give frames of each sequence"),
        (CASE, r"model 'm' is not there: add \[models.m\]"),
        (MODEL + CASE + CASE, r"two cases are called a"),
        (MODEL + CASE + "timeout = 0", r"timeout = 0: give seconds, above 0"),
        (MODEL + '[[cases]]\nname = "../a"\nmodel = "m"', r"name '../a': use letters"),
        ('[models.m]\nfile = "no.st"\n' + CASE, r"model m: file = 'no\.st' is no file: give"),
        (f'[models.m]\nfile = "{"x" * 999}"\n{CASE}', r"x' is no file: give"),
        ("[models.m]\nsize = 1\n" + CASE, r"model m has no 'size'"),
        ("[models.m]\nbanks = [1, 2]\n" + CASE, r"banks = \[1, 2\]: give a number, or three"),
        (MODEL + CASE + "[tolerance]\ncells = 2", r"tolerance: cells = 2: must be a share"),
        ('[[cases]]\nname = "a"\nkind = "command"', r"command = \[\]: give a list of words"),
        ("cases = [1]", r"case 0 = 1: give a table"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, match: str) -> None:
    with pytest.raises(SuiteError, match=match):
        read_suite(written(tmp_path, text))


SCALARS: Any = st.one_of(
    st.integers(), st.floats(), st.booleans(), st.text(max_size=5), st.just("icarus")
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
KEYS = st.sampled_from(
    ["name", "kind", "model", "pes", "lanes", "simulator", "seed", "lengths", "idle", "stall",
     "load", "contexts", "head", "command", "figures", "expect", "timeout", "banks", "k"]
)  # fmt: skip


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(c):08X}" for c in value) + '"'
    return repr(value)


@given(st.dictionaries(KEYS, VALUES), st.dictionaries(KEYS, VALUES))
def test_any_tables_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, model: dict[str, Any], case: dict[str, Any]
) -> None:
    lines = ["[models.m]", *(f"{key} = {toml(value)}" for key, value in model.items())]
    lines += ["[[cases]]", *(f"{key} = {toml(value)}" for key, value in case.items())]
    path = written(tmp_path_factory.getbasetemp(), "\n".join(lines))
    try:
        suite = read_suite(path)
    except SuiteError:
        return
    assert suite.cases


@given(st.binary(max_size=300))
@example(b"a = " + b"[" * 5000)
@example(b"[models]\nm = 3")
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.toml"
    path.write_bytes(content)
    try:
        suite = read_suite(path)
    except SuiteError:
        return
    assert suite.cases


def test_the_default_suite_is_as_large_as_it_must_be() -> None:
    suite = read_suite(Path(__file__).parents[4] / "examples/regress/default.toml")
    cases = [case for case in suite.cases if case.kind == "network"]
    assert len(suite.cases) >= 40
    assert {case.simulator for case in cases} == {"icarus", "verilator", "verilator-free"}
    widths = {suite.models[case.model].value_bits for case in cases}
    assert len(widths) >= 3
    models = [suite.models[case.model] for case in cases]
    assert any(model.projection for model in models)
    assert any(model.layers == 2 for model in models)
    assert any(case.stall for case in cases)
    assert any(case.reload for case in cases)
    assert any(case.kind == "bus" for case in suite.cases)
    assert any(case.kind == "bus" and case.reload for case in suite.cases)


def test_the_default_suite_meets_every_bin(tmp_path: Path) -> None:
    """Bins follow from model and schedule; whether a case is green is for `make regress`."""
    suite = read_suite(Path(__file__).parents[4] / "examples/regress/default.toml")
    met = ["kind/command"]
    for case in suite.cases:
        recipe = suite.models.get(case.model, ModelRecipe())
        hardware = Hardware(case, recipe, suite.folder, tmp_path)
        if case.kind == "bus":
            met += bus_bins(hardware)
        elif case.kind == "network" and sum(case.lengths) < 1000:
            met += bins_of(hardware)
    assert {name: group["missed"] for name, group in covered(met).items() if group["missed"]} == {}


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", str(1 << 63)])
def test_expected_figures_are_finite(tmp_path: Path, value: str) -> None:
    path = tmp_path / "s.toml"
    words = '[[cases]]\nname = "a"\nkind = "command"\ncommand = ["true"]\n'
    path.write_text(f"{words}expect = {{ x = {value} }}\n")
    with pytest.raises(SuiteError, match=r"expect = .*give finite numbers by figure"):
        read_suite(path)


@pytest.mark.parametrize("line", ['name = "a\\u001b[31m"', '[models."a\\u0007"]'])
def test_names_that_cannot_be_printed_are_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f'{line}\n[[cases]]\nname = "a"\nkind = "command"\ncommand = ["true"]\n')
    with pytest.raises(SuiteError, match="printable"):
        read_suite(path)


COMMAND = '[[cases]]\nname = "a"\nkind = "command"\ncommand = '


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            COMMAND + '["x", "{nope}"]',
            r"nothing fills \{nope\} in '\{nope\}': there are \{python\}",
        ),
        (COMMAND + '["x", "{nope}/y"]', r"nothing fills \{nope\} in '\{nope\}/y'"),
        (COMMAND + '["x"]\npes = 4', "case a: pes means nothing to a case of kind command"),
        (COMMAND + '["x"]\nseed = [1, 2]', "case a: seed means nothing to a case of kind"),
        (COMMAND + '["x"]\nfigures = [3]', r"figures = \[3\]: give names of figures"),
        (MODEL + CASE + 'command = ["x"]', 'case a: command is for kind = "command"'),
    ],
)
def test_commands_that_say_what_nothing_looks_at(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SuiteError, match=words):
        read_suite(written(tmp_path, text))


def test_braces_of_a_programs_text_stay(tmp_path: Path) -> None:
    text = COMMAND + """["{python}", "-c", 'print(f"{x}")', "{suite}/a", "{out}"]\ntimeout = 9"""
    (case,) = read_suite(written(tmp_path, text)).cases
    assert case.command[2] == 'print(f"{x}")'


def test_a_suite_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_bytes(b'name = "\xe4"')
    with pytest.raises(SuiteError, match="is no TOML: byte 8 is not UTF-8"):
        read_suite(tmp_path / "suite.toml")


@pytest.mark.parametrize("value", ["{a = " * 2000, "[" * 5000, "9" * 5000])
def test_a_text_beyond_the_reader_of_toml(tmp_path: Path, value: str) -> None:
    (tmp_path / "s.toml").write_text(f"timeout = {value}")
    with pytest.raises(SuiteError, match=r"s\.toml is no TOML"):
        read_suite(tmp_path / "s.toml")


REPEATED = """
[models.m]
[[cases]]
name = "a"
model = "m"
seed = [1, 2]
[[cases]]
name = "p"
kind = "command"
command = ["x"]
[[cases]]
name = "s"
kind = "command"
command = ["x", "--seed={seed}"]
"""


def test_repetitions_have_seeds_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(REPEATED)
    suite = read_suite(path)
    many = suite.repeated(3)
    assert [case.name for case in many.cases[:3]] == ["a[seed=1]", "a[seed=1]~2", "a[seed=1]~3"]
    seeds = {case.name: case.seed for case in many.cases}
    assert seeds["a[seed=1]"] == 1
    assert len({seeds[name] for name in seeds if name.startswith("a")}) == 6
    assert seeds["p~2"] == seeds["p"] == 0
    assert seeds["s~2"] != seeds["s~3"]
    assert many == read_suite(path).repeated(3)
    assert len({case.slug for case in many.cases}) == len(many.cases)
    assert [(case.base, case.repetition) for case in many.cases[2:4]] == [
        ("a[seed=1]", 3), ("a[seed=2]", 1),
    ]  # fmt: skip


def test_a_repetition_is_named_alone(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text(REPEATED)
    suite = read_suite(path)
    (case,) = suite.only("a[seed=2]~7").cases
    assert case == suite.only("a[seed=2]").cases[0].repeated(7)
    with pytest.raises(SuiteError, match="no case is called 'b~2'"):
        suite.only("b~2")
    with pytest.raises(SuiteError, match="no case is called 'a~0'"):
        suite.only("a~0")


def test_a_suite_says_which_bins_count(tmp_path: Path) -> None:
    path = tmp_path / "suite.toml"
    path.write_text('bins = "all"\n' + REPEATED)
    assert read_suite(path).bins == "all"
    path.write_text('bins = "none"\n' + REPEATED)
    with pytest.raises(SuiteError, match="bins = 'none': choose one of touched, all"):
        read_suite(path)
