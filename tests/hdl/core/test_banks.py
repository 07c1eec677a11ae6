"""Vector banks in parts, and without logic for reads of what is being written, in whole cores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.back import verilog
from amaranth.hdl import Module, Mux, Print, Signal, Value

from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import IntArray, Model
from csb_format.random_models import random_frames, random_model
from csb_format.scales import DesignError
from engine.reference import IntegerModel
from hdl.core import pe
from hdl.core.array.bank import element_bank
from hdl.verilog import emit_verilog
from sim.run.pysim import simulate_amaranth
from sim.run.scenario import Job

LENGTHS = [2, 1]
# X, H, banks, k_ih, k_hh, value bits, act bits, M, N, E
CASES = {
    "three parts": (6, 72, 2, 1, 2, 16, 16, 8, 2, 1),
    "three parts, two places a write": (6, 136, 2, 1, 1, 8, 8, 16, 2, 4),
    "one part": (9, 20, 4, 1, 2, 8, 12, 8, 4, 2),
}


def build(name: str, **options: bool) -> tuple[Model, Image, list[IntArray]]:
    *sizes, pes, lanes, units = CASES[name]
    rng = np.random.default_rng(len(name))
    model = random_model(rng, *sizes)
    image = compile_model(model, design_for(model, pes, lanes, units, **options))
    return model, image, random_frames(rng, model, LENGTHS)


def run(image: Image, sequences: list[IntArray]) -> Any:
    return simulate_amaranth(image, replace(Job.of(image, sequences), limit=9000))


def assert_exact(model: Model, image: Image, sequences: list[IntArray], outcome: Any) -> None:
    traces = IntegerModel(model).run(sequences)
    for name, found in zip(("hidden", "cell"), outcome.states(image), strict=True):
        expected = np.concatenate([getattr(trace, name) for trace in traces])
        np.testing.assert_array_equal(found, expected, err_msg=name)


@pytest.mark.parametrize(
    ("name", "deep"),
    [
        ("three parts", False),
        ("one part", False),
        pytest.param("three parts", True, marks=pytest.mark.slow),
        pytest.param("three parts, two places a write", False, marks=pytest.mark.slow),
    ],
)
def test_parts_give_the_same_states_in_the_same_cycles(name: str, deep: bool) -> None:
    model, image, sequences = build(name, deep=deep)
    whole = run(image, sequences)
    image = compile_model(model, replace(image.design, parts=True))
    assert len(image.design.bank_parts) == (1 if name == "one part" else 3)
    outcome = run(image, sequences)
    assert outcome == whole
    assert_exact(model, image, sequences, outcome)


def garbling(hits: list[str]) -> Any:
    """Banks that give nonsense for a place that is being written, as block RAMs may."""

    def garbled(
        m: Module, design: Design, name: str, shape: Any, write: Any, at: int, place: Value
    ) -> Value:
        element = element_bank(m, design, name, shape, write, at, place)
        now, late = Signal(name=f"{name}_now"), Signal(name=f"{name}_late")
        m.d.comb += now.eq(write.en[at] & (write.row == place))
        m.d.sync += late.eq(now)
        with m.If(now):
            m.d.sync += Print("met")
        hits.append(name)
        return Mux(late, ~element, element).as_signed()

    return garbled


@pytest.mark.parametrize("deep", [False, True])
def test_what_is_read_in_the_cycle_that_writes_it_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], deep: bool
) -> None:
    hits: list[str] = []
    monkeypatch.setattr(pe, "element_bank", garbling(hits))
    model, image, sequences = build("one part", unguarded=True, deep=deep)
    assert_exact(model, image, sequences, run(image, sequences))
    assert hits
    assert "met" in capsys.readouterr().out


def test_synthesis_is_told() -> None:
    """Of vector banks alone; Verilog is what it was where nobody asks."""
    _, image, _ = build("one part")
    texts = {}
    for option in ("", "parts", "unguarded", "block_banks"):
        asked: dict[str, Any] = {option: True} if option else {}
        design = replace(image.design, **asked)
        made = pe.ProcessingElement(design)
        texts[option] = verilog.convert(made, strip_internal_attrs=True)
    told = {"unguarded": "(* no_rw_check", "block_banks": '(* ram_style = "block"'}
    for option, mark in told.items():
        marks = {name: text.count(mark) for name, text in texts.items()}
        assert marks == dict.fromkeys(texts, 0) | {option: image.design.lanes}
        bare = [line for line in texts[option].splitlines() if mark not in line]
        assert bare == texts[""].splitlines()


def test_matrices_of_the_last_pes_are_look_up_tables(tmp_path: Path) -> None:
    """The same memory under another name, with an attribute; hardware without it is as it was."""
    _, image, _ = build("one part")
    texts = {}
    for spread in (0, 3):
        files = emit_verilog(replace(image.design, spread=spread), tmp_path / str(spread))
        texts[spread] = {path.name: path.read_text("utf-8") for path in files.paths}
    assert set(texts[3]) - set(texts[0]) == {"sparseflow_ram_logic.v"}
    mine, usual = texts[3].pop("sparseflow_ram_logic.v"), texts[0]["sparseflow_ram.v"]
    mark = '(* no_rw_check, ram_style = "distributed" *)'
    assert mine.replace("sparseflow_ram_logic", "sparseflow_ram") == usual.replace(
        "(* no_rw_check *)", mark
    )
    assert mark in mine
    assert texts[3]["sparseflow.v"].count("sparseflow_ram_logic") == 3
    assert "sparseflow_ram_logic" not in texts[0]["sparseflow.v"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spread": 9}, "spread = 9: must be at most pes = 8"),
        ({"spread": 1, "streamed": True}, "spread = 1: a streamed design has no such"),
        ({"spread": -1}, "spread = -1"),
    ],
)
def test_a_design_says_what_cannot_be_spread(options: dict[str, Any], message: str) -> None:
    _, image, _ = build("one part")
    with pytest.raises(DesignError, match=message):
        replace(image.design, **options)


@pytest.mark.parametrize("option", ["parts", "unguarded", "block_banks"])
def test_compact_designs_have_neither(option: str) -> None:
    _, image, _ = build("one part")
    asked: dict[str, Any] = {option: True}
    with pytest.raises(DesignError, match=f"{option} = True: a compact design has none"):
        replace(image.design, compact=True, pieces=2, **asked)


def test_parts_are_no_blocks() -> None:
    _, image, _ = build("one part")
    with pytest.raises(DesignError, match="block_banks = True: parts are read within a cycle"):
        replace(image.design, parts=True, block_banks=True)
