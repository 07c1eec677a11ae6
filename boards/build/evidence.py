"""What a build that came to nothing leaves: its logs, or all of its files if one wishes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from csb_format.files.folders import replaced_folder
from csb_format.files.ownership import check_replaceable

from ..tools.errors import BitstreamError
from ..tools.synth import SynthesisError

__all__ = ["KIND", "evidence", "failed_folder"]

KIND = "failed build"  # for the marker
LOGS = ("*.log", "attempts/*/*")


def failed_folder(out: Path) -> Path:
    """Beside the folder of a build: what was there before a failure stays as it is."""
    return out.with_name(f"{out.name}.failed")


@contextmanager
def evidence(
    work: Path, out: Path, *, keep: bool, tell: Callable[[str], None] = lambda text: None
) -> Iterator[None]:
    """Put aside what the block leaves in a folder if it raises, and say where.

    Parameters
    ----------
    work : Path
        Where the block is at work.
    out : Path
        Folder of the build.
    keep : bool
        All files, also where the block was interrupted; else the logs, where a tool has failed.
    tell : callable
        Told the place where no error of ours can name it.

    Raises
    ------
    PlaceError
        If the place holds anything that is not ours; before the block.
    """
    place = failed_folder(out)
    check_replaceable(place, KIND)
    try:
        yield
    except BaseException as error:
        failed = isinstance(error, BitstreamError | SynthesisError)
        if not (keep or failed) or not _keep(work, place, every=keep):
            raise
        where = f"{'all files' if keep else 'logs'} in {place}"
        if not failed:
            tell(f"ended: {where}")
            raise
        said, line, more = str(error).partition("\n")
        raise type(error)(f"{said}; {where}{line}{more}") from None


def _keep(work: Path, place: Path, *, every: bool) -> bool:
    """Move files to a place; False if there are none."""
    patterns = ("**/*",) if every else LOGS
    found = {path for some in patterns for path in work.glob(some) if path.is_file()}
    if not found:
        return False
    with replaced_folder(place, KIND) as new:
        for path in found:
            target = new / path.relative_to(work)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
    return True
