"""Prefixes: legal everywhere, and without a name in common."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from compiler.abi.identity import AXI_MODULE
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from hdl.bus.accelerator import Accelerator
from hdl.core.core import Core
from hdl.prefix import BLOCKS, LONGEST, OURS, check_prefix, named, prefix_of
from hdl.verilog import LINT_WAIVERS, VerilogFiles, emit_verilog

MODULE = re.compile(r"^module \\?([^\s(]+)", re.MULTILINE)


def modules(files: VerilogFiles) -> set[str]:
    return set(MODULE.findall("\n".join(path.read_text() for path in files.paths)))


@pytest.mark.parametrize("prefix", ["a", "vowels", "vowels_4x8", "x1", "a" * LONGEST, OURS])
def test_legal_prefixes_stay_as_they_are(prefix: str) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize(
    ("prefix", "match"),
    [
        ("", "''"),
        ("Vowels", "'Vowels': must be a lower-case letter"),
        ("1st", "'1st'"),
        ("a__b", "single underscores"),
        ("a_", "single underscores"),
        ("a-b", "'a-b'"),
        ("../a", r"'\.\./a'"),
        ("a\n", r"'a\\n'"),
        ("a" * (LONGEST + 1), f"at most {LONGEST - 1}"),
        ("b" * 10000, r"'bbb.*\.\.\.: must"),
        ("wire", "'wire' is a keyword of Verilog: choose wire_net"),
        ("net_pe", "'net_pe' ends as the name of our block 'pe'.*net_pe_net"),
        (None, "None"),
    ],
)
def test_other_prefixes_are_refused_with_the_mend(prefix: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match) as told:
        check_prefix(prefix)
    assert len(str(told.value)) < 300


def test_what_a_refusal_proposes_is_taken() -> None:
    assert check_prefix("wire_net")
    assert check_prefix("net_pe_net")


@pytest.mark.parametrize(
    ("file", "prefix"),
    [
        ("vowels.safetensors", "sparseflow_vowels"),
        ("a/b/My Model (v2).safetensors", "sparseflow_my_model_v2"),
        ("7.safetensors", "sparseflow_7"),
        ("__x--y__.safetensors", "sparseflow_x_y"),
        ("café.safetensors", "sparseflow_caf"),
    ],
)
def test_a_prefix_comes_from_the_name_of_the_file(file: str, prefix: str) -> None:
    assert prefix_of(Path(file)) == prefix


@pytest.mark.parametrize("file", ["模型.safetensors", "ram.safetensors", "n" * 80 + ".safetensors"])
def test_a_name_that_gives_no_prefix_asks_for_one(file: str) -> None:
    with pytest.raises(ValueError, match=r"; or give --prefix$"):
        prefix_of(Path(file))


def test_names_of_users_stay() -> None:
    assert named("p", "sparseflow") == "p"
    assert named("p", "sparseflow_pe") == "p_pe"
    assert named("p", "sparseflower") == "sparseflower"


@pytest.mark.quick(1)
@pytest.mark.parametrize("options", [{"compact": True}, {"streamed": True}])
def test_every_name_begins_with_the_prefix_and_ends_as_a_known_block(
    make_case: Any, tmp_path: Path, options: dict[str, bool]
) -> None:
    model = make_case(1, (6, 5, 2, 1, 2), (4, 2)).model
    design = design_for(model, 4, 1 if "compact" in options else 2, **options)
    image = compile_model(model, design)
    top, name = (Accelerator, AXI_MODULE) if "streamed" in options else (Core, OURS)
    files = emit_verilog(design, tmp_path / "v", image, top=top, name=name, prefix="zq")
    plain = emit_verilog(design, tmp_path / "plain", image, top=top, name=name)
    assert modules(files).isdisjoint(modules(plain))
    own = {module for module in modules(files) if "." not in module}
    assert all(re.match(r"zq(?![a-z0-9])", module) for module in modules(files))
    assert {module.rpartition("_")[2] for module in own} - {"zq"} <= BLOCKS
    assert set(files.images) == {f"zq_{image}" for image in plain.images}
    # what things are called is all that differs
    for path, other in zip(files.paths, plain.paths, strict=True):
        text = path.read_text().replace("ZQ_IMAGES", "SPARSEFLOW_IMAGES").replace('"zq_', '"')
        assert re.sub(r"\bzq", OURS, text) == other.read_text()
    lines = (files.folder / "zq.vlt").read_text().splitlines()
    waived = [line.split('"')[1] for line in lines if line.startswith("lint_off")]
    assert {word.removeprefix("*") for word in waived} == set(files.sources)
    plainly = (plain.folder / LINT_WAIVERS).read_text().count("\nlint_off")
    assert len(waived) == plainly * len(files.sources)
