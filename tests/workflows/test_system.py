"""`make setup` on machines that lack what it needs, as different users."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workflows.conftest import ROOT
from tests.workflows.machine import PACKAGES, Machine

IMAGES = ["ubuntu-22.04", "ubuntu-24.04"]
ASKED = "apt-get install -y --no-install-recommends iverilog"
CheckedOut = Callable[..., Machine]


@pytest.fixture
def bare(place: Path) -> Callable[..., Machine]:
    """A machine with the files that `make system` reads, and Python."""

    def make(**given: object) -> Machine:
        machine = Machine(place / f"{len(list(place.iterdir()))}", **given).start()  # type: ignore[arg-type]
        (machine.workspace / "Makefile").write_text((ROOT / "Makefile").read_text("utf-8"))
        machine.set_up_python()
        return machine

    return make


def system(machine: Machine, **env: str) -> subprocess.CompletedProcess[str]:
    return machine.run(["make", "system"], env)


@pytest.mark.parametrize("image", IMAGES)
def test_a_hosted_runner_gets_what_is_missing(bare: CheckedOut, image: str) -> None:
    machine = bare(image=image)
    done = system(machine)
    assert done.returncode == 0, done.stderr
    assert machine.asked[-1] == ASKED
    assert system(machine).returncode == 0
    assert machine.asked.count(ASKED) == 1  # once it is there nothing is asked for


def test_a_container_of_root_has_no_sudo(bare: CheckedOut) -> None:
    machine = bare(user="root")
    done = system(machine)
    assert done.returncode == 0, done.stderr
    assert machine.asked == ["apt-get update", ASKED]


@pytest.mark.parametrize(("passwordless", "env"), [(False, {}), (True, {"CI": ""})])
def test_others_are_told_the_command(
    bare: CheckedOut, passwordless: bool, env: dict[str, str]
) -> None:
    """Who must give a password, and who is at a desk: nothing is installed behind one's back."""
    machine = bare(passwordless=passwordless)
    done = system(machine, **env)
    assert done.returncode != 0
    assert "    sudo apt-get update && sudo apt-get install -y iverilog\n" in done.stderr
    assert not any("apt-get" in line for line in machine.asked)


def test_the_stand_ins_refuse_as_the_real_ones_do(bare: CheckedOut) -> None:
    machine = bare()

    def fails(script: str) -> str:
        done = machine.run(["bash", "-c", script], {})
        assert done.returncode != 0
        return done.stderr

    assert "Permission denied" in fails("apt-get update")
    assert "Unable to locate package iverilog" in fails("sudo apt-get install -y iverilog")
    assert "Unable to locate package icarus" in fails(
        "sudo apt-get update && sudo apt-get install -y icarus"
    )
    assert "Abort" in fails("sudo apt-get update && sudo apt-get install iverilog")
    assert "not found" in fails("iverilog -V")
    assert fails("(( EUID == 0 ))") == ""


def packages() -> set[str]:
    """All names that anything here asks apt for, or tells people to."""
    found: set[str] = set()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().splitlines():
        path = ROOT / name
        if path.suffix in (".py", ".md", ".yml", ".sh", "") and "tests" not in path.parts:
            text = path.read_text("utf-8", errors="ignore") if path.is_file() else ""
            for words in re.findall(r"apt-get install((?: +[\w+.-]+)+)", text):
                found |= {word for word in words.split() if not word.startswith("-")}
            found |= set(re.findall(r"missing\+=\(([\w+-]+)\)", text))
            found |= set(re.findall(r"\b(?:lib\w+|zlib\w+)-dev\b", text))
    return found


@pytest.mark.slow
def test_every_package_is_in_ubuntus_lists() -> None:
    named = packages()
    assert {"iverilog", "g++", "perl", "make", "liblz4-dev", "zlib1g-dev"} <= named
    # the loader of bitstreams needs a board and Slurm a cluster, which no hosted machine has; a
    # browser looks at pages in slow tests alone
    assert named - {"openfpgaloader", "slurm-client", "chromium"} == set(PACKAGES)
    for row in PACKAGES.values():
        assert set(IMAGES) <= set(row)
