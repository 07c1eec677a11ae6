"""What :mod:`.face` is given, looked at before anything is done with it."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import Any, TypeVar

from torch import Tensor, nn

from csb_format.arguments import shown
from csb_format.geometry import Geometry

from .mask.layers import UnprunableError
from .mask.pruner import Pruner

__all__ = ["check_layout", "check_masks", "check_provenance", "module_of", "tensors_of"]

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def module_of(function: str, given: object, wanted: str) -> nn.Module:
    """A module with values.

    Parameters
    ----------
    function, wanted : str
        What takes it, and what that is.
    given : object

    Raises
    ------
    TypeError
        For anything else, with the way from there to a module.
    UnprunableError
        If a parameter has no values.
    """
    if not isinstance(given, nn.Module):
        raise TypeError(f"{function} takes {wanted}, not {shown(given)}{_mend(given)}")
    for name, parameter in given.named_parameters():
        if parameter.is_meta:
            raise UnprunableError(
                f"{name!r} is on the meta device and has no values: load weights first"
            )
    return given


def _mend(given: object) -> str:
    if isinstance(given, type) and issubclass(given, nn.Module):
        return f": make one, such as {given.__name__}(...)"
    if isinstance(given, str | bytes | PathLike):
        return ": load the file into a module first, with torch.load and load_state_dict"
    if isinstance(given, Mapping):
        return ", a state dict: give the module that has loaded it, by load_state_dict"
    if isinstance(given, Pruner):
        return ": its module is pruned already; squash first, and give what squash() returns"
    return ": give a torch.nn.Module"


def tensors_of(given: object) -> nn.Module | Mapping[str, Tensor]:
    """A module, or its state dict.

    Raises
    ------
    TypeError
        For anything else.
    """
    if not isinstance(given, Mapping):
        return module_of("sf.pack", given, "what sf.prune returned, a module or its state dict")
    for name, tensor in given.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TypeError(
                f"module[{name!r}] is {shown(tensor)}: a state dict has tensors by name; of "
                "an array give torch.from_numpy(array)"
            )
        if tensor.is_meta:
            raise UnprunableError(
                f"{name!r} is on the meta device and has no values: load weights first"
            )
    return given


def check_layout(name: str, layout: Any, tensors: Mapping[str, Tensor]) -> None:
    """Refuse what is no banks of matrices by name.

    Parameters
    ----------
    name : str
        Of the argument.
    layout : object
    tensors : mapping of str to Tensor
        Those of the module.

    Raises
    ------
    TypeError
        If it is no mapping to numbers of banks or geometries.
    ValueError
        If it is empty, or names no matrix of the module.
    """
    there = [key for key, tensor in tensors.items() if tensor.ndim == 2]
    such = f"every matrix by its name to its banks, such as {{{(there or ['weight'])[0]!r}: 8}}"
    if not isinstance(layout, Mapping):
        raise TypeError(f"{name} = {shown(layout)}: give {such}")
    if not layout:
        raise ValueError(f"{name} is empty: give {such}")
    for key, banks in layout.items():
        if key not in there:
            raise ValueError(
                f"{name}: {key!r} is no matrix of the module: give one of "
                f"{', '.join(there) or 'none'}"
            )
        if isinstance(banks, bool) or not isinstance(banks, int | Geometry):
            raise TypeError(
                f"{name}[{key!r}] = {shown(banks)}: give the number of banks, a whole number of "
                "at least 1, or a Geometry"
            )


def check_masks(masks: Any, layout: Mapping[str, object]) -> None:
    """Refuse what is no masks of the matrices that are packed.

    Raises
    ------
    TypeError
        If it is no mapping to tensors.
    ValueError
        If it names another matrix.
    """
    if not isinstance(masks, Mapping):
        raise TypeError(f"masks = {shown(masks)}: give a bool tensor by the name of its matrix")
    for key, mask in masks.items():
        if key not in layout:
            raise ValueError(
                f"masks: {key!r} is no matrix that is packed: there are {', '.join(layout)}"
            )
        if not isinstance(mask, Tensor):
            raise TypeError(
                f"masks[{key!r}] = {shown(mask)}: give a bool tensor of the matrix's shape, "
                "true = kept"
            )


def check_provenance(given: Any) -> None:
    """Refuse what is no texts by name.

    Raises
    ------
    TypeError
        Naming the first that is none.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"provenance = {shown(given)}: give texts by name, such as {{'by': 'me'}}")
    for key, text in given.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(
                f"provenance[{key!r}] = {shown(text)}: both must be text; convert them with str()"
            )
