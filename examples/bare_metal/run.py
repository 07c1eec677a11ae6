"""Run the bare machine: ``python -m examples.bare_metal.run``. Needs Icarus and the extra slow."""

import shutil
import subprocess
from pathlib import Path

from ..machine import BUS, compile_c, deliver, given, hex_words, needed, simulated

HERE = Path(__file__).resolve().parent
BASE = 0x8000_0000
MODEL_BYTES = 8 << 16  # memory of models in machine.v
CYCLES = 300_000  # after which nothing is expected any more, and for each word that is sent or came
CYCLES_PER_WORD = 100


def main() -> None:
    """Deliver, compile, simulate."""
    asked = given(__doc__, "build/bare_metal")
    picorv32 = needed("pythondata_cpu_picorv32") / "verilog" / "picorv32.v"
    if not shutil.which("iverilog"):
        raise SystemExit("error: iverilog is missing: sudo apt-get install iverilog")
    files = deliver(asked, BASE)
    program = compile_c(asked.out, HERE, [])
    (asked.out / "program.hex").write_text(hex_words(program, 32))
    model = (asked.out / "rtl" / "sparseflow_model.bin").read_bytes()
    if len(model) > MODEL_BYTES:
        raise SystemExit(
            f"error: the models take {len(model):,} bytes, the machine's memory has "
            f"{MODEL_BYTES:,}: raise MODEL_BITS of machine.v, or give smaller ones"
        )
    (asked.out / "model.hex").write_text(hex_words(model, BUS.data_bits))
    sources = [str(p.resolve()) for p in (HERE / "machine.v", picorv32, *files.paths)]
    (asked.out / "sources.txt").write_text("\n".join(sources) + "\n")
    most = CYCLES + CYCLES_PER_WORD * (len(program) + len(model)) // 4
    command = ["iverilog", "-g2005", "-o", "soc", "-s", "bench", f"-Pbench.MOST={most}"]
    command += [str(HERE / "bench.v"), *sources]
    subprocess.run(command, cwd=asked.out, check=True)
    simulated(["vvp", "soc"], asked.out)


if __name__ == "__main__":
    main()
