"""Networks in the accelerator's integers: their accuracy, and the accelerator itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from compiler.array.design import Design
from compiler.array.needs import check_supported, design_for
from compiler.lower.compile import compile_model
from csb_format import Model
from csb_format.files.folders import temporary_folder
from csb_format.geometry import Geometry
from engine.exact import FastModel
from engine.reference import IntegerModel
from pruning.integers.qat import Precision
from pruning.integers.quantise import build_model
from pruning.mask.views import Banks
from pruning.tasks.data.corpora import TokenArray
from pruning.tasks.data.timit import Utterance
from pruning.tasks.networks.language import LanguageModel, LanguageTask, log_loss, streams
from pruning.tasks.networks.speech import FrameClassifier, count_errors, delayed
from pruning.tasks.training.longrun import Task
from sim.check.verify import verify
from sparseflow.steps.generating.hardware import emit

from ..boards.bitstreams import CASES
from .aware import AwareNetwork, WarmTask
from .networks import NETWORKS, Language, Speech
from .patterns import equal_goals, lstm_shapes, view_of
from .rows import Row
from .training import Place, further, train_to_file, trained, without_dropout

__all__ = ["ARRAY", "bits_result", "integers_of", "rtl_result"]

# M and N of networks that no case of bench.boards.bitstreams is for
ARRAY = (16, 8)
STEPS = 1000
_CALIBRATION = 2000  # tokens
Answering = LanguageModel | FrameClassifier


def bits_result(row: Row, place: Place) -> dict[str, Any]:
    """Score of the integers of a row, and of the float network that they are compared with."""
    assert row.start is not None
    start = further(row, place) if row.way == "longer" else trained(row.start, place)
    module = _answering(start)
    network = NETWORKS[row.network]
    float_score = network.score(module, place.path(row), row.seed)
    module = module.cpu()
    model = _aware(row, module, place) if row.way == "aware" else integers_of(row, module, place)
    found = _score(row, model, module, place)
    return found | {f"float_{part}": value for part, value in float_score.items()}


def _answering(module: nn.Module) -> Answering:
    """A network that answers at every step, as all of the tables do."""
    assert isinstance(module, LanguageModel | FrameClassifier)
    return module


def integers_of(row: Row, module: Answering, place: Place) -> Model:
    """Quantise a pruned network to the bits of a row."""
    formats = _formats(row, module, place)
    return build_model(module.lstm, module.head, _layout(row, module), formats)


def _formats(row: Row, module: Answering, place: Place) -> Any:
    precision = Precision(row.bits, row.act_bits)
    return precision.formats(module.lstm, module.head, _calibration(row, module, place))


def _aware(row: Row, module: Answering, place: Place) -> Model:
    formats = _formats(row, module, place)
    without_dropout(module)
    aware = AwareNetwork(module, formats)
    plan = NETWORKS[row.network].aware
    train_to_file(row, place, aware, plan, None, _aware_task(row, place))
    return aware.lstm.to_model(_layout(row, module), module.head)


def _aware_task(row: Row, place: Place) -> Task:
    task: Task = NETWORKS[row.network].task(place.path(row), row.seed)
    if isinstance(task, LanguageTask):
        return WarmTask(task.tokens, task.batch, task.window, task.adam, task.clip)
    return task


def _layout(row: Row, module: nn.Module) -> Mapping[str, Geometry]:
    view = view_of(row.pattern, row.sparsity)
    assert isinstance(view, Banks)
    shapes = lstm_shapes(module)
    return {
        name.removeprefix("lstm."): view.geometry(*shapes[name], goal.keep or 0)
        for name, goal in equal_goals(shapes, row.pattern, row.sparsity, row.pattern).items()
    }


def _calibration(row: Row, module: Answering, place: Place) -> list[Any]:
    network = NETWORKS[row.network]
    if isinstance(network, Speech):
        return [u.frames for u in network.speech(place.path(row), row.seed).train]
    # Every word's vector, as one that no text shows must fit too; then real text.
    table = _table(module)
    return [table, table[network.corpus(place.path(row)).train[:_CALIBRATION]]]


def _table(module: nn.Module) -> Any:
    assert isinstance(module, LanguageModel)
    return module.embedding.weight.detach().double().numpy()


def _score(row: Row, model: Model, module: nn.Module, place: Place) -> dict[str, float]:
    network = NETWORKS[row.network]
    if isinstance(network, Speech):
        return {"test": integer_error(model, network.speech(place.path(row), row.seed).test)}
    table = model.layers[0].input.quantise(_table(module))
    corpus = network.corpus(place.path(row))
    parts = {"valid": corpus.valid, "test": corpus.test}
    return {part: integer_perplexity(model, table, tokens) for part, tokens in parts.items()}


def integer_error(model: Model, utterances: tuple[Utterance, ...]) -> float:
    """Frame error of the integers, head included."""
    head, pairs = model.head, [delayed(u) for u in utterances]
    assert head is not None
    traces = FastModel(model).run([model.layers[0].input.quantise(f) for f, _ in pairs])
    found = (head.logits(trace.output).argmax(-1) for trace in traces)
    counts = [count_errors(f, phones) for f, (_, phones) in zip(found, pairs, strict=True)]
    return sum(wrong for wrong, _ in counts) / sum(of for _, of in counts)


def integer_perplexity(model: Model, table: Any, tokens: TokenArray, count: int = 10) -> float:
    """Perplexity of the integers, head included, in the streams of the float one.

    Parameters
    ----------
    model : Model
    table : int64 array (words, X)
        The embedding in the model's input format.
    tokens : int64 array (N,)
    count : int
    """
    inputs, targets = streams(tokens, count)
    traces = FastModel(model).run([table[inputs[:, n].numpy()] for n in range(count)])
    total = 0.0
    for n, trace in enumerate(traces):
        for outputs, of in _chunks(torch.from_numpy(trace.output), targets[:, n]):
            total += log_loss(_logits(model, outputs), of)
    return math.exp(total / (len(tokens) - 1))


def _chunks(outputs: Tensor, targets: Tensor, steps: int = 500) -> Any:
    return zip(torch.split(outputs, steps), torch.split(targets, steps), strict=True)


def _logits(model: Model, outputs: Tensor) -> Tensor:
    """Integer logits as reals; float64 holds these sums exactly, and has a fast product."""
    head = model.head
    assert head is not None
    largest = int(np.abs(head.weight).sum(1).max()) << head.input.width
    assert largest + int(np.abs(head.bias).max()) < 2**53
    weight, bias = (torch.from_numpy(part.astype(float)) for part in (head.weight, head.bias))
    sums = torch.addmm(bias, outputs.double(), weight.T)
    return sums * 2.0 ** -(head.weight_format.frac + head.input.frac)


def rtl_result(row: Row, place: Place) -> dict[str, Any]:
    """Steps of test data on the accelerator's Verilog, against the integer model.

    Raises
    ------
    DesignError
        If the accelerator cannot run the network.
    """
    assert row.start is not None
    module = _answering(trained(row.start, place).cpu())
    model = integers_of(row, module, place)
    check_supported(model)
    image = compile_model(model, _design(row, model))
    integers = IntegerModel(model)
    frames = _test_frames(row, module, model, place)
    with temporary_folder("bench") as folder:
        files = emit(image, Path(folder) / "verilog")
        done = verify(integers, image, files, frames, Path(folder))
    compared = {"values": done.comparison.values, "mismatches": done.comparison.mismatches}
    cycles = {"cycles": float(np.median(done.steps)), "cycles_max": int(done.steps.max())}
    shape = {"pes": image.design.pes, "lanes": image.design.lanes, "steps": done.frames}
    return shape | compared | cycles | {"exact": done.exact, "simulator": done.simulator}


def _design(row: Row, model: Model) -> Design:
    """The design that a board's clock is known of, where there is one."""
    case = CASES.get(row.network)
    return case.design(model) if case else design_for(model, *ARRAY)


def _test_frames(row: Row, module: nn.Module, model: Model, place: Place) -> list[Any]:
    """At least 1,000 consecutive steps: whole utterances, or running text."""
    network, fixed = NETWORKS[row.network], model.layers[0].input
    if isinstance(network, Language):
        tokens = network.corpus(place.path(row)).test[:STEPS]
        return [fixed.quantise(_table(module))[tokens]]
    chosen: list[Any] = []
    for u in network.speech(place.path(row), row.seed).test:
        if sum(map(len, chosen)) < STEPS:
            chosen.append(fixed.quantise(delayed(u)[0]))
    return chosen
