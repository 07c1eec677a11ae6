"""`prune` and `pack` on what other tools have exported or pruned."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import prune

from csb_format import load_model
from pruning.files.network import load_network
from tests.sparseflow.commands.prepared import (
    HIDDEN,
    Files,
    Net,
    Run,
    Text,
    exported,
    last_states,
    pruned_net,
    sequences,
    squashed,
)


def test_an_onnx_model_is_pruned_and_packed(run: Run, files: Files, capsys: Text) -> None:
    path = exported(Net(files.inputs, num_layers=2), files.folder / "net.onnx", files.inputs)
    assert run(*files.prune(path)) == run(*files.pack()) == 0
    assert len(load_model(files.folder / "m.safetensors").layers) == 2
    assert "rnn.weight_hh_l1: 50.00% asked, 50.00% achieved" in capsys.readouterr().err


class Greatest(Net):
    def forward(self, frames: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.rnn(frames)[0].amax(1))
        return logits


class Averaged(Net):
    def forward(self, frames: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.rnn(frames)[0].mean(1))
        return logits


class Rectified(Net):
    def forward(self, frames: Tensor) -> Tensor:
        return torch.relu(super().forward(frames))


@pytest.mark.parametrize(
    ("net", "match"),
    [
        (Greatest, r"\(ReduceMax\)"),
        (Rectified, r"node /Relu \(Relu\)"),
    ],
)
def test_an_onnx_model_that_computes_something_else_is_refused(
    run: Run, files: Files, capsys: Text, net: type[Net], match: str
) -> None:
    path = exported(net(files.inputs), files.folder / "net.onnx", files.inputs)
    assert run(*files.prune(path)) == run(*files.pack(path, "--banks", 4)) == 2
    assert len(re.findall(match, capsys.readouterr().err)) == 2
    assert run("doctor", path) == 2
    said = capsys.readouterr()
    assert re.search(match, " ".join((said.out + said.err).split()))


def test_the_graph_says_how_the_head_is_fed(run: Run, files: Files, capsys: Text) -> None:
    path = exported(Averaged(files.inputs), files.folder / "net.onnx", files.inputs)
    assert run(*files.prune(path)) == run(*files.pack()) == 0
    assert capsys.readouterr().err.count("(--pool mean)") == 2
    assert load_model(files.folder / "m.safetensors").pool == "mean"
    assert run(*files.prune(path, "--pool", "last")) == 2
    assert "feeds its head as --pool mean does" in capsys.readouterr().err


def test_an_onnx_model_that_was_not_run_is_told(
    run: Run, files: Files, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = Net(files.inputs)
    net.load_state_dict(squashed(pruned_net(files.inputs)))
    path = exported(net, files.folder / "net.onnx", files.inputs)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for words in (files.prune(path), files.pack(path, "--banks", 4), ("doctor", path)):
        assert run(*words) == 0
        said = capsys.readouterr()
        assert "not checked against the file" in said.out + said.err


def test_a_pruned_onnx_model_is_packed_as_it_is(run: Run, files: Files, capsys: Text) -> None:
    net = Net(files.inputs)
    net.load_state_dict(squashed(pruned_net(files.inputs)))
    path = exported(net, files.folder / "net.onnx", files.inputs)
    assert run(*files.pack(path)) == 2
    assert "give --banks 4, over which it is balanced" in capsys.readouterr().err
    assert run(*files.pack(path, "--banks", 4)) == 0
    data = sequences(files.inputs)
    integers = last_states(files.folder / "m.safetensors", data)
    for frames, logits in zip(data.sequences, integers, strict=True):
        reals = net(torch.from_numpy(frames)[None])[0].detach().numpy()
        assert np.abs(reals - logits).max() < 2e-3


def test_masks_of_the_pruner_in_a_state_dict(run: Run, files: Files) -> None:
    net = pruned_net(files.inputs)
    mask = net.get_buffer("rnn.weight_hh_l0_mask")
    with torch.no_grad():  # kept, though it is zero: only the mask tells
        net.rnn.get_parameter("weight_hh_l0")[tuple(torch.nonzero(mask)[0])] = 0
    assert run(*files.pack(files.saved(net.state_dict()), "--banks", 4)) == 0
    assert load_model(files.folder / "m.safetensors").layers[0].weight_hh.to_mask().sum() == 128


def test_masks_of_nni_in_a_file_of_their_own(run: Run, files: Files, capsys: Text) -> None:
    net = pruned_net(files.inputs)
    nni: dict[str, dict[str, Tensor]] = {"rnn": {}}
    for name, buffer in net.named_buffers():
        nni["rnn"][name.removeprefix("rnn.").removesuffix("_mask")] = buffer.float()
    weights, masks = files.saved(squashed(net)), files.saved(nni, "masks.pt")
    assert run(*files.pack(weights, "--masks", masks, "--banks", 4)) == 0
    assert load_model(files.folder / "m.safetensors").layers[0].weight_hh.geometry.nonzeros == 1
    assert run(*files.prune(weights, "--masks", masks, "--sparsity", 0.75)) == 0
    capsys.readouterr()
    assert run(*files.pack(masks, "--banks", 4)) == 2
    assert "masks.pt holds masks alone: give the weights first and this file with --masks" in (
        capsys.readouterr().err
    )


def test_what_another_tool_has_removed_takes_part_again(
    run: Run, files: Files, capsys: Text
) -> None:
    net = Net(files.inputs)
    mask = torch.zeros(4 * HIDDEN, HIDDEN)
    mask[:, :4] = 1  # all in the first two of four banks
    prune.custom_from_mask(net.rnn, "weight_hh_l0", mask)
    assert run(*files.prune(files.saved(net.state_dict()))) == 0
    assert "note: rnn.weight_hh_l0: what torch: torch.nn.utils.prune had removed takes part" in (
        capsys.readouterr().err
    )
    found = load_network(files.folder / "p.safetensors").masks["weight_hh_l0"]
    assert found.reshape(-1, 4, 2).sum(-1).unique().tolist() == [1]


def test_k_is_by_magnitudes_that_take_part_again(run: Run, files: Files, capsys: Text) -> None:
    """As the plan has it: not by those that the other tool has left."""
    net = Net(files.inputs)
    with torch.no_grad():
        net.rnn.get_parameter("weight_hh_l0").mul_(9)
    kept = {}
    for at, many in (("whole", HIDDEN), ("masked", 1)):
        mask = torch.zeros(4 * HIDDEN, HIDDEN)
        mask[:, :many] = 1
        prune.custom_from_mask(net.rnn, "weight_hh_l0", mask)
        weights = files.saved(net.state_dict(), f"{at}.pt")
        assert run("doctor", weights, "--plan", "--sparsity", 0.5, "--lanes", 2) == 0
        assert run(*files.prune(weights, "--sparsity", 0.5, "--banks", 2)) == 0
        found = load_network(files.folder / "p.safetensors").masks
        kept[at] = [int(found[name][0].sum()) for name in sorted(found) if "weight" in name]
    assert kept["whole"] == kept["masked"]
    assert "weight_hh_l0: what torch: torch.nn.utils.prune had removed takes part" in (
        capsys.readouterr().out  # of the plan
    )
