"""A training step on one core beside PyTorch's, in turns; its memory; and what rescaling takes.

153 -> 512, 32 sequences of 20 frames, 48 classes; matrices keep an eighth. Times are processor
seconds of the process (:mod:`bench.cpu.turns`), those of other threads of BLAS too: call it with
OPENBLAS_NUM_THREADS=1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from csb_format import Model
from csb_format.random_models import random_frames, random_network
from engine.learn.head import Asked
from engine.learn.integers import Exponent
from engine.learn.learner import Learner, Settings
from engine.learn.native.passes import LANES, CompiledPasses, kernels
from engine.learn.pieces import bytes_per_frame

from ..cpu.turns import Seconds, in_turns, milliseconds, ratio
from ..record import Rows, processor

__all__ = ["measured"]

INPUTS, UNITS, BANKS, CLASSES = 153, 512, 8, 48
SEQUENCES, FRAMES, SEED = 32, 20, 0
ROUNDS, BLOCK = 15, 4
LIMIT = 4 << 20


def measured(smallest: bool) -> Rows:
    """Rows of times, of memory, and of rescaling."""
    units, rounds, block = (32, 2, 1) if smallest else (UNITS, ROUNDS, BLOCK)
    model = _model(units, 8)
    calls = _ours(model, _model(units, 16)) | _grus(units) | _torch(units)
    seconds = in_turns(calls, rounds, block)
    ours = "int8"
    rows: Rows = [
        {
            "contender": name,
            "ms": milliseconds(times),
            "times_int8": ratio(times, seconds[ours], SEED),
        }
        for name, times in seconds.items()
    ]
    rows += [_memory(model, units), _rescaling(model, rounds, block)]
    return [row | {"cpu": processor()} for row in rows]  # scores may be of another


def _model(units: int, bits: int, cell: str = "lstm") -> Model:
    k = (max(1, round(-(-INPUTS // BANKS) / 8)), max(1, units // BANKS // 8), 0)
    rng = np.random.default_rng(SEED)
    return random_network(
        rng, INPUTS, units, BANKS, k, value_bits=bits, act_bits=bits, head=CLASSES, cell=cell
    )


def _batch(model: Model) -> tuple[Any, Asked]:
    rng = np.random.default_rng(SEED)
    labels = tuple(rng.integers(0, CLASSES, 1) for _ in range(SEQUENCES))
    return random_frames(rng, model, [FRAMES] * SEQUENCES), Asked(labels)


def _step(model: Model, bits: int, memory: int = 0) -> Callable[[], Any]:
    passes = CompiledPasses(model)
    learner = Learner(model, Settings(gradient_bits=bits, memory=memory), passes, LANES)
    frames, asked = _batch(model)
    learner.step(frames, asked)
    return lambda: learner.step(frames, asked)


def _ours(narrow: Model, wide: Model) -> dict[str, Callable[[], Any]]:
    return {
        "int8": _step(narrow, 8),
        "int8 in 4 MiB": _step(narrow, 8, LIMIT),
        "int8, gradients int16": _step(narrow, 16),
        "int16": _step(wide, 16),
    }


def _grus(units: int) -> dict[str, Callable[[], Any]]:
    return {
        "GRU, int8": _step(_model(units, 8, "gru"), 8),
        "GRU (gru0), int8": _step(_model(units, 8, "gru0"), 8),
        "GRU, torch float32, dense": _float_step(units, False, nn.GRU),
    }


def _torch(units: int) -> dict[str, Callable[[], Any]]:
    return {
        "torch float32, dense": _float_step(units, False),
        "torch float32, masked": _float_step(units, True),
    }


def _float_network(
    units: int, kind: Callable[..., nn.RNNBase] = nn.LSTM
) -> tuple[nn.RNNBase, nn.Linear, Any, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        lstm: nn.RNNBase = kind(INPUTS, units, batch_first=True)
        head = nn.Linear(units, CLASSES)
        frames = torch.randn(SEQUENCES, FRAMES, INPUTS)
        return lstm, head, frames, torch.randint(0, CLASSES, (SEQUENCES,))


def _float_step(
    units: int, masked: bool, kind: Callable[..., nn.RNNBase] = nn.LSTM
) -> Callable[[], Any]:
    lstm, head, frames, labels = _float_network(units, kind)
    weights = [w for w in lstm.parameters() if w.ndim == 2 and masked]
    masks = [(torch.rand_like(w) < 1 / 8).float() for w in weights]
    optimizer = torch.optim.SGD([*lstm.parameters(), *head.parameters()], lr=0.1)

    def step() -> None:
        optimizer.zero_grad()
        out, _ = lstm(frames)
        loss = nn.functional.cross_entropy(head(out[:, -1]), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for weight, mask in zip(weights, masks, strict=True):
                assert weight.grad is not None
                weight.grad *= mask
        optimizer.step()

    return step


def _memory(model: Model, units: int) -> dict[str, Any]:
    """Bytes that a step keeps for the way back, and of weights with what moves them."""
    lstm, head, frames, labels = _float_network(units)
    kept: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in [*lstm.parameters(), *head.parameters()]}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out, _ = lstm(frames)
        nn.functional.cross_entropy(head(out[:, -1]), labels)
    slots = sum(m.matrix.geometry.slots for layer in model.layers for m in layer.matrices)
    parameters = sum(p.numel() for p in [*lstm.parameters(), *head.parameters()])
    return {
        "memory": "bytes",
        "tape": bytes_per_frame(model) * SEQUENCES * FRAMES,
        "torch_saved": sum(kept.values()),
        "kept_weights": slots,
        "torch_weights_and_gradients": 8 * parameters,
    }


def _rescaling(model: Model, rounds: int, block: int) -> dict[str, Any]:
    """Share of a step that watching gradients and following them with exponents takes.

    And what it takes to look for each tensor's own maximum first, in the numpy reference.
    """
    calls = {"with": _step(model, 8), "without": _still(model)}
    share = ratio(*_both(in_turns(calls, 2 * rounds, block)), SEED)
    small = random_network(
        np.random.default_rng(SEED), 12, 64, 4, (1, 5, 0), value_bits=8, act_bits=8, head=CLASSES
    )
    slow = {"with": _plain(small, "own"), "without": _plain(small, "earlier")}
    own = ratio(*_both(in_turns(slow, max(2, rounds // 3), 1)), SEED)
    return {
        "rescaling": "share of a step",
        "share": 1 - share["median"],
        "low": 1 - share["high"],
        "high": 1 - share["low"],
        "own_share": 1 - own["median"],
        "kernel": next(name for name in reversed(kernels()) if name),
    }


def _both(seconds: Seconds) -> tuple[list[float], list[float]]:
    return seconds["without"], seconds["with"]


def _still(model: Model) -> Callable[[], Any]:
    """A step that sees nothing, and whose exponents stay."""
    passes = CompiledPasses(model, watch=False)
    learner = Learner(model, Settings(), passes, LANES)
    frames, asked = _batch(model)
    learner._look(frames, asked)
    learner.steps = 1  # it has looked
    learner.exponents.follow = lambda seen: 0  # type: ignore[method-assign]
    return lambda: learner.step(frames, asked)


def _plain(model: Model, exponents: Exponent) -> Callable[[], Any]:
    learner = Learner(model, Settings(exponents=exponents))
    frames, asked = _batch(model)
    learner.step(frames, asked)
    return lambda: learner.step(frames, asked)
