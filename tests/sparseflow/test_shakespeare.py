"""The network that ships: it must know its text, and run on the accelerator as it is."""

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import sparseflow as sf
from compiler.array.needs import design_for
from csb_format import load_model
from csb_format.screening.layer import ScreenedLayer
from engine.exact import FastModel
from pruning.tasks.data.corpora import Corpus
from pruning.tasks.data.datasets import load_sequences

EXAMPLES = Path(__file__).parents[2] / "examples"
# Hamlet is not among the works that it was trained on.
TEXT = "To be, or not to be,--that is the question:--\nWhether 'tis nobler in the mind to suffer\n"


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / "shakespeare.py"))


def test_it_guesses_characters_far_better_than_chance(example: dict[str, Any]) -> None:
    model = load_model(EXAMPLES / "shakespeare" / "model.safetensors")
    alphabet, table = example["characters"](model)
    places = [alphabet.index(c) for c in TEXT]
    (trace,) = FastModel(model).run([table[places[:-1]]])
    head = model.head
    assert head is not None
    logits = head.logits(trace.output) * 2.0 ** -(head.weight_format.frac + head.input.frac)
    logs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    loss = -logs[np.arange(len(logs)), places[1:]].mean()
    assert len(alphabet) == 84
    assert np.exp(loss) < 7  # 84 without any learning


@pytest.mark.parametrize("k", [1, 5, 8])
def test_the_likeliest_write_the_same_text_from_planes(example: dict[str, Any], k: int) -> None:
    """docs/shakespeare.md: from a head in planes as from the full layer, for the same seed."""
    model = load_model(EXAMPLES / "shakespeare" / "model.safetensors")
    alphabet, table = example["characters"](model)
    assert model.head is not None
    planes = replace(model, head=ScreenedLayer.of(model.head))
    written, bits = example["write_top"](planes, alphabet, table, "To be", 120, k)
    full, _ = example["write_top"](model, alphabet, table, "To be", 120, k)
    assert written == full
    assert len(set(written)) > 4
    assert bits < 16

    # and by sorting what the compiled loops give
    fast, random = FastModel(model), np.random.default_rng(0)
    state, sorted_text = fast.start(), ""
    for n in range(124):
        state = fast.step(table[[alphabet.index(("To be" + sorted_text)[n])]], state)
        if n >= 4:
            logits = model.head.logits(state.output[0])
            best = np.argsort(-logits, kind="stable")[:k]
            chances = np.exp((logits[best] - logits[best[0]]) * model.head.last_bit)
            sorted_text += alphabet[best[random.choice(k, p=chances / chances.sum())]]
    assert written == sorted_text


@pytest.mark.slow
@pytest.mark.parametrize(("target", "length"), [("model", 60), ("sim", 3)])
def test_a_board_writes_the_same_text(
    example: dict[str, Any], target: str, length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/shakespeare.md: through the driver; the command ends with an error if it does not."""
    example["show_top"](5, target, length)
    assert f"wrote the same {length} characters" in capsys.readouterr().out


def test_a_play_as_a_data_file(
    example: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """docs/shakespeare.md: the label of a frame is the next character, over the ends of pieces."""
    model = load_model(EXAMPLES / "shakespeare" / "model.safetensors")
    alphabet, table = example["characters"](model)
    text = np.array([alphabet.index(c) for c in TEXT * 8])
    corpus = Corpus("", text, text, text, tuple(alphabet))
    monkeypatch.setattr("pruning.tasks.data.corpora.load_shakespeare", lambda archive: corpus)
    monkeypatch.setitem(example["write_data"].__globals__, "PIECES", 2)
    example["write_data"](Path("archive"), tmp_path / "hamlet.npz")
    data = load_sequences(tmp_path / "hamlet.npz")
    assert [len(frames) for frames in data.sequences] == [250, 250]
    assert np.array_equal(data.labels, text[1:501])
    frames = model.layers[0].input.quantise(np.concatenate(data.sequences))
    assert np.array_equal(frames, table[text[:500]])
    assert model.pool == "every"
    found = sf.score(model, data.sequences, labels=data.labels)
    assert found["perplexity"] < 10  # 84 without any learning


def test_the_integers_are_those_of_the_float_network() -> None:
    folder = EXAMPLES / "shakespeare"
    model, tensors = (
        load_model(folder / "model.safetensors"),
        load_file(folder / "network.safetensors"),
    )
    for name, csb, fixed in (
        ("weight_ih_l0", model.layers[0].weight_ih, model.layers[0].weight_ih_format),
        ("weight_hh_l0", model.layers[0].weight_hh, model.layers[0].weight_hh_format),
    ):
        real = tensors[f"lstm.{name}"]
        assert np.array_equal(csb.to_mask(), real != 0)
        assert np.array_equal(csb.to_dense(), fixed.quantise(real))  # type: ignore[union-attr]
    assert {m.geometry.banks for m in (model.layers[0].weight_ih, model.layers[0].weight_hh)} == {8}
    assert design_for(model, pes=16, lanes=8).multipliers == 128


@pytest.mark.slow
def test_the_example_runs_bit_for_bit(
    example: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = example["main"](tmp_path, "verilator", 20)
    assert result.exact
    assert f"{result.comparison.values} states, 0 mismatches" in capsys.readouterr().out
