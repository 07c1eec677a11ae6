"""`prune` and `pack` train, score and refuse what they cannot."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from csb_format import Fixed, load_model
from csb_format.fixed import round_rows
from csb_format.screening.layer import ScreenedLayer
from pruning.files.network import load_network
from pruning.tasks.data.datasets import load_sequences, save_sequences
from sparseflow.commands.prepare_commands import lanes_of
from sparseflow.steps.training import float_answers
from tests.sparseflow.commands.prepared import (
    KINDS,
    Files,
    Net,
    Run,
    Text,
    composed,
    last_states,
    pruned_net,
    sequences,
    squashed,
)


def test_fine_tuning_in_the_integers(run: Run, files: Files, capsys: Text) -> None:
    assert run(*files.prune(files.net("plain"))) == 0
    bits = ("--value-bits", 4, "--act-bits", 8, "--per-gate")
    assert run(*files.pack(None, *bits)) == 0
    plain = load_model(files.folder / "m.safetensors")
    assert "note: stage weights" in capsys.readouterr().err
    assert run(*files.pack(None, *bits, "--qat-epochs", 3, "--seed", 1)) == 0
    tuned = load_model(files.folder / "m.safetensors")
    assert re.search(r"accuracy in integers: .*%, fine-tuned in them .*%", capsys.readouterr().err)
    assert not plain.layers[0].equals(tuned.layers[0])
    assert (
        plain.layers[0].weight_hh.to_mask().tolist() == tuned.layers[0].weight_hh.to_mask().tolist()
    )
    assert not isinstance(tuned.layers[0].weight_hh_format, Fixed)
    assert json.loads(tuned.provenance["pack"]) == {"per-gate": True, "qat-epochs": 3, "seed": 1}
    said = {key: json.loads(value) for key, value in tuned.provenance.items()}
    assert any("--qat-epochs 3" in line for line in said["commands"])  # as it was typed
    lines = composed(said, tuned.layers[0])
    assert "--value-bits 4 --act-bits 8 --per-gate --qat-epochs 3 --seed 1" in lines[1]


def test_a_head_in_planes_says_the_same_and_how_little_it_reads(
    run: Run, files: Files, capsys: Text
) -> None:
    assert run(*files.prune(files.net("plain"))) == 0
    assert run(*files.pack()) == 0
    plain = load_model(files.folder / "m.safetensors")
    capsys.readouterr()
    assert run(*files.pack(None, "--screen")) == 0
    model = load_model(files.folder / "m.safetensors")
    said = capsys.readouterr().err
    assert re.search(
        r"head: 3 x 8 in planes of 2 \+ 3 \+ \d+ bits; the top 3 of --calibration, proven, "
        r"read \d+\.\d\d bits a weight, p99 \d",
        said,
    )
    # 16 bits of a weight, and 8 bytes of bias for 8 of them: less than a head this small reads
    assert "note: without planes a token reads 24.00 bits a weight of this head" in said
    assert "--largest" not in said
    assert isinstance(model.head, ScreenedLayer)
    assert plain.head is not None
    assert model.head.dense.equals(plain.head)
    assert json.loads(model.provenance["pack"]) == {"screen": True}
    assert run(*files.pack(None, "--screen", "--head-bits", 6)) == 0
    narrow = load_model(files.folder / "m.safetensors")
    assert isinstance(narrow.head, ScreenedLayer)
    assert np.array_equal(narrow.head.weight, round_rows(plain.head.weight, 6))
    assert narrow.head.bits <= 7  # and one where rows are folded
    assert json.loads(narrow.provenance["pack"]) == {"head-bits": 6, "screen": True}
    bare = {n.removeprefix("rnn."): t for n, t in squashed(pruned_net(12)).items() if "fc" not in n}
    assert run(*files.pack(files.saved(bare), "--banks", 4, "--screen")) == 2
    assert "--screen is of a head, and this network has none" in capsys.readouterr().err
    both = files.saved(squashed(pruned_net(12, bidirectional=True)))
    assert run(*files.pack(both, "--banks", 4, "--screen")) == 0
    hint = re.search(r"next: sparseflow (verilog .*)", capsys.readouterr().err)
    assert hint
    assert hint[1].endswith(" --lanes 4 --largest 0")  # no unit takes states of two directions


def test_fine_tuning_in_the_integers_has_the_controls_of_pruning(
    run: Run, files: Files, capsys: Text
) -> None:
    assert run(*files.prune(files.net("plain"))) == 0
    val, log = labelled(files, "v.npz", np.array([2, 2, 1, 0, 1, 0])), files.folder / "log.jsonl"
    capsys.readouterr()
    said = ("--lr", 0.05, "--batch", 3, "--optimizer", "sgd", "--noise", 0, "--log", log)
    ends = ("--val", val, "--patience", 2, "--qat-epochs", 9)
    assert run(*files.pack(None, *said, *ends)) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    began, ended = lines[0], lines[-1]
    assert (began["epochs"], began["training"]["learning_rate"]) == (9, 0.05)
    assert (began["training"]["optimizer"], began["training"]["batch"]) == ("sgd", 3)
    epochs = [line for line in lines if line["event"] == "epoch"]
    assert len(epochs) == ended["epochs"] <= 9
    assert [line["event"] for line in lines].count("step") == 2 * ended["epochs"]
    best = max(line["score"] for line in epochs)
    assert epochs[ended["epoch"] - 1]["score"] == best
    shown = capsys.readouterr().err
    assert f"kept: epoch {ended['epoch']} of the {ended['epochs']} in integers" in shown
    assert f"wrote {log}" in shown
    # what is kept is what is written
    model, data = load_model(files.folder / "m.safetensors"), load_sequences(val)
    found = [row.argmax() for row in last_states(files.folder / "m.safetensors", data)]
    assert float(np.mean(found == data.labels)) == pytest.approx(best)
    asked = json.loads(model.provenance["pack"])
    assert asked == {"qat-epochs": 9, "lr": 0.05, "batch": 3, "optimizer": "sgd", "noise": 0.0,
                     "patience": 2, "val": "val.npz"}  # fmt: skip


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--lr", 0.01), "--lr is of fine-tuning in integers: give --qat-epochs"),
        (("--log", "l.jsonl"), "--log is of fine-tuning in integers: give --qat-epochs"),
        (("--qat-epochs", 2, "--patience", 2), "patience 2 waits for a better score: give --val"),
        (("--qat-epochs", 2, "--device", "abacus"), "device 'abacus': PyTorch .* sees cpu"),
        (("--qat-epochs", 2, "--log", "m.safetensors"), "is written by the same command"),
        (("--matrices", "--batch", 3), "nothing of it"),
    ],
)
def test_a_fine_tuning_in_integers_that_cannot_be(
    run: Run, files: Files, capsys: Text, monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, object], told: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(files.folder)
    files.saved(squashed(pruned_net(12)), "p.safetensors")
    assert run(*files.pack(None, "--banks", 4, *words)) == 2
    shown = capsys.readouterr().err
    assert re.search(told, " ".join(shown.split())), shown
    assert "as read" not in shown
    assert not (files.folder / "m.safetensors").exists()


@pytest.mark.parametrize(("banks", "lanes"), [(8, 8), (16, 8), (6, 6), (5, 5), (12, 6), (11, 1)])
def test_the_next_command_has_the_most_lanes_that_fit(banks: int, lanes: int) -> None:
    assert lanes_of(banks) == lanes


def test_single_wishes_are_in_the_commands_of_the_report(run: Run, files: Files) -> None:
    wish = "weight_ih:banks=2,sparsity=0.5"
    assert run(*files.prune(files.net("plain"), "--for", wish)) == run(*files.pack()) == 0
    model = load_model(files.folder / "m.safetensors")
    said = {key: json.loads(value) for key, value in model.provenance.items()}
    assert f"--for {wish}" in said["commands"][0]
    lines = composed(said, model.layers[0])
    assert lines[0].endswith(f"--banks 4 --sparsity 0.5 --epochs 2 --seed 0 --for {wish}")
    assert [layer.weight_ih.geometry.banks for layer in model.layers] == [2]


def test_accuracy_of_a_bidirectional_checkpoint(files: Files) -> None:
    data = sequences(files.inputs)
    net = Net(files.inputs, bidirectional=True)
    best = [int(net(torch.from_numpy(frames)[None]).argmax()) for frames in data.sequences]
    share = float(np.mean(np.array(best) == data.labels))
    assert float_answers(files.net("bidirectional"), data).score().accuracy == share


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--bound", 0.0001), "stage weights, layer 0: rms error .* above 0.01%: use more value"),
        (("--banks", 8), "rnn.weight_ih_l0: row 0, bank 1 keeps .* balanced over 4 banks"),
        (("--for", "weight_hh:sparsity=0.5"), "packing removes no weights, use sparseflow prune"),
        (("--for", "weight_hr:banks=4"), "--for weight_hr: there is no such matrix"),
        (("--for", "weight_hh"), "--for 'weight_hh': write NAME:key=value"),
        (("--matrices",), "--matrices takes no --calibration"),
    ],
)
def test_packing_that_is_refused_leaves_nothing(
    run: Run, files: Files, capsys: Text, options: tuple[object, ...], message: str
) -> None:
    net = squashed(pruned_net(files.inputs))
    path = files.saved(net)
    banks = () if "--banks" in options else ("--banks", 4)
    assert run(*files.pack(path, *banks, "--value-bits", 6, *options)) == 2
    shown = capsys.readouterr().err
    assert re.search(f"^error: .*{message}", shown), shown
    assert shown.count("\n") == 1
    assert not (files.folder / "m.safetensors").exists()


def test_fine_tuning_needs_labels_and_a_head(run: Run, files: Files, capsys: Text) -> None:
    bare = {n.removeprefix("rnn."): t for n, t in squashed(pruned_net(12)).items() if "fc" not in n}
    path = files.saved(bare)
    assert run(*files.pack(path, "--banks", 4, "--qat-epochs", 1)) == 2
    assert "has no linear layer on the hidden state" in capsys.readouterr().err
    with np.load(files.data) as file:
        arrays = {name: file[name] for name in ("frames", "lengths")}
    np.savez(files.data, **arrays)
    assert run(*files.pack(path, "--banks", 4, "--qat-epochs", 1)) == 2
    assert "fine-tuning in integers needs labels" in capsys.readouterr().err
    assert run(*files.pack(path, "--banks", 4)) == 0


@pytest.mark.parametrize("kind", ["plain", "everything"])
def test_a_part_without_a_head_is_fine_tuned_to_its_own_outputs(
    run: Run, files: Files, kind: str, capsys: Text
) -> None:
    net = Net(files.inputs, **KINDS[kind])
    path = files.saved({f"a.{name}": tensor for name, tensor in net.rnn.state_dict().items()})
    with np.load(files.data) as file:
        arrays = {name: file[name] for name in ("frames", "lengths")}
    np.savez(files.data, **arrays)  # no labels
    assert run(*files.prune(path, "--sparsity", 0.75, "--epochs", 60, "--val", files.data)) == 0
    shown = capsys.readouterr().err
    assert "no head: fine-tuned to its own dense outputs at every frame" in shown
    assert "dense: MSE 0, " in shown
    errors = [
        float(e) for e in re.findall(r"increment \d of \d, .* removed: MSE ([\d.e-]+)", shown)
    ]
    assert "next: sparseflow pack" in shown
    assert "--data" not in shown.split("next:")[1]
    assert run(*files.pack()) == 0
    dense, found = net.rnn.eval(), load_network(files.folder / "p.safetensors")
    assert found.head is None
    frames = [torch.from_numpy(s)[None] for s in sequences(files.inputs).sequences]
    with torch.no_grad():
        off = torch.cat([(dense(f)[0] - found.recurrent(f.transpose(0, 1))[0].transpose(0, 1))[0]
                         for f in frames]).square().mean().item()  # fmt: skip
    assert off == pytest.approx(errors[-1], rel=0.02)
    worst = torch.cat([dense(f)[0][0] for f in frames]).square().mean().item()
    assert off < worst / 2  # fine-tuning has made good what pruning took


def test_without_calibration_there_is_only_matrices(run: Run, files: Files, capsys: Text) -> None:
    assert run("pack", files.net("plain"), "--out", files.folder / "m.safetensors") == 2
    assert capsys.readouterr().err == (
        "error: Invalid value: give --calibration, sequences that show the inputs' range\n"
    )


def labelled(files: Files, name: str, labels: Any) -> Path:
    """The data with other labels."""
    save_sequences(files.folder / name, replace(sequences(files.inputs), labels=labels))
    return files.folder / name


def test_pruning_is_scored_on_data_that_is_not_trained_on(
    run: Run, files: Files, capsys: Text
) -> None:
    val = labelled(files, "v.npz", np.array([2, 2, 1, 0, 1, 0]))
    dense, log = files.net("plain"), files.folder / "log.jsonl"
    trained = ("--optimizer", "sgd", "--batch", 3, "--noise", 0, "--log", log)
    assert run(*files.prune(dense, "--val", val, *trained)) == 0
    check_log(log)
    shown = capsys.readouterr().err
    data = load_sequences(val)
    assert "accuracy, float network, 6 of 6 sequences of v.npz:\n" in shown
    before, after = (
        float_answers(dense, data).score().accuracy,
        float_answers(files.folder / "p.safetensors", data).score().accuracy,
    )
    assert before is not None
    assert after is not None
    assert f"\n  dense: {before:.2%}\n" in shown
    scores = re.findall(r"  increment (\d) of 2, (\d\d\.\d\d)% removed: (.*)%\n", shown)
    assert [number for number, *_ in scores] == ["1", "2"]
    assert float(scores[1][2]) == pytest.approx(100 * after, abs=0.01)
    assert re.search(
        rf"  kept: epoch 1 of the 1 of the last increment, its best, {after:.2%}", shown
    )
    assert f"--data {val}" in shown  # the next step scores on the same
    assert run(*files.pack()) == 0
    said = load_model(files.folder / "m.safetensors").provenance
    assert json.loads(said["increments_of"]) == {"sequences": 6, "dense": before}
    assert json.loads(said["increments"])[1]["accuracy"] == after
    # to do it again; where it was written down says nothing of how it was made
    asked = {"batch": 3, "optimizer": "sgd", "noise": 0.0, "val": "val.npz"}
    assert json.loads(said["options"]) == asked


def check_log(log: Path) -> None:
    """A line an event, with all that a training of two increments of an epoch is."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    each = ["step", "step", "epoch", "increment"]
    assert [line["event"] for line in lines] == ["began", *each, *each, "ended"]
    assert lines[0]["training"]["optimizer"] == "sgd"
    assert (lines[0]["training"]["batch"], lines[0]["seed"]) == (3, 0)
    assert "score" in lines[7]
    assert "score" not in lines[3]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--patience", 2), "patience 2 waits for a better score: give --val"),
        (("--device", "abacus"), "device 'abacus': PyTorch .* sees cpu"),
        (("--log", "p.safetensors"), "p.safetensors is written by the same command"),
        (("--lr", 0), "0.0 must be 1e-09 to 100"),
    ],
)
def test_a_training_that_cannot_be_is_refused_before_any_work(
    run: Run, files: Files, capsys: Text, monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, object], told: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(files.folder)
    assert run(*files.prune(files.net("plain"), *words)) == 2
    shown = capsys.readouterr().err
    assert re.search(told, shown), shown
    assert "as read" not in shown
    assert not (files.folder / "p.safetensors").exists()


def test_packing_tells_float_against_integers_on_the_same_data(
    run: Run, files: Files, capsys: Text
) -> None:
    assert run(*files.prune(files.net("plain"))) == 0
    test = labelled(files, "t.npz", np.array([0, 0, 1, 1, 2, 2]))
    capsys.readouterr()
    for words, path in (((), files.data), (("--data", test), test)):
        assert run(*files.pack(None, "--value-bits", 4, *words)) == 0
        data = load_sequences(path)
        real = float_answers(files.folder / "p.safetensors", data).score().accuracy
        found = [row.argmax() for row in last_states(files.folder / "m.safetensors", data)]
        whole = float(np.mean(found == data.labels))
        line = f"accuracy: {real:.2%} float, {whole:.2%} integer model, 6 of 6 sequences of "
        assert f"{line}{path.name}\n" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--val", "--data"])
def test_what_cannot_be_scored_is_refused_before_any_work(
    run: Run, files: Files, capsys: Text, option: str
) -> None:
    wrong = labelled(files, "w.npz", np.array([0, 1, 2, 3, 1, 0]))
    bare = files.folder / "bare.npz"
    with np.load(wrong) as found:
        np.savez(bare, frames=found["frames"], lengths=found["lengths"])
    net = files.net("plain")
    for path, error in (
        (wrong, "w.npz: labels up to 3, but .* knows 3 classes, 0 to 2"),
        (bare, "bare.npz: .* needs labels"),
    ):
        words = files.prune(net) if option == "--val" else files.pack(net, "--banks", 4)
        assert run(*words, option, path) == 2
        shown = capsys.readouterr().err
        assert re.search(error, shown), shown
        assert "epoch" not in shown
        assert not (files.folder / "p.safetensors").exists()
        assert not (files.folder / "m.safetensors").exists()
