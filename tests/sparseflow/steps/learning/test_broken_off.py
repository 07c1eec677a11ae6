"""``sparseflow adapt`` killed at every moment that a file changes, and with files that are cut."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from csb_format import save_model
from csb_format.files.ownership import PlaceError
from csb_format.random_models import random_network
from engine.learn.learner import LearnError
from sparseflow.steps.learning import adapting
from sparseflow.steps.learning.options import AdaptOptions

EPOCHS, MOST = 2, 200

#: Kills its own child at moment 0, 1, ... : half of a write, before and behind every write that is
#: flushed, every move and every removal of a file. What is broken off is gone on with, and that
#: killed in its turn at the moment of the second number, until nothing kills any more.
PROGRAM = """
import builtins, io, os, signal, sys
from pathlib import Path
import numpy as np
from csb_format import load_model
from sparseflow.steps.learning.adapting import adapt
from sparseflow.steps.learning.options import AdaptOptions

place, second, most = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
model, out, state = place / "m.safetensors", place / "o.st", place / "o.st.state.npz"
others = (place / "o.json",)
moment, last = 0, -1

def passes():
    global moment
    if moment == last:
        os.kill(os.getpid(), signal.SIGKILL)
    moment += 1

def around(function):
    def called(*given, **more):
        passes()
        found = function(*given, **more)
        passes()
        return found
    return called

class Half(io.FileIO):
    def write(self, data):
        data = memoryview(data)
        super().write(data[: len(data) // 2])
        passes()
        super().write(data[len(data) // 2 :])
        return len(data)

def opened(path, mode="r", *given, **more):
    return Half(path, "w") if mode == "wb" else real(path, mode, *given, **more)

def child(at, resume):
    global last, real
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    last, real, builtins.open = at, builtins.open, opened
    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, around(getattr(os, name)))
    adapt(AdaptOptions(model, place / "d.npz", out, epochs=EPOCHS, rate=0.5, resume=resume,
                       json=others[0]))
    os._exit(0)

def clean():
    for path in (out, state, *others):
        path.unlink(missing_ok=True)

def whole():
    found = tuple(path.read_bytes() for path in (out, *others))
    assert not state.exists() and not list(place.glob(".*")), sorted(os.listdir(place))
    return found

def untouched():
    assert model.read_bytes() == before
    if out.exists():
        assert out.read_bytes() == wanted[0]
    if state.exists():
        with np.load(state) as file:
            assert int(file["steps"][0]) > 0

before = model.read_bytes()
assert child(-1, False) == 0
wanted = whole()
for first in range(most):
    clean()
    if child(first, False) == 0:
        assert whole() == wanted
        break
    untouched()
    if state.exists() and second >= 0:
        child(second, True)
        untouched()
    # behind the removal of the state all is written
    assert child(-1, state.exists()) == 0
    assert whole() == wanted, first
print(first)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model and data."""
    rng = np.random.default_rng(0)
    model = random_network(rng, 8, 16, 4, (1, 2, 0), value_bits=8, act_bits=8, head=3)
    save_model(tmp_path / "m.safetensors", replace(model, provenance={"seed": "0"}))
    lengths, labels = np.full(24, 4), np.arange(24) % 3
    frames = rng.normal(0, 0.3, (96, 8))
    frames[np.arange(96), np.repeat(labels, lengths)] += 1
    np.savez(tmp_path / "d.npz", frames=frames, lengths=lengths, labels=labels)
    return tmp_path


@pytest.mark.quick(1)
@pytest.mark.parametrize("second", [-1, 0, 1, 2, 3, 4, 5, 6, 9, 14])
def test_a_kill_at_every_moment_of_every_file_loses_nothing(place: Path, second: int) -> None:
    text = PROGRAM.replace("EPOCHS", str(EPOCHS))
    words = [sys.executable, "-c", text, str(place), str(second), str(MOST)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # of 2 states, the model and the figures: a half, two of a flush, two of a move, one of
    # looking for what was written beside; and two of the state's own end
    assert int(done.stdout.split()[-1]) == 4 * 6 + 2


def test_a_state_that_was_cut_or_changed_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = AdaptOptions(place / "m.safetensors", place / "d.npz", place / "o.st", epochs=1)
    state = place / "o.st.state.npz"

    def full(*_: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(adapting, "save_model", full)
        with pytest.raises(OSError, match="No space left"):
            adapting.adapt(given)
    whole = state.read_bytes()
    for cut in (whole[:0], whole[:100], whole[: len(whole) // 2], whole[:-1], _turned(whole)):
        state.write_bytes(cut)
        with pytest.raises((LearnError, PlaceError), match="is no state of an adaptation: "):
            adapting.adapt(replace(given, resume=True))
    assert not (place / "o.st").exists()
    state.write_bytes(whole)
    adapting.adapt(replace(given, resume=True))
    assert (place / "o.st").exists()


def _turned(data: bytes) -> bytes:
    """With one byte of its middle changed."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :]


def test_a_disk_that_is_full_leaves_nothing_half_written(place: Path) -> None:
    code = (
        "import resource, sys; from sparseflow.commands.cli import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); main()"
    )
    words = ["adapt", "m.safetensors", "--data", "d.npz", "--out", "o.st", "--epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr
    assert sorted(path.name for path in place.iterdir()) == ["d.npz", "m.safetensors"]
