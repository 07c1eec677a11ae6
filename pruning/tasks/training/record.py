"""What happens in a training, written down as it happens: JSON lines, TensorBoard.

Everything is told to one callable, by the name of an event and its figures; see :data:`Note`.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from csb_format.extras import needs

__all__ = ["Note", "Step", "noted"]

#: Told of every event: ``began``, ``step``, ``epoch``, ``increment``, ``ended``; with its figures.
Note = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Step:
    """One step of an optimizer.

    Parameters
    ----------
    epoch, step : int
        From 1; of this stage.
    loss : float
        Of the batch, before the step.
    learning_rate : float
        That the step was taken with.
    gradient_norm : float
        Before clipping.
    """

    epoch: int
    step: int
    loss: float
    learning_rate: float
    gradient_norm: float

    def figures(self, stage: str) -> dict[str, Any]:
        """Return what is to be noted of it."""
        return {"stage": stage} | asdict(self)


@contextmanager
def noted(lines: Path | None = None, board: Path | None = None) -> Iterator[Note | None]:
    """Write events down until the end of the block.

    Parameters
    ----------
    lines : Path, optional
        File of JSON lines, written anew; a line an event, there at once: what an interrupted
        training has noted can be read.
    board : Path, optional
        Folder for TensorBoard; needs the extra ``tensorboard``.

    Yields
    ------
    Note or None
        None where there is nowhere to write to.

    Raises
    ------
    MissingExtraError
        If TensorBoard is not installed; no file has been made then.
    """
    writers: list[Note] = []
    with ExitStack() as held:
        if board is not None:
            with needs("tensorboard"):
                from torch.utils.tensorboard import SummaryWriter
            writer = SummaryWriter(str(board))
            held.callback(writer.close)
            writers.append(_Board(writer))
        if lines is not None:
            lines.parent.mkdir(parents=True, exist_ok=True)
            writers.append(_Lines(held.enter_context(lines.open("w", encoding="utf-8"))))

        def tell(event: str, figures: Mapping[str, Any]) -> None:
            for write in writers:
                write(event, figures)

        yield tell if writers else None


class _Lines:
    """A JSON object a line; what is not finite is null, as JSON has no word for it."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._begun = file, time.monotonic()

    def __call__(self, event: str, figures: Mapping[str, Any]) -> None:
        seconds = round(time.monotonic() - self._begun, 3)
        line = {"event": event, "seconds": seconds} | {n: _finite(f) for n, f in figures.items()}
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()


def _finite(figure: Any) -> Any:
    return None if isinstance(figure, float) and not math.isfinite(figure) else figure


class _Board:
    """A curve for every figure of an event, over all steps of all stages."""

    def __init__(self, writer: Any) -> None:
        self._writer, self._step = writer, 0

    def __call__(self, event: str, figures: Mapping[str, Any]) -> None:
        self._step += event == "step"
        if event == "began":
            known = {name: _finite(figure) for name, figure in figures.items()}
            text = json.dumps(known, indent=1, allow_nan=False)
            self._writer.add_text("settings", f"```\n{text}\n```")
            return
        for name, figure in figures.items():
            if isinstance(figure, float):
                self._writer.add_scalar(f"{event}/{name}", figure, self._step)
