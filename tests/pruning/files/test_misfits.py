"""What is no recurrent module with a head as it stands is named, and its mend makes it one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pruning.files.misfits import told_of_rest
from pruning.files.network import load_network
from pruning.importers.checkpoint import CheckpointError

State = dict[str, Tensor]


def state(**options: Any) -> State:
    torch.manual_seed(0)
    layer = nn.LSTM(6, 8, **options)
    width = (options.get("proj_size") or 8) * (1 + options.get("bidirectional", False))
    head = nn.Linear(width, 3)
    found = {f"rnn.{name}": tensor for name, tensor in layer.state_dict().items()}
    return found | {f"fc.{name}": tensor for name, tensor in head.state_dict().items()}


def refused(path: Path, tensors: State, words: str) -> CheckpointError:
    torch.save(tensors, path)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_network(path)
    return caught.value


OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no bias": {"bias": False},
    "two layers": {"num_layers": 2, "bidirectional": True},
    "projected": {"proj_size": 4},
}


@pytest.mark.parametrize("which", ["weight", "weight_ih", "weight_hh", "rnn", "fc.weight"])
@pytest.mark.parametrize("options", OPTIONS)
def test_matrices_on_their_side_are_named_and_turned(
    tmp_path: Path, options: str, which: str
) -> None:
    wanted = state(**OPTIONS[options])
    turned = {n: t.T.contiguous() if which in n and t.ndim == 2 else t for n, t in wanted.items()}
    given = dict(turned)
    for _ in range(2):  # the recurrent module first, then its head
        error = refused(tmp_path / "c.pt", given, "transposed, as Keras keeps kernels")
        exec(error.snippet, {"state": given})
        if which != "weight":
            break
    torch.save(given, tmp_path / "c.pt")
    found = load_network(tmp_path / "c.pt").imported.state_dict
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_a_gru_on_its_side(tmp_path: Path) -> None:
    found = nn.GRU(6, 8, bias=False).state_dict().items()
    tensors = {name: tensor.T.contiguous() for name, tensor in found}
    refused(tmp_path / "c.pt", tensors, r"weight_hh_l0 \(8, 24\): transposed.*\(24, 8\)")


def test_names_of_keras(tmp_path: Path) -> None:
    wanted = state()
    names = {"w": "weight_ih_l0", "u": "weight_hh_l0", "b": "bias_ih_l0"}
    keras = {letter: wanted[f"rnn.{name}"] for letter, name in names.items()}
    tensors = {"lstm/kernel": keras["w"].T, "lstm/recurrent_kernel": keras["u"].T}
    error = refused(tmp_path / "c.pt", tensors, r"names of Keras \(lstm/kernel, lstm/recurrent_k")
    turned = {letter: tensor.T if tensor.ndim == 2 else tensor for letter, tensor in keras.items()}
    head = {"v": wanted["fc.weight"].T, "c": wanted["fc.bias"]}
    snippet = error.snippet.replace("weights.pt", str(tmp_path / "w.pt"))
    exec(snippet, {"torch": torch, **turned, **head})
    found = load_network(tmp_path / "w.pt")
    assert torch.equal(found.packable().state_dict()["weight_hh_l0"], wanted["rnn.weight_hh_l0"])


TYPES = {
    torch.int8: "before quantisation",
    torch.bool: "--masks",
    torch.complex64: "weights are real",
    torch.float8_e4m3fn: "scale that belongs to each",
    torch.float8_e8m0fnu: "scale that belongs to each",
    torch.uint16: "before quantisation",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_weights_that_are_no_floats(tmp_path: Path, kind: torch.dtype) -> None:
    told = str(kind).removeprefix("torch.")
    tensors = {name: tensor.to(kind) for name, tensor in state().items()}
    words = f"rnn.weight_ih_l0, .*: weights of {told}, not floats; .*{TYPES[kind]}"
    refused(tmp_path / "c.pt", tensors, words)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_floats_of_other_sizes_are_read(tmp_path: Path, kind: torch.dtype) -> None:
    torch.save({name: tensor.to(kind) for name, tensor in state().items()}, tmp_path / "c.pt")
    found = load_network(tmp_path / "c.pt")
    weight = found.packable().state_dict()["weight_hh_l0"]
    assert torch.equal(weight, state()["rnn.weight_hh_l0"].to(kind).float())


REST: dict[str, tuple[nn.Module, str]] = {
    "emb": (nn.Embedding(20, 6), r"emb.weight \(20, 6\) looks like an embedding: leave it out"),
    "bn": (nn.BatchNorm1d(6), r": bn.\* is batch normalisation: export to ONNX"),
}


@pytest.mark.parametrize("name", REST)
def test_what_stands_in_front_is_named(tmp_path: Path, name: str) -> None:
    module, words = REST[name]
    more = {f"{name}.{leaf}": tensor for leaf, tensor in module.state_dict().items()}
    refused(tmp_path / "c.pt", state() | more, words)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["ln.weight", "ln.bias"], r"ln.bias. .* the two alone compute something else, so train"),
        (["loss.weight"], r"loss.weight. .* save the LSTM and its head alone"),
    ],
)
def test_only_what_is_not_on_the_way_is_told_to_be_left_out(names: list[str], words: str) -> None:
    assert re.search(words, f"{names[-1]}. " + told_of_rest({n: torch.ones(3) for n in names}, 6))
