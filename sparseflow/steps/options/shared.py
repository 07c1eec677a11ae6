"""Options that several commands have, with their defaults and ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from compiler.array.screen.design import LARGEST, MOST_TOP

from .said import Said
from .words import EngineName, PoolName

__all__ = [
    "PLACER_SEED",
    "SEED",
    "BoardName",
    "Cocotb",
    "Contexts",
    "Engine",
    "HeadFed",
    "HeadName",
    "Ignored",
    "Lanes",
    "Largest",
    "LstmName",
    "Masks",
    "ModelFile",
    "Pes",
    "Planes",
    "Scheduler",
    "Seed",
]

SEED = 0


PLACER_SEED = 1


Seed = Annotated[
    int, Said("Of every random choice; same seed, same result.", least=0, most=2**32 - 1)
]


Pes = Annotated[
    int,
    Said("Processing elements (M): rows worked on at once; a multiple of 4.", least=4, multiple=4),
]


Lanes = Annotated[
    int, Said("Multipliers in each (N); must divide the banks of the model.", least=1)
]


Contexts = Annotated[
    int,
    Said(
        "Streams whose states the array keeps: their frames fill each other's waits (see fit).",
        least=1,
        most=65536,
    ),
]


Largest = Annotated[
    int | None,
    Said(
        "Of a model packed with --screen: logits that a unit behind the array finds of each "
        f"frame's; 0 leaves the head to the host. Default: {LARGEST}.",
        least=0,
        most=MOST_TOP,
    ),
]


Planes = Annotated[
    int,
    Said(
        "Of a model packed with --screen: bits of a bus, 64, 128, 256 or 512, over which the unit "
        "reads the head's planes from a memory outside; 0: they lie on the chip.",
    ),
]


Masks = Annotated[Path | None, Said("Masks kept in a file of their own (NNI, torch.ao.pruning).")]


Engine = Annotated[EngineName, Said("Processes of this machine, or a Dask cluster.")]


Scheduler = Annotated[
    str,
    Said(
        "Address of a Dask scheduler, a cluster of its own by default; for Slurm a folder that all "
        "nodes see, by default where results are kept."
    ),
]


HeadFed = Annotated[
    PoolName | None,
    Said(
        "How the head is fed: last (output at the last frame), hn (final state of each direction), "
        "mean (over time), every (at every frame). Default: as the file says, else last, or every "
        "where the data has a label for each frame.",
        name="--pool",
    ),
]


LstmName = Annotated[
    str | None,
    Said(
        "Of a larger network's state dict, the recurrent module for the array by its name: "
        "encoder.lstm; cells for cells.0, cells.1, ...; docs/partial.md has more."
    ),
]


HeadName = Annotated[
    str | None,
    Said(
        "Of a larger network, the linear layer on its output; several that follow each other with "
        "a ReLU between, `fc1,fc2`, or the name of their nn.Sequential."
    ),
]


Ignored = Annotated[
    list[str] | None,
    Said("Modules or patterns of tensors to leave out ('norm*', '*'), which is told; repeat it."),
]


Cocotb = Annotated[
    int, Said("First sequences that cocotb runs too, on Verilator; 0 for none.", least=0)
]


ModelFile = Annotated[Path, Said("Model that `pack` wrote.", argument=True)]


BoardName = Annotated[
    str, Said("See `sparseflow boards`; or a file of yours, my_board.toml.", name="--board")
]
