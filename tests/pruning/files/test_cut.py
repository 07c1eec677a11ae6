"""A part of a larger network: what is taken, what is set aside, what is an error."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.prune import l1_unstructured

from pruning.files.network import load_network
from pruning.importers import Cut, import_model
from pruning.importers.checkpoint import CheckpointError, UnsupportedLayerError, save_tensors
from pruning.importers.cut import METADATA
from tests.pruning.importers.larger_networks import KINDS, Cells, Seq2Seq, Tagger

# What each is cut to, as the error of it whole suggests.
SUGGESTED = {
    "Tagger": "--lstm lstm --ignore embedding --ignore norm --ignore mlp",
    "Attention": "--lstm rnn --ignore embedding --ignore score --ignore out",
    "Seq2Seq": "--lstm encoder --head out --ignore words --ignore decoder",
    "Crnn": "--lstm rnn --head ctc --ignore conv",
    "Cells": "--lstm cells --head out --ignore scale",
}


def saved(path: Path, module: nn.Module) -> Path:
    torch.save(module.state_dict(), path)
    return path


def cut_of(words: str) -> Cut:
    pairs = shlex.split(words)
    given = [(pairs[n], pairs[n + 1]) for n in range(0, len(pairs), 2)]
    named = dict(given)
    ignore = tuple(value for name, value in given if name == "--ignore")
    return Cut(named.get("--lstm"), named.get("--head"), ignore)


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_error_suggests_takes_the_part_out(tmp_path: Path, kind: str) -> None:
    torch.manual_seed(0)
    module = KINDS[kind]()
    path = saved(tmp_path / "net.pt", module)
    with pytest.raises(CheckpointError) as told:
        load_network(path)
    assert f"`{SUGGESTED[kind]}`" in told.value.text
    cut = cut_of(SUGGESTED[kind])
    found = load_network(path, cut=cut)
    state = module.state_dict()
    assert cut.words() == SUGGESTED[kind]
    assert set(found.names.values()) | set(found.imported.aside) == set(state)
    assert not set(found.names.values()) & set(found.imported.aside)
    assert all(torch.equal(state[name], t) for name, t in found.imported.aside.items())
    (note,) = found.imported.notes
    assert note.startswith("not on the array: ")
    assert all(name.rpartition(".")[0] in note for name in found.imported.aside)
    frames = torch.randn(2, 4, found.recurrent.input_size)
    own = module.get_submodule(cut.lstm or "")
    if isinstance(own, nn.LSTM):
        found.recurrent.batch_first = True
        assert torch.equal(found.packable()(frames)[0], own(frames)[0])


def test_cells_of_a_list_are_layers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Cells()
    cut = Cut("cells", "out", ("scale",))
    found = load_network(saved(tmp_path / "net.pt", module), cut=cut)
    assert (found.packable().num_layers, found.cell) == (2, False)
    assert found.names["recurrent.weight_hh_l1"] == "cells.1.weight_hh"
    frames = torch.randn(2, 5, 8)
    whole = found.classifier("net.pt", "every")(frames, torch.tensor([5, 5]))
    torch.testing.assert_close(whole, module(frames))
    assert (
        found.names
        == load_network(tmp_path / "net.pt", cut=Cut("cells.0,cells.1", "out", ("*",))).names
    )


def test_modules_that_do_not_stand_on_each_other(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", Seq2Seq())
    with pytest.raises(CheckpointError, match=r"tensor encoder,decoder: weight_ih_l1 of shape"):
        load_network(path, cut=Cut("encoder,decoder", "out", ("words",)))


def test_the_cell_of_nobody_knows_which_loop_has_the_mend(tmp_path: Path) -> None:
    path = saved(tmp_path / "net.pt", nn.LSTMCell(6, 8))
    with pytest.raises(UnsupportedLayerError, match=r"frame by frame, --lstm \."):
        load_network(path).packable()
    assert load_network(path, cut=Cut(".")).packable().hidden_size == 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--lstm gru", r"--lstm gru: there is no such recurrent module; name one of lstm$"),
        ("--lstm lstm,lstm", r"lstm is named twice"),
        (
            "--head fc",
            r"--head fc: there is no such linear layer; name one of embedding, norm, mlp.0",
        ),
        (
            "--lstm lstm --head lstm",
            r"--head lstm: that is a recurrent module, which --lstm names "
            "too: one name cannot be both; name one of embedding, norm, mlp.0",
        ),
        ("--head mlp.2 --ignore embedding", r"shape \(3, 12\) .* name a linear layer with 16 col"),
        ("--ignore '*'", r"leaves no recurrent module: name the one that is meant, --lstm lstm$"),
        ("--ignore lstm", r"leaves no recurrent module"),
        ("--ignore fc", r"--ignore fc: nothing is called so .*; there are embedding, lstm, norm"),
        ("--lstm lstm --ignore mlp", r"beside the LSTM: embedding.*`--lstm lstm --ignore mlp --ig"),
    ],
)
def test_names_that_do_not_fit(tmp_path: Path, words: str, message: str) -> None:
    path = saved(tmp_path / "net.pt", Tagger())
    with pytest.raises(CheckpointError, match=message):
        load_network(path, cut=cut_of(words))


def test_what_is_left_out_is_not_looked_at(tmp_path: Path) -> None:
    """Weight normalisation, masks, integers: beside the part they do not matter."""
    torch.manual_seed(0)
    module = Tagger()
    nn.utils.parametrizations.weight_norm(module.mlp[0])
    state: dict[str, Tensor] = dict(module.state_dict())
    state["norm.weight_mask"] = torch.full((16,), 0.5)
    state["mlp.2.weight"] = state["mlp.2.weight"].to(torch.int8)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(UnsupportedLayerError, match=r"or leave it out, --ignore mlp\.0$"):
        load_network(tmp_path / "net.pt")
    found = load_network(tmp_path / "net.pt", cut=Cut("lstm", None, ("*",)))
    assert "mlp.0.parametrizations.weight.original1" in found.imported.aside


def test_a_pruned_module_keeps_its_masks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Tagger()
    for layer, name in ((module.lstm, "weight_hh_l0"), (module.embedding, "weight")):
        l1_unstructured(layer, name, amount=0.5)
    path = saved(tmp_path / "net.pt", module)
    found = load_network(path, cut=Cut("lstm", None, ("*",)))
    assert torch.equal(
        found.masks["weight_hh_l0"], module.lstm.get_buffer("weight_hh_l0_mask").bool()
    )
    masks = {"lstm.weight_ih_l0": torch.ones(64, 8), "mlp.0.weight": torch.ones(12, 16)}
    torch.save(masks, tmp_path / "masks.pt")
    torch.save(Tagger().state_dict(), path)
    found = load_network(path, tmp_path / "masks.pt", cut=Cut("lstm", None, ("*",)))
    assert "masks left out: mlp.0.weight" in found.imported.notes


def test_a_file_that_notes_its_cut_is_read_by_it(tmp_path: Path) -> None:
    path, cut = tmp_path / "net.safetensors", Cut("encoder", None, ("decoder", "words", "out"))
    save_tensors(path, Seq2Seq().state_dict(), metadata={METADATA: cut.text()})
    assert import_model(path).cut == cut
    assert load_network(path).names["recurrent.weight_ih_l0"] == "encoder.weight_ih_l0"
    other = Cut("decoder", "out", ("*",))
    assert load_network(path, cut=other).names["head.weight"] == "out.weight"


@pytest.mark.parametrize(
    "text", ["", "{", "3", '{"ignore": 3}', '{"ignore": [], "x": "y"}', "[" * 9999]
)
def test_a_damaged_note_is_an_error(tmp_path: Path, text: str) -> None:
    save_tensors(tmp_path / "n.safetensors", Tagger().state_dict(), metadata={METADATA: text})
    with pytest.raises(CheckpointError, match=r"damaged sparseflow\.cut: prune again"):
        import_model(tmp_path / "n.safetensors")
