import numpy as np
import pytest
import torch

from pruning.integers.quantise import quantise
from pruning.tasks.data.datasets import SequenceData
from pruning.tasks.networks.sequence import SequenceClassifier, Training, accuracy, train
from pruning.tasks.recipes.recipe import Outcome, Recipe, prune_and_finetune
from pruning.tasks.training.numbers import reproducible

SMALL = Recipe(
    hidden_size=16,
    banks=4,
    sparsity=0.75,
    dense_epochs=30,
    increments=2,
    step_epochs=2,
    final_epochs=20,
)


def test_a_budget_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="budget"):
        Recipe(budget="everything")


def toy(seed: int) -> SequenceData:
    """Three classes told apart by the sign and the channel of a drift; lengths vary."""
    random = np.random.default_rng(seed)
    labels = np.arange(60) % 3
    drift = np.array([[1, 0], [-1, 0], [0, 1]], np.float32)
    frames = [
        drift[label] + random.normal(0, 0.5, (random.integers(3, 9), 2)).astype(np.float32)
        for label in labels
    ]
    wide = tuple(np.tile(f, (1, 4)).astype(np.float32) for f in frames)
    return SequenceData(wide, labels.astype(np.int64))


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    return prune_and_finetune(toy(0), SMALL, seed=3)


def test_end_to_end(outcome: Outcome) -> None:
    unseen = outcome.normaliser.apply(toy(1))
    assert accuracy(outcome.dense, unseen) > 0.9
    assert accuracy(outcome.pruned, unseen) > 0.9
    assert [r.achieved for r in outcome.report] == [0.5, 0.75]  # 8 columns: 4 banks of 2
    assert all(r.keep == r.target for r in outcome.report)
    assert {r.name: r.geometry() for r in outcome.report} == outcome.geometries
    # Only the input matrix cannot reach 75 % with one weight in each of four banks.
    assert "weight_ih_l0: 75.00% asked, 50.00% is the most" in outcome.report[0].note
    assert [r.requested for r in outcome.report] == [0.75, 0.75]
    assert outcome.report[1].note == ""


def test_only_the_pruned_model_is_sparse(outcome: Outcome) -> None:
    for model, share in ((outcome.dense, 0.0), (outcome.pruned, 0.75)):
        weight = model.get_parameter("lstm.weight_hh_l0")
        assert int((weight == 0).sum()) == share * weight.numel()


def test_outcome_quantises(outcome: Outcome) -> None:
    layout = {name.removeprefix("lstm."): shape for name, shape in outcome.geometries.items()}
    calibration = outcome.normaliser.apply(toy(0)).sequences
    model = quantise(outcome.pruned.lstm, outcome.pruned.head, layout, calibration).model
    assert model.layers[0].weight_hh.geometry == layout["weight_hh_l0"]


def test_same_seed_same_weights_other_seed_other_weights(outcome: Outcome) -> None:
    same = prune_and_finetune(toy(0), SMALL, seed=3).pruned
    other = prune_and_finetune(toy(0), SMALL, seed=4).pruned
    name = "lstm.weight_hh_l0"
    first = outcome.pruned.get_parameter(name)
    assert torch.equal(first, same.get_parameter(name))
    assert not torch.equal(first, other.get_parameter(name))


def test_progress_names_every_epoch_of_every_stage() -> None:
    seen: list[tuple[str, int, int]] = []
    recipe = Recipe(
        hidden_size=8,
        banks=4,
        sparsity=0.75,
        dense_epochs=2,
        increments=2,
        step_epochs=1,
        final_epochs=1,
    )
    prune_and_finetune(toy(0), recipe, progress=lambda s, e, n, loss: seen.append((s, e, n)))
    assert seen == [("dense", 1, 2), ("dense", 2, 2), ("prune 1/2", 1, 1), ("prune 2/2", 1, 1)]


def test_padding_does_not_change_a_prediction() -> None:
    model = SequenceClassifier(8, 16, 3)
    frames = torch.randn(1, 9, 8, generator=torch.Generator().manual_seed(0))
    length = torch.tensor([5])
    assert torch.allclose(model(frames, length), model(frames[:, :5], length), atol=1e-6)
    assert not torch.allclose(model(frames, length), model(frames, torch.tensor([6])), atol=1e-4)


def test_training_leaves_global_settings_alone() -> None:
    before = torch.get_num_threads(), torch.get_rng_state().clone()
    train(SequenceClassifier(8, 4, 3), toy(0), 1, seed=0, settings=Training(batch=60))
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert not torch.are_deterministic_algorithms_enabled()


def test_settings_are_restored_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="stop"), reproducible(before + 1):
        raise RuntimeError("stop")
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == (
        before,
        False,
    )


def test_no_epochs_are_refused() -> None:
    with pytest.raises(ValueError, match="0 epochs: must be at least 1"):
        train(SequenceClassifier(8, 4, 3), toy(0), 0, seed=0)


def test_masks_cover_what_is_kept(outcome: Outcome) -> None:
    for matrix in outcome.report:
        mask = outcome.masks[matrix.name]
        weight = outcome.pruned.get_parameter(matrix.name)
        assert int(mask.sum()) == matrix.geometry().real_nonzeros
        assert not weight[~mask].any()


def test_a_trained_start_is_gone_on_from_and_left_alone(outcome: Outcome) -> None:
    data = outcome.normaliser.apply(toy(0))
    before = {name: tensor.clone() for name, tensor in outcome.dense.state_dict().items()}
    stages: list[str] = []
    made = prune_and_finetune(
        data, SMALL, 3, progress=lambda s, e, n, loss: stages.append(s), start=outcome.dense
    )
    assert set(stages) == {"prune 1/2", "prune 2/2"}
    after = outcome.dense.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(torch.equal(made.dense.state_dict()[name], before[name]) for name in before)
    assert made.normaliser.mean.tolist() == [0] * 8
    assert made.normaliser.std.tolist() == [1] * 8
    assert all(r.keep == r.target for r in made.report)
    assert accuracy(made.pruned, outcome.normaliser.apply(toy(1))) > 0.9


def test_watch_sees_every_increment(outcome: Outcome) -> None:
    seen: list[tuple[float, int]] = []

    def watch(sparsity: float, model: SequenceClassifier) -> None:
        names = ("lstm.weight_ih_l0", "lstm.weight_hh_l0")
        seen.append((sparsity, sum(int((model.get_parameter(n) == 0).sum()) for n in names)))

    data = outcome.normaliser.apply(toy(0))
    prune_and_finetune(data, SMALL, start=outcome.dense, watch=watch)
    total = 64 * 8 + 64 * 16
    assert [sparsity for sparsity, _ in seen] == sorted(sparsity for sparsity, _ in seen)
    assert [zeros for _, zeros in seen] == [round(sparsity * total) for sparsity, _ in seen]
    assert seen[-1][1] == 64 * 8 * 0.5 + 64 * 16 * 0.75
    assert len(seen) == 2
