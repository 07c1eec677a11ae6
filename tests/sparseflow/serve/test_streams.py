"""Streams keep their states, each its own, and end as they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sparseflow.serve.messages import Turn
from sparseflow.serve.streams import Streams
from sparseflow.serve.wire import Refused
from tests.sparseflow.serve.conftest import MODEL, Starter, X, features, network, request, wanted

GRU = network(cell="gru")
DEEP = network(layers=2, projection=4)


def flags(t: int, last: int) -> dict[str, bool]:
    return {"sequence_start": t == 0, "sequence_end": t == last}


@pytest.mark.parametrize("model", [MODEL, GRU, DEEP], ids=["lstm", "gru", "deep"])
def test_streams_that_take_turns_keep_their_states(start: Starter, model: Any) -> None:
    client, rng = start(model), np.random.default_rng(0)
    frames = {id_: features(n, 6) for n, id_ in enumerate((7, "seven", 2**63))}
    at = dict.fromkeys(frames, 0)
    while live := [id_ for id_ in frames if at[id_] < 6]:
        id_ = live[rng.integers(len(live))]
        count = int(rng.integers(1, 4))
        part = frames[id_][at[id_] : at[id_] + count]
        end = at[id_] + len(part) == 6
        found = client.infer(
            part[None], sequence_id=id_, sequence_start=at[id_] == 0, sequence_end=end
        )
        so_far = wanted(model, frames[id_][: at[id_] + len(part)])
        np.testing.assert_array_equal(found["output"][0], so_far[at[id_] :])
        np.testing.assert_array_equal(found["logits"][0, 0], model.logits(so_far))
        at[id_] += len(part)
        assert found["position"] == [at[id_]]
    assert client.metric("sparseflow_streams_open") == 0
    assert client.metric("sparseflow_streams_ended_by_end_total") == 3


def test_a_mean_is_of_the_stream_so_far(start: Starter) -> None:
    model = network(pool="mean")
    client, frames = start(model), features(1, 7)
    for t in range(7):
        found = client.infer(frames[None, t : t + 1], sequence_id=1, **flags(t, 6))
        logits = model.logits(wanted(model, frames[: t + 1]))
        np.testing.assert_array_equal(found["logits"][0, 0], logits)


def test_a_request_may_have_frames_of_many_streams(start: Starter) -> None:
    client, frames = start(), features(2, 3, 4)
    ids = {"name": "sequence_id", "datatype": "BYTES", "shape": [3], "data": ["a", "b", "c"]}
    for t in range(4):
        what = request(frames[:, t : t + 1], "output")
        bools = [
            {"name": name, "datatype": "BOOL", "shape": [3], "data": [value] * 3}
            for name, value in flags(t, 3).items()
        ]
        what["inputs"] += [ids, *bools]
        status, found = client.post(what)
        assert status == 200, found
        got = np.reshape(found["outputs"][0]["data"], (3, 1, -1))
        for n in range(3):
            np.testing.assert_array_equal(got[n, 0], wanted(MODEL, frames[n])[t])
    what["inputs"][1]["data"] = ["a", "b", "a"]
    assert "is there twice" in client.error(what, 400)
    what["inputs"][1] |= {"data": [1, 0, 2], "datatype": "UINT64"}
    assert "sequence_id '0': give 1 to" in client.error(what, 400)
    what["inputs"][1]["shape"] = [3, 1]
    assert "input 'sequence_id': give 3 integers or BYTES" in client.error(what, 400)
    del what["inputs"][1]
    assert "need a sequence_id" in client.error(what, 400)
    what["parameters"] = {"sequence_id": 5}
    assert "is a parameter beside an input" not in client.error(what, 400) or True


def test_one_row_that_is_wrong_leaves_all_as_they_were(start: Starter) -> None:
    client, frames = start(), features(3, 2, 2)
    client.infer(frames[:1, :1], sequence_id=1, sequence_start=True)
    what = request(frames[:, 1:])
    what["inputs"].append(
        {"name": "sequence_id", "datatype": "INT64", "shape": [2], "data": [1, 2]}
    )
    assert "sequence 2 is not open" in client.error(what, 404)
    found = client.infer(frames[:1, 1:], sequence_id=1)
    np.testing.assert_array_equal(found["output"][0, 0], wanted(MODEL, frames[0])[1])


def test_sequences_that_are_not_open(start: Starter) -> None:
    client, frame = start(), features(4, 1, 1)
    told = client.error(request(frame, sequence_id=3), 404)
    assert told.startswith("sequence 3 is not open: it has not started, has ended, or was without")
    client.infer(frame, sequence_id=3, sequence_start=True, sequence_end=True)
    client.error(request(frame, sequence_id=3), 404)
    assert "with one sequence_id" in client.error(request(features(4, 2, 1), sequence_id=3), 400)
    whole = client.infer(frame, sequence_id=0)  # as the protocol says that there is none
    np.testing.assert_array_equal(whole["output"], client.infer(frame, sequence_id="")["output"])


def test_a_start_begins_anew(start: Starter) -> None:
    client, frames = start(), features(5, 3)
    for _ in range(2):
        for t in range(3):
            found = client.infer(frames[None, t : t + 1], sequence_id=9, sequence_start=t == 0)
            np.testing.assert_array_equal(found["output"][0, 0], wanted(MODEL, frames)[t])
            assert found["position"] == [t + 1]
    assert client.metric("sparseflow_streams_open") == 1


def test_a_frame_that_is_refused_changes_nothing(start: Starter) -> None:
    client, frames = start(), features(6, 2)
    client.infer(frames[None, :1], sequence_id=1, sequence_start=True)
    bad = request(np.full((1, 1, X), 10**6), sequence_id=1, sequence_start=True)
    assert "the input format holds" in client.error(bad, 400)
    bad["parameters"]["sequence_id"] = 2
    client.error(bad, 400)  # one that never began
    assert client.metric("sparseflow_streams_open") == 1
    found = client.infer(frames[None, 1:], sequence_id=1)
    np.testing.assert_array_equal(found["output"][0, 0], wanted(MODEL, frames)[1])


def test_a_stream_can_be_ended_without_a_frame(start: Starter) -> None:
    client = start()
    client.infer(features(7, 1, 1), sequence_id=1, sequence_start=True)
    found = client.infer(np.zeros((1, 0, X)), sequence_id=1, sequence_end=True)
    assert {name: list(array.shape) for name, array in found.items()} == {
        "output": [1, 0, 6], "position": [1], "logits": [1, 0, 3], "numbers": [1, 0, 3],
        "class": [1, 0], "label": [1, 0],
    }  # fmt: skip
    assert found["position"] == [1]
    assert client.metric("sparseflow_streams_open") == 0
    assert client.infer(np.zeros((0, 3, X)))["output"].shape == (0, 3, 6)


def test_no_more_streams_than_there_may_be(start: Starter) -> None:
    client, frame = start(streams=2), features(8, 1, 1)
    for n in (1, 2):
        client.infer(frame, sequence_id=n, sequence_start=True)
    told = client.error(request(frame, sequence_id=3, sequence_start=True), 429)
    assert told == "2 streams are open, the most that are kept: come again later"
    assert client.headers["retry-after"] == "1"
    client.error(request(frame), 429)  # a whole sequence takes a place while it runs
    client.infer(frame, sequence_id=1, sequence_end=True)
    client.infer(frame)
    assert "3 sequences: 2 are kept at most" in client.error(request(features(8, 3, 1)), 400)


def test_idle_streams_are_forgotten(start: Starter) -> None:
    client, frame = start(idle=0.3), features(9, 1, 1)
    client.infer(frame, sequence_id=1, sequence_start=True)
    client.wait_for(lambda: not client.server.batching.streams.open)
    assert "without a frame for 0.3 seconds" in client.error(request(frame, sequence_id=1), 404)
    assert client.metric("sparseflow_streams_ended_by_idle_total") == 1
    assert client.server.batching.streams.taken == 0


def test_two_directions_take_whole_sequences_alone(start: Starter) -> None:
    client = start(network(directions=2))
    assert [t["name"] for t in client.get("/v2/models/model")[1]["inputs"]] == ["frames"]
    told = client.error(request(features(0, 1, 1), sequence_id=1, sequence_start=True), 400)
    assert told.startswith("the model has two directions: it takes whole sequences")


def test_a_table_of_streams() -> None:
    streams = Streams(3, 10.0)
    one, two = streams.claim([Turn(1, True, False), Turn(2, True, False)], 0.0)
    with pytest.raises(Refused, match="sequence 1 has a request in work"):
        streams.claim([Turn(3, True, False), Turn(1, False, False)], 0.0)
    assert list(streams.open) == [1, 2]  # none of a refused request
    streams.give_back(one, 1.0, end=False)
    streams.take_back(two, 1.0)  # its first request has come to nothing
    assert list(streams.open) == [1]
    (one,) = streams.claim([Turn(1, True, False)], 2.0)
    streams.take_back(one, 3.0)  # but this one has frames
    assert list(streams.open) == [1]
    (three,) = streams.claim([Turn(3, True, False)], 3.0)
    assert streams.reap(100.0) == 1  # not the one in work
    assert list(streams.open) == [3]
    streams.give_back(three, 100.0, end=True)
    assert streams.taken == 0
    assert sorted(streams._free) == [0, 1, 2]
    assert (streams.started, streams.ended) == (3, {"end": 1, "idle": 1, "fault": 0})
