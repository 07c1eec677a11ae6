"""Files of a user's with the names of rooms: told where they hide one, harmless elsewhere."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from csb_format import save_model
from csb_format.random_models import random_model
from sparseflow_rooms import ROOMS, shadow

ROOT = Path(__file__).resolve().parents[1]
MINE = "raise SystemExit('a file of the user has run')\n"
DRIVER = "from boards.host.driver import Accelerator"
FRONT = "from sparseflow.driver import Accelerator"


def run(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    safe = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    return subprocess.run(
        words,
        cwd=folder,
        env=safe | {"PYTHONPATH": str(ROOT)} | more,
        capture_output=True,
        text=True,
        check=False,
    )


def script(folder: Path, text: str, *options: str, **more: str) -> tuple[int, str]:
    (folder / "main.py").write_text(text + "\nprint('done')\n")
    done = run(folder, sys.executable, *options, str(folder / "main.py"), **more)
    return done.returncode, (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("room", "text"),
    [
        ("csb_format", DRIVER),
        ("compiler", "import boards.host.pynq"),
        ("engine", DRIVER),
        ("boards", FRONT),
        ("hdl", "import sparseflow as sf; sf.verify"),
        ("sim", "import sparseflow as sf; sf.verify"),
        ("sim", "import sim\nimport sparseflow as sf; sf.simulate"),
        ("sim", "import sim\nfrom csb_format.extras import needs\nwith needs('x'): import sim.run"),
        ("pruning", "import sparseflow as sf; sf.prune"),
    ],
)
def test_a_file_that_hides_a_room_is_named_with_the_mend(
    tmp_path: Path, room: str, text: str
) -> None:
    file = tmp_path / f"{room}.py"
    file.write_text("mine = 1\n")
    code, last = script(tmp_path, text)
    assert code == 1
    assert f"ShadowedError: {file} hides the package '{room}' of Sparseflow" in last
    assert re.search(r"rename it, or .* python -P, or PYTHONSAFEPATH=1$", last)


def test_a_package_that_hides_a_room_is_named_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "__init__.py").touch()
    assert f" {tmp_path / 'engine'} hides" in script(tmp_path, DRIVER)[1]


@pytest.mark.parametrize("text", [DRIVER, FRONT, "import sim\n" + FRONT])
def test_what_the_driver_does_not_need_may_have_any_name(tmp_path: Path, text: str) -> None:
    for room in ("sim", "hdl", "pruning", "tests"):
        (tmp_path / f"{room}.py").write_text("mine = 1\n")
    heavy = "import sys\nassert not {'torch', 'amaranth'} & set(sys.modules)"
    assert script(tmp_path, f"{text}\n{heavy}") == (0, "done")


def test_the_mend_mends(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text(MINE)
    assert script(tmp_path, DRIVER, "-P") == (0, "done")
    assert script(tmp_path, DRIVER, PYTHONSAFEPATH="1") == (0, "done")


@pytest.fixture
def named_alike(tmp_path: Path) -> Path:
    """A folder with a model, and files of the user's with all names of rooms."""
    save_model(
        tmp_path / "net.safetensors",
        random_model(np.random.default_rng(0), 4, 8, banks=2, k_ih=1, k_hh=1),
    )
    for room in ROOMS:
        (tmp_path / f"{room}.py").write_text(MINE)
    return tmp_path


@pytest.mark.parametrize(
    "command", [[sys.executable, "-m", "sparseflow"], [f"{Path(sys.executable).parent}/sparseflow"]]
)
def test_commands_do_not_look_into_the_folder_where_they_start(
    named_alike: Path, command: list[str]
) -> None:
    done = run(named_alike, *command, "fit", "net.safetensors", "--board", "ulx3s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ULX3S" in done.stdout


@pytest.mark.slow
def test_neither_do_the_processes_that_they_start(named_alike: Path) -> None:
    np.savez(
        named_alike / "data.npz",
        frames=np.zeros((3, 4), np.float32),
        lengths=np.array([3]),
    )
    words = ["simulate", "net.safetensors", "--data", "data.npz", "--build", "b"]
    more = ["--simulator", "icarus", "--pes", "4", "--lanes", "2"]
    done = run(named_alike, sys.executable, "-m", "sparseflow", *words, *more)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rooms_are_not_taken_for_others() -> None:
    assert [shadow(f"{room}.anything") for room in ROOMS] == [""] * len(ROOMS)
    assert shadow("numpy.linalg") == ""


# The driver takes the protocol from here: the rest of it is for hardware and simulation, which
# are asked for by the functions that need them. So is what runs Verilog in the place of a board.
LATER = {"boards/link": {"hdl", "sim"}, "boards/learn": {"sim"}}


def rooms_of(tree: ast.Module) -> set[str]:
    """What a file imports as soon as it is imported."""
    names = {n.module or "" for n in tree.body if isinstance(n, ast.ImportFrom) and n.level == 0}
    names |= {a.name for n in tree.body if isinstance(n, ast.Import) for a in n.names}
    return {name.partition(".")[0] for name in names} & set(ROOMS)


def checked(init: Path) -> set[str]:
    calls = (n for n in ast.walk(ast.parse(init.read_text())) if isinstance(n, ast.Call))
    return {
        str(a.value)
        for n in calls
        if isinstance(n.func, ast.Name) and n.func.id == "check"
        for a in n.args
        if isinstance(a, ast.Constant)
    }


@pytest.mark.parametrize("room", ROOMS)
def test_every_folder_asks_for_the_rooms_that_it_cannot_do_without(room: str) -> None:
    for file in (ROOT / room).rglob("*.py"):
        folder = file.parent.relative_to(ROOT)
        above = [ROOT / folder, *(ROOT / p for p in folder.parents if p != Path())]
        asked = set().union(*(checked(f / "__init__.py") for f in above))
        needed = rooms_of(ast.parse(file.read_text())) - {room}
        missing = needed - asked - LATER.get(folder.as_posix(), set())
        assert not missing, f"{file.relative_to(ROOT)}: check({missing}) in an __init__.py above"
