"""Blood glucose half an hour ahead: from the table of a package to data, and simple forecasts.

Reads the readings that the package bokeh_sampledata ships (public domain): a sensor under the
skin of one person, a reading every five minutes for 200 days. ``csv`` writes a table for
``sparseflow data from-csv``, the days before the last ones and those; ``baselines`` scores on
such data what takes no network. docs/glucose.md has all commands.
"""

import argparse
import csv
import gzip
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata
from math import cos, pi, sin
from pathlib import Path

import numpy as np
import numpy.typing as npt

from csb_format.files.replace import replace_file
from pruning.tasks.data.datasets import SequenceData, load_sequences
from pruning.tasks.scores.answers import Answers

SHA256 = "91fdad8325541a4487d88cb59b2fc9f6ed821c7c01eaabed0606bbb7089be8de"
MISSING = "nil"
STEP = timedelta(minutes=5)
AHEAD, SHORTEST = 6, 24  # readings
MMOL = 18.016  # mg/dl of one mmol/l
VALIDATE = 0.2  # of all readings, the last ones
HISTORY = 12  # readings that the linear forecast sees


@dataclass(frozen=True)
class Reading:
    """One of the sensor."""

    when: datetime
    current: float  # of the sensor, nA
    glucose: float  # mmol/l


def content() -> str:
    """The table of the package, if it is the known one."""
    try:
        place = metadata.distribution("bokeh_sampledata").locate_file(
            "bokeh_sampledata/_data/CGM.csv.gz"
        )
    except metadata.PackageNotFoundError:
        raise SystemExit(
            "the readings come with bokeh_sampledata: pip install --no-deps bokeh_sampledata"
        ) from None
    data = Path(str(place)).read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{place} is not the known file: pip install bokeh_sampledata==2026.1")
    return gzip.decompress(data).decode()


def readings(text: str) -> list[Reading]:
    """Of a table with the columns isig, datetime, glucose (mg/dl), all that have both numbers."""
    found = []
    for row in csv.DictReader(text.splitlines()):
        if MISSING not in (row["isig"], row["glucose"]):
            current, glucose = float(row["isig"]), float(row["glucose"]) / MMOL
            found.append(Reading(datetime.fromisoformat(row["datetime"]), current, glucose))
    return found


def runs(found: Iterable[Reading]) -> list[list[Reading]]:
    """Readings five minutes apart: one in between is left out, a longer pause begins a new run."""
    made: list[list[Reading]] = []
    for one in found:
        if not made or one.when - made[-1][-1].when > STEP:
            made.append([one])
        elif one.when - made[-1][-1].when == STEP:
            made[-1].append(one)
    return [run for run in made if len(run) >= SHORTEST]


def rows(name: str, run: list[Reading]) -> list[str]:
    """A line a reading that has one half an hour later: how much glucose will have changed."""
    lines = []
    for now, later in zip(run, run[AHEAD:], strict=False):
        turn = 2 * pi * (now.when.hour * 60 + now.when.minute) / (24 * 60)
        frame = (now.current, now.glucose, sin(turn), cos(turn), later.glucose - now.glucose)
        lines.append(f"{name}," + ",".join(f"{x:.6g}" for x in frame))
    return lines


def write_csv(train: Path, validate: Path) -> None:
    found = readings(content())
    border = found[int(len(found) * (1 - VALIDATE))].when
    parts = ([r for r in found if r.when < border], [r for r in found if r.when >= border])
    for out, part in zip((train, validate), parts, strict=True):
        lines = ["run,current,glucose,sin,cos,change"]
        kept = runs(part)
        for n, run in enumerate(kept):
            lines += rows(f"r{n}", run)
        replace_file(out, ("\n".join(lines) + "\n").encode())
        print(f"{out}: {len(kept)} runs, {len(lines) - 1:,} readings from {part[0].when:%d %B %Y}")


def seen(data: SequenceData) -> npt.NDArray[np.float64]:
    """The last frames at every frame, and a 1; before the first one, that one again."""
    made = []
    for frames in data.sequences:
        early = np.concatenate([np.repeat(frames[:1], HISTORY - 1, axis=0), frames])
        views = np.lib.stride_tricks.sliding_window_view(early, HISTORY, axis=0)
        made.append(views.reshape(len(frames), -1))
    each = np.concatenate(made).astype(np.float64)
    return np.column_stack([each, np.ones(len(each))])


def write_scores(train: Path, validate: Path) -> None:
    """What no change, and least squares on the last hour, are worth on what is to validate."""
    fitted, judged = load_sequences(train), load_sequences(validate)
    if fitted.targets is None or judged.targets is None:
        raise SystemExit(f"{train}, {validate}: give data with targets, docs/glucose.md makes it")
    weights = np.linalg.lstsq(seen(fitted), fitted.targets, rcond=None)[0]
    forecasts = {"last value": np.zeros(judged.targets.shape), "linear": seen(judged) @ weights}
    for name, forecast in forecasts.items():
        print(f"{name}: {Answers.of(judged, [forecast]).score()}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Blood glucose half an hour ahead.")
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("csv", help="write the tables")
    steps.add_parser("baselines", help="score forecasts that take no network")
    for step, kind in (("csv", "table (.csv)"), ("baselines", "data file (.npz)")):
        steps.choices[step].add_argument("train", type=Path, help=f"{kind} of the first days")
        steps.choices[step].add_argument("validate", type=Path, help=f"{kind} of the last days")
    given = parser.parse_args()
    (write_csv if given.step == "csv" else write_scores)(given.train, given.validate)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:  # a file that is not there, or something else
        raise SystemExit(f"error: {error}") from None
