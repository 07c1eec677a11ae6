"""Every endpoint of the Open Inference Protocol, right and wrong."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from sparseflow.serve.routes import EXTENSIONS
from tests.sparseflow.serve.conftest import (
    MODEL,
    NAMES,
    Client,
    R,
    Starter,
    X,
    arrays,
    features,
    network,
    request,
    wanted,
)

MOST = MODEL.layers[0].input.max


def test_the_server_says_what_it_is(client: Client) -> None:
    assert client.get("/v2") == (
        200,
        {"name": "sparseflow", "version": "0", "extensions": EXTENSIONS},
    )
    assert client.get("/v2/health/live") == (200, {"live": True})
    assert client.get("/v2/health/ready") == (200, {"ready": True})
    assert client.headers["content-type"] == "application/json"


@pytest.mark.parametrize("path", ["/v2/models/model", "/v2/models/model/versions/1"])
def test_the_model_says_what_it_takes_and_gives(client: Client, path: str) -> None:
    assert client.get(f"{path}/ready") == (200, {"name": "model", "ready": True})
    status, told = client.get(f"{path}/")
    assert (status, told["name"], told["versions"]) == (200, "model", ["1"])
    inputs, outputs = ({t["name"]: t for t in told[key]} for key in ("inputs", "outputs"))
    assert inputs["frames"] == {"name": "frames", "datatype": "FP32", "shape": [-1, -1, X]}
    answer = client.infer(features(0, 2, 3))
    assert list(answer) == list(outputs)
    for name, array in answer.items():
        shape = outputs[name]["shape"]
        assert array.ndim == len(shape)
        assert all(size in (-1, n) for size, n in zip(shape, array.shape, strict=True)), name
    status, found = client.post(request(features(0, 1, 1)), f"{path}/infer")
    assert (status, found["model_name"], found["model_version"]) == (200, "model", "1")
    assert [o["datatype"] for o in found["outputs"]] == [o["datatype"] for o in told["outputs"]]


def test_whole_sequences_have_the_bits_of_the_integer_model(client: Client) -> None:
    frames = features(1, 3, 4)
    found = client.infer(frames)
    for n, sequence in enumerate(frames):
        outputs = wanted(MODEL, sequence)
        np.testing.assert_array_equal(found["output"][n], outputs)
        logits = MODEL.logits(outputs)
        np.testing.assert_array_equal(found["logits"][n], [logits])
        np.testing.assert_array_equal(found["numbers"][n], [MODEL.numbers(outputs)])
        assert found["class"][n] == [logits.argmax()]
        assert found["label"][n] == [NAMES[logits.argmax()]]
    assert found["position"].tolist() == [4, 4, 4]


@pytest.mark.parametrize("pool", ["last", "hn", "mean", "every"])
@pytest.mark.parametrize("directions", [1, 2])
def test_the_head_is_fed_as_the_model_says(start: Starter, pool: str, directions: int) -> None:
    model = network(pool=pool, directions=directions)
    frames = features(2, 2, 5)
    found = start(model).infer(frames, "logits", "output")
    for n, sequence in enumerate(frames):
        outputs = wanted(model, sequence)
        np.testing.assert_array_equal(found["output"][n], outputs)
        np.testing.assert_array_equal(found["logits"][n], np.atleast_2d(model.logits(outputs)))


def test_a_model_without_a_head_gives_its_outputs(start: Starter) -> None:
    model = network(head=None, projection=4)
    client = start(model)
    found = client.infer(features(3, 1, 2))
    assert list(found) == ["output", "position"]
    np.testing.assert_array_equal(found["output"][0], wanted(model, features(3, 1, 2)[0]))
    told = client.error(request(features(3, 1, 2), "class"), 400)
    assert told == "output 'class' is not known: there is output, position"


def test_only_what_is_asked_for_is_given_in_that_order(client: Client) -> None:
    found = client.post(request(features(4, 1, 1), "class", "position") | {"id": "né 7"})[1]
    assert [o["name"] for o in found["outputs"]] == ["class", "position"]
    assert found["id"] == "né 7"


@pytest.mark.parametrize("datatype", ["INT8", "INT16", "INT32", "INT64", "UINT64"])
def test_integers_are_taken_as_they_are(client: Client, datatype: str) -> None:
    frames = np.random.default_rng(5).integers(0, 100, (1, 3, X))
    what = request(frames, "output")
    what["inputs"][0]["datatype"] = datatype
    found = arrays(client.post(what)[1])
    np.testing.assert_array_equal(found["output"][0], wanted(MODEL, frames[0]))


def test_lists_in_lists_and_wider_floats(client: Client) -> None:
    frames = features(6, 2, 2)
    what = request(frames, "output")
    flat = client.post(what)[1]
    what["inputs"][0] |= {"datatype": "FP64", "data": frames.tolist()}
    assert client.post(what)[1] == flat
    what["inputs"][0] |= {"data": [1, 2, 3, 4, 5], "shape": [1, 1, 5]}  # whole numbers are numbers
    assert client.post(what)[0] == 200


def test_tensors_may_lie_behind_the_json(client: Client) -> None:
    frames = features(7, 2, 3)
    about: dict[str, Any] = {"name": "frames", "datatype": "FP32", "shape": [2, 3, X]}
    about["parameters"] = {"binary_data_size": frames.nbytes}
    outputs: list[Any] = [{"name": n, "parameters": {"binary_data": n != "class"}}
                          for n in ("output", "class", "label")]  # fmt: skip
    text = json.dumps({"inputs": [about], "outputs": outputs}).encode()
    length = {"Inference-Header-Content-Length": str(len(text))}
    status, body = client.ask("POST", "/v2/models/model/infer", text + frames.tobytes(), **length)
    assert (status, client.headers["content-type"]) == (200, "application/octet-stream")
    size = int(client.headers["inference-header-content-length"])
    found, behind = json.loads(body[:size]), body[size:]
    want = client.infer(frames)
    sizes = [o.get("parameters", {}).get("binary_data_size", 0) for o in found["outputs"]]
    assert (sum(sizes), sizes[1]) == (len(behind), 0)
    got = np.frombuffer(behind[: sizes[0]], "<i4").reshape(2, 3, R)
    np.testing.assert_array_equal(got, want["output"])
    words = [str(word).encode() for word in want["label"].reshape(-1)]
    assert behind[sizes[0] :] == b"".join(len(w).to_bytes(4, "little") + w for w in words)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (b"", "the request: Input data was truncated"),
        (b"{", "the request: Input data was truncated"),
        (b"[]", "the request: Expected `object`, got `array`"),
        (b"\xff\xfe", "the request: JSON is malformed"),
        (b'{"inputs": [], "id": "\xff"}', "the request: a text in it is no UTF-8"),
        (b'{"inputs": [], "inputz": 1}', "the request: Object contains unknown field `inputz`"),
        (b'{"inputs": ' + b"[" * 100000, "the request: "),
        (b'{"inputs": [], "parameters": {"a": ' + b"[" * 100000, "the request: nested too deeply"),
        ({"inputs": []}, "no input 'frames': give (sequences, frames, 5)"),
        ({"inputs": [{}]}, "the request: Object missing required field `name` - at `$.inputs[0]`"),
    ],
)
def test_what_is_no_request(client: Client, change: Any, told: str) -> None:
    assert client.error(change, 400).startswith(told)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"shape": [1, 1, 4]}, "shape [1, 1, 4], 4 elements, and 5 are given"),
        ({"shape": [1, 5]}, "shape [1, 5] of 'frames': give (sequences, frames, 5)"),
        ({"shape": [5, 1, 1]}, "shape [5, 1, 1] of 'frames': give (sequences, frames, 5)"),
        ({"shape": [-1, -1, 5]}, "shape [-1, -1, 5]: give 1 to 3 sizes from 0"),
        ({"shape": []}, "shape []: give 1 to 3 sizes"),
        ({"shape": [1] * 9}, "shape [1, 1, 1, 1]: give 1 to 3 sizes"),
        ({"shape": [1, 1, "5"]}, "Expected `int`, got `str` - at `$.inputs[0].shape[2]`"),
        ({"shape": [1, 1, 2**70]}, "elements: 20480 are taken at most"),
        ({"shape": [2**40, 2**40, 5]}, "elements: 20480 are taken at most"),
        ({"shape": [10**4000] * 3}, "[2**13287..., 2**13287..., 2**13287...], 2**39863... elem"),
        ({"shape": [-(10**4000)]}, "has shape [-2**13287...]: give 1 to 3 sizes from 0"),
        ({"shape": [10**6, 0, 5], "data": []}, "beside a 0, multiplied, are 20480 at most"),
        ({"shape": [0, 2**62, 5], "data": []}, "beside a 0, multiplied, are 20480 at most"),
        ({"shape": [0, 10**30, 5], "data": []}, "beside a 0, multiplied, are 20480 at most"),
        ({"shape": [2**62, 2**62, 0], "data": []}, "beside a 0, multiplied, are 20480 at most"),
        ({"datatype": "FP16"}, "input 'frames': datatype 'FP16': give FP32, FP64"),
        ({"datatype": "BOOL"}, "data: Expected `bool`, got `float` - at `$[0]`"),
        ({"datatype": "BYTES", "data": ["a"] * 5}, "'frames' are BYTES: give numbers"),
        ({"datatype": "INT8"}, "data: Expected `int`, got `float` - at `$[0]`"),
        ({"datatype": "INT8", "data": [1, 2, 3, 4, 128]}, "has 128: INT8 holds -128 to 127"),
        ({"datatype": "INT32", "data": [2**32] * 5}, "has 4294967296: INT32 holds -2147483648"),
        ({"datatype": "UINT64", "data": [-1] * 5}, "has -1: UINT64 holds 0 to 18446744073709"),
        ({"datatype": "INT64", "data": [10**400] * 5}, "has 2**1328...: INT64 holds -9223372036"),
        ({"datatype": "INT64", "data": [2**32] * 5}, "[0, 0, 0] are 4294967296: the input format"),
        ({"datatype": "INT32", "data": [0, 0, MOST + 1, 0, 0]}, f"[0, 0, 2] are {MOST + 1}:"),
        ({"data": [1, 2, 3, 4, True]}, "data: Expected `float`, got `bool` - at `$[4]`"),
        ({"data": [1, 2, 3, 4, None]}, "data: Expected `float`, got `null` - at `$[4]`"),
        ({"data": [1, 2, 3, 4, "5"]}, "data: Expected `float`, got `str` - at `$[4]`"),
        ({"data": [1, 2, 3, 4, float("nan")]}, "JSON is malformed"),
        ({"data": [1, 2, 3, 4, float("inf")]}, "JSON is malformed"),
        ({"data": [1, 2, 3, 4, 1e39]}, "raw feature at (0, 0, 4) is inf"),
        ({"data": 5}, "data: Expected `array`, got `int`"),
        ({"data": {"a": 1}}, "data: Expected `array`, got `object`"),
        ({"data": [[[1, 2, 3, 4], [5]]]}, "lists of other lengths than shape [1, 1, 5]"),
        ({"data": [[1, 2, 3, 4, 5]]}, "data: Expected `array`, got `int` - at `$[0][0]`"),
        ({"name": "x" * 999}, f"input '{'x' * 40}' is not known: there is frames"),
        ({"parameters": {"binary_data_size": 20}}, "binary_data_size 20: 0 bytes lie behind"),
        ({"parameters": {"shared_memory_region": "x"}}, "of an input 'shared_memory_region'"),
    ],
)  # fmt: skip
def test_what_is_no_tensor(client: Client, change: dict[str, Any], told: str) -> None:
    what = request(np.full((1, 1, X), 0.5))
    what["inputs"][0] |= change
    assert told in client.error(what, 400)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"parameters": {"sequence_strat": True}},
            "parameter 'sequence_strat' is not known: there",
        ),
        ({"parameters": {"timeout": -1}}, "timeout -1: give microseconds"),
        ({"parameters": {"timeout": 10**400}}, "0: give microseconds, 0 to 2**63 - 1"),
        ({"parameters": {"timeout": True}}, "timeout True: give microseconds"),
        ({"parameters": []}, "Expected `object`, got `array` - at `$.parameters`"),
        ({"parameters": {"sequence_start": True}}, "need a sequence_id"),
        ({"parameters": {"sequence_id": -1}}, "sequence_id '-1': give 1 to 2**64 - 1"),
        ({"parameters": {"sequence_id": 2**64}}, "give 1 to 2**64 - 1, or text"),
        ({"parameters": {"sequence_id": 1.5}}, "sequence_id '1.5'"),
        ({"parameters": {"sequence_id": True}}, "sequence_id 'True'"),
        ({"parameters": {"sequence_id": "x" * 129}}, "text of 1 to 128 characters"),
        ({"parameters": {"sequence_id": 1, "sequence_start": 1}}, "are true or false"),
        ({"outputs": [{"name": "nothing"}]}, "output 'nothing' is not known: there is output"),
        ({"outputs": [{"name": "class", "parameters": {"classification": 3}}]}, "'classification'"),
        ({"parameters": {"binary_data_output": 1}}, "are true or false"),
        ({"id": 5}, "Expected `str`, got `int` - at `$.id`"),
    ],
)
def test_what_is_no_parameter(client: Client, change: dict[str, Any], told: str) -> None:
    assert told in client.error(request(np.zeros((1, 1, X))) | change, 400)


@pytest.mark.parametrize("shape", [[0, 2**62, 2**62], [1, 2**62, 0], [10**30, 0]])
def test_what_is_no_list_of_streams(client: Client, shape: list[int]) -> None:
    what = request(np.zeros((1, 1, X)))
    given = {"name": "sequence_id", "shape": shape, "datatype": "UINT64", "data": []}
    what["inputs"].append(given)
    assert "beside a 0, multiplied, are 20480 at most" in client.error(what, 400)


@pytest.mark.parametrize("directions", [1, 2])
def test_sequences_without_a_frame_are_counted_too(start: Starter, directions: int) -> None:
    client = start(network(directions=directions), streams=3)
    for count in (0, 3):
        found = client.infer(np.zeros((count, 0, X)))
        assert found["output"].shape[:2] == (count, 0)
        assert found["position"].tolist() == [0] * count
    told = client.error(request(np.zeros((4, 0, X))), 400)
    assert told == "4 sequences: 3 are kept at most"
    assert client.server.batching.streams.taken == 0


@pytest.mark.parametrize(
    ("length", "told"),
    [
        ("x", "inference-header-content-length 'x': the body has"),
        ("-1", "'-1': the body has"),
        ("999999999999", "'999999999999': the body has"),
        ("0", "the request: Input data was truncated"),
    ],
)
def test_what_is_no_length(client: Client, length: str, told: str) -> None:
    header = {"Inference-Header-Content-Length": length}
    status, body = client.ask("POST", "/v2/models/model/infer", b"{}", **header)
    assert status == 400
    assert told in json.loads(body)["error"]


@pytest.mark.parametrize(
    ("size", "more", "told"),
    [
        (20, b"", "binary_data_size 20: 0 bytes lie behind"),
        (-1, b"x" * 20, "binary_data_size -1: 20 bytes lie behind"),
        ("20", b"x" * 20, "binary_data_size 20: 20 bytes"),
        (20, b"x" * 21, "21 bytes lie behind the JSON, and inputs take 20"),
        (19, b"x" * 19, "19 bytes are no FP32"),
        (16, b"x" * 16, "5 elements, and 4 are given"),
        (20, np.full(5, np.nan, "<f4").tobytes(), "raw feature at (0, 0, 0) is nan"),
    ],
)
def test_what_lies_wrongly_behind_the_json(
    client: Client, size: Any, more: bytes, told: str
) -> None:
    given: dict[str, Any] = {"name": "frames", "datatype": "FP32", "shape": [1, 1, 5]}
    given["parameters"] = {"binary_data_size": size}
    text = json.dumps({"inputs": [given]}).encode()
    length = {"Inference-Header-Content-Length": str(len(text))}
    status, body = client.ask("POST", "/v2/models/model/infer", text + more, **length)
    assert status == 400
    assert told in json.loads(body)["error"]


def test_paths_and_methods_that_are_none(client: Client) -> None:
    for path, told in [
        ("/", "'/' is no path of the Open Inference Protocol, nor /metrics"),
        ("/v2/models/other/infer", "model 'other' is not served here: there is 'model'"),
        ("/v2/models/model/versions/2", "'/v2/models/model/versions/2' is no path"),
        ("/v2/models/%2e%2e/%2e%2e/etc/passwd", "model '..' is not served here"),
        ("/v2/" + "x" * 5000, f"'/v2/{'x' * 96}' is no path"),
    ]:
        status, found = client.get(path)
        assert (status, found["error"][: len(told)]) == (404, told)
    assert client.ask("DELETE", "/v2")[0] == 405
    assert client.headers["allow"] == "GET, HEAD"
    assert client.ask("GET", "/v2/models/model/infer")[0] == 405
    assert client.headers["allow"] == "POST"
    assert client.ask("HEAD", "/v2/health/live") == (200, b"")
    assert client.get("/v2/models/mod%65l?x=1")[0] == 200


def test_metrics_are_prometheus(client: Client) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    before = client.metric("sparseflow_frames_total")
    client.infer(features(8, 2, 3))
    client.error(b"", 400)
    text = client.ask("GET", "/metrics")[1].decode()
    assert client.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert client.metric("sparseflow_frames_total") == before + 6
    assert client.metric('sparseflow_requests_total{status="400"}') >= 1
    assert {"sparseflow_request_seconds", "sparseflow_streams_open", "sparseflow_waiting"} <= {
        *families
    }
