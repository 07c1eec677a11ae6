"""What lies beside a top with a port to memory: the model's bytes, and where they are for C."""

from __future__ import annotations

import json
from dataclasses import asdict

from compiler.abi.design_file import DESIGN_FILE
from compiler.abi.dma import Placed, place
from compiler.abi.registers import design_hash
from compiler.lower.image import Image

__all__ = ["memory_files", "model_header"]


def memory_files(image: Image, base: int, data_bits: int, prefix: str) -> dict[str, bytes]:
    """Files by name: bytes of the model, its C header, and the design for other models.

    Parameters
    ----------
    image : Image
    base : int
        Where the bytes will lie.
    data_bits : int
        Width of the bus to memory.
    prefix : str
    """
    placed = place([image], base, data_bits)
    design = json.dumps(asdict(image.design), indent=2, allow_nan=False) + "\n"
    return {
        f"{prefix}_model.bin": placed.data,
        f"{prefix}_model.h": model_header(image, placed, prefix).encode(),
        DESIGN_FILE: design.encode(),
    }


def model_header(image: Image, placed: Placed, prefix: str) -> str:
    """The text of a C header for a model that was placed alone.

    Parameters
    ----------
    image : Image
    placed : Placed
    prefix : str
        What its macros begin with, in capitals.
    """
    name = f"{prefix.upper()}_MODEL"
    values = {"DESIGN_HASH": design_hash(image.design), "BASE": placed.base}
    values["BYTES"] = len(placed.data)
    for n, (part, at) in enumerate(zip(image.parts, placed.lists[0], strict=True)):
        values |= {f"LIST_{n}": at, f"FRAME_BEATS_{n}": part.frame_beats}
    lines = [f"#define {name}_{key} 0x{value:X}ull" for key, value in values.items()]
    return "\n".join(
        [
            f"/* {prefix}_model.bin: copy it to {name}_BASE; program n starts along list n. */",
            f"#ifndef {name}_H",
            f"#define {name}_H",
            "",
            *lines,
            "",
            f"#endif /* {name}_H */",
            "",
        ]
    )
