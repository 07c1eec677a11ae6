"""A GRU whose reset comes first: as a module, in files, and in integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from engine.reference import IntegerModel, LayerModel
from pruning.cells import cell_of, module_of_cell
from pruning.files.network import load_network
from pruning.importers import Cut
from pruning.importers.checkpoint import CheckpointError
from pruning.integers.calibrate import padded
from pruning.integers.hosted import replaced
from pruning.integers.qat import Precision, QatClassifier
from pruning.integers.quantise import quantise
from pruning.integers.self_check import dequantised, self_check
from pruning.reset_first import MARK, ResetFirstGRU

FRAMES = [np.random.default_rng(n).standard_normal((4 + n, 6)).astype(np.float32) for n in range(3)]


def network(**options: Any) -> tuple[ResetFirstGRU, nn.Linear]:
    torch.manual_seed(1)
    gru = ResetFirstGRU(6, 8, batch_first=True, **options)
    return gru, nn.Linear(8 * (1 + gru.bidirectional), 4)


def by_hand(gru: ResetFirstGRU, x: Tensor, end: str = "_l0") -> Tensor:
    """States of one sequence, from ONNX's formula."""
    ih, hh, b, c = (
        getattr(gru, kind + end).reshape(3, 8, -1)
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h, found = torch.zeros(8), []
    for frame in x:
        r, z = (
            torch.sigmoid(ih[n] @ frame + b[n, :, 0] + hh[n] @ h + c[n, :, 0]) for n in range(2)
        )
        n = torch.tanh(ih[2] @ frame + b[2, :, 0] + hh[2] @ (r * h) + c[2, :, 0])
        h = (1 - z) * n + z * h
        found.append(h)
    return torch.stack(found)


@torch.no_grad()
def test_every_way_to_call_it_gives_the_formula() -> None:
    gru, _ = network(bidirectional=True)
    frames, lengths = padded(FRAMES)
    frames = frames.float()
    packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
    given, last = gru(packed)
    outputs = pad_packed_sequence(given, batch_first=True)[0]
    for n, x in enumerate(map(torch.from_numpy, FRAMES)):
        want = torch.cat([by_hand(gru, x), by_hand(gru, x.flip(0), "_l0_reverse").flip(0)], -1)
        torch.testing.assert_close(outputs[n, : len(x)], want)
        torch.testing.assert_close(last[:, n], torch.stack([want[-1, :8], want[0, 8:]]))
        assert not outputs[n, len(x) :].any()
        single, end = gru(x)
        torch.testing.assert_close(single, want)
        torch.testing.assert_close(end, last[:, n])
    one, _ = network()
    whole, _ = one(frames)
    first, state = one(frames[:, :2])
    torch.testing.assert_close(torch.cat([first, one(frames[:, 2:], state)[0]], 1), whole)
    one.batch_first = False
    torch.testing.assert_close(one(frames.transpose(0, 1))[0].transpose(0, 1), whole)


def saved(path: Path, more: dict[str, Tensor]) -> Path:
    gru, head = network()
    state = {f"rnn.{n}": t for n, t in gru.state_dict().items()}
    state |= {f"fc.{n}": t for n, t in head.state_dict().items()}
    save_file(state | more, path / "net.safetensors")
    return path / "net.safetensors"


def test_a_state_dict_tells_which_gru_it_is_of(tmp_path: Path) -> None:
    path = saved(tmp_path, {})
    found = load_network(path)
    assert isinstance(found.recurrent, ResetFirstGRU)
    assert found.names[f"recurrent.{MARK}"] == f"rnn.{MARK}"
    assert found.head is not None
    # whatever is left out, what the weights mean is not
    for cut in (Cut("rnn", "fc", ("*",)), Cut(None, None, (f"rnn.{MARK}",))):
        assert isinstance(load_network(path, cut=cut).recurrent, ResetFirstGRU)
    with pytest.raises(CheckpointError, match=r"rnn.linear_before_reset: .* has \[1\]"):
        load_network(saved(tmp_path, {f"rnn.{MARK}": torch.ones((), dtype=torch.uint8)}))


def test_one_layer_upon_the_other_is_read_with_all_their_marks(tmp_path: Path) -> None:
    gru, _ = network()
    above = ResetFirstGRU(8, 8)
    state = {f"a.{n}": t for n, t in gru.state_dict().items()}
    state |= {f"b.{n}": t for n, t in above.state_dict().items()}
    torch.save(state, tmp_path / "net.pt")
    found = load_network(tmp_path / "net.pt", cut=Cut("a,b"))
    assert (type(found.recurrent), found.recurrent.num_layers) == (ResetFirstGRU, 2)
    assert list(found.imported.aside) == [f"b.{MARK}"]
    del state[f"b.{MARK}"]
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match=r"b.linear_before_reset: .* lacks it"):
        load_network(tmp_path / "net.pt", cut=Cut("a,b"))


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ({}, {}),
        ({"num_layers": 2, "bidirectional": True}, {"per_gate": True, "act_bits": 12}),
    ],
    ids=["plain", "deep"],
)
def test_integers_are_near_and_the_same_everywhere(
    options: dict[str, Any], how: dict[str, Any]
) -> None:
    gru, head = network(**options)
    layout = {name: 2 for name, p in gru.named_parameters() if p.ndim == 2}
    assert (cell_of(gru).name, module_of_cell("gru0"), module_of_cell("gru")) == (
        "gru0",
        ResetFirstGRU,
        nn.GRU,
    )
    model = quantise(gru, head, layout, FRAMES, **how).model
    assert (model.cell, model.layers[0].bias.shape) == ("gru0", (24,))
    rows = self_check(gru, head, model, FRAMES, 0.005)
    assert {row.stage for row in rows} == {"pruned", "weights", "integer"}
    assert isinstance(dequantised(model), ResetFirstGRU)
    # what trains in the integers computes the integer model's bits, and has gradients
    qat = QatClassifier(gru, head, Precision(**how).formats(gru, head, FRAMES))
    frames, lengths = padded(FRAMES)
    found = qat.lstm(frames, lengths)
    outputs = found.detach().numpy()
    integer, fixed = IntegerModel(model), model.layers[-1].output
    for n, trace in enumerate(integer.run(integer.quantise(FRAMES))):
        np.testing.assert_array_equal(outputs[n, : len(FRAMES[n])], fixed.dequantise(trace.output))
    found.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in gru.parameters())


def test_it_is_replaced_by_its_integers_and_no_other_gru_is() -> None:
    gru, head = network()
    layout = {name: 2 for name, p in gru.named_parameters() if p.ndim == 2}
    model = quantise(gru, None, layout, FRAMES).model
    whole = nn.ModuleDict({"rnn": gru, "fc": head})
    made = replaced(whole, "rnn", model, LayerModel)
    x = torch.from_numpy(FRAMES[1])
    outputs, last = made["rnn"](x)
    torch.testing.assert_close(outputs, gru(x)[0], atol=2e-3, rtol=0)
    assert last.shape == (1, 8)
    with pytest.raises(ValueError, match="rnn is GRU, the model one of ResetFirstGRU"):
        replaced(nn.ModuleDict({"rnn": nn.GRU(6, 8)}), "rnn", model, LayerModel)
