"""The accelerator as a packaged block of a larger system."""

from __future__ import annotations

from rich.console import Console

from ..steps.options import IpOptions
from .derived import derived

__all__ = ["ip"]


@derived(IpOptions)
def ip(given: IpOptions) -> None:
    """Package the accelerator with AXI buses for a larger system: FuseSoC core and IP-XACT.

    **In:** a packed model and the size of the array. **Out:** a folder with Verilog, memory
    images, lint waivers, a test bench, a `.core` file and `component.xml`. All names begin with
    a prefix of the model's own, so that several accelerators fit into one system.

    **Next:** name the core that it prints in the `depend` of your own.
    """
    from ..steps.hardware import package

    block = package(given.model, given.out, given.pes, given.lanes, given.bits, given.prefix)
    for line in (f"module {block.module}, core {block.core}", f"all of it in {given.out}"):
        Console().print(line, highlight=False, markup=False, soft_wrap=True)
