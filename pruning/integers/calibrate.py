"""Formats from data, and what saturates in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from csb_format.cells.cell import reaches
from csb_format.fixed import Fixed
from csb_format.heads.mlp import layer_names
from csb_format.precision import Precision

from ..cells import Recurrent
from ..mlp import linears_of
from .choice import choose_formats
from .formats import Formats, Ranges
from .hardware_exact import HardwareExact, Tally
from .supported import check_network
from .tensors import RealTensors, magnitude, real_tensors, suffixes

__all__ = [
    "Calibration",
    "Saturation",
    "calibrate",
    "calibrated",
    "check_sequences",
    "count_saturations",
    "float_levels",
    "measure_ranges",
    "padded",
]

Frames = Sequence[npt.NDArray[np.floating]]


@dataclass(frozen=True)
class Saturation:
    """How many values of one kind a format clips.

    Parameters
    ----------
    clipped, seen : int
    format : str
        As ``Fixed`` writes itself.
    """

    clipped: int
    seen: int
    format: str

    @property
    def share(self) -> float:
        """Clipped values among those seen, 0..1."""
        return self.clipped / self.seen if self.seen else 0.0


@dataclass(frozen=True)
class Calibration:
    """Formats of a network, and what saturates in them on the calibration data.

    Parameters
    ----------
    formats : Formats
    ranges : Ranges
        Largest magnitudes of inputs and outputs, below the percentile.
    saturations : dict of str to Saturation
        Weights by gate (``weight_ih_l0.i``), ``weight_hr_l0``, ``bias_l0``, ``input``,
        pre-activations by gate (``pre_l0.i``), ``cell_l0``, and with a projection
        ``output_l0``; the states as the exact arithmetic meets them.
    """

    formats: Formats
    ranges: Ranges
    saturations: dict[str, Saturation]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and text, for JSON."""
        layers = [
            {name: _written(value) for name, value in vars(layer).items()}
            for layer in self.formats.layers
        ]
        head, dense = self.formats.head, self.formats.hidden
        hidden = {"hidden": [[str(fixed) for fixed in pair] for pair in dense]} if dense else {}
        ranges = asdict(self.ranges)
        if not ranges["between"]:
            del ranges["between"]
        return hidden | {
            "layers": layers,
            "head": None if head is None else str(head),
            "lowered": dict(self.formats.lowered),
            "ranges": ranges,
            "saturations": {
                name: asdict(found) | {"share": found.share}
                for name, found in self.saturations.items()
            },
        }


def _written(value: Fixed | Sequence[Fixed] | None) -> str | list[str] | None:
    if value is None or isinstance(value, Fixed):
        return None if value is None else str(value)
    return [str(fixed) for fixed in value]


def calibrate(
    lstm: Recurrent,
    sequences: Frames,
    head: nn.Module | None = None,
    *,
    value_bits: int = Precision.value_bits,
    act_bits: int = Precision.act_bits,
    per_gate: bool = Precision.per_gate,
    percentile: float = Precision.percentile,
) -> Calibration:
    """Choose a power-of-two format for every tensor and state, and count what saturates.

    Parameters
    ----------
    lstm : nn.LSTM or nn.GRU
        Any option, pruned, without parametrisations.
    sequences : sequence of float arrays (T, X)
        Frames as the accelerator will be fed, normalised.
    head : nn.Linear or nn.Sequential, optional
    value_bits : int
        Width of weights, 4..18.
    act_bits : int
        Width of activations, 6..18.
    per_gate : bool
        Give the gates of a matrix a format each.
    percentile : float
        Percent of the magnitudes of inputs, of projected states, and of weights that are
        not zero, that their formats must hold; above 0, 100 for all.

    Returns
    -------
    Calibration

    Raises
    ------
    UnsupportedLayerError
        For another layer than these.
    ValueError
        For NaN, no sequences, or widths or a percentile out of range.
    """
    check_network(lstm, head)
    ranges = measure_ranges(lstm, sequences, percentile, head=head)
    formats = choose_formats(lstm, head, ranges, value_bits, act_bits, per_gate, percentile)
    return Calibration(formats, ranges, count_saturations(lstm, formats, sequences))


def calibrated(lstm: Recurrent, formats: Formats, sequences: Frames) -> Formats:
    """Formats whose states reach as far as data asks for, layer by layer.

    A layer of which no pre-activation and no cell state saturates keeps its format. Another takes
    the smallest reach in which none does, or the largest that there is, unless the outputs of the
    last level are further from the float network with it: a larger range has larger steps, and
    tanh is 1 at its ends anyway. Layers are judged from the first on, as each reads the one before.

    Parameters
    ----------
    lstm : nn.LSTM or nn.GRU
    formats : Formats
        Of this network.
    sequences : sequence of float arrays (T, X)

    Returns
    -------
    Formats
        Other than those given in ``state`` alone.
    """
    now = _judged(lstm, formats, sequences)
    for number, end in enumerate(suffixes(lstm)):
        wider, then = formats, now
        for reach in reaches(formats.layers[number].hidden.width):
            if then.clipped[end] and reach > formats.layers[number].arithmetic.reach:
                wider = formats.reaching(reach, number)
                then = _judged(lstm, wider, sequences)
        if then.error < now.error:
            formats, now = wider, then
    return formats


class _Judged(NamedTuple):
    """Saturated states by layer, and the squared error of the outputs of the last level."""

    clipped: dict[str, int]
    error: float


def _judged(lstm: Recurrent, formats: Formats, sequences: Frames) -> _Judged:
    tally, error = Tally(), 0.0
    weights = _real_weights(lstm)
    for part in _batches(sequences):
        frames, lengths = padded(part)
        with torch.no_grad():
            exact = HardwareExact(formats, 1 + lstm.bidirectional)
            found = exact.levels(weights, frames, lengths, tally)[-1]
        live = torch.arange(frames.shape[1]) < lengths[:, None]
        wanted = float_levels(lstm, frames, lengths)[-1]
        error += float((found - wanted)[live].square().sum())
    clipped = dict.fromkeys(suffixes(lstm), 0)
    for name, count in tally.clipped.items():
        kind, _, end = name.partition(".")[0].partition("_")
        if kind in ("pre", "cell"):
            clipped[f"_{end}"] += count
    return _Judged(clipped, error)


def count_saturations(
    lstm: Recurrent, formats: Formats, sequences: Frames, head: nn.Module | None = None
) -> dict[str, Saturation]:
    """Count what formats clip of weights and, in the exact arithmetic, of states.

    Parameters
    ----------
    lstm : nn.LSTM or nn.GRU
    formats : Formats
    sequences : sequence of float arrays (T, X)
    head : nn.Linear or nn.Sequential, optional
        Its weights and bias are counted too, as ``head.weight`` and ``head.bias``.

    Returns
    -------
    dict of str to Saturation
        Names as in :class:`Calibration`.
    """
    found = _weights(lstm, formats) | _states(lstm, formats, sequences)
    if head is not None and formats.head is not None:
        real = real_tensors(lstm, head)
        for name, chosen in zip(layer_names(len(formats.dense)), formats.dense, strict=True):
            found[f"{name}.weight"] = _clipped(real[f"{name}.weight"], chosen.weight)
            found[f"{name}.bias"] = _clipped(real[f"{name}.bias"], chosen.bias)
    return found


def measure_ranges(
    lstm: Recurrent,
    sequences: Frames,
    percentile: float = Precision.percentile,
    *,
    real: RealTensors | None = None,
    head: nn.Module | None = None,
) -> Ranges:
    """Largest magnitudes, or those that ``percentile`` percent do not exceed.

    ``real`` is what :func:`.real_tensors` gave for the same network, if it has been asked. Of a
    ``head`` of several layers what is between them, on the outputs of every frame.

    Raises
    ------
    ValueError
        For no sequences, or one that is not finite or of another width.
    """
    check_sequences(sequences, lstm.input_size)
    if real is None:
        real_tensors(lstm, None)  # they are finite
    largest = magnitude(np.concatenate([np.ravel(frames) for frames in sequences]), percentile)
    hidden = () if head is None else linears_of(head)[:-1]
    if not (lstm.proj_size or hidden):
        return Ranges(largest, (1.0,) * lstm.num_layers)
    parts = [_live_outputs(lstm, part) for part in _batches(sequences)]
    levels = [np.concatenate(level) for level in zip(*parts, strict=True)]
    between = tuple(magnitude(found, percentile) for found in _rectified(hidden, levels[-1]))
    if not lstm.proj_size:
        return Ranges(largest, (1.0,) * lstm.num_layers, between)
    return Ranges(largest, tuple(magnitude(level, percentile) for level in levels), between)


@torch.no_grad()
def _rectified(
    hidden: Sequence[nn.Linear], outputs: npt.NDArray[np.float64]
) -> Iterator[npt.NDArray[np.float64]]:
    """What is behind the ReLU of each of some linear layers, (F, A)."""
    given = torch.from_numpy(outputs)
    for linear in hidden:
        bias = None if linear.bias is None else linear.bias.double()
        given = nn.functional.linear(given, linear.weight.double(), bias).relu()
        yield given.numpy()


def _batches(sequences: Frames, size: int = 64) -> list[Frames]:
    # A whole corpus, padded to its longest utterance, would not fit into memory.
    return [sequences[n : n + size] for n in range(0, len(sequences), size)]


def _live_outputs(lstm: Recurrent, sequences: Frames) -> list[npt.NDArray[np.float64]]:
    frames, lengths = padded(sequences)
    live = torch.arange(frames.shape[1]) < lengths[:, None]
    return [out[live].numpy() for out in float_levels(lstm, frames, lengths)]


def check_sequences(sequences: Frames, width: int) -> None:
    """Raise ValueError for no sequences, or one that is not finite or of another width."""
    if not len(sequences):
        raise ValueError("calibration of 0 sequences: give some normalised training sequences")
    for number, frames in enumerate(sequences):
        if frames.ndim != 2 or frames.shape[1] != width or not np.isfinite(frames).all():
            raise ValueError(
                f"calibration sequence {number} of shape {frames.shape}: must be finite numbers "
                f"of shape (frames, {width})"
            )


def padded(sequences: Frames) -> tuple[Tensor, Tensor]:
    """Frames (B, T, X) in float64, zero after their end, and lengths (B,)."""
    tensors = [torch.from_numpy(np.asarray(frames, np.float64)) for frames in sequences]
    lengths = torch.tensor([len(frames) for frames in tensors])
    return nn.utils.rnn.pad_sequence(tensors, batch_first=True), lengths


def float_levels(
    lstm: Recurrent, frames: Tensor, lengths: Tensor, weights: Mapping[str, Tensor] | None = None
) -> list[Tensor]:
    """Outputs of every level in float64, without dropout; one level at a time is in float64.

    Parameters
    ----------
    lstm : nn.LSTM or nn.GRU
    frames : Tensor (B, T, X)
    lengths : int64 Tensor (B,)
    weights : Mapping[str, Tensor], optional
        Others than those of ``lstm``, by the same names, with both biases.

    Returns
    -------
    list of float64 Tensor (B, T, D * R)
        Zero at and after ``lengths``.
    """
    outputs, x = [], frames.double()
    for n in range(lstm.num_layers):
        x = _level_outputs(lstm, n, weights, x, lengths)
        outputs.append(x)
    return outputs


@torch.no_grad()
def _level_outputs(
    lstm: Recurrent, n: int, weights: Mapping[str, Tensor] | None, x: Tensor, lengths: Tensor
) -> Tensor:
    level = _level(lstm, n, weights)
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    given, _ = level(packed)
    return nn.utils.rnn.pad_packed_sequence(given, batch_first=True, total_length=x.shape[1])[0]


def _level(lstm: Recurrent, n: int, weights: Mapping[str, Tensor] | None) -> Recurrent:
    """One level of a network as a module of its own, float64."""
    given = (lstm.proj_size or lstm.hidden_size) * (1 + lstm.bidirectional)
    projected = {"proj_size": lstm.proj_size} if lstm.proj_size else {}
    level = type(lstm)(
        given if n else lstm.input_size,
        lstm.hidden_size,
        bias=lstm.bias or weights is not None,
        batch_first=True,
        bidirectional=lstm.bidirectional,
        **projected,
        dtype=torch.float64,
        device="meta",  # no random numbers for what is replaced at once
    )
    found = dict(lstm.named_parameters()) if weights is None else weights
    names = {name: name.replace("_l0", f"_l{n}") for name, _ in level.named_parameters()}
    state = {name: found[there].detach().double() for name, there in names.items()}
    level.load_state_dict(state, strict=False, assign=True)  # marks are no parameters
    return level


def _weights(lstm: Recurrent, formats: Formats) -> dict[str, Saturation]:
    real = real_tensors(lstm, None)
    found: dict[str, Saturation] = {}
    for end, layer in zip(suffixes(lstm), formats.layers, strict=True):
        for kind in ("weight_ih", "weight_hh"):
            names = layer.arithmetic.gate_names
            split = np.split(real[kind + end], len(names))
            parts = zip(names, split, layer.gates(kind), strict=True)
            found |= {f"{kind}{end}.{gate}": _clipped(part, at) for gate, part, at in parts}
        if layer.weight_hr is not None:
            found[f"weight_hr{end}"] = _clipped(real[f"weight_hr{end}"], layer.weight_hr)
        found[f"bias{end}"] = _clipped(real[f"bias{end}"], layer.state)
    return found


def _clipped(real: npt.NDArray[np.floating], fixed: Fixed) -> Saturation:
    return Saturation(fixed.saturations(real), real.size, str(fixed))


def _real_weights(lstm: Recurrent) -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in real_tensors(lstm, None).items()}


def _states(lstm: Recurrent, formats: Formats, sequences: Frames) -> dict[str, Saturation]:
    used: Mapping[str, Fixed] = {"input": formats.layers[0].input} | {
        f"{kind}{end}": layer.output if kind == "output" else layer.state
        for end, layer in zip(suffixes(lstm), formats.layers, strict=True)
        for kind in ("pre", "cell", "output")
    }
    weights = _real_weights(lstm)
    tally, (frames, lengths) = Tally(), padded(sequences)
    with torch.no_grad():
        HardwareExact(formats, 1 + lstm.bidirectional).levels(weights, frames, lengths, tally)
    return {
        name: Saturation(tally.clipped[name], seen, str(used[name.partition(".")[0]]))
        for name, seen in tally.seen.items()
    }
