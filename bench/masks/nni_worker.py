"""NNI's balance mode in the interpreter that has NNI; started by :mod:`bench.masks.mask_makers`.

Reads lines: ``load FILE GRAIN SPARSITY`` (a float32 matrix as .npy), ``prune`` (answers the
CPU seconds of ``compress()``), ``mask FILE``. It imports nothing of this project.
"""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

import numpy as np
import torch

warnings.simplefilter("ignore")

try:
    from nni.compression.pytorch.pruning import LevelPruner
except ImportError as error:
    raise SystemExit(
        f"error: {error}: this interpreter has no nni 2.10.1; bench/masks/cost.py says at its top "
        "how to make one that has"
    ) from None


def pruner_of(weight: torch.Tensor, grain: int, sparsity: float) -> Any:
    rows, columns = weight.shape
    untyped: Any = torch.nn.utils.skip_init
    linear = untyped(torch.nn.Linear, columns, rows, bias=False)
    linear.weight = torch.nn.Parameter(weight.clone())
    config = [{"sparsity": sparsity, "op_types": ["Linear"]}]
    model = torch.nn.Sequential(linear)
    return LevelPruner(model, config, mode="balance", balance_gran=[1, grain])


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # NNI prints what it likes
    torch.set_num_threads(1)
    for line in sys.stdin:
        command, *given = line.rstrip("\n").split("\t")
        if command == "load":
            weight = torch.from_numpy(np.load(given[0], allow_pickle=False))
            grain, sparsity, answer = int(given[1]), float(given[2]), "loaded"
        elif command == "prune":
            pruner = pruner_of(weight, grain, sparsity)
            start = time.process_time()
            _, masks = pruner.compress()
            answer = repr(time.process_time() - start)
        else:
            np.save(given[0], masks["0"]["weight"].numpy() != 0, allow_pickle=False)
            answer = "saved"
        print(answer, file=answers, flush=True)


if __name__ == "__main__":
    main()
