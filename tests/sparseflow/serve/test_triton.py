"""Triton's own client talks to the server."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.installed import brought
from tests.sparseflow.serve.conftest import MODEL, Client, X, features, wanted


@pytest.mark.slow
@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client(client: Client, binary: bool) -> None:
    http: Any = brought("tritonclient.http")
    triton = http.InferenceServerClient(f"127.0.0.1:{client.port}")
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("model", "1")
    assert triton.get_server_metadata()["name"] == "sparseflow"
    assert triton.get_model_metadata("model")["inputs"][0]["shape"] == [-1, -1, X]
    frames = features(0, 1, 4)

    def ask(part: Any, **parameters: Any) -> Any:
        given = http.InferInput("frames", list(part.shape), "FP32")
        given.set_data_from_numpy(part, binary_data=binary)
        outputs = [http.InferRequestedOutput(name, binary) for name in ("output", "label")]
        return triton.infer("model", [given], outputs=outputs, **parameters)

    whole, outputs = ask(frames, request_id="a", timeout=5_000_000), wanted(MODEL, frames[0])
    np.testing.assert_array_equal(whole.as_numpy("output")[0], outputs)
    assert whole.get_response()["id"] == "a"
    label = whole.as_numpy("label")[0, 0]
    assert (label.decode() if binary else label) in MODEL.label_names
    for t in range(4):
        part = frames[:, t : t + 1]
        found = ask(part, sequence_id=7, sequence_start=t == 0, sequence_end=t == 3)
        np.testing.assert_array_equal(found.as_numpy("output")[0, 0], outputs[t])
    with pytest.raises(Exception, match=r"\[404\] sequence 7 is not open"):
        ask(frames, sequence_id=7)
