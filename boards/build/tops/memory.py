"""What lies beside a top with a port to memory: the model's bytes, and where they are for C."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from compiler.abi.design_file import DESIGN_FILE
from compiler.abi.dma import Placed, place
from compiler.abi.registers import design_hash
from compiler.lower.image import Image
from hdl.dram.reader import ReadBus

__all__ = ["memory_files", "model_header"]


def memory_files(images: Sequence[Image], base: int, bus: ReadBus, prefix: str) -> dict[str, bytes]:
    """Files by name: bytes of the models, their C header, and the design for other models.

    Parameters
    ----------
    images : sequence of Image
        All of one design.
    base : int
        Where the bytes will lie.
    bus : ReadBus
        That to memory.
    prefix : str
    """
    placed = place(images, base, bus.data_bits, bus.address_bits)
    design = json.dumps(asdict(images[0].design), indent=2, allow_nan=False) + "\n"
    return {
        f"{prefix}_model.bin": placed.data,
        f"{prefix}_model.h": model_header(images, placed, prefix).encode(),
        DESIGN_FILE: design.encode(),
    }


def model_header(images: Sequence[Image], placed: Placed, prefix: str) -> str:
    """The text of a C header for models that were placed together.

    Parameters
    ----------
    images : sequence of Image
        As they were placed. Names of the first have no number.
    placed : Placed
    prefix : str
        What its macros begin with, in capitals.
    """
    name = f"{prefix.upper()}_MODEL"
    values = {"DESIGN_HASH": design_hash(images[0].design), "BASE": placed.base}
    values["BYTES"] = len(placed.data)
    for number, (image, lists) in enumerate(zip(images, placed.lists, strict=True)):
        which = f"{number}_" if number else ""
        for n, (part, at) in enumerate(zip(image.parts, lists, strict=True)):
            values |= {f"{which}LIST_{n}": at, f"{which}FRAME_BEATS_{n}": part.frame_beats}
        if placed.planes:
            values |= {f"{which}PLANES": placed.planes[number]}
    more = [f"/* {name}_1_... are of the second model, and so on. */"] if images[1:] else []
    lines = [f"#define {name}_{key} 0x{value:X}ull" for key, value in values.items()]
    return "\n".join(
        [
            f"/* {prefix}_model.bin: copy it to {name}_BASE; program n starts along list n. */",
            *more,
            f"#ifndef {name}_H",
            f"#define {name}_H",
            "",
            *lines,
            "",
            f"#endif /* {name}_H */",
            "",
        ]
    )
