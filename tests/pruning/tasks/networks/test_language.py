import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruning.tasks.networks.language import (
    LanguageModel,
    LanguageShape,
    LanguageTask,
    perplexity,
    streams,
)

SHAPE = LanguageShape(6, 6, 2, tied=True)


@given(st.integers(2, 40), st.data())
def test_streams_leave_no_token_out(length: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, length - 1))
    tokens = np.arange(length)
    inputs, targets = streams(tokens, count)
    real = targets.T != -100
    assert inputs.T[real].tolist() == tokens[:-1].tolist()
    assert targets.T[real].tolist() == tokens[1:].tolist()
    assert inputs.shape == (-(-(length - 1) // count), count)


def test_perplexity_is_that_of_one_token_after_the_other() -> None:
    model = LanguageModel(5, SHAPE, seed=3)
    tokens = np.random.default_rng(0).integers(0, 5, 31)
    model.eval()
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(tokens[:-1])[:, None])
    logs = logits[:, 0].log_softmax(-1)[torch.arange(30), torch.from_numpy(tokens[1:])]
    assert perplexity(model, tokens, 1) == pytest.approx(math.exp(-logs.mean()), rel=1e-6)
    # Three streams of ten forget twice.
    assert perplexity(model, tokens, 3) != pytest.approx(perplexity(model, tokens, 1), rel=1e-9)
    assert perplexity(model, tokens, 7) < 6


def test_windows_follow_each_other_in_every_stream() -> None:
    task = LanguageTask(np.arange(50), batch=3, window=4)
    assert task.steps == 4
    windows = [task.window_at(n) for n in range(4)]
    tokens = torch.cat([window for window, _ in windows])
    assert tokens.T.tolist() == [list(range(16 * b, 16 * b + 16)) for b in range(3)]
    assert all(torch.equal(after, tokens + 1) for tokens, after in windows)
    assert torch.equal(task.window_at(4)[0], windows[0][0])


def test_the_state_is_carried_into_the_next_window() -> None:
    model = LanguageModel(50, SHAPE)
    task = LanguageTask(np.arange(50), batch=3, window=4)
    _, carry = task.loss(model, 0, 0, [])
    fresh, _ = task.loss(model, 1, 0, [])
    carried, _ = task.loss(model, 1, 0, carry)
    assert not torch.equal(fresh, carried)
    tokens = torch.cat([task.window_at(n)[0] for n in (0, 1)])
    targets = task.window_at(1)[1]
    logits = model(tokens)[0][4:]
    whole = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert carried.item() == pytest.approx(whole.item(), rel=1e-6)


def test_a_tied_model_has_one_matrix_of_words() -> None:
    tied, free = LanguageModel(7, SHAPE), LanguageModel(7, LanguageShape(6, 6, 2))
    assert tied.head.weight is tied.embedding.weight
    assert free.head.weight is not free.embedding.weight
    assert sum(p.numel() for p in free.parameters()) == 42 + sum(
        p.numel() for p in tied.parameters()
    )


def test_dropout_is_for_training_only() -> None:
    model = LanguageModel(7, LanguageShape(6, 6, 1, dropout=0.5))
    tokens = torch.arange(5)[:, None]
    torch.manual_seed(0)
    first, second = (model(tokens)[0] for _ in range(2))
    assert not torch.equal(first, second)
    model.eval()
    assert torch.equal(model(tokens)[0], model(tokens)[0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LanguageShape(5, 6, 1, tied=True), "tied embedding must be as wide"),
        (lambda: LanguageTask(np.arange(12), 3, 4), "12 tokens for 3 streams of 4: at least 13"),
        (lambda: streams(np.arange(4), 4), "4 streams of 4 tokens: choose 1 to 3"),
    ],
)
def test_what_cannot_be_is_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=message):
        make()
