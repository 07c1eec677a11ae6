"""What callbacks share, without the packages that they are for."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from pruning.callbacks.loop import Loop


def net() -> nn.ModuleDict:
    torch.manual_seed(0)
    return nn.ModuleDict({"lstm": nn.LSTM(4, 8), "head": nn.Linear(8, 2)})


def test_only_the_part_is_pruned_and_the_optimizer_drives() -> None:
    module, loop = net(), Loop("lstm", banks=2, sparsity=0.5, steps=2, every=1)
    loop.begin(module)
    other = torch.optim.SGD(module["head"].parameters(), 0.1)
    mine = torch.optim.SGD(module["lstm"].parameters(), 0.1)
    loop.attach([other, mine])
    loop.attach([other, mine])  # a second training with the same callback steps once, not twice
    for _ in range(2):
        module["lstm"](torch.ones(3, 4))[0].sum().backward()
        mine.step()
    assert loop.pruner.position == 2
    plain = loop.squash()
    assert isinstance(plain, nn.LSTM)
    assert plain.get_parameter("weight_hh_l0").count_nonzero() == 8 * 32 / 2
    assert module["head"].get_parameter("weight").all()


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"sparsity = 2: must be a number, 0 to 1"):
        Loop(sparsity=2)
    with pytest.raises(TypeError, match=r"part = an? LSTM"):
        Loop(nn.LSTM(2, 2))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="nothing is pruned yet"):
        _ = Loop().pruner
    with pytest.raises(ValueError, match=r"part = 'rnn': ModuleDict has no .*there are lstm, head"):
        Loop("rnn").begin(net())
    module, loop = net(), Loop("lstm", banks=2, sparsity=0.5)
    loop.begin(module)
    with pytest.raises(ValueError, match="no optimizer trains weight_ih_l0"):
        loop.attach([torch.optim.SGD(module["head"].parameters(), 0.1)])


BARRED = """
import sys
sys.modules[{package!r}] = None
import csb_format.extras as extras
extras._extras = lambda: {{"train": {{"torch"}}, {package!r}: {{"torch", {package!r}}}}}
import sparseflow as sf
try:
    sf.{name}
except ModuleNotFoundError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("package", "name"),
    [("lightning", "LightningPruning"), ("transformers", "TransformersPruning")],
)
def test_a_missing_package_names_its_extra(package: str, name: str) -> None:
    code = BARRED.format(package=package, name=name)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"pip install -e '.[{package}]'" in found.stdout
