"""Every stage from float network to integers, compared on data.

Stages: ``pruned`` (float arithmetic, the model's masks on the float weights), ``weights``
(float arithmetic, the model's quantised weights) and ``integer`` (the accelerator's
arithmetic, bit for bit). Each is compared with the float network, layer by layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from csb_format.csb import Csb
from csb_format.heads.mlp import layer_names, layers_of
from csb_format.model import DenseLayer, LstmLayer, Model
from csb_format.pooling import LAST
from csb_format.precision import Precision

from ..cells import Recurrent, cell_of, module_of_cell
from ..files.pooling import pooled
from .calibrate import float_levels, padded
from .formats import Formats
from .hardware_exact import HardwareExact, quantise_exact
from .supported import check_network
from .tensors import OnDemand, Real, apart_biases, real_tensors, suffixes

__all__ = ["STAGES", "SelfCheckError", "StageError", "adding", "dequantised", "self_check"]

STAGES = ("pruned", "weights", "integer")
# By more bits, where there are any; and otherwise.
_MENDS = {
    "pruned": ("", "fine-tune after pruning, and give the fine-tuned network"),
    "weights": (
        "use more value bits, or ",
        "use formats per gate where they are not, or fine-tune in these bits",
    ),
    "integer": ("use more activation bits, or ", "see what saturates"),
}


class SelfCheckError(ValueError):
    """A stage that is further from the float model than allowed."""


@dataclass(frozen=True)
class StageError:
    """Distance of one stage's output from the float model's.

    Parameters
    ----------
    stage : str
        One of ``STAGES``.
    output : str
        ``"layer 0"``, ..., or ``"head"``.
    max_error, rms_error : float
        In units of the output, over all real frames.
    relative : float
        ``rms_error`` over the root mean square of the float output.
    """

    stage: str
    output: str
    max_error: float
    rms_error: float
    relative: float

    def mend_of(self, model: Model) -> str:
        """What brings this stage of a model nearer to the float network."""
        layer = model.layers[0]
        widths = {
            "weights": (layer.weight_ih.geometry.value_bits, *Precision.value_range),
            "integer": (layer.hidden.width, *Precision.act_range),
        }
        width, _, most = widths.get(self.stage, (0, 0, 0))
        more, others = _MENDS[self.stage]
        return f"{more}{others}" if width < most else others


def self_check(
    lstm: Recurrent,
    head: nn.Module | None,
    model: Model,
    sequences: Sequence[npt.NDArray[np.floating]],
    bound: float | None = 0.05,
) -> list[StageError]:
    """Compare every stage with the float network.

    Parameters
    ----------
    lstm, head : nn.LSTM or nn.GRU, nn.Linear or nn.Sequential
        The float network: the dense one, or the fine-tuned pruned one that the model was
        quantised from, whose stage ``pruned`` then has no error.
    model : Model
        Of the same sizes.
    sequences : sequence of float arrays (T, X)
        Normalised, finite, at least one frame each.
    bound : float, optional
        Largest ``StageError.relative`` that passes; None for any.

    Returns
    -------
    list of StageError
        Stage by stage, layer by layer, the head last if both have one.

    Raises
    ------
    SelfCheckError
        Naming the first stage and layer above the bound.
    ValueError
        If sizes do not agree, or there is nothing to compare.
    """
    _check(lstm, head, model, sequences)
    frames, lengths = padded(sequences)
    found = _Stages(lstm, head, model, frames, lengths).outputs()
    float_outputs = found.pop("float")
    rows = [
        _row(stage, name, outputs[name], float_outputs[name])
        for stage, outputs in found.items()
        for name in outputs
    ]
    for row in rows:
        if bound is not None and not row.relative <= bound:
            raise SelfCheckError(
                f"stage {row.stage}, {row.output}: rms error {row.rms_error:.3g} is "
                f"{100 * row.relative:.3g}% of the float output, above {100 * bound:.3g}%: "
                f"{row.mend_of(model)}"
            )
    return rows


def adding(rows: Sequence[StageError], much: float) -> list[StageError]:
    """Of the stages that are far from the float network those that the one before is not as far.

    Parameters
    ----------
    rows : sequence of StageError
        Of :func:`self_check`.
    much : float
        ``relative`` above which it is far; a stage must add half of it to the one before.
    """
    far = {(row.stage, row.output): row.relative for row in rows}
    before = dict(zip(STAGES[1:], STAGES, strict=False))
    return [
        row
        for row in rows
        if row.relative > much
        and row.relative - far.get((before.get(row.stage, ""), row.output), 0.0) > much / 2
    ]


def _check(
    lstm: Recurrent,
    head: nn.Module | None,
    model: Model,
    sequences: Sequence[npt.NDArray[np.floating]],
) -> None:
    check_network(lstm, head)
    shapes = [tuple(getattr(lstm, f"weight_{k}{e}").shape) for e in suffixes(lstm) for k in _KINDS]
    packed = [_shape(m.matrix) for layer in model.layers for m in layer.matrices[: len(_KINDS)]]
    kind = type(lstm).__name__
    directions = 1 + lstm.bidirectional
    if shapes != packed or (directions, cell_of(lstm).name) != (model.directions, model.cell):
        raise ValueError(
            f"the {kind}'s matrices {shapes} are not the model's {packed}: "
            f"give the {kind} that the model was made from"
        )
    if not len(sequences) or not all(len(frames) for frames in sequences):
        raise ValueError("no frames to compare: give sequences of at least one frame")


_KINDS = ("ih", "hh")


def _shape(csb: Csb) -> tuple[int, int]:
    return csb.geometry.rows, csb.geometry.columns


def _row(stage: str, name: str, output: Tensor, reference: Tensor) -> StageError:
    error = output - reference
    rms, scale = (float(x.square().mean().sqrt()) for x in (error, reference))
    relative = rms / scale if scale else float(rms > 0)
    return StageError(stage, name, float(error.abs().max()), rms, relative)


@dataclass
class _Stages:
    lstm: Recurrent
    head: nn.Module | None
    model: Model
    frames: Tensor
    lengths: Tensor

    def outputs(self) -> dict[str, dict[str, Tensor]]:
        """Outputs of the real frames by stage and layer, the float network's first."""
        real, integer = self._head_of_float(), self._head_of_model()
        reals = _reals(self.lstm, self.model)
        found = {
            "float": (self._levels(None), real),
            "pruned": (self._levels(self._masked()), real),
            "weights": (self._levels(reals), integer),
            "integer": (self._integer(reals), integer),
        }
        return {s: self._named(s, levels, head) for s, (levels, head) in found.items()}

    def _levels(self, weights: Mapping[str, Tensor] | None) -> list[Tensor]:
        return float_levels(self.lstm, self.frames, self.lengths, weights)

    def _named(
        self, stage: str, levels: list[Tensor], head: Sequence[_Affine]
    ) -> dict[str, Tensor]:
        live = torch.arange(self.frames.shape[1]) < self.lengths[:, None]
        found = {f"layer {n}": output[live] for n, output in enumerate(levels)}
        if head:
            found["head"] = self._run(stage, self._taken(stage, levels[-1], live), head)
        return found

    def _run(self, stage: str, taken: Tensor, head: Sequence[_Affine]) -> Tensor:
        """Logits; what is between linear layers is rounded in integers alone."""
        *between, (weight, bias) = head
        for n, (before, added) in enumerate(between, 1):
            taken = (taken @ before.T + added).relu()
            if stage == "integer" and self.model.head is not None:
                taken = quantise_exact(taken, layers_of(self.model.head)[n].input)
        return taken @ weight.T + bias

    def _taken(self, stage: str, outputs: Tensor, live: Tensor) -> Tensor:
        """What the head takes: every frame's output, which may be a last one, or the pooled."""
        if self.model.pool in (LAST, "every"):
            return outputs[live]
        taken = pooled(outputs, self.lengths, self.model.pool, self.model.directions)
        if stage != "integer" or self.model.pool != "mean":
            return taken
        return quantise_exact(taken, self.model.layers[-1].output)

    def _masked(self) -> Mapping[str, Tensor]:
        """The float weights with the model's masks on them; biases as they are, or zero."""
        given = dict(self.lstm.named_parameters())
        masked = {
            kind + end: csb
            for end, layer in zip(suffixes(self.lstm), self.model.layers, strict=True)
            for kind, csb, *_ in layer.matrices
        }

        def make(name: str) -> Tensor:
            if name not in masked:
                gates = len(cell_of(self.lstm).gate_names)
                return given[name] if name in given else torch.zeros(gates * self.lstm.hidden_size)
            return given[name].detach() * torch.from_numpy(masked[name].to_mask())

        return OnDemand(given, make)

    def _integer(self, reals: Mapping[str, Tensor]) -> list[Tensor]:
        exact = HardwareExact(Formats.of_model(self.model), self.model.directions)
        with torch.no_grad():
            return exact.levels(reals, self.frames, self.lengths)

    def _head_of_float(self) -> list[_Affine]:
        if self.head is None or self.model.head is None:
            return []
        real = real_tensors(self.lstm, self.head)
        return [
            (
                torch.from_numpy(real[f"{name}.weight"]).double(),
                torch.from_numpy(real[f"{name}.bias"]).double(),
            )
            for name in layer_names(len(layers_of(self.model.head)))
        ]

    def _head_of_model(self) -> list[_Affine]:
        if self.head is None or self.model.head is None:
            return []
        return [_affine(layer) for layer in layers_of(self.model.head)]


_Affine = tuple[Tensor, Tensor]


def _affine(layer: DenseLayer) -> _Affine:
    """The real numbers of a linear layer."""
    bias = np.ldexp(layer.bias.astype(float), -(layer.weight_format.frac + layer.input.frac))
    weight = layer.weight_format.dequantise(layer.weight)
    return torch.from_numpy(weight), torch.from_numpy(bias)


def dequantised(model: Model) -> Recurrent:
    """The network of a model's integers with real weights, float64, batch first.

    Raises
    ------
    ValueError
        If the layers differ in hidden or projected size, which torch's modules cannot have.
    """
    first = model.layers[0]
    sizes = {(layer.hidden_size, layer.output_size) for layer in model.layers}
    if len(sizes) != 1:
        raise ValueError(f"layers of sizes {sorted(sizes)}: a module has one size, split the model")
    projected = {} if first.projection is None else {"proj_size": first.output_size}
    lstm = module_of_cell(model.cell)(
        first.input_size,
        first.hidden_size,
        len(model.levels),
        batch_first=True,
        bidirectional=model.directions == 2,
        **projected,
        dtype=torch.float64,
    )
    reals = _reals(lstm, model)
    with torch.no_grad():
        for name, parameter in lstm.named_parameters():
            parameter.copy_(reals[name])
    return lstm


def _reals(lstm: Recurrent, model: Model) -> Mapping[str, Tensor]:
    """Weights of a model as reals, by the names of a module of its size, and ``bias_l0``, ...

    Of a sum of both products all of the bias is in ``bias_ih_l0``, ...; ``bias_l0`` has those of
    all sums.
    """
    layers = dict(zip(suffixes(lstm), model.layers, strict=True))
    kinds = ("weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh", "bias")

    def make(name: str) -> Tensor:
        kind, _, end = name.partition("_l")
        return torch.from_numpy(_real(layers[f"_l{end}"], kind))

    return OnDemand([kind + end for end in layers for kind in kinds], make)


def _real(layer: LstmLayer, kind: str) -> Real:
    for name, csb, formats, _ in layer.matrices:
        if name == kind:
            return csb.to_real(formats)
    bias = layer.state.dequantise(layer.bias)
    if kind == "bias":
        return bias
    ih, hh = apart_biases(type(layer.arithmetic), bias)
    return ih if kind == "bias_ih" else hh
