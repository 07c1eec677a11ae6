"""Two gloo processes, compiled modules: the same masks everywhere."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from pruning.mask.agreement import unwrapped
from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Linear
from pruning.mask.views import Banks

WORKER = """
import os
import sys
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.schedule import Linear, Regrowth
from pruning.mask.views import Banks

folder, *scores = sys.argv[1:]
torch.set_num_threads(1)
dist.init_process_group("gloo")
rank = dist.get_rank()


def train(score):
    torch.manual_seed(0)
    inner = nn.LSTM(12, 16, 2, proj_size=8)
    module = DistributedDataParallel(inner)
    goals = goals_for(inner, Goal(Banks(2), 0.5))
    moves = Regrowth(2, 20, fraction=1.0)
    pruner = Pruner(module, goals, Linear(0, 4), score, moves, mask_gradients=True)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    pruner.attach(optimizer)
    data = torch.Generator().manual_seed(100 + rank)
    masks = []
    for step in range(10):
        optimizer.zero_grad()
        module(torch.randn(5, 3, 12, generator=data))[0].square().sum().backward()
        for name in pruner.matrices:
            assert not pruner.weight(name).grad[~pruner.mask(name)].any(), "gradient not masked"
        optimizer.step()
        pruner.step()
        masks.append({name: pruner.mask(name).clone() for name in pruner.matrices})
    torch.save({"masks": masks, "module": inner.state_dict()}, f"{folder}/{score}-{rank}.pt")


for score in scores:
    train(score)
dist.barrier()
# Everything is saved. A module that was once wrapped holds its gloo threads for ever, and one
# that is still letting go of a tensor when Python ends aborts the process, pruner or not: so
# Python does not end.
sys.stdout.flush()
sys.stderr.flush()
os._exit(0)
"""


SCORES = ("magnitude", "taylor")
# --standalone takes a free port itself and keeps it.
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
ENVIRONMENT = {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_two_ranks_with_other_data_have_identical_masks(tmp_path: Path) -> None:
    # One launch for all scores: starting Python and torch costs most of the time.
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    made = subprocess.run(
        [*TORCHRUN, str(script), str(tmp_path), *SCORES],
        env=os.environ | ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert made.returncode == 0, f"exit status {made.returncode}:\n{made.stdout}\n{made.stderr}"
    for score in SCORES:
        first, second = (
            torch.load(tmp_path / f"{score}-{rank}.pt", weights_only=True) for rank in (0, 1)
        )
        check_equal_ranks(first, second)


def check_equal_ranks(first: dict[str, Any], second: dict[str, Any]) -> None:
    for ours, theirs in zip(first["masks"], second["masks"], strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(first["masks"][3]["weight_hh_l0"], first["masks"][5]["weight_hh_l0"])
    assert int(first["masks"][-1]["weight_hh_l0"].sum()) == 64 * 8 / 2
    for name, tensor in first["module"].items():
        assert torch.equal(tensor, second["module"][name])


class Cells(nn.Module):
    def __init__(self, cell: nn.LSTMCell | nn.GRUCell) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, frames: Tensor) -> Tensor:
        state: Any = None
        for frame in frames:
            state = self.cell(frame, state)
        last: Tensor = state[0] if isinstance(state, tuple) else state
        return last


# Graphs that torch.compile makes of a forward pass: it leaves nn.LSTM as it is.
COMPILED: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "linear": (lambda: nn.Linear(12, 8), 1),
    "lstm": (lambda: nn.LSTM(12, 8), 0),
    "lstm cell": (lambda: Cells(nn.LSTMCell(12, 8)), 1),
    "gru cell": (lambda: Cells(nn.GRUCell(12, 8)), 1),
}
SLOW = pytest.param("inductor", marks=pytest.mark.slow)  # compiles C++


def trained(module: Any, pruner: Pruner[Any], optimizer: torch.optim.Optimizer) -> None:
    frames = torch.randn(4, 3, 12, generator=torch.Generator().manual_seed(1))
    for _ in range(3):
        optimizer.zero_grad()
        made = module(frames)
        (made[0] if isinstance(made, tuple) else made).square().sum().backward()
        optimizer.step()
        pruner.step()


@pytest.mark.parametrize("backend", ["eager", "aot_eager", SLOW])
@pytest.mark.parametrize("kind", COMPILED)
def test_compiled_training_is_masked(kind: str, backend: str) -> None:
    make, graphs = COMPILED[kind]
    torch.manual_seed(0)
    module: Any = make()
    plain = copy.deepcopy(module)
    torch._dynamo.reset()
    counters.clear()
    compiled: Any = torch.compile(module, backend=backend)
    runs = []
    for net, inside in ((compiled, module), (plain, plain)):
        pruner = Pruner(net, goals_for(inside, Goal(Banks(2), 0.5)), Linear(0, 2))
        assert pruner.module is inside
        trained(net, pruner, torch.optim.Adam(inside.parameters(), lr=0.01))
        runs.append(pruner)
    assert counters["stats"]["unique_graphs"] == graphs
    for name in runs[0].matrices:
        mask = runs[0].mask(name)
        assert torch.equal(mask, runs[1].mask(name))
        assert not runs[0].weight(name)[~mask].any()
        assert torch.allclose(runs[0].weight(name), runs[1].weight(name), atol=1e-5)
    assert type(runs[0].squash()) is type(plain)


def test_squash_forgets_what_was_noted_for_ddp() -> None:
    module = nn.Linear(12, 8)
    pruner = Pruner(module, {"weight": Goal(Banks(2), 0.5)})
    assert hasattr(module, "_ddp_params_and_buffers_to_ignore")
    assert not hasattr(pruner.squash(), "_ddp_params_and_buffers_to_ignore")
    assert unwrapped(module) is module
