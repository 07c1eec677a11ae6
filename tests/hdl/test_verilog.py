"""Emitted Verilog: the same bytes each time, small whatever the array, no weights, no paths."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hdl.verilog
from compiler.array.design import Design
from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from compiler.lower.image import Image
from csb_format import Csb
from csb_format.files.images import read_mem
from csb_format.files.ownership import MARKER, PlaceError
from csb_format.random_models import random_model
from hdl.verilog import LINT_WAIVERS, VerilogFiles, emit_verilog
from hdl.yosys import YosysFailed, run_yosys
from tests.limits import small_files

MODULES = ["sparseflow", "sparseflow_pe", "sparseflow_lane", "sparseflow_ram"]
DISTINCTIVE = 0x5A3C


def small_image(pes: int = 8, units: int = 1) -> Image:
    model = random_model(np.random.default_rng(1), 12, 8, 4, 2, 1)
    return compile_model(model, design_for(model, pes, 4, units))


def contents(files: VerilogFiles) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(files.folder.iterdir())}


def modules(text: str) -> list[str]:
    return re.findall(r"^module \\?(\S+?)(?=[\s(])", text, re.MULTILINE)


def cells(text: str, module: str) -> int:
    return len(re.findall(rf"^\s*{module}\s+(#\(|\\?\w)", text, re.MULTILINE))


@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Image, VerilogFiles]:
    image = small_image()
    return image, emit_verilog(image.design, tmp_path_factory.mktemp("v") / "hardware", image)


def test_files_are_one_module_each(emitted: tuple[Image, VerilogFiles]) -> None:
    _, files = emitted
    assert files.sources == tuple(f"{name}.v" for name in MODULES)
    assert [path.name for path in files.paths] == list(files.sources)
    assert sorted(contents(files)) == sorted([*files.sources, *files.images, LINT_WAIVERS, MARKER])
    text = {path.stem: path.read_text() for path in files.paths}
    assert all(name in modules(source) for name, source in text.items())
    everywhere = [name for source in text.values() for name in modules(source)]
    assert len(everywhere) == len(set(everywhere))  # no name is defined twice
    assert [everywhere.count(name) for name in MODULES] == [1, 1, 1, 1]


@pytest.mark.parametrize(("pes", "units"), [(4, 1), (16, 2), (32, 4)])
def test_blocks_are_instantiated_not_copied(tmp_path: Path, pes: int, units: int) -> None:
    image = small_image(pes, units)
    files = emit_verilog(image.design, tmp_path / "v", image)
    text = "".join(path.read_text() for path in files.paths)
    assert modules(text).count("sparseflow_pe") == 1
    assert modules(text).count("sparseflow_lane") == 1
    assert cells(text, "sparseflow_pe") == pes
    assert cells(text, "sparseflow_lane") == units
    assert cells(text, "sparseflow_ram") == pes + units + 1
    images = {f"{name}.mem" for name in image.memories}
    assert set(re.findall(r'\.INIT\("([^"]+)"\)', text)) == images


def test_the_same_design_gives_the_same_bytes(
    tmp_path: Path, emitted: tuple[Image, VerilogFiles]
) -> None:
    image, first = emitted
    again = emit_verilog(image.design, tmp_path / "other name", small_image())
    assert contents(again) == contents(first)
    assert again.sha256 == first.sha256
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in again.paths)).hexdigest()
    assert again.sha256 == digest


def test_the_model_changes_images_only(tmp_path: Path, emitted: tuple[Image, VerilogFiles]) -> None:
    image, files = emitted
    other = random_model(np.random.default_rng(2), 12, 8, 4, 2, 1)
    changed = emit_verilog(image.design, tmp_path / "v", compile_model(other, image.design))
    assert changed.sha256 == files.sha256
    assert contents(changed)["matrix_000.mem"] != contents(files)["matrix_000.mem"]


def test_images_hold_the_memories(emitted: tuple[Image, VerilogFiles]) -> None:
    image, files = emitted
    assert files.images == tuple(f"{name}.mem" for name in image.memories)
    for name, words in image.memories.items():
        assert read_mem(files.folder / f"{name}.mem") == words


def test_without_an_image_memories_start_empty(tmp_path: Path) -> None:
    files = emit_verilog(small_image().design, tmp_path / "v")
    assert files.images == ()
    assert sorted(contents(files)) == sorted([*files.sources, LINT_WAIVERS, MARKER])
    text = files.paths[0].read_text()
    assert text.count(".INIT(") == 10
    assert set(re.findall(r"\.INIT\(([^)]*)\)", text)) <= {"", '""'}  # the module's default


def test_no_weight_is_in_the_verilog(tmp_path: Path) -> None:
    """All weights are one odd number; neither it nor a word of them is in the text."""
    image = small_image()
    model = random_model(np.random.default_rng(1), 12, 8, 4, 2, 1)
    layer = model.layers[0]
    ih, hh = (
        Csb(m.geometry, np.full_like(m.values, DISTINCTIVE), m.indices)
        for m in (layer.weight_ih, layer.weight_hh)
    )
    bias = np.full_like(layer.bias, DISTINCTIVE)
    model = replace(model, layers=(replace(layer, weight_ih=ih, weight_hh=hh, bias=bias),))
    image = compile_model(model, image.design)
    files = emit_verilog(image.design, tmp_path / "v", image)
    text = "".join(path.read_text() for path in files.paths).lower().replace("_", "")
    words = {word for name in ("matrix_000", "bias_000") for word in image.memories[name] if word}
    assert words
    for word in words:
        for number in (f"{word:x}", f"{word:b}", str(word)):
            assert number not in text
    assert f"{DISTINCTIVE:016b}" not in text
    assert f"{DISTINCTIVE:x}" in (files.folder / "bias_000.mem").read_text()


def test_no_trace_of_the_machine(emitted: tuple[Image, VerilogFiles]) -> None:
    _, files = emitted
    here = [str(Path(__file__).parents[2]), str(files.folder), str(Path.home()), "/tmp", ".py"]
    for name, data in contents(files).items():
        text = data.decode()
        assert not [path for path in here if path != "/" and path in text], name
        assert "src" not in re.findall(r"\(\* (\w+)", text), name


def test_large_array_stays_small(tmp_path: Path) -> None:
    design = Design(64, 16, 4, 40, 1280, 256, 64, 256, 512, 6)
    files = emit_verilog(design, tmp_path / "v")
    sizes = {path.stem: path.stat().st_size for path in files.paths}
    assert sizes["sparseflow"] < 1_500_000
    assert sum(sizes.values()) < 2_000_000
    assert cells(files.paths[0].read_text(), "sparseflow_pe") == 64


def test_an_old_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "v"
    image = small_image()
    emit_verilog(image.design, folder, image)
    assert (folder / "matrix_000.mem").exists()
    files = emit_verilog(image.design, folder)
    assert sorted(contents(files)) == sorted([*files.sources, LINT_WAIVERS, MARKER])
    assert [path.name for path in folder.parent.iterdir()] == ["v"]


@pytest.mark.quick(1)
@pytest.mark.parametrize("name", ["my_top.v", "calib.hex", "thesis.tex"])
def test_a_folder_with_files_of_others_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    folder, image = tmp_path / "rtl", small_image()
    files = emit_verilog(image.design, folder, image)
    (folder / name).write_text("mine")
    before = contents(files)
    with pytest.raises(PlaceError, match=rf"rtl would be replaced as a whole but holds {name}: "):
        emit_verilog(image.design, folder)
    assert contents(files) == before
    assert [path.name for path in tmp_path.iterdir()] == ["rtl"]


@pytest.mark.parametrize("there_before", [False, True])
def test_nothing_is_left_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there_before: bool
) -> None:
    image, folder = small_image(), tmp_path / "v"
    before = contents(emit_verilog(image.design, folder, image)) if there_before else None
    written: list[str] = []

    def full_disk(path: Path, words: list[int], width: int) -> None:
        written.append(path.name)
        if len(written) == 3:
            raise OSError("no space left on device")
        path.write_text("half")

    monkeypatch.setattr(hdl.verilog, "write_mem", full_disk)
    with pytest.raises(OSError, match="no space left"):
        emit_verilog(image.design, folder, image)
    assert len(written) == 3
    assert [path.name for path in tmp_path.iterdir()] == (["v"] if there_before else [])
    if there_before:
        assert {path.name: path.read_bytes() for path in sorted(folder.iterdir())} == before


def test_a_yosys_without_room_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk, or what a file may hold, is full: WebAssembly's own traceback is not shown."""
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    with (
        small_files(64),
        pytest.raises(
            YosysFailed, match=r"ended early; its last words: .*File too large.*\. Look"
        ) as found,
    ):
        emit_verilog(small_image().design, tmp_path / "rtl")
    assert "\n" not in str(found.value)
    assert not (tmp_path / "rtl").exists()


def test_what_yosys_refuses_is_said_and_the_next_run_is_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    module = "read_rtlil <<rtlil\nmodule \\a\nend\nrtlil\n"
    with pytest.raises(YosysFailed, match="No such command: sing"):
        run_yosys(f"{module}sing")
    texts = [run_yosys(f"{module}write_verilog") for _ in range(2)]
    assert texts[0] == texts[1]
    assert texts[0].count("module a") == 1


def test_a_yosys_of_the_system_is_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Amaranth's own choice names instead, told by what it says when it is not there."""
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "system")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(YosysFailed, match="Yosys"):
        run_yosys("help")
