from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.ao.pruning.sparsifier.weight_norm_sparsifier import WeightNormSparsifier
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm

from pruning.importers import Imported, import_model
from pruning.importers.checkpoint import CheckpointError, UnsupportedLayerError
from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.views import Banks

MATRICES = ("lstm.weight_ih_l0", "lstm.weight_hh_l0", "out.weight")


class Classifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.lstm, self.out = nn.LSTM(8, 4), nn.Linear(4, 8)


def saved(folder: Path, content: Any, name: str = "model.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


def assert_plain(found: Imported) -> None:
    """Loads strictly into the unpruned module, and no weight lies outside its mask."""
    Classifier().load_state_dict(found.state_dict)
    for name, mask in found.masks.items():
        assert mask.dtype == torch.bool
        assert not found.state_dict[name][~mask].any()


def half_masks() -> dict[str, Tensor]:
    torch.manual_seed(4)
    state = Classifier().state_dict()
    return {name: torch.rand_like(state[name]) < 0.5 for name in MATRICES}


def masked_state() -> dict[str, Tensor]:
    masks = half_masks()
    return {n: t * masks[n] if n in masks else t for n, t in Classifier().state_dict().items()}


def nni_masks() -> dict[str, dict[str, Tensor | None]]:
    masks = {name: mask.float() for name, mask in half_masks().items()}
    return {
        "lstm": {name[5:]: mask for name, mask in masks.items() if name.startswith("lstm")},
        "out": {"weight": masks["out.weight"], "bias": None, "_output_0": torch.ones(8)},
    }


def test_torch_prune_gives_product_mask_and_dense_weights(tmp_path: Path) -> None:
    model = Classifier()
    for module, name in ((model.lstm, "weight_hh_l0"), (model.out, "weight")):
        prune.l1_unstructured(module, name, 0.5)
    dense = model.state_dict()["lstm.weight_hh_l0_orig"].clone()
    found = import_model(saved(tmp_path, model.state_dict()))
    assert_plain(found)
    assert found.source == "torch: torch.nn.utils.prune"
    assert list(found.masks) == ["lstm.weight_hh_l0", "out.weight"]
    assert torch.equal(found.dense["lstm.weight_hh_l0"], dense)
    assert torch.equal(found.state_dict["out.weight"], model.out.weight.detach())


def test_torch_prune_without_its_mask_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, {"out.weight_orig": torch.ones(2, 2)})
    with pytest.raises(CheckpointError, match=r"out\.weight_orig has no out\.weight_mask: save"):
        import_model(path)


def sparsified() -> tuple[Classifier, WeightNormSparsifier]:
    model = Classifier()
    sparsifier = WeightNormSparsifier(1.0, sparse_block_shape=(1, 4), zeros_per_block=2)
    sparsifier.prepare(model, [{"tensor_fqn": "lstm.weight_hh_l0"}, {"tensor_fqn": "out.weight"}])
    sparsifier.step()
    return model, sparsifier


def test_ao_pruning_with_the_state_of_its_sparsifier(tmp_path: Path) -> None:
    model, sparsifier = sparsified()
    path = saved(tmp_path, model.state_dict())
    masks = saved(tmp_path, sparsifier.state_dict(), "masks.pt")
    found = import_model(path, masks)
    assert_plain(found)
    assert found.source == "torch: torch.ao.pruning sparsifier"
    assert torch.equal(found.state_dict["out.weight"], model.out.weight.detach())
    assert list(found.dense) == ["lstm.weight_hh_l0", "out.weight"]


def test_ao_pruning_whose_masks_were_not_saved_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, sparsified()[0].state_dict())
    with pytest.raises(CheckpointError, match=r"weight_hh_l0\.original has no mask.*squash_mask"):
        import_model(path)


def test_ao_pruning_after_squashing_is_plain_zeros(tmp_path: Path) -> None:
    model, sparsifier = sparsified()
    sparsifier.squash_mask()
    found = import_model(saved(tmp_path, model.state_dict()))
    assert_plain(found)
    assert found.source == "torch: plain zeros"
    assert list(found.masks) == ["lstm.weight_hh_l0", "out.weight"]


def test_masks_inside_parametrisations(tmp_path: Path) -> None:
    state = masked_state()
    dense = Classifier().out.weight.detach()
    state["out.parametrizations.weight.original"] = dense
    state["out.parametrizations.weight.0.mask"] = half_masks()["out.weight"].float()
    expected = state.pop("out.weight")
    found = import_model(saved(tmp_path, state))
    assert_plain(found)
    assert found.source == "torch: parametrised masks + plain zeros"
    assert torch.equal(found.state_dict["out.weight"], expected)
    assert torch.equal(found.dense["out.weight"], dense)


def test_our_own_pruner_before_squashing(tmp_path: Path) -> None:
    lstm = nn.LSTM(8, 4)
    pruner = Pruner(lstm, {"weight_hh_l0": Goal(Banks(2), 0.5)})
    with torch.no_grad():
        lstm.get_parameter("weight_hh_l0")[pruner.mask("weight_hh_l0")] = 0  # kept, though zero
    found = import_model(saved(tmp_path, lstm.state_dict()))
    assert found.source == "torch: masks beside their weights"
    assert torch.equal(found.masks["weight_hh_l0"], pruner.mask("weight_hh_l0"))
    nn.LSTM(8, 4).load_state_dict(found.state_dict)


def test_our_own_pruner_in_a_training_checkpoint(tmp_path: Path) -> None:
    model = Classifier()
    pruner = Pruner(model, goals_for(model, Goal(Banks(2), 0.5)))
    content = {"model": model.state_dict(), "pruner": pruner.state_dict(), "epoch": 3}
    found = import_model(saved(tmp_path, content))
    assert set(found.masks) == {*MATRICES}
    assert found.notes == ("beside 'model', left alone: epoch, pruner",)
    assert_plain(found)


def test_masks_of_our_own_pruner_as_a_file(tmp_path: Path) -> None:
    model = Classifier()
    pruner = Pruner(model, goals_for(model, Goal(Banks(2), 0.5)))
    weights = saved(tmp_path, pruner.squash().state_dict())
    buffers = dict(model.named_buffers())
    found = import_model(weights, saved(tmp_path, buffers, "masks.pt"))
    assert all(torch.equal(found.masks[name], pruner.mask(name)) for name in MATRICES)


def test_a_mask_buffer_that_contradicts_its_weight(tmp_path: Path) -> None:
    lstm = nn.LSTM(8, 4)
    pruner = Pruner(lstm, {"weight_hh_l0": Goal(Banks(2), 0.5)})
    row, column = torch.nonzero(~pruner.mask("weight_hh_l0"))[0].tolist()
    with torch.no_grad():
        lstm.get_parameter("weight_hh_l0")[row, column] = 1.5
    message = rf"weight_hh_l0 is 1.5 at \({row}, {column}\), outside its mask"
    with pytest.raises(CheckpointError, match=message):
        import_model(saved(tmp_path, lstm.state_dict()))


def test_other_parametrisations_are_refused(tmp_path: Path) -> None:
    model = Classifier()
    weight_norm(model.out)
    path = saved(tmp_path, model.state_dict())
    with pytest.raises(UnsupportedLayerError, match=r"out\.parametrizations\.weight\.original0"):
        import_model(path)
    path = saved(tmp_path, {"out.weight_g": torch.ones(2, 1), "out.weight_v": torch.ones(2, 2)})
    with pytest.raises(UnsupportedLayerError, match=r"out\.weight_g: weight normalisation"):
        import_model(path)


def test_nni_masks_with_weights(tmp_path: Path) -> None:
    masks = saved(tmp_path, nni_masks(), "masks.pt")
    found = import_model(saved(tmp_path, masked_state()), masks)
    assert_plain(found)
    assert found.source == "torch: NNI masks"
    assert found.notes == ("out._output_0: a mask of activations, left out",)
    assert all(torch.equal(found.masks[n], mask) for n, mask in half_masks().items())


def test_nni_masks_alone(tmp_path: Path) -> None:
    found = import_model(saved(tmp_path, nni_masks(), "masks.pt"))
    assert found.state_dict == {}
    assert list(found.masks) == list(MATRICES)
    assert "masks without weights" in found.notes[-1]


def test_nonzero_weights_outside_a_mask_are_named(tmp_path: Path) -> None:
    masks = saved(tmp_path, nni_masks(), "masks.pt")
    path = saved(tmp_path, Classifier().state_dict())
    with pytest.raises(
        CheckpointError, match=r"lstm\.weight_ih_l0 is -?0\.\d+ at \(\d+, \d+\), out"
    ):
        import_model(path, masks)


def test_plain_masks_in_a_file_of_their_own(tmp_path: Path) -> None:
    safetensors.torch.save_file(half_masks(), tmp_path / "masks")
    found = import_model(saved(tmp_path, masked_state()), tmp_path / "masks")
    assert_plain(found)
    assert list(found.masks) == list(MATRICES)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt", "weights"])
def test_safetensors_is_known_by_content(tmp_path: Path, name: str) -> None:
    masks = half_masks()
    tensors = masked_state() | {f"{n}.mask": mask for n, mask in masks.items()}
    safetensors.torch.save_file(tensors, tmp_path / name)
    found = import_model(tmp_path / name)
    assert_plain(found)
    assert found.source == "safetensors: masks beside their weights"
    assert all(torch.equal(found.masks[n], mask) for n, mask in masks.items())


@given(st.integers(0, 2**32 - 1), st.sampled_from([torch.float32, torch.bfloat16, torch.float16]))
def test_zeros_are_masks_in_any_precision(
    tmp_path_factory: pytest.TempPathFactory, seed: int, dtype: torch.dtype
) -> None:
    torch.manual_seed(seed)
    gru = nn.GRU(5, 3, num_layers=2, bidirectional=True).to(dtype)
    state = {n: t * (torch.rand(t.shape) < 0.5).to(dtype) for n, t in gru.state_dict().items()}
    found = import_model(saved(tmp_path_factory.mktemp("zeros"), state))
    assert list(found.state_dict) == list(state)
    assert all(torch.equal(found.mask(n), t != 0) for n, t in state.items() if t.ndim == 2)
    gru.load_state_dict(found.state_dict)


@pytest.mark.parametrize(
    "module",
    [
        nn.LSTM(6, 5, num_layers=2, bidirectional=True, proj_size=3),
        nn.GRU(6, 5, bidirectional=True, bias=False),
        nn.LSTMCell(6, 5),
    ],
)
def test_every_recurrent_module_is_taken_whole(tmp_path: Path, module: nn.Module) -> None:
    found = import_model(saved(tmp_path, module.state_dict()))
    assert found.source == "torch: dense weights"
    assert found.masks == {}
    module.load_state_dict(found.state_dict)


def test_training_checkpoint_is_unwrapped_and_says_what_is_left(tmp_path: Path) -> None:
    path = saved(tmp_path, {"state_dict": masked_state(), "epoch": 3, "optimizer": {}})
    found = import_model(path)
    assert_plain(found)
    assert found.notes == ("beside 'state_dict', left alone: epoch, optimizer",)


def test_old_torch_files_are_read(tmp_path: Path) -> None:
    torch.save(masked_state(), tmp_path / "old", _use_new_zipfile_serialization=False)
    assert_plain(import_model(tmp_path / "old"))


class _Malicious:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.target, "executed")


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("as_masks", [True, False])
def test_pickled_code_does_not_run(tmp_path: Path, zipped: bool, as_masks: bool) -> None:
    trace, path = tmp_path / "trace", tmp_path / "evil.pt"
    content = {"out.weight": _Malicious(trace)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    good = saved(tmp_path, masked_state())
    with pytest.raises(CheckpointError, match="not unpickled as it could run code"):
        import_model(good, path) if as_masks else import_model(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the file must be dangerous for this test to mean anything"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"w": torch.ones(2, 2), "epoch": 3}, r"'epoch' is a int, not a tensor"),
        ({}, "holds no tensors"),
        ([torch.ones(2)], "holds a list: save model.state_dict"),
        ({"w": torch.ones(2, 2).to_sparse()}, "w is a torch.sparse_coo tensor"),
        ({"w": torch.zeros(2, 2), "w_mask": torch.full((2, 2), 0.5)}, "mask of w holds 0.5"),
        ({"w": torch.zeros(2, 2), "w.mask": torch.ones(2, 3)}, r"w has shape \(2, 3\), its weight"),
        (
            {"w_orig": torch.zeros(2, 2), "w_mask": torch.ones(3, 2)},
            r"mask of w has shape \(3, 2\)",
        ),
    ],
)
def test_bad_content_is_named(tmp_path: Path, content: Any, match: str) -> None:
    path = saved(tmp_path, content)
    with pytest.raises(CheckpointError, match=match):
        import_model(path)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is empty: it is no file of"),
        (b"\x89HDF\r\n\x1a\n", "it is no file of torch.save, safetensors or ONNX"),
        (b"PK\x03\x04broken", "is no plain state dict"),
        (b"\x10" + bytes(7) + b"{broken.........", "damaged safetensors"),
    ],
)
def test_other_and_damaged_files_are_named(tmp_path: Path, data: bytes, match: str) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(CheckpointError, match=match):
        import_model(tmp_path / "file")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.pt is no file"):
        import_model(tmp_path / "gone.pt")


def test_masks_of_another_model_are_named(tmp_path: Path) -> None:
    path = saved(tmp_path, masked_state())
    masks = saved(tmp_path, {"rnn": {"weight": torch.ones(2, 2)}}, "masks.pt")
    with pytest.raises(CheckpointError, match=r"a mask of rnn\.weight and no such weight \(found"):
        import_model(path, masks)
    with pytest.raises(CheckpointError, match="holds masks alone: give the weights first"):
        import_model(masks, masks)


def test_buffer_called_mask_stays_a_buffer(tmp_path: Path) -> None:
    found = import_model(saved(tmp_path, {"w": torch.ones(2, 2), "causal_mask": torch.ones(3)}))
    assert list(found.state_dict) == ["w", "causal_mask"]
    assert found.notes == ("causal_mask: no weight causal, taken for an ordinary buffer",)
