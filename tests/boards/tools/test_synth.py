from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Any

import pytest

from boards.tools.cells import CellReport, ModuleCells
from boards.tools.synth import (
    SynthesisError,
    ecp5_commands,
    reading,
    run_yosys,
    synthesise_ecp5,
)
from compiler.array.design import Design
from hdl.verilog import VerilogFiles

pytestmark = pytest.mark.synth

COUNTER = """
module sparseflow(input clk, output reg [7:0] count);
  always @(posedge clk) count <= count + 1;
endmodule
"""
# Two variants of one module inside another, and more of one than of the other.
NESTED = """
module sparseflow(input clk, input [3:0] d, output [3:0] q);
  pair #(.INVERT(0)) a(clk, d[0], q[0]);
  pair #(.INVERT(0)) b(clk, d[1], q[1]);
  pair #(.INVERT(1)) c(clk, d[2], q[2]);
  leaf e(clk, d[3], q[3]);
endmodule
module pair #(parameter INVERT = 0) (input clk, input d, output q);
  wire middle;
  leaf f(clk, d ^ INVERT, middle);
  leaf g(clk, middle, q);
endmodule
module leaf(input clk, input d, output reg q);
  always @(posedge clk) q <= d;
endmodule
"""


def written(folder: Path, text: str) -> VerilogFiles:
    (folder / "sparseflow.v").write_text(text)
    return VerilogFiles(folder, ("sparseflow.v",), ())


@pytest.fixture(scope="module")
def apart(files: VerilogFiles) -> CellReport:
    return synthesise_ecp5(files, flatten=False, timeout=300)


@pytest.fixture(scope="module")
def by_module(apart: CellReport) -> dict[str, ModuleCells]:
    return {module.module: module for module in apart.modules}


@pytest.fixture(scope="module")
def flat(files: VerilogFiles) -> CellReport:
    return synthesise_ecp5(files, timeout=300)


@pytest.mark.slow
def test_multipliers_are_hard_ones(design: Design, by_module: dict[str, ModuleCells]) -> None:
    pe = by_module["sparseflow_pe"]
    assert pe.instances == design.pes
    assert pe.cells["MULT18X18D"] == design.multipliers
    lanes = [m for name, m in by_module.items() if name.startswith("sparseflow_lane")]
    counted = sum(m.cells.get("MULT18X18D", 0) for m in lanes)
    assert counted == design.elementwise_multipliers


@pytest.mark.slow
def test_matrices_lie_in_block_ram(design: Design, by_module: dict[str, ModuleCells]) -> None:
    memories = by_module["sparseflow_ram"]
    assert memories.instances == design.pes + design.units + 1
    blocks = -(-design.word_bits // 36)
    assert memories.cells["DP16KD"] >= design.pes * blocks


@pytest.mark.slow
def test_vectors_lie_in_distributed_ram(design: Design, by_module: dict[str, ModuleCells]) -> None:
    banks = design.multipliers * -(-design.vector_depth // 16) * -(-design.act_bits // 4)
    assert by_module["sparseflow_pe"].cells["TRELLIS_DPR16X4"] >= banks


@pytest.mark.slow
def test_activations_read_block_ram(by_module: dict[str, ModuleCells]) -> None:
    for name in "ifgoc":
        assert by_module[f"sparseflow_lane.activation_{name}"].cells["DP16KD"] == 1


@pytest.mark.slow
def test_flattening_shares_but_keeps_hard_blocks(flat: CellReport, apart: CellReport) -> None:
    assert [module.module for module in flat.modules] == ["sparseflow"]
    assert flat.usage["multipliers"] == apart.usage["multipliers"]
    assert flat.usage["block RAMs"] == apart.usage["block RAMs"]
    assert 0 < flat.usage["registers"] <= apart.usage["registers"]


@pytest.mark.slow
def test_only_known_cells_are_left(flat: CellReport) -> None:
    assert all(kind.isupper() or kind[-1].isdigit() for kind in flat.cells)
    assert not any(kind.startswith("$") for kind in flat.cells)


def test_folder_is_left_as_it_was(tmp_path: Path) -> None:
    files = written(tmp_path, NESTED)
    before = sorted(os.listdir(files.folder))
    assert synthesise_ecp5(files, flatten=False, timeout=300).seconds > 0
    assert sorted(os.listdir(files.folder)) == before


def test_same_verilog_gives_same_counts(tmp_path: Path) -> None:
    files = written(tmp_path, COUNTER)
    first, second = synthesise_ecp5(files, timeout=300), synthesise_ecp5(files, timeout=300)
    assert first.to_dict() == second.to_dict()
    assert first.cells["TRELLIS_FF"] == 8


def test_variants_and_nested_instances_are_counted(tmp_path: Path) -> None:
    report = synthesise_ecp5(written(tmp_path, NESTED), flatten=False, timeout=300)
    counted = {m.module: (m.instances, m.cells.get("TRELLIS_FF", 0)) for m in report.modules}
    assert counted == {"sparseflow": (1, 0), "pair": (3, 0), "leaf": (7, 7)}


@pytest.mark.parametrize("kind", ["sources", "images"])
def test_missing_file(kind: str, tmp_path: Path) -> None:
    names: dict[str, Any] = {kind: ("gone.v",)}
    files = dataclasses.replace(written(tmp_path, COUNTER), **names)
    with pytest.raises(SynthesisError, match=r"gone\.v is missing: emit the Verilog again"):
        synthesise_ecp5(files, timeout=300)


def test_broken_verilog(tmp_path: Path) -> None:
    files = written(tmp_path, "module sparseflow(input clk;\nendmodule\n")
    with pytest.raises(
        SynthesisError,
        match=r"^Yosys failed \(exit 1\): \S*sparseflow\.v:1: ERROR: syntax error.*$",
    ):
        synthesise_ecp5(files, timeout=300)


def test_unknown_top(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match=r"Module `other' not found"):
        synthesise_ecp5(written(tmp_path, COUNTER), top="other", timeout=300)


def test_missing_memory_image_inside_verilog(tmp_path: Path) -> None:
    text = COUNTER.replace("endmodule", 'reg [7:0] m [0:3]; initial $readmemh("no.mem", m);')
    with pytest.raises(SynthesisError, match=r"no\.mem"):
        synthesise_ecp5(written(tmp_path, f"{text}\nendmodule\n"), timeout=300)


def test_timeout_kills(tmp_path: Path) -> None:
    with pytest.raises(
        SynthesisError,
        match=r"^Yosys killed after 0\.01 s: allow it more by --timeout, or choose fewer --pes.*$",
    ):
        synthesise_ecp5(written(tmp_path, COUNTER), timeout=0.01)


def test_folder_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "top.v").write_text(COUNTER)
    monkeypatch.chdir(tmp_path)
    commands = ["read_verilog -sv top.v", "synth_ecp5", "write_json netlist.json"]
    run_yosys(Path("work"), commands, 300)  # ABC, which it starts, works in a folder inside
    assert "netlist.json" in {path.name for path in work.iterdir()}


def test_pyosys_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SynthesisError, match=r"package pyosys is not installed: .*bitstream"):
        synthesise_ecp5(written(tmp_path, COUNTER), timeout=300)


def test_counts_hide_no_names_but_those_in_brackets(tmp_path: Path) -> None:
    """Nameless wires cost look-up tables; those in brackets crash Yosys where ABC comes back."""
    text = "module sparseflow(input a, output b); wire \\inner[0] = a; wire plain = ~\\inner[0] ;"
    (tmp_path / "a.v").write_text(f"{text} assign b = plain; endmodule")
    commands = ecp5_commands(("a.v",), "sparseflow", flatten=True)
    read = commands[: commands.index("synth_ecp5 -top sparseflow")]
    run_yosys(tmp_path, [*read, "tee -q -o names.txt select -list w:*"], 60)
    names = (tmp_path / "names.txt").read_text().split()
    assert "sparseflow/plain" in names
    assert not [name for name in names if name.startswith("sparseflow/inner")]
    assert reading(("a.v",), "sparseflow")[-1] == "rename -hide w:*"
    *reads, _, _ = reading(("a.v", "ram.v"), "sparseflow", boxes=("ram",))
    assert reads == ["read_verilog a.v", "read_verilog -lib ram.v"]
