"""Times the engine of whatever tree is on the path, for :mod:`bench.speed.exact_model`.

A line of input is a case, a line of output its milliseconds of CPU time a step of the batch. Only
names that trees have had since their engine has a room are used.
"""

from __future__ import annotations

import ast
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from csb_format.random_models import random_frames, random_network
from engine.exact import FastModel


@cache
def _case(text: str) -> tuple[Callable[[], object], int]:
    """What to run, and its steps."""
    shape, batch, one_by_one, steps = ast.literal_eval(text)
    rng = np.random.default_rng(0)
    model = random_network(rng, **shape, value_bits=8)
    fast, frames = FastModel(model), random_frames(rng, model, [steps] * batch)
    run = (lambda: _steps(fast, np.stack(frames))) if one_by_one else (lambda: fast.run(frames))
    run()  # compiles
    return run, steps


def _steps(fast: FastModel, frames: Any) -> None:
    state = fast.start(len(frames))
    for t in range(frames.shape[1]):
        state = fast.step(frames[:, t], state)


def main() -> None:
    """Answer until there are no more cases."""
    if sys.argv[1:]:
        print("usage: python -m bench.speed.exact_worker < CASES", file=sys.stderr)
        raise SystemExit(2)
    for line in sys.stdin:
        run, steps = _case(line)
        began = time.thread_time()
        run()
        print(1000 * (time.thread_time() - began) / steps, flush=True)


if __name__ == "__main__":
    main()
