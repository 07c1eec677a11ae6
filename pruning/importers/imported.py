"""What an importer returns, and the check of a mask against its weight."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .checkpoint import CheckpointError, save_tensors
from .cut import Cut

__all__ = [
    "Imported", "Reading", "as_mask", "check_dense", "check_mask", "is_float", "no_floats",
    "nonzero_masks", "save_imported",
]  # fmt: skip

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


_FED = {
    "last": "the head takes the output at the last frame",
    "hn": "the head takes the last state of both directions, that of the reverse one is at the "
    "first frame",
    "mean": "the head takes the mean over the frames",
    "every": "the head is applied at every frame",
}


@dataclass(frozen=True)
class Reading:
    """What a file's graph computes beside its weights; a state dict has no graph.

    Parameters
    ----------
    head : bool
        Whether there is a linear layer behind the recurrent ones.
    pool : str
        What of the recurrent output is used: ``"last"`` (output at the last frame), ``"hn"``
        (each direction's last own state), ``"mean"`` (over frames) or ``"every"`` frame.
    pooled_by : str
        The node that chooses or averages frames, or the one that is fed.
    softmax : str
        What stands behind the head: ``""``, ``"softmax"`` or ``"log_softmax"``.
    folded : tuple of str
        Nodes whose scale and shift have become part of weights and biases.
    batched : bool
        Whether the output keeps the axis of the sequences. Where it does not, a head at every frame
        may be ``y[:, -1]`` of a network whose second axis is a batch of one.
    unchecked : str
        Why the file was not run beside what was read; empty where both gave the same.
    """

    head: bool = True
    pool: str = "last"
    pooled_by: str = ""
    softmax: str = ""
    folded: tuple[str, ...] = ()
    batched: bool = True
    unchecked: str = "not compared"

    @property
    def fed(self) -> str:
        """How the head is fed, in words."""
        return _FED[self.pool]

    @property
    def checked(self) -> bool:
        """Whether the file was run, and what was read gave the same."""
        return not self.unchecked


@dataclass(frozen=True, eq=False)
class Imported:
    """Weights and masks of a model, on the CPU, under torch's names.

    Parameters
    ----------
    state_dict : dict of str to Tensor
        What the unpruned module would load: no masks, no parametrisations, pruned weights
        zero. Empty for a file that holds masks alone.
    masks : dict of str to bool Tensor
        Kept weights by parameter name; matrices without a zero and without a mask are absent.
    source : str
        What the file was taken for.
    notes : tuple of str
        What was found and left out, or could not be known.
    dense : dict of str to Tensor
        Weights as they are without their mask, where the file still has them.
    metadata : dict of str to str
        Of a ``.safetensors`` file.
    reading : Reading or None
        What the graph says of pooling and softmax; None where there is none, as in state
        dicts, or where matrices were read alone.
    unfit : str
        Why it is no recurrent module with a head, where the file tells; else empty.
    cut : Cut
        What of a larger network was asked for; empty for all of it.
    aside : dict of str to Tensor
        What the cut leaves out, as the file has it.
    chain : tuple of str
        Linear layers of the head in the order in which they run, where a graph says that there are
        several, a ReLU between each two.
    """

    state_dict: dict[str, Tensor]
    masks: dict[str, Tensor]
    source: str
    notes: tuple[str, ...] = ()
    dense: dict[str, Tensor] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    reading: Reading | None = None
    unfit: str = ""
    cut: Cut = Cut()  # noqa: RUF009  it is frozen
    aside: dict[str, Tensor] = field(default_factory=dict)
    chain: tuple[str, ...] = ()

    @property
    def noted(self) -> Cut:
        """The cut by which its tensors are read again where no graph lies beside them."""
        return self.cut or (Cut(head=",".join(self.chain)) if self.chain else Cut())

    def mask(self, name: str) -> Tensor:
        """The mask of a matrix, bool; its nonzero weights where it has no mask.

        Raises
        ------
        KeyError
            If there is no such matrix.
        """
        return self.masks[name] if name in self.masks else self.state_dict[name] != 0


def save_imported(path: str | os.PathLike[str], model: Imported) -> None:
    """Write weights and masks as ``.safetensors``, for :func:`.import_model` and other tools.

    Parameters
    ----------
    path : path
        Replaced if it exists.
    model : Imported
        Its masks become ``<parameter>.mask``.

    Raises
    ------
    ValueError
        If the model is masks alone.
    """
    if not model.state_dict:
        raise ValueError("masks without weights cannot be saved as a model: give the weights too")
    save_tensors(path, model.state_dict, model.masks, model.metadata)


def as_mask(name: str, values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Make a bool mask of zeros and ones of any dtype.

    Raises
    ------
    CheckpointError
        If a value is neither 0 nor 1, or the weight has another shape.
    """
    check_dense(f"mask of {name}", values)
    odd = values[(values != 0) & (values != 1)]
    if odd.numel():
        raise CheckpointError(
            f"mask of {name} holds {odd[0].item()}: a mask is 0 (pruned) or 1 (kept) everywhere; "
            "threshold a soft mask before saving it"
        )
    if weight is not None and weight.shape != values.shape:
        raise CheckpointError(
            f"mask of {name} has shape {tuple(values.shape)}, its weight {tuple(weight.shape)}: "
            "save each mask with its own weight"
        )
    return values.bool()


_TO_DENSE = """
import torch
state = torch.load({file!r}, map_location="cpu", weights_only=True)
dense = {{name: tensor.to_dense() for name, tensor in state.items()}}
torch.save(dense, "weights.pt")"""


def check_dense(name: str, tensor: Tensor, file: str = "net.pt") -> None:
    """Refuse a tensor without values of its own, one by one.

    Parameters
    ----------
    name : str
    tensor : Tensor
    file : str
        Name of its file, for the mend.

    Raises
    ------
    CheckpointError
        For a tensor on the meta device, a sparse or a quantised one.
    """
    if tensor.is_meta:
        raise CheckpointError(
            f"{name} is on the meta device and has no values: load weights into the model, then "
            "save its state_dict()"
        )
    if tensor.is_quantized:
        raise CheckpointError(
            f"{name} is quantised ({tensor.dtype}): save floats, its dequantize()"
        )
    if tensor.layout != torch.strided:
        raise CheckpointError(
            f"{name} is a {tensor.layout} tensor: save dense tensors, its to_dense()",
            _TO_DENSE.format(file=file),
        )


def check_mask(name: str, weight: Tensor, mask: Tensor) -> None:
    """Refuse a weight that is not zero where its mask says pruned.

    Raises
    ------
    CheckpointError
        Naming the first such weight.
    """
    outside = torch.nonzero((weight != 0) & ~mask)
    if len(outside):
        at = tuple(outside[0].tolist())
        raise CheckpointError(
            f"{name} is {weight[at].item():.6g} at {at}, outside its mask ({len(outside)} such "
            "weights): multiply the weights by their masks before saving, or leave the masks out"
        )


def is_float(tensor: Tensor) -> bool:
    """Whether a tensor is of floats that stand for themselves: of 16 bits or more."""
    return tensor.dtype in _FLOATS


def no_floats(names: Sequence[str], tensor: Tensor) -> str:
    """Of what type weights are, and what makes floats of them, for an error.

    Parameters
    ----------
    names : sequence of str
        One at least, whose weights are not :func:`is_float`.
    tensor : Tensor
        The first of them.
    """
    few = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    kind = str(tensor.dtype).removeprefix("torch.")
    mends = {
        "complex": "complex numbers are not supported: train torch.nn.LSTM, whose weights are real",
        "bool": "these are masks: give the weights as the file, and this one with --masks",
        "float8": "save floats, (tensor.float() * scale) with the scale that belongs to each",
    }
    whole = "save the float model of before quantisation, or (tensor.float() - zero_point) * scale"
    mend = next((text for mark, text in mends.items() if kind.startswith(mark)), whole)
    return f"{few} of shape {tuple(tensor.shape)}: weights of {kind}, not floats; {mend}"


def nonzero_masks(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Masks of the floating matrices that hold zeros."""
    found = {
        name: tensor != 0
        for name, tensor in tensors.items()
        if tensor.ndim == 2 and is_float(tensor)
    }
    return {name: mask for name, mask in found.items() if not mask.all()}
