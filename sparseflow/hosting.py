"""The front door's :func:`replace`: a user's torch module with its recurrent part in integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from csb_format.extras import needs
from csb_format.model import Model
from engine.reference import LayerModel

from .steps.checks import model_of

if TYPE_CHECKING:
    from pruning.integers.hosted import ModuleT

__all__ = ["replace"]


def replace(module: ModuleT, name: str, model: Model) -> ModuleT:
    """Copy a network and let its recurrent part run on packed integers, the rest as it is.

    So the whole network is scored on your data, by your own code, with the accelerator's bits in
    the place of one submodule. Nothing is trained through it: integers have no gradients.

    Parameters
    ----------
    module : nn.Module
        Stays as it is.
    name : str
        Of the submodule, as ``get_submodule`` takes it: an ``nn.LSTM``, an ``nn.GRU``, a
        cell of theirs, or a list of cells, which are the layers of the model.
    model : Model
        That was packed of it, ``sf.quantise(...).model``; its head, if it has one, is left out.

    Returns
    -------
    nn.Module
        Takes what the original takes: batches, packed sequences, given states.

    Raises
    ------
    UnsupportedLayerError
        For a submodule of another kind.
    TypeError
        For what is no module or no model.
    ValueError
        For a name that is none, or a model of other sizes.

    Examples
    --------
    >>> packed = sf.quantise(sf.prune(net.encoder.lstm, banks=8), None, frames).model
    >>> accuracy(sf.replace(net, "encoder.lstm", packed), test)
    """
    model_of("sf.replace", model)
    with needs("train"):
        from pruning.arguments import module_of
        from pruning.integers.hosted import replaced

    module_of("sf.replace", module, "a torch.nn.Module")
    return replaced(module, name, model, LayerModel)
