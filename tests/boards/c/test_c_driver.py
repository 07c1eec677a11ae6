"""The C driver against peers that mean no good: its own error for each, in bounded time."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from boards.link.c_header import write_headers
from boards.link.protocol import ANSWER_BYTES, DRAIN_WORDS, SETTLE_READS

HERE = Path(__file__).parent
DRIVER = resources.files("boards") / "c"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
CHECKED = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
RETRIES = 3  # as the peers' programs set it


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `hostile` and `fuzz`, both with the sanitizers for addresses and behaviour."""
    if shutil.which("gcc") is None:
        pytest.fail("gcc is missing: sudo apt-get install -y gcc libc6-dev")
    folder = tmp_path_factory.mktemp("peers")
    write_headers(folder)
    with resources.as_file(DRIVER) as sources:
        shared = [str(HERE / "peer.c"), str(sources / "sparseflow.c")]
        for name in ("hostile", "fuzz"):
            options = [*STRICT, *CHECKED, f"-I{folder}", f"-I{sources}", f"-I{HERE}"]
            files = [str(HERE / f"{name}.c"), *shared, "-o", str(folder / name)]
            subprocess.run(["gcc", *options, *files], check=True)
    return folder


def results() -> dict[str, int]:
    """Names and numbers of the header's results."""
    text = (DRIVER / "sparseflow.h").read_text()
    found = re.findall(r"^    SPARSEFLOW_([A-Z_]+) = (-?\d+)", text, re.MULTILINE)
    return {name: int(number) for name, number in found}


WRONG = [
    # peer, result of open, of load, and the most bytes that the driver reads
    ("honest", "OK", "OK", 2000),
    ("silent", "TIMEOUT", "TIMEOUT", RETRIES + 1),
    ("noise", "NOISE", "NOISE", (RETRIES + 1) * ANSWER_BYTES),
    ("stale", "STALE", "STALE", (RETRIES + 1) * ANSWER_BYTES),
    ("endless", "OK", "ENDLESS", 5 * DRAIN_WORDS),
    ("unsettled", "OK", "UNSETTLED", 2000 + 16 * SETTLE_READS),
    ("zero", "OK", "SHORT", 200),
    ("slow", "DEADLINE", "DEADLINE", 30_000 // 50 + 1),
]


@pytest.mark.parametrize(("peer", "opened", "loaded", "most"), WRONG)
def test_a_hostile_peer_ends_in_its_own_error(
    built: Path, peer: str, opened: str, loaded: str, most: int
) -> None:
    program = [str(built / "hostile"), peer]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    first, second, reads, milliseconds = map(int, done.stdout.split())
    assert (first, second) == (results()[opened], results()[loaded])
    assert reads <= most
    assert milliseconds <= 30_100


def fuzz(built: Path, first: int, seeds: int) -> dict[int, int]:
    """How often each result came."""
    program = [str(built / "fuzz"), str(first), str(seeds)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=900, check=False)
    last = re.findall(r"^seed \d+$", done.stderr, re.MULTILINE)[-1:]
    assert done.returncode == 0, f"fuzz {last}: {done.stderr[-4000:]}"
    return {int(a): int(b) for a, b in (line.split() for line in done.stdout.splitlines())}


def test_damaged_answers_of_every_kind(built: Path) -> None:
    found = fuzz(built, 0, 2000)
    assert sorted(found) == sorted(results().values())
    assert min(found.values()) > 0, f"the peer never reaches some results: {found}"


@pytest.mark.slow
@pytest.mark.parametrize("first", [10_000, 1_000_000])
def test_very_many_damaged_answers(built: Path, first: int) -> None:
    assert fuzz(built, first, 60_000)[0] > 0


def test_the_header_numbers_results_without_a_gap() -> None:
    assert sorted(results().values()) == list(range(-len(results()) + 1, 1))
