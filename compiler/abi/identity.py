"""What the accelerator says of itself in its registers."""

from __future__ import annotations

from collections.abc import Collection

from ..array.design import Design
from .dma_registers import DMA
from .registers import (
    COUNTERS,
    DMA_MINOR,
    MAGIC,
    PLANES_MINOR,
    SCREEN_MINOR,
    TRAIN_MINOR,
    VERSION,
    design_hash,
)
from .wire import frame_packing, state_packing

__all__ = ["AXI_MODULE", "COMPACT_COUNTERS", "counters_of", "identity"]

AXI_MODULE = "sparseflow_axi"  # the accelerator on its buses, as Verilog calls it


# What a compact design counts: the other counters are not there, and their registers read 0.
COMPACT_COUNTERS = ("cycles", "busy_cycles", "issued", "frames_out")


def counters_of(design: Design) -> tuple[str, ...]:
    """Counters that a design has."""
    return COMPACT_COUNTERS if design.compact else tuple(COUNTERS)


def identity(
    design: Design, in_bits: int, out_bits: int, features: Collection[str] = ()
) -> dict[str, dict[str, int]]:
    """Fields of the registers that never change, of an accelerator with these buses."""
    arriving, leaving = frame_packing(design, in_bits), state_packing(design, out_bits)
    has = {
        PLANES_MINOR: design.plane_bits,
        SCREEN_MINOR: design.screen,
        DMA_MINOR: DMA in features,
        TRAIN_MINOR: design.train,
    }
    minor = next((minor for minor, there in has.items() if there), VERSION[1])
    depths = ("matrix_depth", "vector_depth", "program_depth", "output_depth")
    return {
        "magic": {"magic": MAGIC},
        "version": {"major": VERSION[0], "minor": minor},
        "design_hash": {"hash": design_hash(design)},
        "array": {"pes": design.pes, "lanes": design.lanes},
        "units": {"units": design.units, "projectors": design.projectors},
        "contexts": {"contexts": design.contexts},
        "widths": {
            "value_bits": design.value_bits,
            "act_bits": design.act_bits,
            "index_bits": design.index_bits,
            "state_bits": design.state.width,
        },
        "buses": {"input_bits": in_bits, "output_bits": out_bits},
        "beats": {"input_beats": arriving.beats, "output_beats": leaving.beats},
        **{name: {"depth": getattr(design, name)} for name in depths},
    }
