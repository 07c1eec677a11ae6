"""Run an accelerator in a LiteX SoC: ``python -m examples.litex.run``. Needs the extra slow."""

import sys
from pathlib import Path

from sim.run.processes import VERILATOR_MAKE, watched

from ..machine import MOST_SECONDS, compile_c, deliver, given, hex_words, needed, simulated

HERE = Path(__file__).resolve().parent
BASE = 0x4000_0000  # where soc.py has the memory of models
WORD = 32  # bits of LiteX's memories
VERILATE = ("--cc", "--exe", "--build", "-j", "2", "-O3", "-Wno-fatal", "--no-timing",
            "-MAKEFLAGS", "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O1", "--top-module", "soc",
            "--Mdir", "objects", "-o", "../simulation")  # fmt: skip


def main() -> None:
    """Deliver, build the SoC, compile its program, simulate."""
    asked = given(__doc__, "build/litex")
    needed("litex")
    needed("pythondata_cpu_picorv32")
    out = asked.out
    deliver(asked, BASE)
    soc = [sys.executable, "-m", "examples.litex.emit", str(out / "rtl"), str(out)]
    watched("LiteX", soc, out / "litex.log", MOST_SECONDS)
    program = compile_c(out, HERE, [])
    (out / "soc_rom.init").write_text(hex_words(program, WORD))
    model = (out / "rtl" / "sparseflow_model.bin").read_bytes()
    (out / "soc_models.init").write_text(hex_words(model, WORD))
    sources = (out / "sources.txt").read_text().split()
    build = ["verilator", *VERILATE, "soc.v", *sources, str(HERE / "bench.cpp")]
    extra = {"MAKEFLAGS": VERILATOR_MAKE}
    log = out / "verilator.log"
    watched("Verilator", build, log, MOST_SECONDS, folder=out, extra=extra)
    simulated([str(out.resolve() / "simulation")], out)


if __name__ == "__main__":
    main()
