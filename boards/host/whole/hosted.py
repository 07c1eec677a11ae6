"""A network that was cut for the array, run as one: before, the array, after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from csb_format import IntArray, Model, load_model
from csb_format.arguments import place
from csb_format.extras import needs
from csb_format.files.cutfile import NAMES, CutFileError, Port, load_seam
from engine.reference import IntegerModel

from ..driver import Accelerator

__all__ = ["Hosted", "run_graph", "session_of"]

Array = npt.NDArray[Any]
Given = Mapping[str, npt.ArrayLike] | npt.ArrayLike


class _States(Protocol):
    """What the last layer computed: the driver's states, or a trace of the integer model."""

    @property
    def output(self) -> IntArray: ...
    @property
    def cell(self) -> IntArray: ...


class Hosted:
    """A whole network whose recurrent part runs on integers, the rest in ONNX Runtime.

    Parameters
    ----------
    folder : path
        Of ``sparseflow cut``.
    accelerator : Accelerator, optional
        Where the part runs: a board, its simulation, or the integer model behind the link
        (``sf.open``). The model is loaded into it. By default the integer model, which gives
        the same bits; it runs whole sequences only.
    model : Model, optional
        Instead of the folder's: one of the same part, pruned or packed otherwise.

    Raises
    ------
    CutFileError
        If the folder holds no such network, no model, or a damaged one.
    ModelFileError
        If its model cannot be read.
    ValueError
        If the model takes other frames than the part.
    TypeError
        If the model is none.
    MissingExtraError
        Without ONNX Runtime, naming the extra that brings it.

    Examples
    --------
    >>> with sf.open("model", design) as board:
    ...     network = sf.Hosted("cut", board)
    ...     logits = network.run({"words": words})["logits"]
    """

    def __init__(
        self,
        folder: str | Path,
        accelerator: Accelerator | None = None,
        model: Model | None = None,
    ) -> None:
        folder = place("folder", folder)
        if model is not None and not isinstance(model, Model):
            raise TypeError(f"model {str(model)[:60]!r}: give a model, csb_format.load_model(path)")
        self.seam = load_seam(folder)
        self.model = model or _model(folder)
        self._integers, self._accelerator = IntegerModel(self.model), accelerator
        self._before, self._after = (session_of(folder / NAMES[n]) for n in ("before", "after"))
        self._check()
        if accelerator is not None:
            accelerator.load(self.model)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of what the whole network takes."""
        inner = {port.name for port in self.seam.outputs}
        names = [*_takes(self._before), *_takes(self._after)]
        names = [name for name in names if name not in inner]
        if self._before is None:
            names.insert(0, self.seam.input.name)
        return tuple(dict.fromkeys(names))

    def run(self, inputs: Given) -> dict[str, Array]:
        """Run whole sequences from a zero state.

        Parameters
        ----------
        inputs : mapping of str to array, or array
            What the whole network takes, by name; an array where it takes one. All sequences of
            a batch have the same number of frames.

        Returns
        -------
        dict of str to array
            The outputs of the whole network.

        Raises
        ------
        ValueError
            For an input that is missing, too much, or that ONNX Runtime does not take.
        AcceleratorError, LinkError
            As :meth:`boards.host.driver.Accelerator.run`.
        """
        given = self._named(inputs)
        sequences = self.frames(given)
        if self._accelerator is None:
            states: Sequence[_States] = self._integers.run(sequences)
        else:
            states = [self._accelerator.run(frames) for frames in sequences]
        return self._finish(given, states)

    def push(self, inputs: Given, *, first: bool = False) -> dict[str, Array]:
        """Run the frames that have come, going on from the state after those before.

        Parameters
        ----------
        inputs : mapping of str to array, or array
            As for :meth:`run`, one sequence, one frame or more of it.
        first : bool
            Whether they begin a sequence.

        Returns
        -------
        dict of str to array
            The answers for these frames; where the network gives one a sequence, the one as of now.

        Raises
        ------
        ValueError
            Without an accelerator; if the network needs whole sequences, as ``sparseflow cut`` has
            found; for more than one sequence.
        """
        if self.seam.streams:
            raise ValueError(f"{self.seam.streams}: give whole sequences to run()")
        if self._accelerator is None:
            raise ValueError(
                "streaming keeps its state in an accelerator: give one, sf.open('model', ...) for "
                "the integer model"
            )
        given = self._named(inputs)
        sequences = self.frames(given)
        if len(sequences) != 1:
            raise ValueError(f"{len(sequences)} sequences at once: push one")
        return self._finish(given, [self._accelerator.run(sequences[0], keep=not first)])

    def frames(self, inputs: Mapping[str, Array]) -> list[IntArray]:
        """What the array is given: int64 (T, X), one a sequence."""
        real, width = self.real_frames(inputs), self.model.layers[0].input_size
        if real[0].shape[1] != width:
            raise ValueError(
                f"{self.seam.input.name} has {real[0].shape[1]} features a frame, the model takes "
                f"{width}: give the model that was packed of {NAMES['part']}"
            )
        return [self._integers.input.quantise(each) for each in real]

    def real_frames(self, inputs: Mapping[str, Array]) -> list[Array]:
        """The same before they are rounded: float (T, X), one a sequence."""
        port = self.seam.input
        if self._before is None:
            return port.sequences(np.asarray(inputs[port.name], np.float64))
        return port.sequences(run_graph(self._before, inputs)[port.name])

    def _named(self, inputs: Given) -> dict[str, Array]:
        names = self.inputs
        if not isinstance(inputs, Mapping):
            if len(names) != 1:
                raise ValueError(f"the network takes {', '.join(names)}: give each by its name")
            inputs = {names[0]: inputs}
        if missing := [name for name in names if name not in inputs]:
            raise ValueError(f"input {missing[0]} is missing: the network takes {', '.join(names)}")
        if extra := [name for name in inputs if name not in names]:
            raise ValueError(f"there is no input {extra[0]}: the network takes {', '.join(names)}")
        return {name: np.asarray(inputs[name]) for name in names}

    def _finish(self, given: Mapping[str, Array], states: Sequence[_States]) -> dict[str, Array]:
        found = {
            port.name: port.tensor([self._real(port, each) for each in states], self._directions)
            for port in self.seam.outputs
        }
        return found if self._after is None else run_graph(self._after, {**given, **found})

    @property
    def _directions(self) -> int:
        return self.model.directions

    def _real(self, port: Port, states: _States) -> Array:
        """What a tensor holds of one sequence, in real numbers."""
        last = self.model.layers[-1]
        if port.kind == "logits":
            assert self.model.head is not None  # checked
            frac = self.model.head.weight_format.frac + self.model.head.input.frac
            return _softmax(np.ldexp(self.model.logits(states.output), -frac), port.softmax)
        values = states.cell if port.kind == "cell" else states.output
        real = (last.state if port.kind == "cell" else last.output).dequantise(values)
        return _chosen(real, port.moment, self._directions)

    def _check(self) -> None:
        """Whether the model is one of the part."""
        kinds = {port.kind for port in self.seam.outputs}
        if ("logits" in kinds) != (self.model.head is not None):
            raise ValueError(
                f"the model has {'a' if self.model.head else 'no'} head and the part "
                f"{'one' if 'logits' in kinds else 'none'}: pack {NAMES['part']} of the folder"
            )
        fed = next((port.moment for port in self.seam.outputs if port.kind == "logits"), None)
        if fed not in (None, self.model.pool):
            raise ValueError(
                f"the model feeds its head as {self.model.pool}, the part as {fed}: pack "
                f"{NAMES['part']} of the folder"
            )


def _model(folder: Path) -> Model:
    path = folder / NAMES["model"]
    if not path.is_file():
        raise CutFileError(
            f"{folder} has no {path.name}: pack {NAMES['part']} of it, and give the model"
        )
    return load_model(path)


def _chosen(real: Array, moment: str, directions: int) -> Array:
    """The frames (T, D * U) that a tensor holds: all of them, or (D * U,)."""
    if moment == "every":
        return real
    if moment == "mean":
        return np.asarray(real.mean(0))
    if moment == "last" or directions == 1:
        return np.asarray(real[-1])
    unit = real.shape[1] // 2
    return np.concatenate([real[-1, :unit], real[0, unit:]])


def _softmax(logits: Array, kind: str) -> Array:
    if not kind:
        return logits
    shifted = logits - logits.max(-1, keepdims=True)
    logarithm = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return np.asarray(logarithm if kind == "log_softmax" else np.exp(logarithm))


_TYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int16)": np.int16,
    "tensor(int8)": np.int8, "tensor(uint8)": np.uint8, "tensor(bool)": np.bool_,
}  # fmt: skip


def session_of(path: Path) -> Any:
    """ONNX Runtime's session of a graph; None where there is no file."""
    if not path.is_file():
        return None
    with needs("onnx"):
        import onnxruntime  # type: ignore[import-untyped]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # The runtime's errors have no common class.
        raise ValueError(f"{path}: ONNX Runtime does not take it ({_first(error)})") from error


def _takes(session: Any) -> list[str]:
    return [] if session is None else [each.name for each in session.get_inputs()]


def run_graph(session: Any, given: Mapping[str, Array]) -> dict[str, Array]:
    """Run a graph on what it takes of some arrays; its outputs by name.

    Raises
    ------
    ValueError
        If ONNX Runtime does not take them, one of them is empty, or one would be rounded.
    """
    fed = {each.name: _fed(each, given[each.name]) for each in session.get_inputs()}
    names = [each.name for each in session.get_outputs()]
    try:
        return dict(zip(names, session.run(names, fed), strict=True))
    except Exception as error:  # The runtime's errors have no common class.
        shapes = ", ".join(f"{name} {array.shape}" for name, array in fed.items())
        raise ValueError(f"ONNX Runtime does not take {shapes}: {_first(error)}") from error


def _fed(wanted: Any, given: Array) -> Array:
    """An array in the type of the graph, as long as that changes nothing but the last bits."""
    array = np.asarray(given)
    if not array.size:  # ONNX Runtime's LSTM ends the whole process
        raise ValueError(f"{wanted.name} has shape {array.shape}: give at least one of each axis")
    kind = np.dtype(_TYPES.get(wanted.type, array.dtype))
    if kind.kind in "iu" and array.dtype.kind == "f" and (array != np.floor(array)).any():
        raise ValueError(f"{wanted.name} is {array.dtype} with fractions: the graph takes {kind}")
    return array.astype(kind, copy=False)


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
