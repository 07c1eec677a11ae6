"""What parity and check words cost: cells and clock of an array with them and without.

``python -m bench.harm.protection --json bench/results/protection.json`` places and routes a small
array for a board, twice; minutes each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from boards.build.timing import measured
from csb_format.random_models import random_model

from ..record import write_record

BOARD = "ecpix5"
ARRAY = (4, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the placer")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    model = random_model(np.random.default_rng(0), 8, 16, banks=4, k_ih=1, k_hh=2)
    rows = []
    for checked in (False, True):
        found = measured(BOARD, model, *ARRAY, given.seed, checked=checked)
        rows.append({"board": BOARD, "array": "4 x 2", "checked": checked} | found)
        print(rows[-1], flush=True)
    if given.json:
        write_record(given.json, "bench.harm.protection", given.seed, rows)


if __name__ == "__main__":
    main()
