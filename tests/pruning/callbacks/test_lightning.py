"""The callback in Lightning's own trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import sparseflow as sf
from pruning.mask.resume import ResumeError
from tests.installed import brought

pytestmark = pytest.mark.slow
pl: Any = brought("lightning.pytorch")


def module() -> Any:
    class Net(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.lstm = nn.LSTM(4, 8, batch_first=True)
            self.head = nn.Linear(8, 3)

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            frames, labels = batch
            return nn.functional.cross_entropy(self.head(self.lstm(frames)[0][:, -1]), labels)

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), 0.01)

    return Net()


def data() -> DataLoader[Any]:
    torch.manual_seed(1)
    return DataLoader(TensorDataset(torch.randn(16, 5, 4), torch.arange(16) % 3), batch_size=4)


def pruning(**other: Any) -> Any:
    return sf.LightningPruning(
        "lstm", **{"banks": 2, "sparsity": 0.5, "steps": 4, "every": 2} | other
    )


def fit(folder: Path, net: Any, callback: Any, epochs: int, resumed: Path | None = None) -> Any:
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=[callback], accelerator="cpu", logger=False,
        default_root_dir=folder, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(net, data(), ckpt_path=resumed)
    return trainer


def test_it_is_a_callback_of_theirs_that_reaches_the_sparsity(tmp_path: Path) -> None:
    net, callback = module(), pruning()
    assert isinstance(callback, pl.Callback)
    trainer = fit(tmp_path, net, callback, 2)
    assert trainer.logged_metrics["sparsity"] == callback.pruner.sparsity() == 0.5
    plain = callback.squash()
    found = sf.quantise(callback.pruner, net.head, [torch.randn(5, 4).numpy()])
    assert found.model.layers[0].weight_hh.geometry.nonzeros == 2
    assert torch.equal(plain.weight_hh_l0, net.lstm.weight_hh_l0)


def test_a_run_that_goes_on_ends_in_the_same_bits(tmp_path: Path) -> None:
    whole = module()
    fit(tmp_path, whole, pruning(), 2)
    trainer = fit(tmp_path, module(), pruning(), 1)
    half = tmp_path / "half.ckpt"
    trainer.save_checkpoint(half)
    net, callback = module(), pruning()
    fit(tmp_path, net, callback, 2, half)
    assert callback.pruner.position == 8
    for name, tensor in whole.state_dict().items():
        assert torch.equal(net.state_dict()[name], tensor), name
    with pytest.raises(ResumeError, match="schedule"):
        fit(tmp_path, module(), pruning(every=3), 2, half)
