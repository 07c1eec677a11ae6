"""Train a dense network on a data file: one nn.LSTM and a linear head, to be pruned afterwards.

The head answers every frame where the data has an answer for each, else once a sequence.
``sparseflow prune --val`` scores it.
"""

import argparse
from pathlib import Path

import torch
from torch import nn

from pruning.files.network import Classifier
from pruning.importers.checkpoint import save_weights
from pruning.tasks.data.datasets import SequenceData, load_sequences
from pruning.tasks.networks.sequence import Training, train


def network(data: SequenceData, units: int, seed: int) -> Classifier:
    """New weights for the frames and answers of a file."""
    outputs = int(data.labels.max()) + 1 if data.targets is None else data.targets.shape[1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        lstm, head = nn.LSTM(data.width, units), nn.Linear(units, outputs)
    return Classifier(lstm, head, "every" if data.framewise else "last")


def told(epoch: int, epochs: int, loss: float) -> None:
    print(f"epoch {epoch} of {epochs}: loss {loss:.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="A dense network for a data file.")
    parser.add_argument("data", type=Path, help="what to train on (.npz)")
    parser.add_argument("out", type=Path, help="where the weights go (.safetensors)")
    parser.add_argument("--units", type=int, default=64, help="of the LSTM")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=32, help="sequences a step")
    parser.add_argument("--noise", type=float, help="on the frames; see sparseflow prune --help")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    data = load_sequences(given.data)
    model = network(data, given.units, given.seed)
    how = Training(batch=given.batch, noise=given.noise)
    train(model, data, given.epochs, given.seed, told, settings=how)
    save_weights(given.out, model)
    print(f"{given.out}: nn.LSTM({data.width}, {given.units})")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:  # a file that is not there, or something else
        raise SystemExit(f"error: {error}") from None
