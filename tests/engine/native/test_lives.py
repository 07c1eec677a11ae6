"""How long a model and its streams live: across fork, copies, and changes of the file."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from csb_format.files.modelfile import ModelFileError, save_model
from csb_format.model import Model
from csb_format.random_models import random_network
from engine.native.model import NativeModel
from engine.native.stream import NativeStream


@pytest.fixture(scope="module")
def shared() -> Model:
    """So large that threads share its steps."""
    return random_network(np.random.default_rng(2), 300, 320, 10, (20, 9, 9), value_bits=8, head=5)


def goes_on(stream: NativeStream[NativeModel], x: Any, answers: Any) -> None:
    answers.put(stream.step(x))
    del stream
    answers.put("ended")


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_a_stream_goes_on_in_a_child(shared: Model, threads: int) -> None:
    """Which has none of the threads: it must not wait for them, nor end them."""
    context = multiprocessing.get_context("fork")
    stream = NativeModel(shared, threads=threads).start()
    x = np.random.default_rng(0).integers(-99, 99, (1, 300))
    stream.step(x)
    for _ in range(3):
        answers = context.SimpleQueue()
        child = context.Process(target=goes_on, args=(stream, x, answers))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        told = answers.get()
        assert answers.get() == "ended"
    assert np.array_equal(told, stream.step(x))


def test_copies_are_refused(shared: Model) -> None:
    native = NativeModel(shared)
    for one, what in ((native, "open it again"), (native.start(), "begins another")):
        for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match=rf"cannot be copied or pickled: .*{what}"):
                duplicate(one)


def test_a_file_that_has_changed_is_not_taken_for_what_runs(shared: Model, tmp_path: Path) -> None:
    path, other = tmp_path / "model", tmp_path / "other"
    save_model(path, shared)
    native = NativeModel(path)
    assert native.model.equals(shared)
    native = NativeModel(path)
    shutil.copy(path, other)
    os.replace(other, path)
    with pytest.raises(ModelFileError, match="has changed since it was opened: open it again"):
        native.model  # noqa: B018


def test_outputs_out_of_range_have_no_logits(shared: Model) -> None:
    native = NativeModel(shared)
    for wrong in (2**40, -(2**40), 2**31 - 1, 10**7):
        with pytest.raises(ValueError, match=rf"output {wrong} does not fit 16 bits: give what"):
            native.logits(np.full((1, 320), wrong))
