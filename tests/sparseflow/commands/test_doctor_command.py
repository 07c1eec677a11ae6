"""The command, its tables, files and pictures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune
from typer.testing import CliRunner, Result

from pruning.files.network import load_network
from pruning.mask.masks import bank_balanced_mask
from pruning.tasks.data.datasets import SequenceData, save_sequences
from pruning.tasks.networks.sequence import accuracy
from sparseflow.commands.doctor_command import doctor

SVG = "{http://www.w3.org/2000/svg}"


def command(*arguments: object) -> Result:
    app = typer.Typer()
    app.command()(doctor)
    return CliRunner().invoke(app, list(map(str, arguments)), env={"COLUMNS": "80"})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    lstm = nn.LSTM(24, 32)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        prune.l1_unstructured(lstm, name, 0.75)
    torch.save(lstm.state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_tables_fit_a_terminal_and_say_everything(checkpoint: Path) -> None:
    found = command(checkpoint)
    assert found.exit_code == 0, found.output
    assert "read as torch: torch.nn.utils.prune" in found.output
    assert "weight_ih_l0: 128 x 24, 768 nonzeros, 75.00% sparse" in found.output
    assert "rebalanced from all weights" in found.output
    assert "…" not in found.output
    assert max(map(len, found.output.splitlines()[:-1])) <= 80


def test_json_holds_every_figure(checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    lanes = ("--lanes", 4, "--lanes", 8)
    assert command(checkpoint, "--json", file, *lanes, "--pes", 8).exit_code == 0
    found = json.loads(file.read_text())
    assert found["pes"] == 8
    matrix = found["matrices"][1]
    assert (matrix["name"], matrix["sparsity"], matrix["nonzeros"]) == ("weight_hh_l0", 0.75, 1024)
    assert [lane["lanes"] for lane in matrix["lanes"]] == [4, 8]
    for lane in matrix["lanes"]:
        assert 0 < lane["pes_utilisation"] < lane["utilisation"] < 1
        share = lane["from_dense"]["l2"] / matrix["present"]["l2"]
        assert lane["retained"]["l2"] == pytest.approx(share)


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{SVG}text")]


def test_picture_is_a_whole_svg_with_text(checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "d.svg"
    assert command(checkpoint, "--svg", file, "--matrix", "weight_hh_l0").exit_code == 0
    svg = file.read_text()
    shown = texts(svg)
    assert {"weight_hh_l0", "busy, 1 PE", "busy, 16 PEs", "L2 energy kept"} <= set(shown)
    assert "row (64 of 128)" in shown
    assert "<image" in svg
    assert "no energy: needs over 5 % more weights" in shown  # 32 banks of 8 weights a row


def test_page_holds_every_matrix_once(checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "d.html"
    assert command(checkpoint, "--html", file).exit_code == 0
    page = file.read_text()
    assert page.count("<h2>weight_") == page.count('<table class="lanes">') == 2
    assert page.count("<svg") == 3
    identifiers = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(identifiers) == len(set(identifiers))
    assert "http://" not in page.replace("http://www.w3.org/", "")


def test_files_are_the_same_every_time(checkpoint: Path, tmp_path: Path) -> None:
    def files(name: str) -> list[bytes]:
        paths = [tmp_path / f"{name}.{kind}" for kind in ("json", "svg", "html")]
        options = zip(("--json", "--svg", "--html"), paths, strict=True)
        assert command(checkpoint, *(word for pair in options for word in pair)).exit_code == 0
        return [path.read_bytes() for path in paths]

    assert files("first") == files("second")


def test_plain_copy_is_what_the_other_commands_read(checkpoint: Path, tmp_path: Path) -> None:
    file = tmp_path / "plain.safetensors"
    found = command(checkpoint, "--plain", file)
    # A bare LSTM has no head: `prune` fine-tunes it to its own outputs.
    assert f"next: sparseflow prune {file} --data DATA --banks 4" in found.output
    loaded = load_network(file)
    assert loaded.masks["weight_hh_l0"].sum() == 1024
    assert torch.count_nonzero(loaded.packable().get_parameter("weight_hh_l0")) == 1024


def test_masks_alone_have_no_plain_copy(tmp_path: Path) -> None:
    torch.save({"out": {"weight": torch.eye(8)}}, tmp_path / "masks.pt")
    found = command(tmp_path / "masks.pt", "--plain", tmp_path / "plain")
    assert "masks without weights cannot be saved" in str(found.exception)
    assert not (tmp_path / "plain").exists()


def saved(path: Path, layer: nn.Module, balanced: bool, head: bool = True) -> Path:
    """A classifier whose matrices keep every second column, or a few more weights."""
    tensors = {f"rnn.{name}": tensor.clone() for name, tensor in layer.state_dict().items()}
    for tensor in tensors.values():
        if tensor.ndim == 2:
            tensor[:, 1::2] = 0
            tensor[0, 1] = float(not balanced)
    torch.save(tensors | ({"fc.weight": torch.ones(3, 16)} if head else {}), path)
    return path


@pytest.mark.parametrize(
    ("layer", "balanced", "head", "words"),
    [
        (nn.LSTM(16, 16), True, True, "sparseflow pack {} --calibration DATA --banks 8 --out m"),
        (nn.LSTM(16, 16), True, False, "sparseflow pack {} --calibration DATA --banks 8 --out m"),
        (nn.LSTM(16, 16), False, True, "sparseflow prune {} --data DATA --banks 8 --out p"),
        (nn.LSTM(16, 16), False, False, "sparseflow prune {} --data DATA --banks 8 --out p"),
        (nn.GRU(16, 16), True, True, "sparseflow pack {} --calibration DATA --banks 8 --out m"),
        (nn.GRU(16, 16), False, True, "sparseflow prune {} --data DATA --banks 8 --out p"),
        (nn.Linear(16, 16), True, False, "sparseflow pack {} --matrices --banks 8 --out m"),
        (nn.Linear(16, 16), False, False, "prune to 8 banks in your own loop"),
    ],
)
def test_next_step_depends_on_masks_and_network(
    tmp_path: Path, layer: nn.Module, balanced: bool, head: bool, words: str
) -> None:
    path = saved(tmp_path / "model.pt", layer, balanced, head)
    found = command(path, "--lanes", 4, "--lanes", 8)
    assert f"next: {words.format(path)}" in found.output


@pytest.mark.parametrize(
    ("balanced", "words"),
    [
        (True, "pack {0} --calibration {1} --banks 8 --pool mean --out model.safetensors "
         "--value-bits 8"),
        (False, "prune {0} --data DATA --val {1} --banks 8 --pool mean --out pruned.safetensors"),
    ],
)  # fmt: skip
def test_what_was_given_is_in_the_next_step(tmp_path: Path, balanced: bool, words: str) -> None:
    path, data = saved(tmp_path / "model.pt", nn.LSTM(16, 16), balanced), tmp_path / "test.npz"
    np.savez(data, frames=np.ones((4, 16), np.float32), lengths=[2, 2], labels=[0, 1])
    own = ("--data", data, "--pool", "mean", "--value-bits", 8)
    found = command(path, *own, "--lanes", 4, "--lanes", 8)
    assert f"next: sparseflow {words.format(path, data)}\n" in found.output


def test_masks_of_a_k_for_each_gate_are_packed_next(tmp_path: Path) -> None:
    torch.manual_seed(1)
    lstm, head = nn.LSTM(16, 16), nn.Linear(16, 3)
    with torch.no_grad():
        for weight in map(lstm.get_parameter, ("weight_ih_l0", "weight_hh_l0")):
            for part, k in zip(weight.chunk(4), (1, 2, 1, 3), strict=True):
                part *= bank_balanced_mask(part, 4, k)
    tensors = {f"rnn.{name}": tensor for name, tensor in lstm.state_dict().items()}
    save_file(
        tensors | {f"fc.{n}": t for n, t in head.state_dict().items()}, tmp_path / "m.safetensors"
    )
    found = command(tmp_path / "m.safetensors", "--lanes", 4)
    words = " ".join(found.output.split())
    assert words.count("its masks are balanced over them already") == 2
    assert (
        f"next: sparseflow pack {tmp_path / 'm.safetensors'} --calibration DATA --banks 4" in words
    )


def test_masks_of_a_file_of_their_own_are_in_the_next_step(tmp_path: Path) -> None:
    lstm = nn.LSTM(16, 16)
    torch.manual_seed(2)
    masks = {"rnn": {n: torch.rand(64, 16).round() for n in ("weight_ih_l0", "weight_hh_l0")}}
    torch.save(masks, tmp_path / "masks.pt")
    weights = {
        f"rnn.{name}": tensor * masks["rnn"].get(name, torch.ones(1))
        for name, tensor in lstm.state_dict().items()
    }
    torch.save(weights | {"fc.weight": torch.ones(3, 16)}, tmp_path / "model.pt")
    lanes = ("--lanes", 4)
    found = command(tmp_path / "model.pt", "--masks", tmp_path / "masks.pt", *lanes)
    line = f"next: sparseflow prune {tmp_path}/model.pt --masks {tmp_path}/masks.pt --data DATA"
    assert line in found.output
    found = command(tmp_path / "masks.pt", *lanes)
    line = f"next: sparseflow prune CHECKPOINT --masks {tmp_path}/masks.pt --data DATA --banks 4"
    assert line in found.output


def test_names_are_text_and_not_markup(tmp_path: Path) -> None:
    torch.save({"<b>[red]w": torch.eye(8)}, tmp_path / "model.pt")
    found = command(tmp_path / "model.pt", "--html", tmp_path / "d.html", "--svg", tmp_path / "d")
    assert "<b>[red]w: 8 x 8" in found.output
    assert "<b>" not in (tmp_path / "d.html").read_text()
    assert "<b>[red]w" in texts((tmp_path / "d").read_text())


@pytest.mark.parametrize("options", [["--lanes", "0"], ["--matrix", "x"], ["--value-bits", "3"]])
def test_bad_options_leave_no_file(checkpoint: Path, tmp_path: Path, options: list[Any]) -> None:
    found = command(checkpoint, "--json", tmp_path / "d.json", *options)
    assert isinstance(found.exception, ValueError)
    assert not (tmp_path / "d.json").exists()


def test_help_says_what_goes_in_what_comes_out_and_what_is_next() -> None:
    text = command("--help").output
    assert [word for word in ("In:", "Out:", "Next:") if word not in text] == []


@pytest.fixture
def dense(tmp_path: Path) -> Path:
    """A classifier of which no weight is removed."""
    torch.manual_seed(3)
    lstm, head = nn.LSTM(16, 16, bidirectional=True), nn.Linear(32, 3)
    tensors = {f"rnn.{name}": tensor for name, tensor in lstm.state_dict().items()}
    tensors |= {f"fc.{name}": tensor for name, tensor in head.state_dict().items()}
    torch.save(tensors, tmp_path / "dense.pt")
    return tmp_path / "dense.pt"


def test_a_dense_model_is_said_to_be_dense_and_is_pruned_next(dense: Path) -> None:
    found = command(dense)
    words = " ".join(found.output.split())
    assert "it is dense: no weight is removed, prune it first" in words
    assert "rnn.weight_hh_l0: 64 x 16, 1,024 nonzeros, dense" in words
    assert "0.00% sparse" not in words
    assert f"next: sparseflow prune {dense} --data DATA --banks 4 --out" in found.output


def test_the_next_command_does_not_replace_what_it_reads(
    dense: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(dense.parent)
    save_file(torch.load(dense), "pruned.safetensors")
    for more in ((), ("--plan", "--lanes", 4)):
        found = command("pruned.safetensors", *more)
        assert "prune pruned.safetensors" in found.output
        assert "--out next-pruned.safetensors" in found.output


@pytest.mark.parametrize("pool", ["last", "hn", "mean"])
def test_the_accuracy_is_that_of_the_network_as_read(
    dense: Path, tmp_path: Path, pool: str
) -> None:
    random = np.random.default_rng(0)
    frames = tuple(random.normal(size=(n, 16)).astype(np.float32) for n in (4, 6, 5, 3, 9, 2, 7, 8))
    data = SequenceData(frames, np.arange(8) % 3)
    save_sequences(tmp_path / "d.npz", data)
    share = accuracy(load_network(dense).classifier(dense, pool), data)
    found = command(dense, "--data", tmp_path / "d.npz", "--pool", pool)
    lines = found.output.splitlines()
    assert lines[0].startswith("read as torch: dense weights: nn.LSTM(16, 16), both directions;")
    assert f"as read: {share:.1%} on 8 sequences" in lines
    assert f"(--pool {pool})" in " ".join(lines[:3])


def test_accuracy_needs_one_network(tmp_path: Path) -> None:
    torch.save({"w": torch.eye(8)}, tmp_path / "w.pt")
    found = command(tmp_path / "w.pt", "--data", tmp_path / "d.npz")
    assert found.exit_code == 2
    assert "leave" in found.output


def test_no_output_replaces_the_data_or_another_output(dense: Path, tmp_path: Path) -> None:
    data = tmp_path / "d.npz"
    save_sequences(data, SequenceData((np.zeros((3, 16), np.float32),), np.zeros(1, np.int64)))
    before = data.read_bytes()
    found = command(dense, "--data", data, "--json", data)
    assert "is read by the same command" in f"{found.exception} {found.output}"
    assert data.read_bytes() == before
    found = command(dense, "--json", tmp_path / "same", "--html", tmp_path / "same")
    assert found.exit_code == 2
    assert "two outputs" in " ".join(found.output.split())
    assert not (tmp_path / "same").exists()


def test_a_plan_names_the_pattern_to_take_and_the_next_command(tmp_path: Path) -> None:
    torch.manual_seed(1)
    lstm = nn.LSTM(64, 64)
    net = nn.ModuleDict({"words": nn.Embedding(9, 64), "lstm": lstm, "decoder": nn.Linear(64, 9)})
    torch.save(net.state_dict(), tmp_path / "dense.pt")
    options = ("--plan", "--sparsity", 0.75, "--lanes", 4, "--lanes", 8)
    found = command(tmp_path / "dense.pt", *options, "--json", tmp_path / "plan.json")
    assert found.exit_code == 0, found.output
    plan = json.loads((tmp_path / "plan.json").read_text())
    rows = {row["pattern"]: row for row in plan["rows"]}
    taken = f"{plan['banks']} banks, k per matrix"
    assert {"8 banks, equal k", "unstructured, global", taken} <= set(rows)
    assert f"{plan['banks']} banks, k per gate" in rows
    assert f"take: {taken}" in found.output
    assert f"{rows[taken]['energy']:.1%}" in found.output
    assert f"{rows[taken]['cycles']:,}" in found.output
    # With an embedding beside it, it is no classifier that `prune` takes.
    assert f"next: sf.prune(lstm, banks={plan['banks']}, sparsity=0.75) in your" in found.output
    assert "zero already" not in found.output
    del net["words"]
    torch.save(net.state_dict(), tmp_path / "dense.pt")
    told = command(tmp_path / "dense.pt", *options).output
    assert f"prune {tmp_path / 'dense.pt'} --data DATA --banks {plan['banks']}" in told
    table = found.output.split("take:")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert "…" not in table
    with torch.no_grad():
        lstm.get_parameter("weight_ih_l0")[:, ::2] = 0
    torch.save(net.state_dict(), tmp_path / "dense.pt")
    assert (
        "25.00% of the weights are zero already" in command(tmp_path / "dense.pt", *options).output
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--plan", "--svg", "x.svg"], "leave --svg out"),
        (["--sparsity", "0.5"], "--sparsity is that of --plan"),
        (["--plan", "--sparsity", "87.5"], "87.5 must be 0 to 1"),
        (["--plan", "--lanes", "128"], "give numbers from 1 to 32"),
    ],
)
def test_what_a_plan_does_not_take_is_named(
    checkpoint: Path, options: list[str], told: str
) -> None:
    found = command(checkpoint, *options)
    assert found.exit_code != 0
    assert told in f"{found.output} {found.exception}"
