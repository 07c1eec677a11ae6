"""Cut the array's part out of a larger ONNX graph, pack it, hold all of it against the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from boards.host.whole.hosted import Hosted, run_graph, session_of
from csb_format import save_model
from csb_format.extras import needs
from csb_format.files.arrays import ArrayFileError, array_headers, read_arrays
from csb_format.files.cutfile import NAMES, Seam, save_seam
from csb_format.files.folders import replaced_folder
from csb_format.files.ownership import check_replaceable
from pruning.importers.checkpoint import CheckpointError, UnsupportedLayerError
from pruning.tasks.data.datasets import DataSetError, SequenceData, save_sequences

from ..options import CutOptions
from ..packing import Packing, pack_checkpoint
from ..progress import say
from .streaming import why_no_stream

__all__ = ["KIND", "cut"]

KIND = "cut"  # of the folder, for its marker
TOLERANCE = 1e-4  # of the largest output
Array = npt.NDArray[Any]
Run = dict[str, Array]


def cut(
    model: Path,
    data: Path,
    out: Path,
    *,
    source: str | None = None,
    targets: Sequence[str] = (),
    banks: int = CutOptions.banks,
    value_bits: int = CutOptions.value_bits,
    act_bits: int = CutOptions.act_bits,
) -> None:
    """Cut the array's part out of a graph, pack it, and check all of it against the whole.

    Parameters
    ----------
    model : Path
        ONNX, of the whole network.
    data : Path
        ``.npz`` with an array for each input of the graph, or ``frames`` and ``lengths``.
    out : Path
        Folder, replaced as a whole: ``before.onnx``, ``part.onnx``, ``after.onnx``, the part's
        frames (``frames.npz``), its integers (``model.safetensors``), ``cut.json``.
    source, targets
        Tensors to cut at; by default those around the only recurrent nodes.
    banks, value_bits, act_bits : int
        Of the integers.

    Raises
    ------
    CheckpointError
        For a graph that cannot be cut so, or parts that together give something else.
    UnsupportedLayerError
        Naming the node that the array cannot take.
    """
    with needs("onnx"):
        from pruning.importers.onnx_parts.extract import extract, graph_of, part_of

    check_replaceable(out, KIND)
    graph = graph_of(model)
    part = part_of(model, graph.graph, source, targets)
    whole = session_of(model)
    runs = _runs(data, whole)
    with replaced_folder(out, KIND) as folder:
        folder.mkdir()
        _, seam = extract(graph, part, folder)
        say(f"cut: {part.told}")
        right = [run_graph(whole, run) for run in runs]
        inside = _compare(folder, seam, runs, right)
        why, time = why_no_stream(folder, seam, runs[0])
        seam = replace(seam, streams=why, time=time)
        save_seam(folder, seam)
        frames = tuple(each for sequences in inside for each in sequences)
        calibration = SequenceData(frames, np.zeros(len(frames), np.int64), str(data))
        save_sequences(folder / NAMES["frames"], calibration)
        _pack(folder, calibration, Packing(None, banks, (), value_bits, act_bits))
        if (folder / NAMES["model"]).is_file():
            _integers(folder, runs, right)
    say(f"streams: {why or 'frames may be given as they come'}")
    say(f"wrote {out}")


def _runs(data: Path, whole: Any) -> list[Run]:
    """What the whole graph is fed, once for each sequence of a data file, or once."""
    inputs = {each.name: each for each in whole.get_inputs()}
    try:
        given = read_arrays(data, [*inputs, "frames", "lengths"])
        names = [*given] or [*array_headers(data)]
    except ArrayFileError as error:
        raise DataSetError(f"{data}: {error}") from error
    for name in set(inputs) & set(given):
        if given[name].dtype.kind == "f" and not np.isfinite(given[name]).all():
            raise DataSetError(f"{data}: {name} holds NaN or infinity: leave these sequences out")
    if set(inputs) <= set(given):
        return [{name: given[name] for name in inputs}]
    if len(inputs) > 1 or "frames" not in given or "lengths" not in given:
        raise DataSetError(
            f"{data} holds {', '.join(names) or 'nothing'}: the graph takes {', '.join(inputs)}, "
            "so give an array of each of these names, as the graph takes it",
            "np.savez(" + ", ".join([repr(data.name), *(f"{name}=..." for name in inputs)]) + ")",
        )
    ((name, info),) = inputs.items()
    frames = given["frames"]
    if len(info.shape) == 2 and frames.ndim == 2 and frames.shape[1] == 1:
        frames = frames[:, 0]
    ends = np.cumsum(given["lengths"])
    if given["lengths"].ndim != 1 or not len(ends) or ends[-1] != len(frames):
        raise DataSetError(f"{data}: its lengths do not add up to its {len(frames)} frames")
    say(f"each sequence of {data.name} is fed to {name} as a batch of one, batch first")
    return [{name: each[None]} for each in np.split(frames, ends[:-1])]


def _compare(
    folder: Path, seam: Seam, runs: Sequence[Run], right: Sequence[Run]
) -> list[list[Array]]:
    """Hold before, part and after against the whole; the frames that the part was given."""
    before, part, after = (session_of(folder / NAMES[n]) for n in ("before", "part", "after"))
    frames, worst = [], 0.0
    for run, wanted in zip(runs, right, strict=True):
        inner = run if before is None else run_graph(before, run)
        each = seam.input.sequences(inner[seam.input.name])
        frames.append([np.asarray(sequence, np.float32) for sequence in each])
        states = run_graph(part, inner)
        found = states if after is None else run_graph(after, {**run, **states})
        worst = max(worst, _apart(found, wanted)[1])
    if worst > TOLERANCE:
        raise CheckpointError(
            f"before, part and after together differ by {worst:.2g} of the largest output from the "
            "whole: please report it with the file, or cut elsewhere (--from, --to)"
        )
    say(f"float: before, part and after give the whole's outputs within {worst:.1g} of the largest")
    return frames


def _apart(found: Run, wanted: Run) -> tuple[float, float]:
    """Largest difference, and relative to the largest output."""
    apart = max(
        float(np.abs(found[n].astype(np.float64) - wanted[n]).max(initial=0)) for n in wanted
    )
    largest = max(float(np.abs(wanted[n]).max(initial=0)) for n in wanted)
    return apart, apart / (largest or 1.0)


def _pack(folder: Path, calibration: SequenceData, how: Packing) -> None:
    try:
        packed = pack_checkpoint(folder / NAMES["part"], calibration, how)
    except UnsupportedLayerError as error:
        say(f"note: no integers are made: {error}")
        return
    save_model(folder / NAMES["model"], packed.model)
    for line in packed.read:
        say(line)


def _integers(folder: Path, runs: Sequence[Run], right: Sequence[Run]) -> None:
    """Say how far the whole network is with its part in integers."""
    network = Hosted(folder)
    apart, relative, same, count = 0.0, 0.0, 0, 0
    for run, wanted in zip(runs, right, strict=True):
        found = network.run(run)
        one = _apart(found, wanted)
        apart, relative = max(apart, one[0]), max(relative, one[1])
        for name, array in wanted.items():
            if array.ndim > 1 and array.shape[-1] > 1:
                hits = found[name].argmax(-1) == array.argmax(-1)
                same, count = same + int(hits.sum()), count + hits.size
    say(
        f"integers: outputs of the whole differ by at most {apart:.3g}, {relative:.2%} of the "
        "largest"
    )
    if count:
        say(f"integers: the largest output is the same in {same} of {count} answers")
