"""What a small file claims costs no more than a small file."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from csb_format import Fixed, Geometry, ModelFileError, load_model, save_model
from csb_format.csb import Csb
from csb_format.files import sealed
from csb_format.files.claims import PLACES, PLACES_A_BYTE, check_claims
from csb_format.files.matrixfile import PackedMatrix, load_matrices, save_matrices
from csb_format.random_models import random_network

MB = 1 << 20


def in_limits(call: Callable[[], object], seconds: float = 2.0, megabytes: int = 200) -> None:
    """Run a call with no more memory than it has and this, and no more time than that."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = pages * resource.getpagesize() + megabytes * MB
    started = time.process_time()
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        call()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.process_time() - started < seconds


def refused(call: Callable[[], object], match: str) -> None:
    def checked() -> None:
        with pytest.raises(ModelFileError, match=match):
            call()

    in_limits(checked)


@pytest.mark.parametrize(
    "claim",
    [
        {"banks": 10**9, "columns": 10**9, "bank_width": 1},
        {"banks": 8, "columns": 8, "bank_width": 65536},
        {"banks": 1, "columns": 65536, "bank_width": 65536, "rows": 2**50},
        {"banks": 2**62, "columns": 2**62, "bank_width": 65536, "rows": 2**62},
    ],
)
@pytest.mark.parametrize("kind", ["model", "matrices"])
def test_empty_banks_beyond_any_memory_are_refused(
    kind: str, claim: dict[str, int], tmp_path: Path
) -> None:
    path = tmp_path / "x.safetensors"
    model = random_network(np.random.default_rng(0), 8, 64, 8, (1, 1, 1))
    if kind == "model":
        save_model(path, model)
        header, tensors = sealed.decode(path, kind)
        header["layers"][0]["weight_ih"] |= {"nonzeros": 0} | claim
        tensors["layers.0.weight_ih"] = np.zeros(0, np.uint8)
    else:
        save_matrices(path, {"w": PackedMatrix(model.layers[0].weight_ih, Fixed(16, 12))})
        header, tensors = sealed.decode(path, kind)
        header["matrices"]["w"]["geometry"] |= {"nonzeros": 0} | claim
        tensors["w"] = np.zeros(0, np.uint8)
    del header["sha256"]
    path.write_bytes(sealed.encode(header, tensors))
    load = load_model if kind == "model" else load_matrices
    refused(lambda: load(path), r"x.safetensors: '.*w.*' claims \d+ rows of \d+ banks .*save")


def test_many_layers_share_one_limit() -> None:
    one = Geometry(1 << 10, 1 << 10, 1, 0)
    check_claims({f"w{n}": one for n in range(4)}, 0)
    with pytest.raises(ModelFileError, match="at most"):
        check_claims({f"w{n}": one for n in range(5)}, 0)


def test_the_sparsest_sensible_matrix_is_read(tmp_path: Path) -> None:
    """One weight kept of 2,048, more places than any file may claim without bytes for them."""
    geometry = Geometry(4 * 512, 4096, 2, 1, 16)
    values = np.ones((geometry.rows, 1, 2), np.int32)
    matrix = Csb(geometry, values, np.zeros(values.shape, np.uint16))
    path = tmp_path / "x.safetensors"
    save_matrices(path, {"w": PackedMatrix(matrix, Fixed(16, 12))})
    assert geometry.rows * geometry.columns > PLACES
    assert path.stat().st_size * PLACES_A_BYTE > geometry.rows * geometry.columns
    assert load_matrices(path)["w"].matrix.equals(matrix)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused_and_not_waited_for(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "x")
    with pytest.raises(OSError, match=r"is a (folder|pipe)"):
        load_model(tmp_path / "x")


def test_a_device_without_end_is_refused() -> None:
    def checked() -> None:
        with pytest.raises(OSError, match="save it as a file"):
            load_model("/dev/zero")

    in_limits(checked)


def test_a_header_that_claims_a_header_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes((2**63).to_bytes(8, "little") + json.dumps({}).encode())
    refused(lambda: load_model(path), "no safetensors file, or a truncated or damaged one")
