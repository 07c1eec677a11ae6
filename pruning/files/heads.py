"""The linear layer on a recurrent module's output, and what lies beside both in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from ..importers import Imported
from ..importers.checkpoint import CheckpointError
from ..importers.cut import module_of, recurrent_modules
from ..mlp import Head, MlpHead
from .members import cutting, heads
from .misfits import told_of_rest, transposed_heads

__all__ = ["head_of"]


def head_of(
    rest: Mapping[str, Tensor],
    recurrent: nn.LSTM | nn.GRU,
    names: Mapping[str, str],
    found: Imported,
) -> tuple[Head | None, dict[str, str]]:
    """The head, and its parameters' names in the file; none where nothing is left.

    Parameters
    ----------
    rest : Mapping[str, Tensor]
        What the recurrent module has left.
    recurrent : nn.LSTM or nn.GRU
    names : Mapping[str, str]
        Of its parameters, with those in the file.
    found : Imported

    Raises
    ------
    CheckpointError
        For anything that is not one linear layer on its output, with what leaves it out; several
        are taken where the cut names them, or the file's graph.
    """
    if not rest:
        return None, {}
    width = (recurrent.proj_size or recurrent.hidden_size) * (1 + recurrent.bidirectional)
    fits = heads(rest, width)
    chain = found.cut.heads(list(rest)) or list(found.chain)
    if chain:
        fits = [_named(chain[0], rest, fits, width)]
    behind = [f"{name}.weight" for name in chain[1:]]
    known = {name for fit in (*fits, *behind) for name in (fit, _bias_of(fit))}
    left = [name for name in rest if name not in known]
    if not fits:
        transposed_heads(rest, width)
    if len(fits) != 1 or left:
        others = {name: rest[name] for name in left or fits}
        told = told_of_rest(others, recurrent.input_size)
        words, module = _cutting(found, names, others)
        raise CheckpointError(
            f"beside the {type(recurrent).__name__}: {', '.join(others)}. Only one linear layer "
            f"with {width} columns (its output) is taken unasked{told}; {_chained(rest, width)}"
            f"`{words}` takes {module} out of it as a part (docs/partial.md), `pack --matrices` "
            "packs the matrices of any network"
        )
    if behind:
        return _several(rest, [fits[0], *behind])
    head, stem = _linear(rest, fits[0]), fits[0].removesuffix("weight")
    return head, {f"head.{leaf}": stem + leaf for leaf, _ in head.named_parameters()}


def _chained(rest: Mapping[str, Tensor], width: int) -> str:
    """How to name linear layers that are all there is, and that fit one behind the other."""
    left = [n for n, t in rest.items() if n.endswith(".weight") and t.ndim == 2]
    every = {name for weight in left for name in (weight, _bias_of(weight))}
    chain: list[str] = []
    while following := [n for n in left if rest[n].shape[1] == width]:
        chain.append(following[0].removesuffix(".weight"))
        width = rest[following[0]].shape[0]
        left.remove(following[0])
    if left or len(chain) < 2 or not every >= set(rest):
        return ""
    return f"`--head {','.join(chain)}` takes them as one head if a ReLU lies between them; "


def _bias_of(weight: str) -> str:
    return weight.removesuffix("weight") + "bias"


def _several(rest: Mapping[str, Tensor], weights: Sequence[str]) -> tuple[MlpHead, dict[str, str]]:
    """Linear layers that follow each other, with a ReLU between them as the user has said."""
    for weight in weights:
        if weight not in rest or rest[weight].ndim != 2:
            shape = tuple(rest[weight].shape) if weight in rest else "none"
            raise CheckpointError(f"--head: {weight} has shape {shape}: name linear layers")
    try:
        head = MlpHead(*(_linear(rest, weight) for weight in weights))
    except ValueError as error:
        named = ",".join(weight.removesuffix(".weight") for weight in weights)
        raise CheckpointError(f"--head {named}: {error}") from error
    stems = [weight.removesuffix("weight") for weight in weights]
    return head, {
        f"head.{leaf}": stems[int(leaf.partition(".")[0]) // 2] + leaf.partition(".")[2]
        for leaf, _ in head.named_parameters()
    }


def _named(named: str, rest: Mapping[str, Tensor], fits: Sequence[str], width: int) -> str:
    name = f"{named}.weight"
    if name not in fits:
        shape = tuple(rest[name].shape) if name in rest else "none"
        raise CheckpointError(
            f"--head {named}: its weight has shape {shape} and the recurrent module gives {width} "
            f"values: name a linear layer with {width} columns, or leave it out with --ignore "
            f"{named}"
        )
    return name


def _cutting(
    found: Imported, names: Mapping[str, str], others: Mapping[str, Tensor]
) -> tuple[str, str]:
    """The options that leave out what is too much, and the module that stays."""
    module = recurrent_modules(names.values())[0]
    if not found.cut:
        return cutting(found.state_dict, module_of(module)), module_of(module)
    more = dict.fromkeys(name.rpartition(".")[0] or name for name in others)
    cut = replace(found.cut, ignore=(*found.cut.ignore, *more))
    return cut.words(), found.cut.lstm or module_of(module)


def _linear(rest: Mapping[str, Tensor], name: str) -> nn.Linear:
    weight, bias = rest[name], rest.get(name.removesuffix("weight") + "bias")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise CheckpointError(
            f"bias of {name} has shape {tuple(bias.shape)}: it must be ({weight.shape[0]},)"
        )
    rows, columns = weight.shape
    linear = nn.Linear(columns, rows, bias=bias is not None, device="meta").to_empty(device="cpu")
    state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    linear.load_state_dict({key: tensor.float() for key, tensor in state.items()})
    return linear
