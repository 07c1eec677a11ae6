"""Your own LSTM, from PyTorch to Verilog of which every bit has been compared."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

import sparseflow as sf

if TYPE_CHECKING:
    from sim.check.verify import Verification


def main(build: Path = Path("build/quickstart"), simulator: str = "icarus") -> "Verification":
    # A network of your own, and inputs like those it will see: (frames, features) each.
    torch.manual_seed(0)
    lstm, head = nn.LSTM(8, 16), nn.Linear(16, 3)
    inputs = [np.random.default_rng(n).normal(size=(4, 8)).astype(np.float32) for n in range(2)]

    # Prune: every bank of a row keeps equally many weights. Masks stay on while you train:
    # fine-tune here, with `pruner.attach(optimizer, drive=True)`; squash() gives a plain
    # nn.LSTM back.
    pruner = sf.prune(lstm, banks=4, sparsity=0.5)
    print(f"{pruner.sparsity():.0%} of the weights removed")

    # Quantise: integers in compressed sparse banks, a file that no longer needs PyTorch.
    model = sf.quantise(pruner, head, inputs).model
    build.mkdir(parents=True, exist_ok=True)
    sf.save(model, build / "model.safetensors")

    # Compile and emit: an array of 4 x 4 multipliers as Verilog, its memories as images.
    image = sf.compile(model, pes=4, lanes=4)
    sf.emit(image, build / "verilog")

    # Verify: every state and every cycle of the simulated Verilog against the models.
    result = sf.verify(image, inputs, simulator=simulator, work=build / "simulation")
    print(f"{result.comparison.values} states, {result.mismatches} mismatches")
    print(f"{result.steps[0]} cycles a step, as predicted: {result.cycle_mismatch is None}")
    return result


if __name__ == "__main__":
    argparse.ArgumentParser(description="From an LSTM of PyTorch to compared Verilog.").parse_args()
    main()
