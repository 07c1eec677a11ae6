"""Searches propose without repeats, go on where they stopped, and find what is worth most."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from csb_format import load_model
from csb_format.random_models import random_network
from sim.jobs import engines
from sparseflow.commands.cli import app
from sparseflow.steps import build as building
from sparseflow.tune.accuracy import seconds_of, target_of
from sparseflow.tune.learned import Learned, Scale, carried
from sparseflow.tune.patterns import Pattern, Sizes, features, kept_energy, patterns
from sparseflow.tune.search import Choice, Search
from tests.sparseflow.tune.routing import Inline, Tools

SCALE = Scale(0.02, 0.03)
SIZES = Sizes((("weight_ih_l0", 64, 12), ("weight_hh_l0", 64, 16)))


def test_patterns_differ_and_are_what_prune_is_told() -> None:
    from pruning.mask.goals import Goal
    from pruning.mask.views import Banks

    found = list(patterns(SIZES, (1, 4, 5, 8, 32)))
    assert len({one.key for one in found}) == len(found) >= 50
    assert {one.banks for one in found} == {1, 4, 5, 8}  # no matrix has 32 columns
    for one in found:
        for wish, (name, keep) in zip(one.wishes(SIZES), one.keeps, strict=True):
            sparsity = float(wish.rpartition("=")[2])
            assert wish.startswith(f"{name}:")
            goal = Goal(Banks(one.banks), sparsity, tolerance=1.0)
            assert goal.whole(*SIZES.of[name]) == keep


def test_shapes_are_those_of_packed_networks() -> None:
    sizes = Sizes(tuple((f"{name}_l{n}{suffix}", rows, columns)
                        for n, wide in ((0, 12), (1, 8))
                        for suffix in ("", "_reverse")
                        for name, rows, columns in (("weight_ih", 64, wide), ("weight_hh", 64, 4),
                                                    ("weight_hr", 4, 16))), 2, 2)  # fmt: skip
    one = Pattern(2, tuple((n, 2) for n, _, _ in sizes.matrices))
    model = random_network(np.random.default_rng(0), 12, 16, 2, (2, 2, 2), 2, 2, 4, 8, 8)
    for mine, made in zip(one.shape(sizes, 8, 8).layers, model.shape.layers, strict=True):
        assert mine.geometries == made.geometries


def test_energy_is_that_of_the_largest_of_every_bank() -> None:
    matrix = np.array([[3.0, -1.0, 2.0, 2.0, 1.0]])
    assert kept_energy(matrix, 2, 1) == pytest.approx((9 + 4) / 19)
    assert kept_energy(matrix, 2, 3) == pytest.approx(1)
    assert kept_energy(np.zeros((2, 4)), 2, 1) == 1


def choices() -> tuple[list[Choice], dict[str, list[float]]]:
    """Patterns whose loss falls with what they keep, and whose time rises with it."""
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=size) for name, size in SIZES.of.items()}
    made, losses = [], {}
    for one in patterns(SIZES, (1, 2, 4, 8)):
        energy = {n: kept_energy(weights[n], one.banks, k) for n, k in one.keeps}
        lost = sum(1 - e for e in energy.values())
        us = sum(one.density(SIZES, n) for n, _ in one.keeps) / one.banks**0.5
        rows = tuple(features(one, SIZES, energy, bits) for bits in (4, 8))
        made.append(Choice(one.key, rows, ([(us, 0.5)], [(us, 0.7)])))
        losses[one.key] = [0.02 + 0.2 * lost**2 + more for more in (0.01, 0.0)]
    return made, losses


def run(search: Search, losses: dict[str, list[float]], rounds: int) -> list[str]:
    keys: list[str] = []
    for _ in range(rounds):
        new = search.propose(4)
        search.tell({key: losses[key] for key in new})
        keys += new
    return keys


def test_a_search_beats_chance_and_does_not_repeat_itself() -> None:
    made, losses = choices()
    search = Search(made, SCALE, 1)
    keys = run(search, losses, 5)
    assert len(set(keys)) == 20
    every = Search(made, SCALE)
    every.tell(losses)
    drawn = []
    for seed in range(10):
        random = Search(made, SCALE)
        order = np.random.default_rng(seed).permutation(len(made))[:20]
        random.tell({made[n].key: losses[made[n].key] for n in order})
        drawn.append(random.reached() / every.reached())
    assert search.reached() / every.reached() > max(0.98, float(np.mean(drawn)))


def test_it_goes_on_where_it_stopped() -> None:
    made, losses = choices()
    whole = run(Search(made, SCALE, 3), losses, 4)
    again = Search(made, SCALE, 3)
    assert run(again, losses, 2) == whole[:8]
    assert run(again, losses, 2) == whole[8:]


def test_it_ends_when_nothing_is_left() -> None:
    made, losses = choices()
    search = Search(made[:5], SCALE)
    assert sorted(run(search, losses, 3)) == sorted(one.key for one in made[:5])
    assert search.propose(4) == []


def test_an_earlier_network_is_carried_over() -> None:
    made, losses = choices()
    rows = np.array([row for one in made for row in one.features])
    flat = np.array([loss for one in made for loss in losses[one.key]])
    prior = carried(rows[::5], flat[::5], SCALE, rows)
    assert np.corrcoef(prior, SCALE.of(flat))[0, 1] > 0.95
    # one that loses twice as much is known after a few samples, where nothing else would be
    places = np.arange(0, len(flat), len(flat) // 4)
    mean, _ = Learned(rows, SCALE, prior).predict(places, 2 * flat[places])
    bare, _ = Learned(rows, SCALE).predict(places, 2 * flat[places])
    assert np.abs(mean - 2 * flat).mean() < np.abs(bare - 2 * flat).mean()


def test_scales_go_back() -> None:
    losses = np.array([0.0, 0.02, 0.05, 0.5])
    mean, deviation = SCALE.losses(SCALE.of(losses), np.full(4, 0.01))
    assert mean == pytest.approx(losses)
    assert deviation[1] == pytest.approx(0.01 * SCALE.unit)


def test_budgets_and_targets_are_read() -> None:
    assert [seconds_of(text) for text in ("2h", "1.5m", "90s")] == [7200, 90, 90]
    assert target_of("loss<=0.5%") == pytest.approx(0.005)
    assert target_of("loss <= 0.02") == pytest.approx(0.02)
    with pytest.raises(ValueError, match="--budget '2': write 2h, 30m or 90s"):
        seconds_of("2")
    with pytest.raises(ValueError, match=r"--target 'speed': write 'loss<=0\.5%'"):
        target_of("speed")


def prepared(folder: Path) -> None:
    """A network and its data."""
    import torch

    from pruning.importers.checkpoint import save_weights
    from pruning.tasks.data.datasets import SequenceData, save_sequences
    from pruning.tasks.networks.sequence import SequenceClassifier

    rng = np.random.default_rng(0)
    frames = tuple(rng.normal(size=(4, 3)).astype(np.float32) for _ in range(8))
    save_sequences(folder / "d.npz", SequenceData(frames, np.arange(8) % 2))
    torch.set_num_threads(1)
    save_weights(folder / "n.safetensors", SequenceClassifier(3, 4, 2, 0))


@pytest.mark.slow
def test_points_that_are_allowed_are_routed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepared(tmp_path)
    words = ["tune", "n.safetensors", "--board", "ulx3s", "--data", "d.npz", "--trainings", "2",
             "--bits", "8/8", "--epochs", "1", "--target", "loss<=99%", "--work", "store",
             "--json", "f.json"]  # fmt: skip
    command(words, capsys)
    sizes = [(row["pes"], row["lanes"]) for row in json.loads(Path("f.json").read_text())["front"]]
    tools = Tools({size: 120.0 for size in sizes} | {sizes[0]: 0.0})
    monkeypatch.setattr(building, "build", tools)
    monkeypatch.setattr(engines, "LocalEngine", lambda workers: Inline(tmp_path))
    command([*words, "--route", "2", "--out", "best", "--html", "f.html"], capsys)
    found = json.loads(Path("f.json").read_text())
    failed, stands = found["routed"]
    assert "came to nothing" in failed["failure"]
    assert stands["clock_mhz"] == 120
    assert (found["best"]["pes"], found["best"]["lanes"]) == sizes[1]
    assert found["best"]["commands"][-1].endswith("--clock 120 --seed 2")
    assert Path("best/board/sparseflow.bit").read_text() == f"{sizes[1]} 120"
    assert load_model(Path("best/model.safetensors")).shape.real_nonzeros > 0
    assert "Placed and routed" in Path("f.html").read_text()


@pytest.mark.slow
def test_the_command_trains_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prepared(tmp_path)
    words = ["tune", "n.safetensors", "--board", "icebreaker", "--data", "d.npz", "--trainings",
             "1", "--bits", "8/8", "--epochs", "1", "--target", "loss<=99%", "--work", "store",
             "--html", "f.html", "--json", "f.json"]  # fmt: skip
    told = [command(words, capsys) for _ in range(2)]
    assert told[0] == told[1]  # the second trained nothing
    found = json.loads(Path("f.json").read_text())
    (best,) = {tuple(row["commands"]) for row in found["front"] if row == found["best"]}
    assert [line.split()[1] for line in best] == ["prune", "pack", "build"]
    assert all(line in told[0] for line in best)
    assert Path("f.html").read_text().count("<svg") == 1
    # the commands of a point are what was trained
    losses = json.loads(next(
        data for path in Path("store/objects").rglob("*")
        if path.is_file() and (data := path.read_bytes()).startswith(b'{"float"')))  # fmt: skip
    for line in best[:2]:
        command(shlex.split(line)[1:] + (["--json", "p.json"] if " pack " in line else []), capsys)
    scores = json.loads(Path("p.json").read_text())["scores"]["models"]
    assert losses["losses"] == [pytest.approx(1 - scores["fixed"]["accuracy"])]


def command(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        app(words)
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--epochs", "3"], "--epochs is of a search with trainings: give --data"),
        (["--data", "d.npz", "--bits", "8"], "--bits '8': write 8/8"),
        (["--data", "d.npz", "--budget", "soon"], "--budget 'soon': write 2h"),
    ],
)
def test_wrong_options_are_told(words: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        app(["tune", "n.safetensors", "--board", "icebreaker", *words])
