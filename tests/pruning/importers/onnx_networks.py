"""Networks as people write them, to be exported to ONNX: read right, or refused by a node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

INPUTS, UNITS, CLASSES, FRAMES = 8, 6, 3, 7
Forward = Callable[["Net", Tensor], Any]


class Net(nn.Module):
    """An LSTM, a linear layer and what a case needs beside them."""

    mean: Tensor
    std: Tensor
    zeros: Tensor
    ones: Tensor

    def __init__(self, case: Case) -> None:
        super().__init__()
        torch.manual_seed(5)
        options = {"batch_first": True} | case.options
        self.rnn = case.kind(case.inputs, UNITS, **options)
        wide = (self.rnn.proj_size or UNITS) * (1 + self.rnn.bidirectional)
        self.fc = nn.Linear(case.width or wide, case.classes, bias=case.bias)
        for name, module in case.more().items():
            self.add_module(name, module)
        # Statistics and parameters of no layer may be those that change nothing.
        for name, tensor in [*self.named_parameters(), *self.named_buffers()]:
            if "norm" in name and tensor.is_floating_point():
                tensor.data.uniform_(0.3, 1.7)
        self.register_buffer("mean", torch.linspace(-3, 3, case.inputs))
        self.register_buffer("std", torch.linspace(0.5, 4, case.inputs))
        self.register_buffer("zeros", torch.zeros(1, 1, UNITS))
        self.register_buffer("ones", torch.ones(1, 1, UNITS))
        self.run = case.forward

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)

    def last(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.rnn(x)[0]
        return outputs[:, -1]


@dataclass(frozen=True)
class Case:
    """A network, and the operator at which it is refused; none if it is read.

    Parameters
    ----------
    forward : function of the network and frames (1, 7, 8)
    refused : str
        What the message must match.
    options : dict
        Of the recurrent layer.
    more : function
        Modules beside LSTM and head.
    """

    forward: Forward
    refused: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    more: Callable[[], dict[str, nn.Module]] = dict
    kind: type[nn.LSTM | nn.GRU] = nn.LSTM
    inputs: int = INPUTS
    classes: int = CLASSES
    width: int = 0
    bias: bool = True
    swap: bool = False

    def example(self) -> Tensor:
        """Frames of the exporter."""
        frames = torch.randn(1, FRAMES, INPUTS, generator=torch.Generator().manual_seed(1))
        return frames.transpose(0, 1) if self.swap else frames


def _attention(net: Net, x: Tensor) -> Tensor:
    outputs = net.rnn(x)[0]
    weights = torch.softmax(net.get_submodule("score")(outputs), 1)
    return net.fc((weights * outputs).sum(1))  # type: ignore[no-any-return]


def _both_ends(net: Net, x: Tensor) -> Tensor:
    states = net.rnn(x)[1][0]
    return net.fc(torch.cat([states[-2], states[-1]], 1))  # type: ignore[no-any-return]


def _both_ends_by_view(net: Net, x: Tensor) -> Tensor:
    states = net.rnn(x)[1][0].view(2, 2, 1, UNITS)[-1]
    return net.fc(states.transpose(0, 1).reshape(1, 2 * UNITS))  # type: ignore[no-any-return]


def _own_steps(net: Net, x: Tensor) -> Tensor:
    state = (torch.zeros(1, UNITS), torch.zeros(1, UNITS))
    for t in range(3):
        state = net.get_submodule("cell")(x[:, t], state)
    return net.fc(state[0])  # type: ignore[no-any-return]


def _learnt_state(net: Net, x: Tensor) -> Tensor:
    return net.fc(net.rnn(x, (net.ones, net.zeros))[0][:, -1])  # type: ignore[no-any-return]


def _mlp(net: Net, x: Tensor, between: Callable[[Tensor], Tensor] = torch.relu) -> Tensor:
    """Linear, ReLU, Linear."""
    return net.fc(between(net.get_submodule("mix")(x)))  # type: ignore[no-any-return]


def _mix(inputs: int = UNITS, **options: Any) -> Callable[[], dict[str, nn.Module]]:
    return lambda: {"mix": nn.Linear(inputs, UNITS, **options)}


BI: dict[str, Any] = {"bidirectional": True}
NETWORKS: dict[str, Case] = {
    # Read: one module, a head on the last frame, and what changes nothing or scales.
    "plain": Case(lambda n, x: n.fc(n.last(x))),
    "two layers": Case(lambda n, x: n.fc(n.last(x)), options={"num_layers": 2}),
    "three layers": Case(lambda n, x: n.fc(n.last(x)), options={"num_layers": 3}),
    "both directions": Case(lambda n, x: n.fc(n.last(x)), options=BI),
    "two layers, both": Case(lambda n, x: n.fc(n.last(x)), options=BI | {"num_layers": 2}),
    "no biases": Case(lambda n, x: n.fc(n.last(x)), options={"bias": False}, bias=False),
    "layers, no biases": Case(lambda n, x: n.fc(n.last(x)), options={"bias": False} | BI),
    "gru": Case(lambda n, x: n.fc(n.last(x)), kind=nn.GRU),
    "two layers of gru": Case(lambda n, x: n.fc(n.last(x)), kind=nn.GRU, options={"num_layers": 2}),
    "time first": Case(
        lambda n, x: n.fc(n.rnn(x)[0][-1]), options={"batch_first": False}, swap=True
    ),
    "time first, both": Case(
        lambda n, x: n.fc(n.rnn(x)[0][-1]), options={"batch_first": False} | BI, swap=True
    ),
    "turned in the network": Case(
        lambda n, x: n.fc(n.rnn(x.transpose(0, 1))[0][-1]), options={"batch_first": False}
    ),
    "last state": Case(lambda n, x: n.fc(n.rnn(x)[1][0][-1])),
    "last state, squeezed": Case(lambda n, x: n.fc(n.rnn(x)[1][0].squeeze(0))),
    "last state of two layers": Case(
        lambda n, x: n.fc(n.rnn(x)[1][0][-1]), options={"num_layers": 2}
    ),
    "last frame, kept": Case(lambda n, x: n.fc(n.rnn(x)[0][:, -1:]).squeeze(1)),
    "last frame by its length": Case(lambda n, x: n.fc(n.rnn(x)[0][:, x.shape[1] - 1])),
    "last frame of the logits": Case(lambda n, x: n.fc(n.rnn(x)[0])[:, -1]),
    "flattened": Case(lambda n, x: n.fc(torch.flatten(n.rnn(x)[0][:, -1:], 1))),
    "dropout": Case(
        lambda n, x: n.fc(n.get_submodule("drop")(n.last(x))), more=lambda: {"drop": nn.Dropout()}
    ),
    "softmax": Case(lambda n, x: torch.softmax(n.fc(n.last(x)), 1)),
    "log_softmax": Case(lambda n, x: torch.log_softmax(n.fc(n.last(x)), -1)),
    "two linear layers with a relu": Case(lambda n, x: _mlp(n, n.last(x)), more=_mix()),
    "three linear layers": Case(
        lambda n, x: _mlp(n, torch.relu(n.get_submodule("low")(n.last(x)))),
        more=lambda: {"low": nn.Linear(UNITS, 5), "mix": nn.Linear(5, UNITS)},
    ),
    "linear layers at every frame": Case(lambda n, x: _mlp(n, n.rnn(x)[0]), more=_mix()),
    "linear layers, last frame of them": Case(
        lambda n, x: _mlp(n, n.rnn(x)[0])[:, -1], more=_mix()
    ),
    "linear layers on a mean": Case(lambda n, x: _mlp(n, n.rnn(x)[0].mean(1)), more=_mix()),
    "linear layers, both directions": Case(
        lambda n, x: torch.softmax(_mlp(n, n.last(x)), 1),
        more=_mix(2 * UNITS),
        options=BI,
        width=UNITS,
    ),
    "linear layers without biases": Case(
        lambda n, x: _mlp(n, n.last(x)), more=_mix(bias=False), bias=False
    ),
    "scaled before and behind a relu": Case(
        lambda n, x: _mlp(n, n.last(x), lambda y: torch.relu(y * 0.5 - 0.1) * 3 + 0.25), more=_mix()
    ),
    "normalised between linear layers": Case(
        lambda n, x: _mlp(n, n.last(x), lambda y: torch.relu(n.get_submodule("norm")(y))),
        more=lambda: {"mix": nn.Linear(UNITS, UNITS), "norm": nn.BatchNorm1d(UNITS)},
    ),
    "dropout between linear layers": Case(
        lambda n, x: _mlp(n, n.last(x), lambda y: n.get_submodule("drop")(torch.relu(y))),
        more=lambda: {"mix": nn.Linear(UNITS, UNITS), "drop": nn.Dropout()},
    ),
    "one hidden unit": Case(
        lambda n, x: _mlp(n, n.last(x)), more=lambda: {"mix": nn.Linear(UNITS, 1)}, width=1
    ),
    "one class": Case(lambda n, x: n.fc(n.last(x)), classes=1),
    "normalised input": Case(lambda n, x: n.fc(n.last((x - n.mean) / n.std))),
    "scaled input": Case(lambda n, x: n.fc(n.last(x * 0.25 + 1))),
    "turned input": Case(lambda n, x: n.fc(n.last(1 - x))),
    "normalised, both directions": Case(
        lambda n, x: n.fc(n.last((x - n.mean) / n.std)), options=BI | {"num_layers": 2}
    ),
    "normalised gru": Case(lambda n, x: n.fc(n.last((x - n.mean) / n.std)), kind=nn.GRU),
    "normalised, no biases": Case(
        lambda n, x: n.fc(n.last((x - n.mean) / n.std)), options={"bias": False}
    ),
    "batch norm before": Case(
        lambda n, x: n.fc(n.last(n.get_submodule("norm")(x.transpose(1, 2)).transpose(1, 2))),
        more=lambda: {"norm": nn.BatchNorm1d(INPUTS)},
    ),
    "batch norm behind": Case(
        lambda n, x: n.fc(n.get_submodule("norm")(n.last(x))),
        more=lambda: {"norm": nn.BatchNorm1d(UNITS)},
    ),
    "batch norm of logits": Case(
        lambda n, x: n.get_submodule("norm")(n.fc(n.last(x))),
        more=lambda: {"norm": nn.BatchNorm1d(CLASSES)},
    ),
    "scaled outputs": Case(lambda n, x: n.fc(n.last(x) * n.ones[0] * 3)),
    "temperature": Case(lambda n, x: n.fc(n.last(x)) / 0.7),
    "zero states": Case(lambda n, x: n.fc(n.rnn(x, (n.zeros, n.zeros))[0][:, -1])),
    "states too": Case(lambda n, x: (n.fc(n.last(x)), n.rnn(x)[1][0]), "LSTM.*stands beside"),
    "first state of both": Case(_both_ends, options=BI),
    "states by view": Case(_both_ends_by_view, options=BI | {"num_layers": 2}),
    "mean": Case(lambda n, x: n.fc(n.rnn(x)[0].mean(1))),
    "mean of logits": Case(lambda n, x: n.fc(n.rnn(x)[0]).mean(1)),
    "every frame": Case(lambda n, x: n.fc(n.rnn(x)[0])),
    "every frame, softmax": Case(lambda n, x: n.fc(n.rnn(x)[0]).softmax(-1), options=BI),
    "every frame, time first": Case(
        lambda n, x: n.fc(n.rnn(x)[0]), options={"batch_first": False}, swap=True
    ),
    # Refused by name.
    "greatest": Case(lambda n, x: n.fc(n.rnn(x)[0].amax(1)), r"\(ReduceMax\)"),
    "sum": Case(lambda n, x: n.fc(n.rnn(x)[0].sum(1)), r"\(ReduceSum\)"),
    "every frame, flattened": Case(
        lambda n, x: n.fc(n.rnn(x)[0]).reshape(-1, CLASSES),
        "the head is applied at every frame, but the output has no axis for the sequences",
    ),
    "first frame": Case(lambda n, x: n.fc(n.rnn(x)[0][:, 0]), r"\(Gather\).*first frame"),
    "middle frame": Case(lambda n, x: n.fc(n.rnn(x)[0][:, 3]), r"\(Gather\).*at frame 3"),
    "last two frames": Case(
        lambda n, x: n.fc(n.rnn(x)[0][:, -2:].reshape(1, -1)), r"\(Slice\)", width=2 * UNITS
    ),
    "last sequence of the batch": Case(
        lambda n, x: n.fc(n.rnn(x)[0][:, -1]),
        r"at every frame, but .*\(y\[-1\] without batch_first=True\)",  # the batch is of 1
        options={"batch_first": False},
        swap=True,
    ),
    "some of the classes": Case(lambda n, x: n.fc(n.last(x))[:, :2], "takes some of the classes"),
    "less its own mean": Case(
        lambda n, x: n.fc(n.last(x - x.mean(1, keepdim=True))), r"a mean over the input .*normalise"
    ),
    "cell state": Case(lambda n, x: n.fc(n.rnn(x)[1][1][-1]), "takes the cell state"),
    "projection": Case(
        lambda n, x: n.fc(n.last(x)), "contradictory shapes", options={"proj_size": 4}
    ),
    "relu before the head": Case(lambda n, x: n.fc(torch.relu(n.last(x))), r"\(Relu\)"),
    "relu on logits": Case(lambda n, x: torch.relu(n.fc(n.last(x))), r"\(Relu\)"),
    "tanh on input": Case(lambda n, x: n.fc(n.last(torch.tanh(x))), r"\(Tanh\)"),
    "clipped input": Case(lambda n, x: n.fc(n.last(x.clamp(-1, 1))), r"\(Clip\)"),
    "layer norm before": Case(
        lambda n, x: n.fc(n.last(n.get_submodule("norm")(x))),
        r"\(LayerNormalization\)",
        more=lambda: {"norm": nn.LayerNorm(INPUTS)},
    ),
    "layer norm behind": Case(
        lambda n, x: n.fc(n.get_submodule("norm")(n.last(x))),
        r"\(LayerNormalization\)",
        more=lambda: {"norm": nn.LayerNorm(UNITS)},
    ),
    "attention": Case(
        _attention, r"\((Gemm|MatMul|Softmax)\)", more=lambda: {"score": nn.Linear(UNITS, 1)}
    ),
    "embedding": Case(
        lambda n, x: n.fc(n.last(n.get_submodule("table")(x[:, :, 0].abs().long().clamp(max=9)))),
        r"node .*\(",
        more=lambda: {"table": nn.Embedding(10, INPUTS)},
    ),
    "convolution before": Case(
        lambda n, x: n.fc(n.last(n.get_submodule("conv")(x.transpose(1, 2)).transpose(1, 2))),
        r"\(Conv\)",
        more=lambda: {"conv": nn.Conv1d(INPUTS, INPUTS, 3, padding=1)},
    ),
    "linear before": Case(
        lambda n, x: n.fc(n.last(n.get_submodule("mix")(x))),
        "a linear layer before the recurrent one",
        more=lambda: {"mix": nn.Linear(INPUTS, INPUTS)},
    ),
    "two linear layers": Case(
        lambda n, x: n.fc(n.get_submodule("mix")(n.last(x))),
        "a second linear layer on the first",
        more=lambda: {"mix": nn.Linear(UNITS, UNITS)},
    ),
    "tanh between linear layers": Case(
        lambda n, x: _mlp(n, n.last(x), torch.tanh), r"\(Tanh\): Tanh changes values", more=_mix()
    ),
    "leaky relu between linear layers": Case(
        lambda n, x: _mlp(n, n.last(x), nn.functional.leaky_relu), r"\(LeakyRelu\)", more=_mix()
    ),
    "two relus": Case(
        lambda n, x: _mlp(n, n.last(x), lambda y: torch.relu(torch.relu(y) - 0.1)),
        r"\(Relu\): Relu changes values",
        more=_mix(),
    ),
    "mean behind a relu": Case(
        lambda n, x: _mlp(n, n.rnn(x)[0]).mean(1),
        r"\(ReduceMean\): averages frames behind a ReLU",
        more=_mix(),
    ),
    "mean between linear layers": Case(
        lambda n, x: _mlp(n, n.rnn(x)[0], lambda y: torch.relu(y).mean(1)),
        r"\(ReduceMean\): averages frames behind a ReLU",
        more=_mix(),
    ),
    "relu behind two linear layers": Case(
        lambda n, x: torch.relu(_mlp(n, n.last(x))),
        r"\(Relu\): a ReLU behind the last linear layer",
        more=_mix(),
    ),
    "around a linear layer": Case(
        lambda n, x: (lambda y: n.fc(torch.relu(n.get_submodule("mix")(y)) + y))(n.last(x)),
        r"\(Add\)",
        more=_mix(),
    ),
    "linear layers in two branches": Case(
        lambda n, x: (lambda y: (n.fc(y), n.get_submodule("other")(y)))(
            torch.relu(n.get_submodule("mix")(n.last(x)))
        ),
        "a second linear layer beside",
        more=lambda: {"mix": nn.Linear(UNITS, UNITS), "other": nn.Linear(UNITS, 2)},
    ),
    "linear layers of unlike depth": Case(
        lambda n, x: (lambda y: (_mlp(n, y), n.get_submodule("other")(y)))(n.last(x)),
        "a second linear layer beside",
        more=lambda: {"mix": nn.Linear(UNITS, UNITS), "other": nn.Linear(UNITS, 2)},
    ),
    "two heads": Case(
        lambda n, x: (lambda y: (n.fc(y), n.get_submodule("other")(y)))(n.last(x)),
        "a second linear layer beside",
        more=lambda: {"other": nn.Linear(UNITS, 2)},
    ),
    "residual": Case(lambda n, x: n.fc(n.last(x) + x[:, -1, :UNITS]), r"\((Gather|Slice|Add)\)"),
    "multiplied with itself": Case(lambda n, x: n.fc(n.last(x) * n.last(x)), r"node .*\("),
    "backwards in time": Case(lambda n, x: n.fc(n.last(x.flip(1))), r"\(Slice\).*step -1"),
    "part of the input": Case(
        lambda n, x: n.fc(n.last(x[:, :, :4])), r"\(Slice\): takes part of its input", inputs=4
    ),
    "part of the frames": Case(lambda n, x: n.fc(n.last(x[:, 2:])), r"\(Slice\): takes part"),
    "difference of frames": Case(lambda n, x: n.fc(n.last(x[:, 1:] - x[:, :-1])), r"\(Slice\)"),
    "normalised by frame": Case(
        lambda n, x: n.fc(n.last(x - x.mean(1, keepdim=True))), r"\(ReduceMean\)"
    ),
    "state that is not zero": Case(_learnt_state, "constant initial_h that is not zero"),
    "state of the input": Case(
        lambda n, x: n.fc(n.rnn(x, (x[:, :1, :UNITS], n.zeros))[0][:, -1]), r"node .*\("
    ),
    "gru on lstm": Case(
        lambda n, x: n.fc(n.get_submodule("gru")(n.rnn(x)[0])[0][:, -1]),
        "2 recurrent modules",
        more=lambda: {"gru": nn.GRU(UNITS, UNITS, batch_first=True)},
    ),
    "two lstms side by side": Case(
        lambda n, x: n.fc(n.last(x) + n.get_submodule("other")(x)[0][:, -1]),
        "stands beside",
        more=lambda: {"other": nn.LSTM(INPUTS, UNITS, batch_first=True)},
    ),
    "steps of a cell": Case(
        _own_steps,
        "but [0-9]+ steps of a cell, as nn.LSTMCell",
        more=lambda: {"cell": nn.LSTMCell(INPUTS, UNITS)},
    ),
    "sigmoid at the end": Case(lambda n, x: torch.sigmoid(n.fc(n.last(x))), r"\(Sigmoid\)"),
    "greatest class": Case(lambda n, x: n.fc(n.last(x)).argmax(1), r"\(ArgMax\)"),
    "softmax over frames": Case(
        lambda n, x: torch.softmax(n.fc(n.rnn(x)[0]), 1)[:, -1], r"\(Softmax\)"
    ),
    "softmax before the head": Case(lambda n, x: n.fc(torch.softmax(n.last(x), 1)), r"\(Softmax\)"),
    "mean of probabilities": Case(
        lambda n, x: torch.softmax(n.fc(n.rnn(x)[0]), 2).mean(1), r"\(ReduceMean\)"
    ),
    "one direction of two": Case(
        lambda n, x: n.fc(n.last(x)[:, :UNITS]), "one direction", options=BI, width=UNITS
    ),
    "reverse direction first": Case(
        lambda n, x: n.fc(torch.cat([n.last(x)[:, UNITS:], n.last(x)[:, :UNITS]], 1)),
        r"node .*\(",
        options=BI,
    ),
}
