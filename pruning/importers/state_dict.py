"""A state dict of any pruning tool, turned into plain weights and masks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .checkpoint import CheckpointError, UnsupportedLayerError
from .imported import Imported, as_mask, check_dense, check_mask, nonzero_masks
from .mask_file import MaskFile

__all__ = ["resolve", "unwrap"]

_WRAPPERS = ("state_dict", "model_state_dict", "model")
_PARAMETRISED = re.compile(r"^(.*?)parametrizations\.([^.]+)\.(.+)$")
_ONE = """
import torch
state = torch.load({file!r}, map_location="cpu", weights_only=True)[{name!r}]
torch.save(state, "weights.pt")"""
_TENSORS = """
import torch
arrays = torch.load({file!r}, weights_only=False)  # runs code in it: only where it is yours
torch.save({{name: torch.as_tensor(array) for name, array in arrays.items()}}, "weights.pt")"""
_RECURRENT = re.compile(r"weight_(ih|hh|hr)(_l\d+(_reverse)?)?$")
_NO_MASKS = MaskFile({}, "")


def unwrap(
    content: Mapping[str, Any], file: str = "checkpoint.pt"
) -> tuple[dict[str, Tensor], list[str]]:
    """Find the state dict of a training checkpoint; returns it and notes on what else is there.

    Parameters
    ----------
    content : mapping
    file : str
        Name of its file, for errors.

    Raises
    ------
    CheckpointError
        For a value that is no dense tensor and not in a known wrapper.
    """
    inner = [k for k in _WRAPPERS if isinstance(content.get(k), Mapping)]
    if len(inner) == 1:
        left = sorted(set(content) - set(inner))
        notes = [f"beside {inner[0]!r}, left alone: {', '.join(left)}"] if left else []
        tensors, more = _without_counts(content[inner[0]], file)
        return tensors, [*notes, *more]
    return _without_counts(content, file)


def _without_counts(content: Mapping[str, Any], file: str) -> tuple[dict[str, Tensor], list[str]]:
    """Without what torch itself keeps beside weights; what is left out is told."""
    tensors = _tensors({n: value for n, value in content.items() if n != "_metadata"}, file)
    # torch.optim.swa_utils.AveragedModel counts beside the module whose average it is.
    count = tensors.get("n_averaged")
    if count is None or count.numel() != 1 or not any(n.startswith("module.") for n in tensors):
        return tensors, []
    del tensors["n_averaged"]
    if not count.item():
        return tensors, ["weights of an AveragedModel that has averaged nothing yet"]
    return tensors, [f"weights of an AveragedModel, the average of {count.item():g}"]


def _tensors(content: Mapping[str, Any], file: str) -> dict[str, Tensor]:
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise _no_tensor(content, name, value, file)
        if not name.isprintable():  # it would stand in messages, and in files that are written
            raise CheckpointError(
                f"{name!r} is a name with characters that cannot be printed: rename it, save again"
            )
        check_dense(name, value, file)
    return {name: value.detach() for name, value in content.items()}


def _no_tensor(
    content: Mapping[str, Any], name: object, value: object, file: str
) -> CheckpointError:
    """The error for what is no tensor; where state dicts lie below it, with their names."""
    below = [str(key) for key, each in content.items() if _is_state_dict(each)]
    if below:
        what = "state dicts" if len(below) > 1 else "a state dict"
        return CheckpointError(
            f"{file} holds {what} under {', '.join(map(repr, below))}: save the one that is meant "
            "alone, or under the key 'state_dict'",
            _ONE.format(file=file, name=below[0]),
        )
    kind = type(value).__name__
    if kind in ("numpy array", "list"):
        return CheckpointError(
            f"{name!r} is a {kind}, not a tensor: make tensors of them and save again",
            _TENSORS.format(file=file),
        )
    article = "an" if kind[:1] in "AEIOU" else "a"
    return CheckpointError(
        f"{name!r} is {article} {kind}, not a tensor: save model.state_dict() alone, or under the "
        "key 'state_dict'"
    )


def _is_state_dict(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(each, Tensor) for each in value.values())
    )


def resolve(tensors: Mapping[str, Tensor], outside: MaskFile = _NO_MASKS) -> Imported:
    """Apply and check every mask, and give weights their plain names.

    Understood: ``X_orig`` with ``X_mask`` (``torch.nn.utils.prune``),
    ``parametrizations.X.original`` with ``parametrizations.X.N.mask``
    (``torch.ao.pruning``), ``X_mask`` (:class:`pruning.mask.pruner.Pruner`) or ``X.mask`` (what
    :func:`pruning.importers.checkpoint.save_tensors` writes) beside ``X``, masks from outside, and
    zeros.

    Parameters
    ----------
    tensors : Mapping[str, Tensor]
        A state dict.
    outside : MaskFile, optional
        Masks of a file of their own.

    Raises
    ------
    CheckpointError
        Naming a mask that is missing, soft, of another shape, or contradicted by its weight.
    UnsupportedLayerError
        Naming a parametrisation that is no mask, for example weight normalisation.
    """
    _refuse_computed(tensors)
    work = _Resolution(dict(tensors), outside)
    work.take_pruned()
    work.take_parametrised()
    work.take_beside()
    work.take_outside()
    return work.finish()


class _Resolution:
    """Names move from ``rest`` to ``plain``; what is left in ``rest`` is plain already."""

    def __init__(self, tensors: dict[str, Tensor], outside: MaskFile) -> None:
        self.rest, self.outside = tensors, outside
        self.place = {name: number for number, name in enumerate(tensors)}
        self.plain: dict[str, Tensor] = {}
        self.dense: dict[str, Tensor] = {}
        self.masks: dict[str, Tensor] = {}
        self.sources: list[str] = []
        self.notes: list[str] = list(outside.notes)

    def take_pruned(self) -> None:
        for name in [name for name in self.rest if name.endswith("_orig")]:
            base = name.removesuffix("_orig")
            mask = self.rest.pop(f"{base}_mask", None)
            if mask is None:
                raise CheckpointError(
                    f"{name} has no {base}_mask: save the whole state dict of the pruned module, "
                    "or call prune.remove first"
                )
            self._apply(base, name, mask, "torch.nn.utils.prune")

    def take_parametrised(self) -> None:
        for base, parts in _parametrised(self.rest).items():
            for key in parts.values():
                if key not in (parts.get("original"), *_mask_keys(parts)):
                    raise _no_mask_parametrisation(key)
            if "original" not in parts:
                raise _no_mask_parametrisation(next(iter(parts.values())))
            masks = [as_mask(base, self.rest.pop(key)) for key in _mask_keys(parts)]
            mask = _all(base, masks) if masks else self.outside.masks.get(base)
            if mask is None:
                raise CheckpointError(
                    f"{parts['original']} has no mask (torch.ao.pruning does not save it): call "
                    "sparsifier.squash_mask() before saving, or save sparsifier.state_dict() "
                    "and give that file as the masks too"
                )
            source = "parametrised masks" if masks else self.outside.source
            self._apply(base, parts["original"], mask, source)

    def take_beside(self) -> None:
        for name in [name for name in self.rest if name.endswith((".mask", "_mask"))]:
            base = name[: -len(".mask")]
            weight = self.rest.get(base, self.plain.get(base))
            if weight is None:
                self.notes.append(f"{name}: no weight {base}, taken for an ordinary buffer")
                continue
            mask = as_mask(base, self.rest.pop(name), weight)
            self._keep(base, weight, mask, "masks beside their weights")

    def take_outside(self) -> None:
        for base, mask in self.outside.masks.items():
            weight = self.plain.get(base, self.rest.get(base))
            if weight is None:
                raise CheckpointError(
                    f"there is a mask of {base} and no such weight (found: {_some(self.rest)}): "
                    "give the masks and the weights of one model"
                )
            as_mask(base, mask, weight)
            self._keep(base, weight, mask, self.outside.source)

    def _apply(self, base: str, name: str, mask: Tensor, source: str) -> None:
        original = self.rest.pop(name)
        self.place[base] = self.place[name]
        kept = as_mask(base, mask, original)
        self.plain[base] = torch.where(kept, original, torch.zeros_like(original))
        if (original[~kept] != 0).any():
            self.dense[base] = original
        self._keep(base, self.plain[base], kept, source)

    def _keep(self, base: str, weight: Tensor, mask: Tensor, source: str) -> None:
        check_mask(base, weight, mask)
        if weight.ndim == 2:
            self.masks[base] = self.masks[base] & mask if base in self.masks else mask
        if source not in self.sources:
            self.sources.append(source)

    def finish(self) -> Imported:
        found = self.rest | self.plain
        state = {name: found[name] for name in sorted(found, key=self.place.__getitem__)}
        zeros = {n: m for n, m in nonzero_masks(state).items() if n not in self.masks}
        if zeros:
            self.sources.append("plain zeros")
        source = " + ".join(self.sources) or "dense weights"
        masks = {name: (zeros | self.masks)[name] for name in state if name in zeros | self.masks}
        return Imported(state, masks, source, tuple(self.notes), self.dense)


def _parametrised(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, str]]:
    """By plain parameter name: the parts of its parametrisation and their full names."""
    found: dict[str, dict[str, str]] = {}
    for name in tensors:
        if match := _PARAMETRISED.match(name):
            found.setdefault(match[1] + match[2], {})[match[3]] = name
    return found


def _mask_keys(parts: Mapping[str, str]) -> list[str]:
    return [key for part, key in parts.items() if re.fullmatch(r"\d+\.mask", part)]


def _all(base: str, masks: list[Tensor]) -> Tensor:
    kept = masks[0]
    for mask in masks[1:]:
        kept = kept & as_mask(base, mask, kept)
    return kept


def _no_mask_parametrisation(name: str) -> UnsupportedLayerError:
    return UnsupportedLayerError(
        f"tensor {name}: a parametrisation that is no mask; remove it "
        "(torch.nn.utils.parametrize.remove_parametrizations) before saving"
        f"{_left_out(name.partition('.parametrizations.')[0])}"
    )


def _left_out(module: str) -> str:
    """The mend where it is no part of what the array takes."""
    return f", or leave it out, --ignore {module}" if module else ""


def _refuse_computed(tensors: Mapping[str, Tensor]) -> None:
    """No weight may be taken for its own that torch computes from others at every call."""
    for name in tensors:
        base = name.rpartition("_")[0]
        if name.endswith("_g") and f"{base}_v" in tensors:
            raise UnsupportedLayerError(
                f"tensor {name}: weight normalisation; call torch.nn.utils.remove_weight_norm "
                f"before saving{_left_out(base.rpartition('.')[0])}"
            )
        if name.endswith("_orig") and f"{base}_u" in tensors and f"{base}_mask" not in tensors:
            raise UnsupportedLayerError(
                f"tensor {name}: spectral normalisation; call "
                "torch.nn.utils.remove_spectral_norm before saving"
                f"{_left_out(base.rpartition('.')[0])}"
            )
        if name.endswith("_raw") and (base in tensors or _RECURRENT.search(base)):
            raise UnsupportedLayerError(
                f"tensor {name}: weight drop (AWD-LSTM), of which {base} is dropped out at every "
                f"step of training; save {name} under the plain name: "
                f"state[{base!r}] = state.pop({name!r})"
            )


def _some(names: Mapping[str, Tensor]) -> str:
    return ", ".join(list(names)[:5]) or "no tensors"
