"""Checkpoints that claim more than they store are refused before the memory is taken."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch

from pruning.files.network import load_network
from pruning.importers import import_model
from pruning.importers.checkpoint import CheckpointError, save_tensors
from tests.csb_format.files.test_claims import in_limits


def refused(path: Path, match: str) -> None:
    def checked() -> None:
        with pytest.raises(CheckpointError, match=match):
            load_network(path)

    in_limits(checked)


@pytest.mark.parametrize("zipped", [True, False])
def test_expanded_tensors_are_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "x.pt"
    weights = {"head.weight": torch.zeros(1).expand(2**20, 2**15)}
    torch.save({"state_dict": weights}, path, _use_new_zipfile_serialization=zipped)
    refused(path, r"state_dict.head.weight of shape \(1048576, 32768\) claims .*contiguous")


def test_one_tensor_under_many_names_is_refused(tmp_path: Path) -> None:
    path, tensor = tmp_path / "x.pt", torch.zeros(1 << 18)
    torch.save({f"w{n}": tensor for n in range(1000)}, path)
    refused(path, r"claim \d+ bytes in a file of")


def test_tied_weights_are_read(tmp_path: Path) -> None:
    path, tensor = tmp_path / "x.pt", torch.ones(300, 300)
    torch.save({"a": tensor, "b": tensor, "c": tensor.T}, path)
    assert set(import_model(path).state_dict) == {"a", "b", "c"}


def test_a_packed_archive_is_refused(tmp_path: Path) -> None:
    plain, path = tmp_path / "x.pt", tmp_path / "y.pt"
    torch.save({"w": torch.zeros(1 << 22)}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    refused(path, r"has \d+ bytes and unpacks to \d+")


def test_matrices_that_do_not_fit_make_no_module_of_their_sizes(tmp_path: Path) -> None:
    """Inputs of one matrix times units of another: 4 TB, from 100 kB."""
    path = tmp_path / "x.safetensors"
    save_tensors(path, {
        "weight_ih_l0": torch.zeros(1, 10**5), "weight_hr_l0": torch.zeros(1, 10**5),
        "weight_hh_l0": torch.zeros(4 * 10**5, 1),
    })  # fmt: skip
    refused(path, "weight_ih_l0 of shape")
