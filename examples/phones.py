"""Phones of a Russian speaker, frame by frame: from a package's sounds to a table.

Reads the voice that Debian's package festvox-ru ships (BSD-like): sentences of one man at 16 kHz,
and where each phone ends. Written is a row for every 10 ms: MFCC by kaldi-native-fbank, and the
phone that was heard 50 ms ago, so that the network hears a little of what follows before it
answers. docs/phones.md has all commands.
"""

import argparse
import csv
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from csb_format.files.replace import replace_file
from csb_format.inputs.sounds import SoundFeatures
from pruning.tasks.data.adapters.wav_folder import Sounds, read_sounds

HOP, CENTRE = 0.010, 0.0125  # seconds; frames are 25 ms long
DELAY = 5  # frames
FEATURES, NONE = 16, "none"


def ends(label_file: Path) -> tuple[np.ndarray, list[str]]:
    """Where each phone ends, in seconds, and its name, as Festival writes them."""
    found = []
    for n, line in enumerate(label_file.read_text("utf-8").splitlines(), 1):
        if line.strip() and line.strip() != "#":
            words = line.split()
            try:
                found.append((float(words[0]), words[2]))
            except (IndexError, ValueError):
                raise SystemExit(f"{label_file}: line {n} is no end and phone: {line!r}") from None
    times = np.array([end for end, _ in found])
    if not found or not (np.diff(times) > 0).all():
        raise SystemExit(f"{label_file}: the ends of its phones do not rise")
    return times, [phone for _, phone in found]


def heard(times: np.ndarray, phones: Sequence[str], frames: int) -> list[str]:
    """What each frame is to answer: the phone at the middle of the one ``DELAY`` before."""
    middles = np.arange(frames - DELAY) * HOP + CENTRE
    places = np.minimum(np.searchsorted(times, middles, side="right"), len(phones) - 1)
    return [NONE] * min(DELAY, frames) + [phones[n] for n in places]


def sounds(voice: Path, count: int) -> Iterator[tuple[str, np.ndarray]]:
    """Names and MFCC of the first sentences."""
    names = sorted(path.stem for path in (voice / "wav").glob("*.wav"))[:count]
    if len(names) < count:
        raise SystemExit(f"{voice}/wav has {len(names)} sounds, not {count}: see docs/phones.md")
    with tempfile.NamedTemporaryFile("w", suffix=".csv", newline="") as listing:
        csv.writer(listing).writerows((f"wav/{name}.wav", name) for name in names)
        listing.flush()
        found, told = read_sounds(voice, Sounds(SoundFeatures(count=FEATURES), Path(listing.name)))
    # sentences beyond the count are left out by choice, and the listing is gone
    print(*(line for line in told if listing.name not in line), sep="\n")
    for called, frames in zip(found.called, found.sequences, strict=True):
        yield Path(called).stem, frames


def write_csv(voice: Path, out: Path, count: int) -> None:
    lines = [",".join(["sentence", *(f"m{n}" for n in range(FEATURES)), "phone"])]
    seen = Counter[str]()
    for name, frames in sounds(voice, count):
        phones = heard(*ends(voice / "lab" / f"{name}.lab"), len(frames))
        seen.update(phones)
        for frame, phone in zip(frames, phones, strict=True):
            lines.append(f"{name}," + ",".join(f"{x:.6g}" for x in frame) + f",{phone}")
    replace_file(out, ("\n".join(lines) + "\n").encode())
    counted = seen.total() - seen.pop(NONE)
    ((most, times),) = seen.most_common(1)
    print(f"{out}: {count} sentences, {len(lines) - 1:,} frames, {len(seen)} phones")
    print(f"always {most}: {times / counted:.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Phones of a Russian voice, for Sparseflow.")
    parser.add_argument("voice", type=Path, help="folder msu_ru_nsh_clunits of the package")
    parser.add_argument("out", type=Path, help="table to write (.csv)")
    parser.add_argument("--sentences", type=int, default=160, help="how many, from the first on")
    given = parser.parse_args()
    if given.sentences < 2:
        parser.error(f"--sentences {given.sentences}: give at least 2, one to validate")
    write_csv(given.voice, given.out, given.sentences)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:  # a file that is not there, or something else
        raise SystemExit(f"error: {error}") from None
