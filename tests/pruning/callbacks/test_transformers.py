"""The callback in the Trainer of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import sparseflow as sf
from pruning.mask.resume import ResumeError
from tests.installed import brought

pytestmark = pytest.mark.slow
hf = brought("transformers")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(4, 8, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, frames: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.head(self.lstm(frames)[0][:, -1])
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def data() -> list[dict[str, Tensor]]:
    torch.manual_seed(1)
    return [{"frames": torch.randn(5, 4), "labels": torch.tensor(n % 3)} for n in range(16)]


def pruning(**other: Any) -> Any:
    given = {"banks": 2, "sparsity": 0.5, "steps": 4, "every": 2} | other
    return sf.TransformersPruning("lstm", **given)


def trainer(folder: Path, net: Net, callback: Any, epochs: int = 2) -> Any:
    arguments = hf.TrainingArguments(
        output_dir=str(folder), num_train_epochs=epochs, per_device_train_batch_size=4,
        save_steps=4, logging_steps=1, report_to=[], use_cpu=True, disable_tqdm=True, seed=3,
    )  # fmt: skip
    return hf.Trainer(net, arguments, train_dataset=data(), callbacks=[callback])


def test_it_is_a_callback_of_theirs_that_reaches_the_sparsity(tmp_path: Path) -> None:
    net, callback = Net(), pruning()
    assert isinstance(callback, hf.TrainerCallback)
    loop = trainer(tmp_path, net, callback)
    loop.train()
    shares = [row["sparsity"] for row in loop.state.log_history if "loss" in row]
    assert shares == sorted(shares)
    assert shares[-1] == callback.pruner.sparsity() == 0.5
    assert callback.pruner.position == 8
    found = sf.quantise(callback.pruner, net.head, [torch.randn(5, 4).numpy()])
    assert found.model.layers[0].weight_hh.geometry.nonzeros == 2


def test_a_run_that_goes_on_ends_in_the_same_bits(tmp_path: Path) -> None:
    whole = Net()
    trainer(tmp_path, whole, pruning()).train()
    half = str(tmp_path / "checkpoint-4")
    net, callback = Net(), pruning()
    trainer(tmp_path, net, callback).train(resume_from_checkpoint=half)
    assert callback.pruner.position == 8
    for name, tensor in whole.state_dict().items():
        assert torch.equal(net.state_dict()[name], tensor), name
    with pytest.raises(ResumeError, match="schedule"):
        trainer(tmp_path, Net(), pruning(every=3)).train(resume_from_checkpoint=half)
    late = trainer(tmp_path, Net(), pruning())
    late.remove_callback(sf.TransformersPruning)
    late.add_callback(pruning())
    with pytest.raises(RuntimeError, match=r"Trainer\(callbacks="):
        late.train(resume_from_checkpoint=half)
