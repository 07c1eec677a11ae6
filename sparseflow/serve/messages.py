"""Requests and answers of inference, as the Open Inference Protocol has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from .tensors import Array, Tensor, datatype_of, read_tensor, write_bytes
from .wire import Refused, Request, Response

__all__ = ["HEADER_LENGTH", "Asked", "Turn", "read_inference", "write_inference"]

HEADER_LENGTH = "inference-header-content-length"
FRAMES, SEQUENCE = "frames", "sequence_id"
FLAGS = ("sequence_start", "sequence_end")
LONGEST = 128  # characters of an id
MOST_TIMEOUT = (1 << 63) - 1  # microseconds
_KNOWN = {SEQUENCE, *FLAGS, "timeout", "binary_data_output"}
Id = int | str


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    parameters: dict[str, Any] = {}


class _Inference(msgspec.Struct, forbid_unknown_fields=True):
    inputs: list[Tensor]
    id: str = ""
    parameters: dict[str, Any] = {}
    outputs: list[_Output] | None = None


_DECODER = msgspec.json.Decoder(_Inference)


@dataclass(slots=True)
class Turn:
    """A row of a request in its stream: which one, and whether it starts or ends here."""

    id: Id
    start: bool
    end: bool


@dataclass(slots=True)
class Asked:
    """A request for inference.

    Parameters
    ----------
    frames : array (B, T, X)
    turns : list of B Turn
        None for whole sequences.
    outputs : dict of str to bool
        What is wanted, and whether as bytes behind the JSON.
    id : str
        Of the client, given back.
    timeout : float
        Seconds that it may wait; 0 for the server's own.
    """

    frames: Array
    turns: list[Turn] | None
    outputs: Mapping[str, bool]
    id: str = ""
    timeout: float = 0.0
    answers: dict[str, Array] = field(default_factory=dict)


def read_inference(request: Request, inputs: int, outputs: list[str], most: int) -> Asked:
    """What a request asks.

    Parameters
    ----------
    request : Request
    inputs : int
        X, features of a frame.
    outputs : list of str
        That there are.
    most : int
        Frames of all its sequences together.

    Raises
    ------
    Refused
        Naming what is wrong.
    """
    header, raw = _parts(request)
    try:
        given = _DECODER.decode(header)
    except msgspec.DecodeError as error:
        raise Refused(400, f"the request: {error}") from None
    except RecursionError:
        raise Refused(400, "the request: nested too deeply") from None
    except UnicodeDecodeError:
        raise Refused(400, "the request: a text in it is no UTF-8") from None
    _check_parameters(given.parameters, _KNOWN, "parameter")
    arrays = _arrays(given, raw, inputs, most)
    frames = arrays.pop(FRAMES, None)
    if frames is None or frames.ndim != 3 or frames.shape[2] != inputs:
        told = "no input" if frames is None else f"shape {list(frames.shape)} of"
        raise Refused(400, f"{told} {FRAMES!r}: give (sequences, frames, {inputs})")
    if frames.dtype.kind not in "fiu":
        raise Refused(400, f"{FRAMES!r} are {datatype_of(frames)}: give numbers")
    turns = _turns(given.parameters, arrays, len(frames))
    wanted = _wanted(given, outputs)
    return Asked(frames, turns, wanted, given.id, _timeout(given.parameters))


def write_inference(asked: Asked, name: str, version: str) -> Response:
    """The answer, with the outputs that were asked for."""
    outputs, behind = list[dict[str, Any]](), list[bytes]()
    for output, binary in asked.outputs.items():
        array = asked.answers[output]
        about: dict[str, Any] = {
            "name": output,
            "datatype": datatype_of(array),
            "shape": array.shape,
        }
        if binary:
            behind.append(write_bytes(array))
            about["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            about["data"] = array.reshape(-1).tolist()
        outputs.append(about)
    answer = {"model_name": name, "model_version": version, "outputs": outputs}
    body = msgspec.json.encode(answer | {"id": asked.id} if asked.id else answer)
    if not behind:
        return Response(200, body)
    headers = {HEADER_LENGTH: str(len(body))}
    return Response(200, b"".join([body, *behind]), "application/octet-stream", headers)


def _parts(request: Request) -> tuple[bytes, memoryview | None]:
    """The JSON, and what lies behind it."""
    text = request.headers.get(HEADER_LENGTH.encode())
    if text is None:
        return request.body, None
    if not text.isdigit() or len(text) > 12 or int(text) > len(request.body):
        told = text[:20].decode("latin-1")
        raise Refused(400, f"{HEADER_LENGTH} {told!r}: the body has {len(request.body)} bytes")
    return request.body[: int(text)], memoryview(request.body)[int(text) :]


def _check_parameters(given: Mapping[str, Any], known: set[str], what: str) -> None:
    for name in given:
        if name not in known:
            there = ", ".join(sorted(known))
            raise Refused(400, f"{what} {name[:40]!r} is not known: there is {there}")


def _arrays(given: _Inference, raw: memoryview | None, inputs: int, most: int) -> dict[str, Array]:
    known, at, found = {FRAMES, SEQUENCE, *FLAGS}, 0, dict[str, Array]()
    for tensor in given.inputs:
        if tensor.name not in known or tensor.name in found:
            told = "twice" if tensor.name in found else "not known"
            there = ", ".join(sorted(known))
            raise Refused(400, f"input {tensor.name[:40]!r} is {told}: there is {there}")
        _check_parameters(tensor.parameters, {"binary_data_size"}, "parameter of an input")
        size = tensor.parameters.get("binary_data_size")
        part = None if size is None else _part(raw, at, size)
        at += len(part) if part is not None else 0
        found[tensor.name] = read_tensor(tensor, part, most * inputs)
    if raw is not None and at != len(raw):
        raise Refused(400, f"{len(raw)} bytes lie behind the JSON, and inputs take {at}")
    return found


def _part(raw: memoryview | None, at: int, size: Any) -> memoryview:
    there = 0 if raw is None else len(raw) - at
    if type(size) is not int or not 0 <= size <= there or raw is None:
        raise Refused(400, f"binary_data_size {str(size)[:40]}: {there} bytes lie behind the JSON")
    return raw[at : at + size]


def _turns(given: Mapping[str, Any], arrays: Mapping[str, Array], rows: int) -> list[Turn] | None:
    """Of which stream each row is, by a parameter or by an input of all."""
    if arrays:
        return _turns_of(given, arrays, rows)
    number = given.get(SEQUENCE, 0)
    start, end = (given.get(flag, False) for flag in FLAGS)
    if type(start) is not bool or type(end) is not bool:
        raise Refused(400, f"{' and '.join(FLAGS)} are true or false")
    if type(number) in (int, str) and not number:  # as the protocol says that there is none
        if start or end:
            raise Refused(400, f"{FLAGS[0]} and {FLAGS[1]} need a {SEQUENCE}")
        return None
    if rows != 1:
        raise Refused(400, f"{rows} sequences with one {SEQUENCE}: give them as an input, one each")
    return [Turn(_checked(number), start, end)]


def _turns_of(given: Mapping[str, Any], arrays: Mapping[str, Array], rows: int) -> list[Turn]:
    if twice := sorted({SEQUENCE, *FLAGS} & set(given)):
        raise Refused(400, f"{twice[0]} is a parameter beside an input: give one of them")
    for name, array in arrays.items():
        kinds, told = ("iuO", "integers or BYTES") if name == SEQUENCE else ("b", "BOOL")
        if array.shape != (rows,) or array.dtype.kind not in kinds:
            raise Refused(400, f"input {name!r}: give {rows} {told}, one for each sequence")
    if SEQUENCE not in arrays:
        raise Refused(400, f"{FLAGS[0]} and {FLAGS[1]} need a {SEQUENCE}")
    given_ids = arrays[SEQUENCE]
    numbers = given_ids.tolist()
    if given_ids.dtype == object or (given_ids <= 0).any():
        numbers = [_checked(number) for number in numbers]
    if len(set(numbers)) < rows:
        raise Refused(400, f"a {SEQUENCE} is there twice: a request has each stream once")
    flags = [arrays[f].tolist() if f in arrays else [False] * rows for f in FLAGS]
    return list(map(Turn, numbers, *flags))


def _checked(number: Any) -> Id:
    if type(number) is int and 0 < number < 1 << 64:
        return number
    if type(number) is str and 0 < len(number) <= LONGEST:
        return number
    told = f"1 to 2**64 - 1, or text of 1 to {LONGEST} characters"
    raise Refused(400, f"{SEQUENCE} {str(number)[:40]!r}: give {told}")


def _timeout(given: Mapping[str, Any]) -> float:
    """Seconds, of microseconds."""
    timeout = given.get("timeout", 0)
    if type(timeout) is not int or not 0 <= timeout <= MOST_TIMEOUT:
        raise Refused(400, f"timeout {str(timeout)[:40]}: give microseconds, 0 to 2**63 - 1")
    return timeout / 1e6


def _wanted(given: _Inference, outputs: list[str]) -> dict[str, bool]:
    """Outputs in the order in which they were asked for."""
    binary = given.parameters.get("binary_data_output", False)
    found = dict[str, bool]()
    for output in given.outputs if given.outputs else map(_Output, outputs):
        _check_parameters(output.parameters, {"binary_data"}, "parameter of an output")
        found[output.name] = output.parameters.get("binary_data", binary)
        if output.name not in outputs:
            there = ", ".join(outputs)
            raise Refused(400, f"output {output.name[:40]!r} is not known: there is {there}")
        if type(found[output.name]) is not bool:
            raise Refused(400, "binary_data and binary_data_output are true or false")
    return found
