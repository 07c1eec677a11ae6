"""Networks of every kind, for what must be exact on all of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from csb_format.cells import LSTM, cell_named
from csb_format.cells.cell import reaches
from csb_format.cells.gru import GruCell, ResetFirstGruCell
from csb_format.fixed import IntArray
from csb_format.model import DenseLayer, Model
from csb_format.random_models import Kept, random_frames, random_network
from csb_format.screening.adversaries import adversarial_head, adversarial_states
from csb_format.screening.layer import ScreenedLayer

WIDTHS = (4, 8, 12, 16, 18)  # of weights
STATES = (6, 8, 12, 16, 18)


def any_network(seed: int, most: int = 200) -> tuple[Model, list[IntArray]]:
    """Of any cell, size, depth, width and reach, projected or not; and sequences for it."""
    rng = np.random.default_rng(seed)
    x, h = int(rng.integers(1, most)), int(rng.integers(1, min(most, 80)))
    p = int(rng.integers(0, h + 1)) if rng.random() < 0.5 else 0
    gru = (GruCell, ResetFirstGruCell)[seed % 2].name
    cell = gru if not p and rng.random() < 0.5 else LSTM
    layers, directions = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    narrowest = [min(x, directions * (p or h)) if layers > 1 else x, p or h, h]
    a, b, c = (int(rng.integers(1, n + 1)) for n in narrowest)
    i, j, k = (int(rng.integers(0, 9)) for _ in range(3))
    kept: tuple[Kept, Kept, Kept] = (i, j, k)
    if seed % 3 == 2:  # of each gate
        gates = len(cell_named(cell).gate_names)
        ih, hh = np.random.default_rng(seed).integers(0, 9, (2, gates)).tolist()
        kept = (tuple(ih), tuple(hh), k)
    value_bits, act_bits = int(rng.choice(WIDTHS)), int(rng.choice(STATES))
    reach = int(rng.choice(reaches(act_bits)))
    model = random_network(
        rng, x, h, (a, b, c), kept, layers, directions, p, value_bits, act_bits, 3, cell, reach
    )
    count = 21 if seed % 2 else 5  # many of them side by side, or too few for that
    return model, random_frames(rng, model, rng.integers(0, 7, count).tolist())


def beside_head(head: DenseLayer) -> Model:
    """A network that is small beside its head, and feeds it with every frame."""
    made = random_network(
        np.random.default_rng(0),
        3,
        4,
        (1, 1, 1),
        (1, 1, 1),
        1,
        1,
        head.input_size,
        8,
        head.input.width,
    )
    fed = replace(head, input=made.layers[0].output)
    return Model(made.layers, fed, pool="every")


def any_screen(seed: int, **sizes: int) -> tuple[Model, ScreenedLayer, IntArray]:
    """A model whose head is screened, the head, and 12 hidden states that are hard for it."""
    rng = np.random.default_rng([5, seed])
    model = beside_head(adversarial_head(rng, **sizes))
    assert model.head is not None
    head = ScreenedLayer.of(model.head, int(rng.integers(0, 1 << 18)))
    return replace(model, head=head), head, adversarial_states(rng, head, 12)
