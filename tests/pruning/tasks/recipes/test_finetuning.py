from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pruning.files.network import Classifier
from pruning.mask.goals import Goal
from pruning.mask.views import Banks
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.networks.sequence import SequenceClassifier, Training
from pruning.tasks.recipes.finetuning import prune_classifier
from pruning.tasks.recipes.recipe import Recipe, prune_and_finetune

RECIPE = Recipe(
    hidden_size=8, banks=2, sparsity=0.75, increments=2, step_epochs=1, final_epochs=2,
    tuning=Training(learning_rate=3e-3, batch=4),
)  # fmt: skip


def sequences(width: int = 6, count: int = 8) -> SequenceData:
    random = np.random.default_rng(1)
    frames = [random.normal(size=(n % 3 + 2, width)).astype(np.float32) for n in range(count)]
    return SequenceData(tuple(frames), np.arange(count, dtype=np.int64) % 3)


def classifier(kind: type[nn.LSTM | nn.GRU] = nn.LSTM, **options: Any) -> Classifier:
    torch.manual_seed(2)
    layer = kind(6, 8, **options)
    width = (layer.proj_size or 8) * (1 + layer.bidirectional)
    return Classifier(layer, nn.Linear(width, 3))


def goals(model: Classifier) -> dict[str, Goal]:
    names = [n for n, p in model.recurrent.named_parameters() if p.ndim == 2]
    return {f"recurrent.{n}": Goal(Banks(2), 0.75, tolerance=1.0) for n in names}


def test_one_layer_trains_as_the_recipe_of_the_demo() -> None:
    start, data = SequenceClassifier(6, 8, 3, seed=4), sequences()
    expected = prune_and_finetune(data, RECIPE, 5, start=start)
    model = Classifier(start.lstm, start.head)
    found = prune_classifier(model, goals(model), data, RECIPE, 5)
    ours = found.classifier.state_dict()
    for name, tensor in expected.pruned.state_dict().items():
        assert torch.equal(ours[name.replace("lstm.", "recurrent.")], tensor), name
    for name, mask in expected.masks.items():
        assert torch.equal(found.masks[name.replace("lstm.", "recurrent.")], mask)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (nn.LSTM, {"num_layers": 2}),
        (nn.LSTM, {"bidirectional": True, "proj_size": 4}),
        (nn.GRU, {"num_layers": 2, "bidirectional": True}),
    ],
    ids=str,
)
def test_every_matrix_is_balanced_and_the_start_left_alone(
    kind: type[nn.LSTM], options: dict[str, Any]
) -> None:
    model = classifier(kind, **options)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    stages: list[tuple[str, int, int]] = []
    found = prune_classifier(
        model, goals(model), sequences(), RECIPE, progress=lambda *told: stages.append(told[:3])
    )
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    assert stages == [("prune 1/2", 1, 1), ("prune 2/2", 1, 2), ("prune 2/2", 2, 2)]
    after = found.classifier.state_dict()
    for name, geometry in found.geometries.items():
        weight = after[name]
        assert not weight[~found.masks[name]].any()
        counts = found.masks[name].reshape(len(weight), 2, -1).sum(-1)
        assert counts.unique().tolist() == [geometry.nonzeros]
        assert not torch.equal(weight[found.masks[name]], before[name][found.masks[name]])


@pytest.mark.parametrize(
    ("budget", "fixed", "kept"),
    [
        ("global", [], [5, 3]),
        ("equal", [], [4, 4]),
        ("global", ["recurrent.weight_hh_l0"], [4, 4]),
    ],
    ids=["global", "equal", "fixed"],
)
def test_the_budget_of_the_recipe_is_shared(budget: str, fixed: list[str], kept: list[int]) -> None:
    torch.manual_seed(0)
    model = Classifier(nn.LSTM(32, 32), nn.Linear(32, 3))
    with torch.no_grad():
        model.get_parameter("recurrent.weight_ih_l0").normal_(std=0.15)
        model.get_parameter("recurrent.weight_hh_l0").normal_(std=0.1)
    chosen = {
        name: replace(goal, view=Banks(4), sparsity=0.5) for name, goal in goals(model).items()
    }
    recipe = replace(RECIPE, budget=budget, final_epochs=1)
    found = prune_classifier(model, chosen, sequences(32), recipe, fixed=fixed)
    assert [state.keep for state in found.report] == kept
    assert [state.requested for state in found.report] == [0.5, 0.5]


def test_the_best_epoch_of_the_last_increment_is_kept() -> None:
    """By a stand-in: the later of the two best epochs is kept, and its weights come back."""
    recipe, model = replace(RECIPE, final_epochs=4), classifier()
    worth, seen = iter([9.0, 1.0, 5.0, 5.0, 2.0, 5.0]), []

    def score(found: Classifier) -> float:
        seen.append({name: tensor.clone() for name, tensor in found.state_dict().items()})
        return next(worth)

    watched: list[tuple[int, int, float, float]] = []
    found = prune_classifier(
        model, goals(model), sequences(), recipe, score=score,
        watch=lambda *told: watched.append(told),
    )  # fmt: skip
    assert (found.epoch, found.epochs) == (3, 4)  # the later of equals
    assert [told[:2] for told in watched] == [(1, 2), (2, 2)]
    assert [told[3] for told in watched] == [9.0, 5.0]  # that of another increment counts not
    assert watched[0][2] < watched[1][2]
    assert found.increments == tuple(told[2:] for told in watched)
    kept, after = seen[3], found.classifier.state_dict()
    assert torch.equal(after["head.weight"], kept["head.weight"])
    assert not torch.equal(after["head.weight"], seen[4]["head.weight"])
    assert all(torch.equal(kept[name], tensor) for name, tensor in seen[5].items())


def test_scoring_changes_no_weight() -> None:
    model = classifier()
    plain = prune_classifier(model, goals(model), sequences(), RECIPE)
    rising = iter(range(9))
    scored = prune_classifier(
        model, goals(model), sequences(), RECIPE, score=lambda found: float(next(rising))
    )
    ours = scored.classifier.state_dict()
    for name, tensor in plain.classifier.state_dict().items():
        assert torch.equal(ours[name], tensor), name


def test_it_ends_where_nothing_gets_better_and_notes_every_step() -> None:
    """By a stand-in: of 9, 5, 5, 5 the first is best, two others in a row are enough."""
    recipe, model = replace(RECIPE, final_epochs=8), classifier()
    worth = iter([1.0, 4.0, 5.0, 5.0, 5.0, 5.0])
    told: list[tuple[str, dict[str, Any]]] = []
    found = prune_classifier(
        model, goals(model), sequences(), recipe, score=lambda _: next(worth), patience=2,
        note=lambda event, figures: told.append((event, dict(figures))),
    )  # fmt: skip
    assert (found.epoch, found.epochs) == (4, 4)
    assert [event for event, _ in told if event != "step"] == [
        "epoch", "increment", *["epoch"] * 4, "increment",
    ]  # fmt: skip
    steps = [figures for event, figures in told if event == "step"]
    assert [(s["stage"], s["epoch"], s["step"]) for s in steps] == [
        *[("prune 1/2", 1, n) for n in (1, 2)],
        *[("prune 2/2", (n + 1) // 2, n) for n in range(1, 9)],
    ]
    assert told[-1][1] == {"number": 2, "of": 2, "sparsity": found.increments[-1][0], "score": 5.0}


def test_patience_needs_a_score() -> None:
    model = classifier()
    with pytest.raises(ValueError, match="patience = 3: there is no score"):
        prune_classifier(model, goals(model), sequences(), RECIPE, patience=3)
