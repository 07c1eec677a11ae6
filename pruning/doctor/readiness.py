"""Whether the accelerator runs a network, told before any time is spent on it."""

from __future__ import annotations

import copy

import numpy as np
import torch

from compiler.array.needs import check_supported
from csb_format.model import Model
from csb_format.scales import DesignError

from ..cells import Recurrent
from ..files.network import Network
from ..importers.checkpoint import UnsupportedLayerError
from ..integers.quantise import quantise

__all__ = ["hardware_note"]


def hardware_note(network: Network) -> str:
    """Why the accelerator does not run a network of this kind and size; empty if it does."""
    try:
        lstm = network.packable()
    except UnsupportedLayerError as error:
        return str(error)
    try:
        check_supported(_like(lstm))
    except DesignError as error:
        return str(error)
    return ""


def _like(lstm: Recurrent) -> Model:
    """A model of the same build; its numbers mean nothing."""
    shapes = {name: p.shape for name, p in lstm.named_parameters() if p.ndim == 2}
    twin = copy.deepcopy(lstm)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.fill_(0.5)
    frames = [np.ones((1, lstm.input_size))]
    return quantise(twin, None, dict.fromkeys(shapes, 1), frames).model
