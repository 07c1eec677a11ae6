"""What a file holds that is no recurrent module with a head as it stands: its name and the mend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor

from csb_format.pooling import EVERY

from ..importers import Imported
from ..importers.checkpoint import CheckpointError, UnsupportedLayerError
from ..importers.imported import is_float, no_floats

__all__ = [
    "check_floats",
    "check_graph",
    "check_orientation",
    "foreign_names",
    "told_of_rest",
    "transposed_heads",
]

# How names of tensors begin that no network computes with: what training keeps.
_ASIDE = ("optimizer", "optim", "scheduler", "criterion", "loss", "metric", "scaler", "ema")
_KERAS = """
# w, u, b: the layer's kernel, recurrent_kernel and bias; v, c: kernel and bias of its head
state = {"rnn.weight_ih_l0": w.T, "rnn.weight_hh_l0": u.T, "rnn.bias_ih_l0": b,
         "rnn.bias_hh_l0": 0 * b, "fc.weight": v.T, "fc.bias": c}
torch.save({name: tensor.contiguous() for name, tensor in state.items()}, "weights.pt")"""


def check_graph(found: Imported) -> None:
    """Refuse a graph that has no recurrent layer, or a head at every frame that may be a mistake.

    Raises
    ------
    UnsupportedLayerError
        Naming what it is, or the node.
    """
    if found.unfit:
        raise UnsupportedLayerError(found.unfit)
    reading = found.reading
    # Without a head, a graph's output is that of the recurrent module, at whatever frames.
    if reading is None or not reading.head or reading.pool != EVERY:
        return
    if not reading.batched:
        raise UnsupportedLayerError(
            f"node {reading.pooled_by}: {reading.fed}, but the output has no axis for the "
            "sequences: keep it for an answer at every frame, and export with a free batch size; "
            "or feed the head with the output at the last frame, y[:, -1] (y[-1] without "
            "batch_first=True), train and export again"
        )
    if not reading.checked:
        raise UnsupportedLayerError(
            f"node {reading.pooled_by}: {reading.fed}, which could not be checked against the file "
            f"({reading.unchecked})"
        )


def check_floats(state: Mapping[str, Tensor], names: Iterable[str]) -> None:
    """Refuse parameters, of these names or called so, that are no floats.

    Raises
    ------
    CheckpointError
        Naming them and their type.
    """
    parameters = [n for n in state if n.endswith(("weight", "bias"))]
    odd = [n for n in dict.fromkeys((*names, *parameters)) if not is_float(state[n])]
    if odd:
        raise CheckpointError(no_floats(odd, state[odd[0]]))


def check_orientation(prefix: str, parts: Mapping[str, Tensor]) -> None:
    """Refuse matrices that stand on their side, as Keras and others keep them.

    Raises
    ------
    CheckpointError
        Naming them, with what turns them.
    """
    rows = _rows(parts)
    shapes = {n: t.shape for n, t in parts.items() if n.startswith("weight") and t.ndim == 2}
    inputs = [n for n in shapes if n.startswith(("weight_ih", "weight_hh"))]
    found = [n for n in inputs if shapes[n][0] != rows == shapes[n][1]]
    found += [n for n in shapes if n.startswith("weight_hr") and _widens(shapes[n], rows)]
    if found:
        raise _transposed({prefix + name: parts[name] for name in found})


def _rows(parts: Mapping[str, Tensor]) -> int:
    """Rows of all gates, as the bias or the shape of the recurrent matrix tells; 0 if none."""
    bias, matrix = parts.get("bias_hh_l0"), parts.get("weight_hh_l0")
    if bias is not None and bias.ndim == 1:
        return len(bias)
    if matrix is None or matrix.ndim != 2:
        return 0
    least, most = sorted(matrix.shape)
    return most if most in (3 * least, 4 * least) else 0


def _widens(shape: Sequence[int], rows: int) -> bool:
    """Whether a projection goes from fewer to the units of an LSTM."""
    return 4 * shape[0] == rows and 4 * shape[1] < rows


def transposed_heads(rest: Mapping[str, Tensor], width: int) -> None:
    """Refuse a head that stands on its side.

    Raises
    ------
    CheckpointError
        Naming it, with what turns it.
    """
    for name, tensor in rest.items():
        bias = rest.get(name.removesuffix("weight") + "bias")
        fits = bias is None or tuple(bias.shape) == tuple(tensor.shape[1:])
        if name.endswith("weight") and tensor.ndim == 2 and len(tensor) == width and fits:
            raise _transposed({name: tensor})


def _transposed(found: Mapping[str, Tensor]) -> CheckpointError:
    shown = ", ".join(f"{name} {tuple(t.shape)}" for name, t in found.items())
    wanted = ", ".join(str(tuple(t.shape[::-1])) for t in found.values())
    return CheckpointError(
        f"{shown}: transposed, as Keras keeps kernels (inputs, outputs); torch keeps {wanted}: "
        "turn them and save again",
        f"for name in {list(found)!r}:\n    state[name] = state[name].T.contiguous()",
    )


def foreign_names(state: Mapping[str, Tensor]) -> CheckpointError | None:
    """The error for tensors that are named as Keras names them; None for others."""
    if not any(name.endswith(("recurrent_kernel", "recurrent_kernel:0")) for name in state):
        return None
    few = ", ".join(list(state)[:5])
    return CheckpointError(
        f"names of Keras ({few}): name and turn them as torch does; Keras' gates are in torch's "
        "order",
        _KERAS,
    )


def told_of_rest(left: Mapping[str, Tensor], inputs: int) -> str:
    """What tensors beside a recurrent module are taken for, where their shapes tell.

    Parameters
    ----------
    left : Mapping[str, Tensor]
        Neither of it nor of its head.
    inputs : int
        Features that it takes.
    """
    if mean := next((name for name in left if name.endswith("running_mean")), ""):
        stem = mean.removesuffix("running_mean")
        return f": {stem}* is batch normalisation: export to ONNX, out of which it is folded"
    for name, tensor in left.items():
        if name.rpartition(".")[2] != "weight":
            continue
        biased = name.removesuffix("weight") + "bias" in left
        if tensor.ndim == 2 and tensor.shape[1] == inputs and not biased:
            return (
                f": {name} {tuple(tensor.shape)} looks like an embedding: leave it out of the "
                "file, and give its rows as the frames of the data"
            )
    if all(name.startswith(_ASIDE) for name in left):
        return ": they take no part in what it computes, save the LSTM and its head alone"
    return (
        ": with other layers on the way the two alone compute something else, so train again "
        "without them (what only scales and shifts is folded out of an ONNX file)"
    )
