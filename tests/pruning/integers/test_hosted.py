"""A user's module with its recurrent part in integers, against the integer model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import sparseflow as sf
from csb_format import Model
from engine.reference import IntegerModel
from pruning.importers.checkpoint import UnsupportedLayerError
from tests.pruning.importers.larger_networks import Attention, Cells, Seq2Seq, Tagger

WORDS = torch.arange(24).reshape(3, 8) * 7 % 20


def packed(lstm: nn.LSTM | nn.GRU, head: nn.Linear | None = None) -> Model:
    frames = [np.random.default_rng(n).normal(size=(6, lstm.input_size)) for n in range(4)]
    layout = {n: 4 for n, _ in lstm.named_parameters() if n.startswith("weight")}
    return sf.quantise(lstm, head, frames, layout=layout, per_gate=True).model


@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2, "bidirectional": True, "batch_first": True}, {"proj_size": 4}],
    ids=str,
)
def test_whatever_torch_calls_it_with(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    whole = nn.ModuleDict({"rnn": nn.LSTM(8, 16, **options)})
    lstm = whole["rnn"]
    assert isinstance(lstm, nn.LSTM)
    model = packed(lstm)
    integers = sf.replace(whole, "rnn", model)["rnn"]
    lengths = [6, 3, 5]
    frames = torch.randn(3, 6, 8)
    exact = IntegerModel(model)
    wanted = exact.run(
        exact.quantise([f[:n].double().numpy() for f, n in zip(frames, lengths, strict=True)])
    )
    given = pack_padded_sequence(
        frames, torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    outputs, (h, c) = integers(given)
    padded, _ = pad_packed_sequence(outputs, batch_first=True)
    last = model.layers[-1]
    for found, trace, length in zip(padded, wanted, lengths, strict=True):
        assert np.array_equal(last.output.quantise(found[:length].numpy()), trace.output)
    _, (real_h, real_c) = lstm(given)
    assert (h.shape, c.shape) == (real_h.shape, real_c.shape)
    torch.testing.assert_close(h, real_h, atol=2e-2, rtol=0)
    torch.testing.assert_close(c, real_c, atol=4e-2, rtol=0)
    turned = frames if lstm.batch_first else frames.transpose(0, 1)
    both = [
        (m(turned), m(turned[0] if lstm.batch_first else turned[:, 0])) for m in (lstm, integers)
    ]
    for mine, theirs in zip(both[1], both[0], strict=True):
        assert mine[0].shape == theirs[0].shape
        assert [s.shape for s in mine[1]] == [s.shape for s in theirs[1]]
        torch.testing.assert_close(mine[0], theirs[0], atol=2e-2, rtol=0)


def test_a_gru_and_its_cell() -> None:
    torch.manual_seed(0)
    whole = nn.ModuleDict({"rnn": nn.GRU(8, 16, 2, bidirectional=True)})
    gru, model = whole["rnn"], packed(whole["rnn"])  # type: ignore[arg-type]
    integers, frames = sf.replace(whole, "rnn", model)["rnn"], torch.randn(6, 2, 8)
    (outputs, h), (real, real_h) = integers(frames), gru(frames)
    exact = IntegerModel(model)
    given = exact.quantise(frames.transpose(0, 1).double().numpy())
    for found, trace in zip(outputs.transpose(0, 1), exact.run(given), strict=True):
        assert np.array_equal(model.layers[-1].output.quantise(found.numpy()), trace.output)
    torch.testing.assert_close(outputs, real, atol=2e-2, rtol=0)
    torch.testing.assert_close(h, real_h, atol=2e-2, rtol=0)
    torch.testing.assert_close(integers(frames, h)[0], gru(frames, real_h)[0], atol=3e-2, rtol=0)
    cells = nn.ModuleDict({"cell": nn.GRUCell(8, 16)})
    one = sf.replace(cells, "cell", packed(nn.GRU(8, 16)))["cell"]
    assert one(frames[1], one(frames[0])).shape == (2, 16)
    with pytest.raises(ValueError, match="cell is GRUCell, the model one of LSTMCell: give the"):
        sf.replace(cells, "cell", packed(nn.LSTM(8, 16)))


def test_states_that_are_given_go_on() -> None:
    torch.manual_seed(0)
    whole = nn.ModuleDict({"rnn": nn.LSTM(8, 16, 2)})
    integers = sf.replace(whole, "rnn", packed(whole["rnn"]))["rnn"]  # type: ignore[arg-type]
    frames = torch.randn(7, 2, 8)
    at_once, end = integers(frames)
    first, states = integers(frames[:3])
    second, last = integers(frames[3:], states)
    assert torch.equal(torch.cat([first, second]), at_once)
    assert all(torch.equal(a, b) for a, b in zip(last, end, strict=True))


@pytest.mark.parametrize(
    ("kind", "name"),
    [(Tagger, "lstm"), (Attention, "rnn"), (Seq2Seq, "encoder"), (Seq2Seq, "decoder")],
)
def test_whole_networks_stay_near_and_the_original_as_it_is(
    kind: type[nn.Module], name: str
) -> None:
    torch.manual_seed(0)
    module = kind().eval()
    state = {n: t.clone() for n, t in module.state_dict().items()}
    lstm = module.get_submodule(name)
    assert isinstance(lstm, nn.LSTM)
    hosted = sf.replace(module, name, packed(lstm))
    given = (WORDS, WORDS[:, :5]) if kind is Seq2Seq else (WORDS,)
    with torch.no_grad():
        right, found = module(*given), hosted(*given)
    assert not torch.equal(found, right)
    torch.testing.assert_close(found, right, atol=2e-2, rtol=0)
    assert module.get_submodule(name) is lstm
    assert all(torch.equal(t, state[n]) for n, t in module.state_dict().items())


def test_cells_in_a_loop_are_the_layers_of_a_model() -> None:
    torch.manual_seed(0)
    module = Cells().eval()
    lstm = nn.LSTM(8, 16, 2)
    state: dict[str, Tensor] = module.cells.state_dict()
    lstm.load_state_dict({f"{n[2:]}_l{n[0]}": tensor for n, tensor in state.items()})
    model = packed(lstm)
    hosted = sf.replace(module, "cells", model)
    frames = torch.randn(2, 6, 8)
    with torch.no_grad():
        found = hosted(frames)
        exact = IntegerModel(model)
        traces = exact.run(exact.quantise(frames.double().numpy()))
        outputs = np.stack([model.layers[-1].output.dequantise(t.output) for t in traces])
        # frame by frame as the network does: another batch is another order of sums
        frame_by_frame = torch.tensor(outputs, dtype=torch.float32).unbind(1)
        right = torch.stack([module.out(frame) for frame in frame_by_frame], 1)
        assert torch.equal(found, right)
    one = packed(nn.LSTM(8, 16))
    cell = sf.replace(nn.ModuleDict({"cell": nn.LSTMCell(8, 16)}), "cell", one)["cell"]
    single, batch = cell(frames[0, 0]), cell(frames[:, 0])
    assert torch.equal(single[0], batch[0][0])
    again = cell(frames[:, 1], batch)
    assert again[1].shape == (2, 16)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("rnn", ValueError, r"no submodule 'rnn'; recurrent ones: lstm$"),
        ("", ValueError, r"the module itself|is Tagger"),
        ("norm", UnsupportedLayerError, r"norm is LayerNorm: only an nn\.LSTM, an nn\.GRU"),
        ("lstm", ValueError, r"lstm has layers \[\(8, 16\)\].*, the model layers \[\(6, 16\)\]"),
    ],
)
def test_what_cannot_be_replaced(name: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sf.replace(Tagger(), name, packed(nn.LSTM(6, 16)))
    with pytest.raises(TypeError, match=r"sf\.replace"):
        sf.replace(Tagger(), "lstm", "model.safetensors")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"sf\.replace"):
        sf.replace(Tagger().state_dict(), "lstm", packed(nn.LSTM(8, 16)))  # type: ignore[type-var]
