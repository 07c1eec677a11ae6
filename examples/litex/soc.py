"""A LiteX SoC with a Sparseflow accelerator. Needs litex and pythondata-cpu-picorv32."""

import contextlib
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

from litex.build.generic_platform import Pins
from litex.build.sim import SimPlatform
from litex.gen import ClockDomain
from litex.soc.integration.export import get_csr_header, get_mem_header
from litex.soc.integration.soc_core import SoCCore
from litex.soc.interconnect.csr import CSRStorage

PROGRAM, MODELS, REGISTERS = 0x1000_0000, 0x4000_0000, 0x9000_0000
PROGRAM_BYTES, STACK_BYTES = 1 << 16, 1 << 14
IO = [("sys_clk", 0, Pins(1)), ("sys_rst", 0, Pins(1)), ("done", 0, Pins(32))]


def wrapper(folder: Path) -> ModuleType:
    """The module that lies beside the Verilog."""
    found = sorted(folder.glob("*_litex.py"))
    if len(found) != 1:
        raise SystemExit(
            f"error: {folder} holds {len(found)} files *_litex.py: give the folder of one top, "
            "sparseflow verilog --top dram"
        )
    spec = importlib.util.spec_from_file_location(found[0].stem, found[0])
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Soc(SoCCore):  # type: ignore[misc]  # litex has no types
    """PicoRV32, memories of program, stack and models, the accelerator, a word for the end."""

    mem_map = SoCCore.mem_map | {"rom": PROGRAM}

    def __init__(self, folder: Path):
        platform: Any = SimPlatform("SIM", IO)
        size = sum(path.stat().st_size for path in folder.glob("*_model.bin"))
        super().__init__(
            platform,
            100_000_000,
            ident="",
            cpu_type="picorv32",
            cpu_reset_address=PROGRAM,
            with_uart=False,
            with_timer=False,
            integrated_rom_size=PROGRAM_BYTES,
            integrated_rom_init=[0],  # a file that run.py replaces
            integrated_sram_size=STACK_BYTES,
        )
        self.cd_sys = ClockDomain()
        self.comb += self.cd_sys.clk.eq(platform.request("sys_clk"))
        self.comb += self.cd_sys.rst.eq(platform.request("sys_rst"))
        whole = 1 << max(12, (size - 1).bit_length())
        self.add_ram("models", MODELS, whole, contents=[0])
        wrapper(folder).add_accelerator(self, REGISTERS, "sparseflow")
        self.done = CSRStorage(32, description="1 when all results were right.")
        self.comb += platform.request("done").eq(self.done.storage)


def write(folder: Path, build: Path) -> None:
    """All that a simulation needs, but for what is in the memories."""
    soc = Soc(folder.resolve())
    build.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(build):  # LiteX writes the images where it runs
        soc.finalize()
        soc.platform.get_verilog(soc, name="soc").write("soc.v")
    sources = [str(Path(path).resolve()) for path, *_ in soc.platform.sources]
    texts = {}
    texts["csr.h"] = get_csr_header(soc.csr_regions, soc.constants, with_access_functions=False)
    texts["mem.h"] = get_mem_header(soc.mem_regions)
    texts["sources.txt"] = "\n".join(sources) + "\n"
    for name, text in texts.items():
        (build / name).write_text(text, encoding="utf-8")
