"""Your own LSTM, from PyTorch to Verilog of which every bit has been compared."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from compiler.array.needs import design_for
from compiler.lower.compile import compile_model
from csb_format import save_model
from engine.reference import IntegerModel
from hdl.verilog import emit_verilog
from pruning.integers.quantise import quantise
from pruning.mask.goals import Goal, goals_for
from pruning.mask.pruner import Pruner
from pruning.mask.views import Banks
from sim.check.verify import Verification, verify


def main(build: Path = Path("build/quickstart"), simulator: str = "icarus") -> Verification:
    # A network of your own, and inputs like those it will see: (frames, features) each.
    torch.manual_seed(0)
    lstm, head = nn.LSTM(8, 16), nn.Linear(16, 3)
    inputs = [np.random.default_rng(n).normal(size=(4, 8)).astype(np.float32) for n in range(2)]

    # Prune: every bank of a row keeps equally many weights. Masks stay on while you train:
    # fine-tune here, with `pruner.attach(optimizer)`; squash() gives a plain nn.LSTM back.
    pruner = Pruner(lstm, goals_for(lstm, Goal(Banks(4), sparsity=0.5)))

    # Pack: integers in compressed sparse banks, a file that no longer needs PyTorch.
    model = quantise(pruner.squash(), head, pruner.geometries(), inputs).model
    build.mkdir(parents=True, exist_ok=True)
    save_model(build / "model.safetensors", model)

    # Emit: an array of 4 x 4 multipliers as Verilog, its memories as images.
    image = compile_model(model, design_for(model, pes=4, lanes=4))
    files = emit_verilog(image.design, build / "verilog", image)

    # Verify: every state and every cycle of the simulated Verilog against the models.
    integers = IntegerModel(model)
    frames = integers.quantise(inputs)
    result = verify(integers, image, files, frames, build, simulator=simulator)
    print(f"{result.comparison.values} states, {result.comparison.mismatches} mismatches")
    print(f"{result.steps[0]} cycles a step, as predicted: {result.cycle_mismatch is None}")
    return result


if __name__ == "__main__":
    main()
