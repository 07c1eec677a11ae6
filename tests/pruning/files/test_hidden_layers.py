"""``--head`` that names several linear layers of a state dict."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from pruning.files.network import Network, load_network
from pruning.importers import Cut
from pruning.importers.checkpoint import CheckpointError
from pruning.mlp import MlpHead


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(5, 8, batch_first=True)
        self.head = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 3))
        self.other = nn.Linear(6, 4)
        self.pair = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 3))


def loaded(path: Path, head: str, *ignore: str) -> Network:
    torch.save(Whole().state_dict(), path / "whole.pt")
    return load_network(path / "whole.pt", cut=Cut("lstm", head, ignore or ("*",)))


@pytest.mark.parametrize("named", ["head", "head.0,head.3", "head.0, head.3"])
def test_a_sequential_by_its_name_or_layer_by_layer(tmp_path: Path, named: str) -> None:
    network, whole = loaded(tmp_path, named), Whole().eval()
    assert isinstance(network.head, MlpHead)
    assert (network.head.in_features, network.head.out_features) == (8, 3)
    assert network.names["head.2.weight"] == "head.3.weight"
    assert set(network.imported.aside) >= {"other.weight", "pair.0.weight"}
    frames, lengths = torch.randn(2, 4, 5), torch.tensor([4, 4])
    found = network.classifier("whole.pt")(frames, lengths)
    torch.testing.assert_close(found, whole.head(whole.lstm(frames)[0][:, -1]))


def test_layers_of_any_names(tmp_path: Path) -> None:
    network = loaded(tmp_path, "head.0,other")
    assert isinstance(network.head, MlpHead)
    assert network.names["head.2.bias"] == "other.bias"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("pair", "nothing lies between pair.0 and pair.1, where a head of several"),
        ("head.0,fc", "--head fc: there is no such linear layer"),
        ("head.0,lstm", "--head lstm: that is a recurrent module"),
        ("head.0,head.0", "head.0 is named twice"),
        ("head.0,", "--head .head.0,.: a name is empty"),
        ("head.0,pair.0", "linear layer 1 of the head takes 8 values, the one before gives 6"),
        ("other,head.3", r"--head other: its weight has shape \(4, 6\)"),
    ],
)
def test_what_is_refused(tmp_path: Path, named: str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        loaded(tmp_path, named)


@pytest.mark.parametrize("cut", [Cut(), Cut("lstm", "head.0", ())])
def test_a_chain_that_nobody_named_is_told_how(tmp_path: Path, cut: Cut) -> None:
    state = {n: t for n, t in Whole().state_dict().items() if n.startswith(("lstm.", "head."))}
    torch.save(state, tmp_path / "whole.pt")
    with pytest.raises(CheckpointError, match=r"`--head head\.0,head\.3` takes them as one head"):
        load_network(tmp_path / "whole.pt", cut=cut)
    state["norm.weight"] = torch.ones(3)
    torch.save(state, tmp_path / "whole.pt")
    with pytest.raises(CheckpointError) as told:
        load_network(tmp_path / "whole.pt", cut=cut)
    assert "takes them as one head" not in str(told.value)
