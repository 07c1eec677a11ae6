"""ONNX graphs with several linear layers give the integers of the same network's state dict."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from csb_format import load_model
from csb_format.heads.mlp import MlpHead
from pruning.files.network import load_network
from pruning.importers.cut import Cut
from pruning.tasks.data.datasets import SequenceData, save_sequences
from sparseflow.steps import pipeline
from tests.pruning.importers.onnx_networks import CLASSES, INPUTS, NETWORKS, UNITS, Net

NAME = "two linear layers with a relu"
CUT = Cut(lstm="rnn", head="mix,fc")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """One network as a graph, as its state dict, and sequences for it."""
    found = {"onnx": tmp_path / "net.onnx", "torch": tmp_path / "net.pt"}
    net = Net(NETWORKS[NAME]).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own age
        torch.onnx.export(net, (NETWORKS[NAME].example(),), found["onnx"], dynamo=False)
    state = net.state_dict()
    torch.save(
        {n: t for n, t in state.items() if n.split(".")[0] in ("rnn", "mix", "fc")}, found["torch"]
    )
    random = np.random.default_rng(0)
    frames = tuple(random.normal(size=(n, INPUTS)).astype(np.float32) for n in (5, 3, 4))
    save_sequences(tmp_path / "data.npz", SequenceData(frames, np.arange(3) % CLASSES))
    return found | {"data": tmp_path / "data.npz"}


def test_weights_are_those_of_the_state_dict(files: dict[str, Path]) -> None:
    graph, state = load_network(files["onnx"]), load_network(files["torch"], cut=CUT)
    assert graph.names == state.names
    assert graph.imported.chain == ("mix", "fc")
    for name, tensor in state.imported.state_dict.items():
        assert torch.equal(graph.imported.state_dict[name], tensor), name


@pytest.mark.slow
def test_integers_are_those_of_the_state_dict(files: dict[str, Path]) -> None:
    packed = []
    for kind, cut in (("onnx", None), ("torch", CUT)):
        out = files["data"].with_name(f"{kind}.safetensors")
        pipeline.pack(files[kind], files["data"], out, banks=1, cut=cut)
        packed.append(load_model(out))
    assert isinstance(packed[0].head, MlpHead)
    assert packed[0].head.input_size == UNITS
    plain = [replace(model, provenance={}) for model in packed]  # of what was typed
    assert plain[0].equals(plain[1])


def test_what_is_pruned_from_a_graph_notes_its_layers(files: dict[str, Path]) -> None:
    out = files["data"].with_name("pruned.safetensors")
    pipeline.prune_checkpoint(files["onnx"], files["data"], out, 2, 0.5, epochs=1)
    again = load_network(out)
    assert again.imported.cut == Cut(head="mix,fc")
    assert isinstance(again.head, torch.nn.Sequential)
