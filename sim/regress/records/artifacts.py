"""What red cases need, and nothing else, in a folder that CI keeps."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from csb_format.files.folders import replaced_folder
from csb_format.files.ownership import MARKER, PlaceError, check_replaceable

from ...run.logs import tail
from ..jobs.bus import SLOWER
from ..jobs.runner import Places
from ..jobs.verdicts import CaseResult, Run
from ..suite.hardware import Hardware
from ..suite.suite import ModelRecipe, Suite
from .replay import last_frame, part_of, record

__all__ = ["check_artifacts", "keep_artifacts"]

KIND = "artifacts"
MOST_WAVES = 8  # red cases that are run again for their waveforms
MOST_BYTES = 64 << 20  # of one file of them
MOST_SECONDS = 300.0  # that a simulator may take for them
MOST_KEPT = 256 << 20  # bytes of logs and vectors, all together


def check_artifacts(folder: Path, places: Places) -> None:
    """Refuse a folder that may not be replaced as a whole, before any work.

    Raises
    ------
    PlaceError
        If it holds anything that is not ours, the results or the cache.
    """
    whole, here = folder.resolve(), Path.cwd()
    held = whole == here or whole in here.parents  # that is told first
    for other in (places.out.resolve(), places.cache.resolve(), places.suite.resolve()):
        if not held and (whole == other or whole in other.parents):
            raise PlaceError(
                f"--artifacts {folder} is replaced as a whole, and {other} lies there: give a "
                "folder of its own"
            )
    check_replaceable(folder, KIND)


def keep_artifacts(
    suite: Suite,
    places: Places,
    run: Run,
    folder: Path,
    simulator: str,
    tell: Callable[[str], None],
) -> None:
    """Replace the folder by what the red cases of a run need; an empty one if all are green.

    Each red case has a folder of its own: its story, the command that runs it again, its logs, the
    frame that went wrong, what went in, and of the first few also waveforms, for which they run
    once more.

    Parameters
    ----------
    suite : Suite
    places : Places
    run : Run
    folder : Path
    simulator : {"icarus", "verilator"}
        That writes waveforms.
    tell : callable
        Told what is being done.
    """
    with replaced_folder(folder, KIND) as new:
        new.mkdir()
        left, waves = MOST_KEPT, MOST_WAVES
        for result in run.failed:
            place = new / result.case.slug
            place.mkdir()
            left -= _story(place, result, left)
            if not result.case.traced:
                continue
            waves -= 1
            if waves >= 0:
                tell(f"waveforms of {result.case.name}")
                _again(suite, places, result, place, simulator)
            else:
                _no_waves(place, f"only the first {MOST_WAVES} red cases are run again")
    if not run.failed:
        (folder / MARKER).unlink(missing_ok=True)


def _story(place: Path, result: CaseResult, left: int) -> int:
    """Story, command, logs and vectors of a red case; bytes of the latter."""
    parameters = "".join(f"{key} = {value}\n" for key, value in result.case.parameters.items())
    (place / "story.txt").write_text(f"{result.case.name}\n\n{result.story}\n\n{parameters}")
    (place / "replay.txt").write_text(f"{result.replay}\n")
    taken, kept = 0, Path(result.kept)
    for path in sorted(kept.rglob("*")) if result.kept else ():
        wanted = path.suffix == ".log" or path.name == "vectors.json"
        if not wanted or path.is_symlink() or not path.is_file():
            continue
        size = path.stat().st_size
        if 0 < size <= left - taken:
            several = (place / path.name).exists()
            parts = path.relative_to(kept).parts if several else (path.name,)
            shutil.copyfile(path, place / "-".join(parts))
            taken += size
    return taken


def _again(suite: Suite, places: Places, result: CaseResult, place: Path, simulator: str) -> None:
    """The frame that went wrong, and waveforms; why there are none if there are none."""
    case = result.case
    recipe = suite.models.get(case.model, ModelRecipe())
    hardware = Hardware(case, recipe, suite.folder.resolve(), places.cache.resolve())
    seconds = min(SLOWER * case.timeout, MOST_SECONDS)
    try:
        _frame(hardware, place, result)
        with _files_up_to(MOST_BYTES):
            fst, *_ = record(hardware, place, result, simulator, seconds)
        if fst.stat().st_size >= MOST_BYTES:
            fst.unlink()
            _no_waves(place, f"they have more than {MOST_BYTES >> 20} MiB")
    except Exception as error:  # a red case may break whatever looks at it
        _no_waves(place, f"{type(error).__name__}: {error}".replace(f"{place}/", ""))
    logs = sorted((place / "waves").rglob("simulation.log"))
    if logs and not (place / "waves.log").exists():  # else it says why there are none
        (place / "waves.log").write_text(tail(logs[-1]))
    shutil.rmtree(place / "waves", ignore_errors=True)


def _no_waves(place: Path, why: str) -> None:
    text = f"no waveforms: {why}\nreplay.txt has the command that makes them\n"
    (place / "no-waves.txt").write_text(text)


@contextmanager
def _files_up_to(size: int) -> Iterator[None]:
    """No process that is started within the block writes a larger file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    least = size if soft == resource.RLIM_INFINITY else min(size, soft)
    resource.setrlimit(resource.RLIMIT_FSIZE, (least, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _frame(hardware: Hardware, place: Path, result: CaseResult) -> None:
    """The input of the step that went wrong, with all that is known of it."""
    details: dict[str, Any] = (result.failure or {}).get("details", {})
    if not details or hardware.case.kind != "network":
        return
    given = part_of(hardware, details)
    number = last_frame(given, details)
    if number is None:
        return
    about = {"frame": number, "sequence": int(given.sequence[number])}
    about |= {"step": int(given.step[number]), "inputs": given.frames[number].tolist()}
    text = json.dumps(details | about, indent=2, allow_nan=False)
    (place / "frame.json").write_text(text + "\n")
