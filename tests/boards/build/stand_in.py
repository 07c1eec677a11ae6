"""Instead of nextpnr and the packer: prints a log, and writes what the next one reads.

Run as a script by :func:`boards.tools.run.run_tool`; ``plan.json`` in its folder says what becomes
of a placer with a seed: a clock in MHz, or ``frozen``, ``endless``, ``unplaced`` or
``broken``.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

CELLS = {
    "link.accelerator.core.pe0.result_TRELLIS_FF_Q_1": "TRELLIS_FF",
    "link.accelerator.core.pe1.result_TRELLIS_FF_Q_1": "TRELLIS_FF",
    "link.master.uart_in.busy_LUT4_Z": "TRELLIS_COMB",
}


def value(name: str) -> str:
    """Of an option."""
    return sys.argv[sys.argv.index(name) + 1]


def place(megahertz: float) -> None:
    """What nextpnr leaves."""
    report = {
        "fmax": {"clk": {"achieved": megahertz, "constraint": 50}},
        "utilization": {"TRELLIS_COMB": {"used": 1, "available": 9}},
        "critical_paths": [],
    }
    Path(value("--report")).write_text(json.dumps(report))
    cells = {name: {"type": kind} for name, kind in CELLS.items()}
    Path(value("--write")).write_text(json.dumps({"modules": {"top": {"cells": cells}}}))
    Path(value("--textcfg")).write_text(f"{value('--placer')} {value('--seed')}\n")


def main() -> int:
    """One run."""
    if "--placer" not in sys.argv:  # the packer: config in, bits out
        config, bits = map(Path, sys.argv[-2:])
        bits.write_bytes(config.read_bytes())
        return 0
    found = json.loads(Path("plan.json").read_text())[f"{value('--placer')} {value('--seed')}"]
    print("Info: Running a stand-in...")
    if found == "frozen":
        for n in range(2000):
            print(f"Info: overlap: COMB={max(1.0, 90 - n):.1f}%, RAM=27.6%", flush=True)
        time.sleep(300)
    if found == "endless":
        time.sleep(300)
    if found == "unplaced":
        print("ERROR: Unable to find legal placement for all cells")
    elif found == "broken":
        print("ERROR: unsupported cell")
    else:
        place(found)
    return int(isinstance(found, str))


if __name__ == "__main__":
    sys.exit(main())
