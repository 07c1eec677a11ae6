"""The whole of bench.accuracy.run on networks that train in a second."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bench.accuracy import networks as accuracy_networks
from bench.accuracy import run as accuracy
from bench.accuracy import training as accuracy_training
from bench.accuracy.bits import integer_perplexity
from bench.accuracy.networks import NETWORKS, Language
from bench.accuracy.patterns import PATTERNS, SPARSITIES, equal_goals, lstm_shapes, view_of
from bench.accuracy.rows import Row, rows
from bench.masks import pretrained
from csb_format import load_model
from pruning.mask.views import check_pattern
from pruning.tasks.data.corpora import Corpus, load_ptb
from pruning.tasks.networks.language import LanguageModel, LanguageShape
from pruning.tasks.training.longrun import Plan

PTB = {f"lstm.weight_{side}_l{n}": (800, 200) for side in ("hh", "ih") for n in (0, 1)}
SPEECH = {"lstm.weight_hh_l0": (1024, 256), "lstm.weight_ih_l0": (1024, 153)}
TINY = Language(
    "ptb",
    dense=Plan(2, 3e-2),
    tune=Plan(2, 1e-2),
    aware=Plan(1, 1e-3),
    main="8 banks",
    main_sparsity=0.5,
    shape=LanguageShape(16, 16, 2, tied=True, dropout=0.1),
    batch=4,
    window=10,
    adam=True,
)


def text() -> Corpus:
    random = np.random.default_rng(0)
    # Every word is followed by the next or the next but one.
    tokens = np.cumsum(random.integers(1, 3, 800)) % 20
    return Corpus(
        "tiny", tokens[:500], tokens[500:600], tokens[600:], tuple("abcdefghijklmnopqrst")
    )


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(NETWORKS, "tiny", TINY)
    monkeypatch.setitem(NETWORKS, "large", replace(TINY, gpu=True))
    corpus = text()
    monkeypatch.setattr(accuracy_networks, "_corpus", lambda data, path: corpus)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


CHAIN = [
    Row("tiny", "tuned", 0, "8 banks", 0.5),
    Row("tiny", "tuned", 0, "unstructured", 0.5),
    Row("tiny", "tuned", 0),
    Row("tiny", "energy", 0),
    *(Row("tiny", "bits", 0, "8 banks", 0.5, *b) for b in ((16, 16, "after"), (8, 8, "longer"))),
    Row("tiny", "bits", 0, "8 banks", 0.5, 6, 8, "aware"),
    Row("large", "dense", 0),
    Row("tiny", "tuned", 0, "8 banks", 0.5, times=3),
    Row("tiny", "tuned", 0, "banks of 8, global", 0.5),
]


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> dict[str, dict[str, Any]]:
    monkeypatch.setattr(accuracy, "rows", lambda seeds: CHAIN)
    file = folder / "accuracy.json"
    options: dict[str, Any] = {
        "ptb": folder,
        "timit": None,
        "shakespeare": None,
        "only": None,
        "seeds": 1,
        "minutes": None,
        "list_rows": False,
    }
    accuracy.main(**options | {"work": folder / "work", "json": file} | given)
    return accuracy.read_results(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(scope="module")
def whole(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, "tiny", TINY)
        patch.setitem(NETWORKS, "large", replace(TINY, gpu=True))
        corpus = text()
        patch.setattr(accuracy_networks, "_corpus", lambda data, path: corpus)
        yield run(folder, patch)


@pytest.mark.slow
def test_every_row_that_can_run_has_a_result(whole: dict[str, dict[str, Any]]) -> None:
    assert set(whole) == {row.name for row in CHAIN if row.network == "tiny"}
    banks, free = whole["tiny/s0/tuned/8-banks@50"], whole["tiny/s0/tuned/unstructured@50"]
    assert banks["achieved"] == free["achieved"] == 0.5
    assert banks["weights"] == free["weights"] == 4 * 64 * 8
    assert whole["tiny/s0/tuned"]["achieved"] == 0
    # A text with two successors a word: 20 without any learning, 2 at best.
    for name in ("tiny/s0/tuned", "tiny/s0/tuned/8-banks@50"):
        assert 2 < whole[name]["test"] < 14


@pytest.mark.slow
def test_more_fine_tuning_is_a_row_of_its_own(whole: dict[str, dict[str, Any]]) -> None:
    once, more = (whole[f"tiny/s0/tuned/8-banks@50{times}"] for times in ("", "/3x"))
    assert (once["epochs"], more["epochs"]) == (2, 6)
    assert once["weights"] == more["weights"]
    assert once["test"] != more["test"]


@pytest.mark.slow
def test_a_global_row_keeps_as_many(whole: dict[str, dict[str, Any]]) -> None:
    assert whole["tiny/s0/tuned/banks-of-8-global@50"]["weights"] == 4 * 64 * 8


@pytest.mark.slow
def test_energies_are_taken_again_when_patterns_come_in(whole: dict[str, dict[str, Any]]) -> None:
    row = CHAIN[3]
    assert accuracy.is_done(row, whole)
    older = {row.name: {key: v for key, v in whole[row.name].items() if key != "patterns"}}
    assert not accuracy.is_done(row, older)


@pytest.mark.slow
def test_integers_score_like_the_float_network(whole: dict[str, dict[str, Any]]) -> None:
    after = whole["tiny/s0/bits/8-banks@50/16w16a-after"]
    assert after["float_test"] == whole["tiny/s0/tuned/8-banks@50"]["test"]
    assert after["test"] == pytest.approx(after["float_test"], rel=2e-3)
    assert after["test"] != after["float_test"]
    longer = whole["tiny/s0/bits/8-banks@50/8w8a-longer"]
    assert longer["float_test"] != after["float_test"]
    assert longer["test"] == pytest.approx(longer["float_test"], rel=5e-2)
    assert whole["tiny/s0/bits/8-banks@50/6w8a-aware"]["test"] < 1.1 * after["float_test"]


@pytest.mark.slow
def test_energy_falls_with_sparsity_and_with_regularity(whole: dict[str, dict[str, Any]]) -> None:
    found = {(e["pattern"], e["sparsity"]): e["energy"] for e in whole["tiny/s0/energy"]["energy"]}
    # Banks of 25 and more do not fit matrices of 16 columns.
    both = [name for name in PATTERNS if "only" not in name]
    wide = [name for name in both if (getattr(view_of(name, 0.5), "width", None) or 0) > 16]
    assert len(wide) == 12
    assert len(found) == (len(PATTERNS) - len(wide)) * len(SPARSITIES)
    free = [found["unstructured", s] for s in SPARSITIES]
    assert free == sorted(free, reverse=True)
    assert found["unstructured", 0.5] > found["8 banks", 0.5] > found["blocks 8x8", 0.5]
    assert found["unstructured, global", 0.8] > found["unstructured", 0.8]


@pytest.mark.slow
def test_a_row_says_that_it_was_trained_in_bfloat16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brief = replace(TINY, dense=Plan(0.2, 3e-2), tune=Plan(0.2, 1e-2))
    monkeypatch.setitem(NETWORKS, "tiny", brief)
    name = CHAIN[2].name
    whole = run(tmp_path / "float32", monkeypatch, only=[name])[name]
    made = run(tmp_path / "bfloat16", monkeypatch, only=[name], bfloat16=True)[name]
    assert made["precision"] == "bfloat16"
    assert "precision" not in whole
    assert made["valid"] == pytest.approx(whole["valid"], rel=0.05)
    assert made["valid"] != whole["valid"]


@pytest.mark.slow
def test_stopped_and_gone_on_it_has_the_same_figures(
    whole: dict[str, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = CHAIN[0].name
    slices = 0
    while name not in run(tmp_path, monkeypatch, only=[name], minutes=0.0002):
        slices += 1
    assert slices > 2
    assert accuracy.read_results(tmp_path / "accuracy.json")[name] == whole[name]
    left = sorted(p.name for p in (tmp_path / "work").rglob("*") if p.is_file())
    assert left == ["8-banks@50.pt", "dense.pt"]


def test_what_cannot_run_is_said_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run(tmp_path, monkeypatch, list_rows=True) == {}
    listed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert listed["large/s0/dense"].strip() == "needs a GPU"
    assert listed["tiny/s0/tuned"].strip() == "to do"
    run(tmp_path, monkeypatch, list_rows=True, ptb=None)
    assert "needs --ptb" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no row is named absent: see --list"):
        run(tmp_path, monkeypatch, only=["absent"])
    assert run(tmp_path, monkeypatch, only=["large/*"]) == {}
    assert capsys.readouterr().out.endswith("1 of 1 rows not run: needs a GPU\n")


def test_other_data_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes.zip").write_text("no zip")
    wrong = "error: .*notes.zip cannot be read as a zip .*: give the path of a zip with ptb.train"
    monkeypatch.setattr(accuracy_networks, "_corpus", lambda data, path: load_ptb(path))
    with pytest.raises(SystemExit, match=wrong):
        run(tmp_path, monkeypatch, ptb=tmp_path / "notes.zip")
    assert not (tmp_path / "accuracy.json").exists()


@pytest.mark.parametrize(("shapes", "main"), [(PTB, "banks of 25"), (SPEECH, "8 banks")])
@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_patterns_keep_equally_many(
    shapes: dict[str, tuple[int, int]], main: str, sparsity: float
) -> None:
    weights = {name: rows * columns for name, (rows, columns) in shapes.items()}

    def kept(pattern: str) -> dict[str, float]:
        goals = equal_goals(shapes, pattern, sparsity, main)
        return {
            n: (1 - g.view.layout(*shapes[n]).sparsity(g.keep or 0)) * weights[n]
            for n, g in goals.items()
        }

    aim = kept(main)
    total = sum(weights.values())
    assert sum(aim.values()) == pytest.approx((1 - sparsity) * total, abs=0.01 * total)
    for pattern in PATTERNS:
        if pattern != "N:M" and "only" not in pattern and "global" not in pattern:
            # Half a weight in every bank of a matrix is the most that can be missed.
            share = 0.5 / (getattr(view_of(pattern, sparsity), "width", None) or 100)
            assert sum(kept(pattern).values()) == pytest.approx(
                sum(aim.values()), abs=share * total
            ), pattern
    assert kept("unstructured") == pytest.approx(aim)


def test_the_mix_of_two_numbers_meets_seventy_percent_exactly() -> None:
    goals = equal_goals(PTB, "banks of 25", 0.7, "banks of 25")
    assert [goal.keep for goal in goals.values()] == [8, 8, 7, 7]


def test_banks_in_one_matrix_leave_the_other_free() -> None:
    goals = equal_goals(SPEECH, "banks in W_ih only", 0.875, "8 banks")
    views = {name: type(goal.view).__name__ for name, goal in goals.items()}
    assert views == {"lstm.weight_ih_l0": "Banks", "lstm.weight_hh_l0": "Unstructured"}
    goals = equal_goals(SPEECH, "banks in W_hh only", 0.875, "8 banks")
    assert goals["lstm.weight_hh_l0"].keep == 4


@pytest.mark.usefixtures("whole")
@pytest.mark.slow
def test_pruned_networks_have_their_pattern(folder: Path) -> None:
    module = LanguageModel(20, TINY.shape)
    shapes = lstm_shapes(module)
    assert list(shapes) == sorted(shapes)
    goals = equal_goals(shapes, "8 banks", 0.5, "8 banks")
    module.load_state_dict(torch.load(folder / "work" / "tiny/s0/tuned/8-banks@50.pt"))
    for name, goal in goals.items():
        mask = module.get_parameter(name) != 0
        check_pattern(view_of("8 banks", 0.5), mask, goal.keep or 0)


def test_names_are_unique_and_starts_are_rows() -> None:
    every = rows(range(2))
    names = [row.name for row in every]
    assert len(set(names)) == len(names)
    assert not [name for name in names if " " in name or "," in name]
    starts = {row.start.name for row in every if row.start is not None}
    assert starts <= set(names)
    assert names[0] == "ptb200/s0/dense"


def test_dropout_is_gone_from_every_layer() -> None:
    module = LanguageModel(20, TINY.shape)
    accuracy_training.without_dropout(module)
    assert module.lstm.dropout == module.shape.dropout == 0.0


@pytest.mark.usefixtures("whole")
@pytest.mark.slow
def test_the_network_that_ships_is_that_of_its_row(folder: Path, tmp_path: Path) -> None:
    row = CHAIN[4]
    place = accuracy_training.Place(folder / "work", {"ptb": folder}, "cpu")
    found = pretrained.export(row, place, tmp_path / "out")
    model = load_model(tmp_path / "out" / "model.safetensors")
    assert model.provenance["row"] == row.name
    assert f"{found['test']:.4f} in integers" in model.provenance["test perplexity"]
    with np.load(tmp_path / "out" / "embedding.npz", allow_pickle=False) as file:
        assert file["alphabet"].tolist() == list("abcdefghijklmnopqrst")
        table = model.layers[0].input.quantise(file["table"])
    assert integer_perplexity(model, table, text().test) == found["test"]
    tensors = load_file(tmp_path / "out" / "network.safetensors")
    assert (tensors["lstm.weight_hh_l0"] != 0).float().mean() == 0.5
    assert tensors["head.weight"].shape == (20, 16)
