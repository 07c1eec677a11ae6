"""Hosted machines with this tree checked out on them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workflows.actions import Service
from tests.workflows.machine import Machine
from tests.workflows.runner import Runner

ROOT = Path(__file__).parents[2]
PIP = Path.home() / ".config/pip"
FIGURE = """
import json, subprocess, sys
subprocess.run(["iverilog", "-V"], check=True, stdout=subprocess.DEVNULL)
json.dump({"lut": int(sys.argv[2])}, open(sys.argv[1], "w"))
"""
CASE = '[[cases]]\nname = "{name}"\nkind = "command"\ncommand = {words}\n'


def write_tiny(folder: Path, red: bool = False, count: int = 2) -> None:
    """A suite of some programs that need Icarus, the last against its baseline or none."""
    folder.mkdir(exist_ok=True)
    (folder / "figure.py").write_text(FIGURE)
    cases = {f"cells{n}": n for n in range(count)}
    text = "".join(
        CASE.format(name=name, words=["{python}", "{suite}/figure.py", "{out}", str(lut)])
        for name, lut in cases.items()
    )
    (folder / "suite.toml").write_text(text)
    baseline = {name: {"lut": lut + (red and lut == count - 1)} for name, lut in cases.items()}
    (folder / "suite.baseline.json").write_text(json.dumps({"cases": baseline}))


def copy_tree(target: Path) -> None:
    """What a checkout of these files would hold, committed or not."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def link_installed(workspace: Path) -> None:
    """Stand for all that pip installs: the environment of these tests, newer than pyproject."""
    (workspace / ".venv").mkdir()
    (workspace / ".venv/bin").symlink_to(Path(sys.executable).parent)
    (workspace / ".venv/.sparseflow-setup").touch()


def index() -> dict[str, str]:
    """What this place tells pip."""
    return {name: os.environ[name] for name in os.environ if re.match(r"PIP_|SSL_CERT", name)}


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that an ordinary user can reach; pytest's own are for its user alone."""
    with tempfile.TemporaryDirectory(prefix="sparseflow-hosted-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def checked_out(place: Path) -> Callable[..., Machine]:
    """Make a machine with the tree, the tiny suite, Python, and all that pip brings."""

    def make(red: bool = False, **given: Any) -> Machine:
        machine = Machine(place / f"{len(list(place.iterdir()))}", **given).start()
        copy_tree(machine.workspace)
        write_tiny(machine.workspace / "tiny", red)
        link_installed(machine.workspace)
        machine.set_up_python()
        machine.give(machine.workspace)
        return machine

    return make


Hosted = Callable[..., Runner]


@pytest.fixture
def hosted(place: Path) -> Hosted:
    """Make a service with machines; ``linked`` ones have all installed that pip brings."""

    def make(
        linked: bool = True, red: Callable[[], bool] = lambda: False, count: int = 2
    ) -> Runner:
        def checkout(workspace: Path) -> None:
            copy_tree(workspace)
            write_tiny(workspace / "tiny", red(), count)
            if linked:
                link_installed(workspace)

        def machine(job: str, image: str) -> Machine:
            root = place / f"{len(list(place.iterdir()))}-{re.sub(r'[^a-z0-9]', '', job)}"
            made = Machine(root, image.replace("latest", "24.04")).start()
            if PIP.exists() and not linked:  # where packages are to be had from here
                shutil.copytree(PIP, made.home / ".config/pip")
                made.give(made.home)
            return made

        service = Service(place / "service", checkout)
        # Installed editable, packages are found in the checkout; so they are here.
        env = {"PYTHONPATH": ".", "OMP_WAIT_POLICY": "passive"} if linked else index()
        return Runner(service, machine, env, {"SUITE": "tiny/suite.toml"})

    return make
