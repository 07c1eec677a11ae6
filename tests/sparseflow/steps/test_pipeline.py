"""The whole chain on a user's own small network, through the command line."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.special import log_softmax

from compiler.lower.image import Image
from csb_format import Model, load_model, save_model
from csb_format.files.ownership import MARKER
from engine.reference import IntegerModel
from hdl.verilog import VerilogFiles, emit_verilog
from pruning.tasks.data.datasets import load_japanese_vowels, load_sequences, save_sequences
from sim.check.verify import CycleMismatch
from sparseflow.pages.measured import joined, read_figures
from sparseflow.pages.report import SCHEMA, read_report
from sparseflow.steps import pipeline
from sparseflow.steps.generating import hardware

if TYPE_CHECKING:
    from tests.sparseflow.conftest import Chain, Finished

Run = Callable[..., int]
Text = pytest.CaptureFixture[str]
ARRAY = ("--pes", 4, "--lanes", 4)
ICARUS = ("--simulator", "icarus")


@pytest.fixture
def simulated(finished: Finished) -> Path:
    return finished.folder / "b"


def but_commands(path: Path) -> tuple[dict[str, Any], bytes]:
    """All of a safetensors file but the commands that are noted in it, and the sum over that."""
    raw = path.read_bytes()
    end = 8 + int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8:end])
    notes = {name: _as_json(text) for name, text in head.pop("__metadata__").items()}
    return {"head": head, "notes": _but_commands(notes)}, raw[end:]


def _as_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _but_commands(note: Any) -> Any:
    if not isinstance(note, dict):
        return note
    left = {name: each for name, each in note.items() if name not in ("commands", "sha256")}
    return {name: _but_commands(each) for name, each in left.items()}


def test_steps_from_a_state_dict_to_a_report(chain: Chain, finished: Finished) -> None:
    at = finished.folder
    assert "75.00% asked, 75.00% achieved" in finished.shown
    assert "Verilog equals the integer model, bit by bit" in finished.shown
    found = read_report(at / "report")
    assert found["mismatches"] == 0
    assert found["cycles_per_step"]["rtl"] == found["cycles_per_step"]["model"]
    assert (at / "v" / "matrix_000.coe").exists()
    # Same inputs, same seed: same bytes, whatever the folder, but for the command that was typed.
    assert but_commands(at / "p.safetensors") == but_commands(chain.pruned)
    assert but_commands(at / "m.safetensors") == but_commands(chain.model)
    verilog = {name: text for name, text in contents(at / "v").items() if name[-4:] != ".coe"}
    assert verilog == contents(at / "b" / "verilog")


def test_report_has_what_was_promised(chain: Chain, finished: Finished) -> None:
    found = read_report(finished.folder / "report")
    more = {"increments", "pool", "saturation", "scored", "scores", "seconds", "utilisation_asked"}
    more |= {"boards", "dense_cycles_per_step", "matrices", "states"}
    assert set(SCHEMA) | more == set(found)
    assert set(found["accuracy"]) == {"dense", "pruned", "fixed", "rtl"}
    assert found["accuracy"]["fixed"] == found["accuracy"]["rtl"]
    assert all(0 <= value <= 1 for value in found["accuracy"].values())
    data = load_sequences(chain.data)
    assert (found["frames"], found["utterances"]) == (data.frames, len(data))
    assert (found["array"]["M"], found["array"]["N"], found["seed"]) == (4, 4, 0)
    assert found["mismatches"] == 0
    assert set(found["seconds"]) == {
        "read", "emit", "models", "build icarus", "run icarus", "compare", "figures",
    }  # fmt: skip


def test_figures_agree_with_each_other(chain: Chain, finished: Finished) -> None:
    found = read_report(finished.folder / "report")
    layer = load_model(chain.model).layers[0]
    kept = {"weight_ih_l0": np.count_nonzero(layer.weight_ih.to_mask())}
    kept["weight_hh_l0"] = np.count_nonzero(layer.weight_hh.to_mask())
    size = {"weight_ih_l0": 64 * 5, "weight_hh_l0": 64 * 16}
    assert found["sparsity"] == {name: 1 - kept[name] / size[name] for name in size}
    assert found["weights"] == {"nonzeros": sum(kept.values()), "total": sum(size.values())}
    cycles = found["cycles_per_step"]
    assert cycles["floor"] == sum(kept.values()) / 16
    assert cycles["floor"] <= cycles["rtl"]
    assert found["utilisation"] == pytest.approx(cycles["floor"] / cycles["rtl"])
    density = 1 - found["sparsity_requested"]
    wanted = sum(min(kept[name], density * size[name]) for name in size)
    assert found["utilisation_asked"] == pytest.approx(wanted / 16 / cycles["rtl"])
    assert found["utilisation_asked"] < found["utilisation"]
    assert found["macs_per_cycle"] == {
        "real": pytest.approx(sum(kept.values()) / cycles["rtl"]),
        "dense_equivalent": pytest.approx(sum(size.values()) / cycles["rtl"]),
    }
    sizes = found["bytes"]
    assert sizes["dense16"] == 2 * sum(size.values())
    assert sizes["csr16"] == 4 * sum(kept.values()) + 2 * 4 * 65
    assert sizes["csb"] * 8 == pytest.approx(found["bits_per_nonzero"] * sum(kept.values()), abs=15)
    assert found["multipliers"] == {"products": 16, "elementwise": 8 * found["array"]["E"]}


def test_commands_of_the_report_hold_no_path_of_this_machine(finished: Finished) -> None:
    lines = read_report(finished.folder / "report")["commands"]
    assert [line.split()[1] for line in lines] == ["prune", "pack", "simulate", "report"]
    said = "--banks 4 --sparsity 0.75 --epochs 2 --seed 0"
    assert lines[0] == (
        f"sparseflow prune dense.pt --data data.npz --out p.safetensors {said}"  # as it was typed
    )
    assert lines[2].startswith("sparseflow simulate m.safetensors --data data.npz --build b --pes")
    assert "/" not in " ".join(lines)


def test_next_commands_work_as_they_are_printed(
    run: Run,
    chain: Chain,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Text,
    replayed: Callable[..., None],
) -> None:
    replayed()
    monkeypatch.chdir(tmp_path)
    command = ["verilog", str(chain.model), "--out", "out/verilog", *map(str, ARRAY)]
    seen = []
    while command:
        seen.append(command[0])
        assert run(*command) == 0
        hint = re.search(r"^next: sparseflow (.*)$", capsys.readouterr().err, re.M)
        command = shlex.split(hint[1]) if hint else []
        command = [str(chain.data) if word == "DATA" else word for word in command]
        command += ICARUS if command and command[0] == "simulate" else ()
    assert seen == ["verilog", "simulate", "report"]
    assert (tmp_path / "out/simulation/report/report.html").exists()


def test_the_hint_behind_an_array_with_its_head_has_the_head(
    run: Run, chain: Chain, tmp_path: Path, capsys: Text
) -> None:
    out = tmp_path / "verilog"
    assert run("verilog", chain.model, "--out", out, *ARRAY, "--head", "--dense") == 0
    hint = re.search(r"^next: sparseflow (simulate .*)$", capsys.readouterr().err, re.M)
    assert hint
    assert hint[1].endswith(" --head --dense-head")


def test_first_hints_work_as_they_are_printed(
    run: Run,
    chain: Chain,
    copied: Callable[..., VerilogFiles],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Text,
) -> None:
    monkeypatch.setattr("hdl.verilog.emit_verilog", copied)
    out = tmp_path / "new" / "pruned.safetensors"
    prune = ("--banks", 4, "--epochs", 1)
    assert run("prune", chain.dense, "--data", chain.data, "--out", out, *prune) == 0
    hint = re.search(r"next: sparseflow (pack .*)", capsys.readouterr().err)
    assert hint
    assert run(*shlex.split(hint[1])) == 0
    hint = re.search(r"next: sparseflow (verilog .*)", capsys.readouterr().err)
    assert hint
    assert run(*shlex.split(hint[1]), *ARRAY) == 0
    assert (tmp_path / "new" / "verilog" / "sparseflow.v").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MARKER}


@pytest.mark.parametrize(("images", "suffix"), hardware.SUFFIXES.items())
def test_images_are_written_in_another_format_too(
    chain: Chain,
    tmp_path: Path,
    images: str,
    suffix: str,
    copied: Callable[..., VerilogFiles],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hdl.verilog.emit_verilog", copied)
    pipeline.verilog(chain.model, tmp_path / "v", 4, 4, images)
    found = contents(tmp_path / "v")
    assert {f"matrix_00{pe}.{suffix}" for pe in range(4)} <= set(found)
    assert {"matrix_000.mem", "sparseflow.v"} <= set(found)
    assert [path.name for path in tmp_path.iterdir()] == ["v"]


def test_generated_folder_is_replaced_and_no_other(
    run: Run,
    chain: Chain,
    copied: Callable[..., VerilogFiles],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Text,
) -> None:
    monkeypatch.setattr("hdl.verilog.emit_verilog", copied)
    out = tmp_path / "v"
    pipeline.verilog(chain.model, out, 4, 4, "ihex")
    pipeline.verilog(chain.model, out, 4, 4)
    assert not list(out.glob("*.hex"))
    (out / "notes.txt").write_text("mine")
    before = contents(out)
    assert run("verilog", chain.model, "--out", out, *ARRAY) == 2
    assert "would be replaced as a whole but holds notes.txt" in capsys.readouterr().err
    assert contents(out) == before


def test_a_second_simulator_joins_the_first(simulated: Path) -> None:
    first = read_figures(simulated)
    row = first["simulators"][0]
    other = row | {"name": "verilator", "frames": 2, "mismatches": 3, "command": "second"}
    second = first | {
        "simulators": [other],
        "frames": 2,
        "accuracy": dict.fromkeys(first["accuracy"], 0.0),
        "commands": first["commands"][:2],
        "seconds": {"simulate verilator": 1.0},
    }
    both = joined(first, second)
    assert [run["name"] for run in both["simulators"]] == ["verilator", "icarus"]
    assert (both["frames"], both["mismatches"]) == (first["frames"], 3)
    assert both["accuracy"] == first["accuracy"]
    assert set(both["seconds"]) == {*first["seconds"], "simulate verilator"}
    assert both["commands"][2:] == ["second", row["command"]]
    again = joined(both, second | {"simulators": [other | {"mismatches": 0}]})
    assert again["mismatches"] == 0
    assert len(again["simulators"]) == 2


def test_notes_of_others_in_a_model_are_theirs(chain: Chain, tmp_path: Path) -> None:
    mine = load_model(chain.model)
    notes = mine.provenance | {"author": "Ada", "options": "those of Monday"}
    save_model(tmp_path / "m", replace(mine, provenance=notes))
    run = (tmp_path / "m", chain.data, tmp_path / "b", "icarus", 4, 4, 1)
    assert pipeline.simulate(*run)["seed"] == 0


def test_figures_of_other_hardware_are_dropped(simulated: Path) -> None:
    first = read_figures(simulated)
    for name in ("model", "verilog", "data"):
        other = first | {"hashes": first["hashes"] | {name: "0"}}
        assert joined(first, other)["simulators"] == other["simulators"]
        assert joined(first | {"simulators": []}, other)["hashes"][name] == "0"


def test_measured_accuracy_survives_a_run_without_it(simulated: Path) -> None:
    first = read_figures(simulated)
    second = first | {"accuracy": first["accuracy"] | {"dense": None, "pruned": None}}
    second |= {"commands": []}
    assert joined(first, second)["accuracy"] == first["accuracy"]


def damaged(image: Image, out: Path, images: str = "mem") -> VerilogFiles:
    """Hardware as it should be, but one bit of one weight in PE 2 (gate g) is wrong."""
    files = emit_verilog(image.design, out, image)
    path = out / "matrix_002.mem"
    words = path.read_text().split()
    # lane 0's entry of the first group lies lowest, and its value lowest in it
    words[0] = f"{int(words[0], 16) ^ 1 << 13:0{len(words[0])}x}"
    path.write_text("\n".join(words) + "\n")
    return files


def test_wrong_hardware_is_located_and_its_figures_kept(
    run: Run, chain: Chain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Text
) -> None:
    monkeypatch.setattr(pipeline, "emit", damaged)
    build = tmp_path / "b"
    arguments = ("--data", chain.data, "--build", build, *ARRAY, *ICARUS, "--utterances", 1)
    assert run("simulate", chain.model, *arguments) == 1
    shown = capsys.readouterr()
    line = next(line for line in shown.err.splitlines() if line.startswith("error: "))
    assert re.match(
        r"error: \d+ states differ on icarus; layer 0, sequence 0, step 0: [hc]\[0\] is -?\d+, "
        r"should be -?\d+; (weight_ih )?gate g, row 32, bank 0, cycle \d+: pe2\.product0 is",
        line,
    )
    assert shown.err.endswith(line + "\n")
    found = read_figures(build)
    assert found["mismatches"] > 0
    assert run("report", build, "--out", tmp_path / "r") == 0
    assert "mismatches between Verilog and integer model" in capsys.readouterr().out
    assert 'class="verdict bad"' in (tmp_path / "r" / "report.html").read_text()


def test_all_data_is_scored_where_a_share_is_simulated(
    run: Run,
    chain: Chain,
    tmp_path: Path,
    capsys: Text,
) -> None:
    """Three of six labels are right: a share of one has 0 or 100 %, all of them 50 %."""
    model, whole = load_model(chain.model), load_sequences(chain.data)
    reference = IntegerModel(model)
    traces = reference.run(reference.quantise(whole.sequences))
    found = np.array([model.logits(trace.output).argmax() for trace in traces])
    labels = np.where(np.arange(6) < 3, found, (found + 1) % 3)
    data, build = tmp_path / "d.npz", tmp_path / "b"
    save_sequences(data, replace(whole, labels=labels))
    arguments = ("--data", data, "--build", build, *ARRAY, *ICARUS, "--utterances", 1, "--seed", 1)
    assert run("simulate", chain.model, *arguments) == 0
    shown = capsys.readouterr().err
    scored = read_figures(build)["scored"]
    (place,) = scored["places"]
    rtl = float(place < 3)
    told = "1 of 6 sequences, spread over classes and lengths (seed 1)"
    assert f"simulated: {told}: {place}\n" in shown
    assert "accuracy: 50.00%, integer model, 6 of 6 sequences\n" in shown
    assert (
        f"accuracy: {rtl:.2%}, Verilog, 1 of 6 sequences; the integer model {rtl:.2%} th" in shown
    )
    assert run("report", build, "--out", build) == 0
    report = read_report(build)
    assert report["accuracy"] == {"dense": None, "pruned": None, "fixed": 0.5, "rtl": rtl}
    assert report["scored"] == {
        "sequences": 6, "frames": whole.frames, "simulated": 1, "places": [place], "seed": 1,
        "fixed_simulated": rtl,
    }  # fmt: skip
    assert report["commands"][-2].endswith("--utterances 1 --seed 1")
    page = " ".join((build / "report.html").read_text().split())
    assert "<b>50.00%</b><span>accuracy of the integers on all 6 sequences" in page
    assert "by the Verilog 1, spread over classes and lengths (seed 1)" in page
    assert f"50.00% integers, {rtl:.2%} Verilog (on 1 sequences)" in page
    assert ">Verilog, simulated<" not in page  # no bar of other sequences beside the others


def test_a_class_for_each_frame_from_end_to_end(
    run: Run, chain: Chain, tmp_path: Path, capsys: Text
) -> None:
    """Every command takes the labels, feeds the head at every frame, and scores what counts."""
    whole = load_sequences(chain.data)
    random = np.random.default_rng(5)
    labels = random.integers(-1, 3, whole.frames)
    data = replace(whole, labels=labels, framewise=True)
    save_sequences(tmp_path / "d.npz", data)
    given, m = ("--data", tmp_path / "d.npz"), tmp_path / "m.safetensors"
    prune = ("--banks", 4, "--sparsity", 0.75, "--epochs", 2, "--val", tmp_path / "d.npz")
    assert run("doctor", chain.dense, *given) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert re.search(rf"% \(perplexity [\d.]+\) on {data.counted} frames of 6 sequences", shown)
    p = tmp_path / "p.safetensors"
    assert run("prune", chain.dense, *given, "--out", p, *prune) == 0
    shown = capsys.readouterr().err
    assert "its output at every frame (--pool every)" in shown
    assert f"accuracy, float network, {data.counted} frames of 6 of 6 sequences of d.npz:" in shown
    assert run("pack", p, "--calibration", tmp_path / "d.npz", "--out", m) == 0
    model = load_model(m)
    assert model.pool == "every"
    reference = IntegerModel(model)
    traces = reference.run(reference.quantise(data.sequences))
    logits = np.concatenate([model.numbers(trace.output) for trace in traces])
    best = logits.argmax(-1)
    lost = -log_softmax(logits, -1)[np.arange(len(labels)), labels][labels >= 0]
    right, counted = int((best == labels).sum()), int((labels >= 0).sum())
    of = f"{counted} frames of 6 of 6 sequences"
    score = f"{right / counted:.2%} (perplexity {np.exp(lost.mean()):.4g})"
    assert f"float, {score} integer model, {of} of d.npz\n" in capsys.readouterr().err
    build = tmp_path / "b"
    assert run("simulate", m, *given, "--build", build, *ARRAY, *ICARUS, "--utterances", 2) == 0
    shown = capsys.readouterr().err
    found = read_figures(build)
    scored, scores = found["scored"], found["scores"]
    assert (scores["kind"], scores["each"], scores["count"]) == ("classes", "frame", counted)
    counts = [(row["count"], row["given"]) for row in scores["by_class"]]
    of_class = [(labels == n, (best == n) & (labels >= 0)) for n in range(3)]
    assert counts == [(int(a.sum()), int(b.sum())) for a, b in of_class]
    assert np.sum(scores["confusion"]) == counted
    assert np.trace(scores["confusion"]) == right
    assert sum(row["count"] for row in scores["by_length"]) == counted
    ends = np.cumsum([0, *map(len, data.sequences)])
    at = np.concatenate([np.arange(ends[n], ends[n + 1]) for n in scored["places"]])
    few = int((labels[at] >= 0).sum())
    rtl = int((best == labels)[at].sum()) / few
    assert f"accuracy: {score}, integer model, {of}\n" in shown
    verilog = rf"{rtl:.2%} \(perplexity [\d.]+\), Verilog"
    assert re.search(rf"accuracy: {verilog}, {few} frames of 2 of 6 sequences; the in", shown)
    assert run("report", build, "--out", build) == 0
    page = " ".join((build / "report.html").read_text().split())
    assert f"accuracy of the integers on {counted} frames of all 6 sequences" in page
    assert (
        f"{counted} frames of all 6 sequences, but by the Verilog {few} frames of 2, spread" in page
    )


@pytest.mark.parametrize("command", ["prune", "pack", "simulate", "doctor"])
def test_labels_of_the_other_kind_are_refused(
    run: Run, chain: Chain, tmp_path: Path, capsys: Text, command: str
) -> None:
    whole, data, out = load_sequences(chain.data), tmp_path / "d.npz", tmp_path / "o"
    save_sequences(data, replace(whole, labels=np.zeros(whole.frames, int), framewise=True))
    words: dict[str, tuple[object, ...]] = {
        "prune": ("prune", chain.dense, "--data", data, "--out", out, "--pool", "last"),
        "pack": ("pack", chain.pruned, "--calibration", data, "--out", out),
        "simulate": ("simulate", chain.model, "--data", data, "--build", out, *ARRAY),
        "doctor": ("doctor", chain.dense, "--data", data, "--pool", "last"),
    }
    assert run(*words[command]) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "d.npz: one label for each frame, but the head of" in error
    assert "answers once a sequence (--pool last): give one label for each sequence, or" in error
    assert not out.exists()


def test_frames_off_schedule_fail_the_run(
    run: Run, chain: Chain, tmp_path: Path, capsys: Text, replayed: Callable[..., None]
) -> None:
    replayed(cycle_mismatch=CycleMismatch(1, 20, 21))
    arguments = ("--data", chain.data, "--build", tmp_path, *ARRAY, *ICARUS)
    assert run("simulate", chain.model, *arguments) == 1
    assert "error: icarus: frame 1 left in cycle 21, the cycle model says 20" in (
        capsys.readouterr().err
    )
    assert not read_figures(tmp_path)["simulators"][0]["cycles_exact"]


def without_head(chain: Chain, path: Path) -> Model:
    model = replace(load_model(chain.model), head=None)
    save_model(path, model)
    return model


@pytest.mark.parametrize("missing", ["head", "labels"])
def test_without_head_or_labels_states_are_verified_and_no_accuracy_measured(
    run: Run,
    chain: Chain,
    tmp_path: Path,
    capsys: Text,
    missing: str,
    replayed: Callable[..., None],
) -> None:
    replayed()
    model, data = chain.model, chain.data
    if missing == "head":
        model = tmp_path / "m.safetensors"
        without_head(chain, model)
    else:
        data = tmp_path / "d.npz"
        with np.load(chain.data) as file:
            np.savez(data, frames=file["frames"], lengths=file["lengths"])
    build = tmp_path / "b"
    arguments = ("--data", data, "--build", build, *ARRAY, *ICARUS)
    assert run("simulate", model, *arguments) == 0
    assert run("report", build, "--out", build) == 0
    assert "not measured integers, not measured Verilog" in " ".join(
        capsys.readouterr().out.split()
    )
    found = read_report(build)
    assert (found["mismatches"], set(found["accuracy"].values())) == (0, {None})


def test_a_network_pruned_elsewhere_needs_its_banks_named(
    run: Run, chain: Chain, tmp_path: Path, capsys: Text
) -> None:
    out = tmp_path / "m.safetensors"
    arguments = ("pack", chain.dense, "--calibration", chain.data, "--out", out)
    assert run(*arguments) == 2
    assert "dense.pt does not say how many banks it has: give --banks" in capsys.readouterr().err
    assert run(*arguments, "--banks", 4, "--value-bits", 8, "--act-bits", 12) == 0
    layer = load_model(out).layers[0]
    assert (layer.weight_ih.geometry.banks, layer.weight_hh.geometry.value_bits) == (4, 8)
    assert layer.hidden.width == 12


@pytest.mark.parametrize("epochs", [1, 3, 9])
def test_all_epochs_are_spent(chain: Chain, tmp_path: Path, epochs: int) -> None:
    out, model = tmp_path / "p.safetensors", tmp_path / "m.safetensors"
    pipeline.prune_checkpoint(chain.dense, chain.data, out, 4, 0.75, epochs)
    about: dict[str, Any] = pipeline.pack(out, chain.data, model).provenance
    assert json.loads(about["epochs"]) == epochs
    assert json.loads(about["sparsity_requested"]) == 0.75


def test_speech_is_written_normalised_for_the_single_steps(
    run: Run, tmp_path: Path, capsys: Text
) -> None:
    out = tmp_path / "new" / "data"
    assert run("data", "japanese-vowels", "--out", out) == 0
    train, test = (load_sequences(out / f"{name}.npz") for name in ("train", "test"))
    assert (len(train), len(test), train.width) == (270, 370, 12)
    frames = np.concatenate(train.sequences)
    assert np.allclose(frames.mean(axis=0), 0, atol=1e-4)
    assert np.allclose(frames.std(axis=0), 1, atol=1e-4)
    assert test.labels.tolist() == load_japanese_vowels("test").labels.tolist()
    assert f"next: sparseflow prune CHECKPOINT --data {out}/train.npz" in capsys.readouterr().err
    again = tmp_path / "again.npz"
    save_sequences(again, train)
    assert again.read_bytes() == (out / "train.npz").read_bytes()
