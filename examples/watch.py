"""Seven exercises of the shoulder, told apart by a watch: from a package's data to a board.

Reads the recordings that the package seglearn ships (BSD): 140 of 10 people, 6 axes at 50 Hz.
They lie there as a pickle, which is not loaded: its opcodes are followed, and all that they may
do is put numbers and texts together. ``csv`` writes a table with a frame in each row, for
``sparseflow data from-csv``; ``train`` a dense network on what that command wrote.
docs/watch.md has all commands.
"""

import argparse
import hashlib
import pickletools
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np

from csb_format.files.replace import replace_file

SHA256 = "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"
KNOWN = ("numpy.core.multiarray _reconstruct", "numpy dtype", "_codecs encode")
EVERY = 2  # of 50 Hz every other frame: arms are slow
UNITS, EPOCHS, NOISE, SEED = 64, 20, 0.1, 0


def content() -> bytes:
    """The file of the package, if it is the known one."""
    try:
        place = metadata.distribution("seglearn").locate_file("seglearn/data/watch_dataset.npy")
    except metadata.PackageNotFoundError:
        raise SystemExit("the recordings come with seglearn: pip install seglearn") from None
    data = Path(str(place)).read_bytes()
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise SystemExit(f"{place} is not the known file: pip install seglearn==1.2.5")
    return data


class Made:
    """What a pickle would have made by a call: the name of what is called, and with what."""

    def __init__(self, name: str, given: Any):
        if name not in KNOWN:
            raise SystemExit(f"the file asks for {name}: it is not the known one")
        self.name, self.given = name, given
        self.state: Any = None

    def value(self) -> Any:
        """Bytes, numbers of an array, or what is in an array of objects."""
        if self.name == "_codecs encode":
            return self.given[0].encode(self.given[1])
        _, shape, kind, fortran, data = self.state
        if isinstance(data, list):
            return [plain(one) for one in data]
        numbers = np.frombuffer(data.value(), f"{kind.state[1]}{kind.given[0]}")
        return numbers.reshape(shape, order="F" if fortran else "C")


def plain(one: Any) -> Any:
    """Lists, dictionaries, texts and arrays of what was put together."""
    if isinstance(one, dict):
        return {key: plain(value) for key, value in one.items()}
    if isinstance(one, list):
        return [plain(value) for value in one]
    return one.value() if isinstance(one, Made) else one


def followed(pickled: bytes) -> Any:
    """What the opcodes put together; nothing is imported, nothing is called."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}
    for code, argument, _ in pickletools.genops(pickled):
        name, given = code.name, cast(Any, argument)
        if name in ("BINPUT", "LONG_BINPUT"):
            memo[given] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[given])
        elif name in ("BININT", "BININT1", "BININT2", "BINUNICODE", "GLOBAL"):
            stack.append(given)
        elif name in ("NONE", "NEWTRUE", "NEWFALSE"):
            stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
        elif name in ("EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT"):
            stack.append({"EMPTY_TUPLE": (), "EMPTY_LIST": [], "EMPTY_DICT": {}}[name])
        elif name == "MARK":
            marks.append(len(stack))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(taken(stack, len(stack) - int(name[-1])))
        elif name == "TUPLE":
            stack.append(taken(stack, marks.pop()))
        elif name == "APPEND":
            stack[-2].append(stack.pop())
        elif name == "APPENDS":
            more = taken(stack, marks.pop())
            stack[-1].extend(more)
        elif name == "SETITEMS":
            pairs = taken(stack, marks.pop())
            stack[-1].update(zip(pairs[::2], pairs[1::2], strict=True))
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(Made(stack.pop(), arguments))
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].state = state
        elif name not in ("PROTO", "STOP"):
            raise SystemExit(f"the file has the opcode {name}: it is not the known one")
    return plain(stack[-1])


def taken(stack: list[Any], first: int) -> tuple[Any, ...]:
    """All from a place on, no longer on the stack."""
    found = tuple(stack[first:])
    del stack[first:]
    return found


def write_csv(path: Path) -> None:
    data = content()
    (watch,) = followed(data[data.index(b"\n") + 1 :])
    lines = [",".join(["recording", "person", *watch["X_labels"], "exercise"])]
    for n, frames in enumerate(watch["X"]):
        who, what = int(watch["subject"][n]), watch["y_labels"][int(watch["y"][n])]
        for frame in frames[::EVERY]:
            lines.append(f"r{n},p{who}," + ",".join(f"{x:.9g}" for x in frame) + f",{what}")
    replace_file(path, ("\n".join(lines) + "\n").encode())
    print(f"{path}: {len(watch['X'])} recordings, {len(lines) - 1:,} frames")


def told(epoch: int, epochs: int, loss: float) -> None:
    print(f"epoch {epoch} of {epochs}: loss {loss:.3f}", flush=True)


def write_network(data: Path, out: Path) -> None:
    from pruning.importers.checkpoint import save_weights
    from pruning.tasks.data.datasets import load_sequences
    from pruning.tasks.networks.sequence import SequenceClassifier, Training, train

    found = load_sequences(data)
    model = SequenceClassifier(found.width, UNITS, int(found.labels.max()) + 1, SEED)
    loss = train(model, found, EPOCHS, SEED, told, settings=Training(noise=NOISE))
    save_weights(out, model)
    print(f"{out}: nn.LSTM({found.width}, {UNITS}), loss {loss:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Recordings of a watch, for Sparseflow.")
    steps = parser.add_subparsers(dest="step", required=True)
    steps.add_parser("csv", help="write the table").add_argument("out", type=Path)
    training = steps.add_parser("train", help="train a dense network on a data file")
    training.add_argument("data", type=Path)
    training.add_argument("out", type=Path)
    given = parser.parse_args()
    if given.step == "csv":
        write_csv(given.out)
    else:
        write_network(given.data, given.out)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:  # a file that is not there, or something else
        raise SystemExit(f"error: {error}") from None
