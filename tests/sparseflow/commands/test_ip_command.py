"""The packaged block and prefixes, from the command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from csb_format import save_model
from csb_format.random_models import random_model

Run = Callable[..., int]
Text = pytest.CaptureFixture[str]
ARRAY = ["--pes", 4, "--lanes", 2]


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a small model under three names."""
    monkeypatch.chdir(tmp_path)
    model = random_model(np.random.default_rng(0), 4, 8, banks=2, k_ih=1, k_hh=1)
    for name in ("my net", "ram", "模型"):
        save_model(tmp_path / f"{name}.safetensors", model)
    wide = random_model(np.random.default_rng(0), 4, 32, banks=2, k_ih=1, k_hh=1)
    save_model(tmp_path / "wide.safetensors", wide)
    return tmp_path


@pytest.mark.parametrize(
    ("model", "more", "told"),
    [
        ("my net", ["--bits", 48], "bits = 48: take 32, 64, 128, 256, 512 or 1024 bits"),
        ("my net", ["--bits", 16], "16 must be 32 to 1024"),
        ("my net", ["--prefix", "My-Net"], "prefix 'My-Net': must be a lower-case letter"),
        ("my net", ["--prefix", ""], "prefix '': must be"),
        ("ram", [], "ends as the name of our block 'ram'"),
        ("模型", [], "neither letters nor digits of ASCII; or give --prefix"),
        ("none", [], "none.safetensors"),
    ],
)
def test_what_gives_no_block_is_one_error_and_nothing_written(
    run: Run, at: Path, capsys: Text, model: str, more: list[Any], told: str
) -> None:
    before = sorted(at.rglob("*"))
    assert run("ip", f"{model}.safetensors", "--out", "ip", *ARRAY, *more) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert told in last
    assert sorted(at.rglob("*")) == before


def test_a_users_folder_is_kept(run: Run, at: Path, capsys: Text) -> None:
    (at / "ip").mkdir()
    (at / "ip" / "top.v").write_text("mine")
    assert run("ip", "my net.safetensors", "--out", "ip", *ARRAY) == 2
    assert "ip would be replaced as a whole but holds top.v" in capsys.readouterr().err
    assert (at / "ip" / "top.v").read_text() == "mine"


def test_verilog_takes_a_prefix_and_other_images_follow(run: Run, at: Path) -> None:
    words = ["my net.safetensors", "--out", "v", *ARRAY, "--images", "coe"]
    assert run("verilog", *words, "--prefix", "pe") == 2  # a name of ours
    assert not (at / "v").exists()
    assert run("verilog", *words, "--prefix", "net") == 0
    names = {path.name for path in (at / "v").iterdir()} - {".sparseflow.json"}
    assert {name.partition("_")[0].partition(".")[0] for name in names} == {"net"}
    assert {"net.v", "net.vlt", "net_ram.v", "net_program.mem", "net_program.coe"} <= names
    # another command's folder is not replaced
    assert run("ip", "my net.safetensors", "--out", "v", *ARRAY) == 2
    assert (at / "v" / "net.v").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--top", "axi", "--bus-bits", 64], "--bus-bits is of --top dram: leave it out for axi"),
        (["--bits", 64], "--bits is of --top axi and dram: leave it out for core"),
        (["--top", "dram", "--bus-bits", 96], "bus_bits = 96: must be 64, 128, 256 or 512"),
        (["--pes", 100000], "no device has more than 65,536"),
        (["--top", "dram", "--base", -4096], "must be a multiple of 4096, at least 0"),
        (["--top", "axi", "--bits", 48], "bits = 48: take 32, 64, 128, 256, 512 or 1024 bits"),
        (["--top", "dram", "--base", 100], "--base 100: must be a multiple of 4096"),
        (["--top", "dram", "--base", 1 << 63], "must be a multiple of 4096 below 2**40"),
        (
            ["--top", "dram", "--base", 0, "--also", "wide.safetensors"],
            "wide.safetensors: the model",
        ),
        (["--top", "dram", "--base", (1 << 40) - 4096], "end behind the 40 bits of an address"),
        (["--top", "link", "--streamed"], "carries no words of a matrix"),
        (["--top", "dram", "--also", "my net.safetensors"], "give --base too"),
        (["--top", "axi", "--images", "coe"], "images 'coe': the bare core alone"),
        (["--head"], "has no linear output layer"),
    ],
    ids=str,
)
def test_a_top_that_cannot_be_is_one_error(
    run: Run, at: Path, capsys: Text, more: list[Any], told: str
) -> None:
    assert run("verilog", "my net.safetensors", "--out", "v", *ARRAY, *more) == 2
    assert told in capsys.readouterr().err
    assert not (at / "v").exists()


def test_a_streamed_top_has_no_wrapper_of_litex(run: Run, at: Path) -> None:
    """Its engines have no words of a matrix: a module that left them open would never run."""
    words = ["--top", "axi", "--streamed"]
    assert run("verilog", "my net.safetensors", "--out", "v", *ARRAY, *words) == 0
    assert not list((at / "v").glob("*_litex.py"))
    page = (at / "v" / "README.md").read_text()
    assert "s_axis_matrix" in page
    assert "LiteX" not in page


def test_a_package_has_a_bus_of_the_width_asked_for(run: Run, at: Path, capsys: Text) -> None:
    words = ["ip", "my net.safetensors", "--out", "ip", *ARRAY, "--bus-bits", 256]
    assert run(*words) == 2
    assert "--bus-bits is of --top dram" in capsys.readouterr().err
    assert run(*words, "--top", "dram") == 0
    assert "| `m_axi_*` | 256 |" in (at / "ip" / "README.md").read_text()
    assert run("ip", "my net.safetensors", "--out", "ip", *ARRAY, "--top", "core") == 2
    assert "'core'" in capsys.readouterr().err


@pytest.mark.quick(2)
@pytest.mark.parametrize("top", ["link", "dram", "axi"])
def test_tops_have_beside_them_what_they_need(run: Run, at: Path, top: str) -> None:
    words = ["--prefix", "net", "--top", top, "--contexts", 2, "--deep"]
    assert run("verilog", "my net.safetensors", "--out", "v", *ARRAY, *words) == 0
    names = {path.name for path in (at / "v").iterdir()}
    assert {"README.md", "net.core", "sparseflow_registers.h", f"net_{top}.v"} <= names
    assert {"component.xml", "net_tb.v"} <= names or top == "link"
    assert ("net_litex.py" in names) == (top != "link")
    assert ("net_zynq.tcl" in names) == (top == "dram")
    core = (at / "v" / "net.core").read_text()
    assert all(f"- {name}\n" in core for name in names if name.endswith(".v"))
    assert f"| `net_{top}.v` and the other `.v` |" in (at / "v" / "README.md").read_text()


def test_models_in_memory_have_no_images_and_names_for_c(run: Run, at: Path) -> None:
    """A core file without images is one that FuseSoC reads: each key of a file set once."""
    words = ["--top", "dram", "--base", 4096, "--also", "my net.safetensors"]
    assert run("verilog", "my net.safetensors", "--out", "v", *ARRAY, *words) == 0
    core = yaml.safe_load((at / "v" / "sparseflow.core").read_text())
    assert set(core["filesets"]) == {"rtl", "tb", "waivers"}
    assert core["filesets"]["rtl"]["file_type"] == "verilogSource"
    assert "sparseflow_dram.v" in core["filesets"]["rtl"]["files"]
    assert core["targets"]["default"]["filesets"] == ["waivers", "rtl"]
    header = (at / "v" / "sparseflow_model.h").read_text()
    lists = re.findall(r"#define SPARSEFLOW_MODEL_(?:1_)?LIST_0 (0x\w+)ull", header)
    size = int(re.findall(r"_BYTES (0x\w+)ull", header)[0], 16)
    assert (at / "v" / "sparseflow_model.bin").stat().st_size == size
    assert len(set(lists)) == 2
    assert all(4096 < int(at, 16) < 4096 + size for at in lists)
