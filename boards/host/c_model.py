"""A model for the C driver: image, scale of raw features, places in a frame, names of classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from compiler.abi.registers import design_hash
from compiler.abi.states import frame_words
from compiler.abi.wire import frame_packing, state_packing
from compiler.lower.image import Image
from csb_format.scales import DesignError

from ..link.protocol import BUS_BITS

__all__ = ["NAME", "model_header", "places"]

NAME = "sparseflow_model"
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_PLAIN = re.compile(r"[A-Za-z0-9 _.,:;+*/()=<>-]")


def places(image: Image) -> tuple[list[int], int, int]:
    """Where numbers of a frame lie in its words, for an image of one program.

    Parameters
    ----------
    image : Image

    Returns
    -------
    places : list of int
        Of each element, direction by direction, in bits from the lowest of the first word.
    bits : int
        That a number takes: 8, 16 or 32.
    words : int
        Of a frame.
    """
    (part,), packing = image.parts, frame_packing(image.design, BUS_BITS)
    lanes, width = packing.elements, part.input_width
    found = [
        (at + n % width) * packing.beats * BUS_BITS + lanes[n // width].place
        for at in part.input_places
        for n in range(part.input_size)
    ]
    return found, lanes[0].container, part.frame_beats * packing.beats


def model_header(image: Image, name: str = NAME) -> str:
    """The text of a C header; ``boards/c/sparseflow_input.h`` has its types.

    Parameters
    ----------
    image : Image
        Of the design of the bitstream.
    name : str
        What its identifiers begin with.

    Raises
    ------
    DesignError
        If the image has more than one program.
    ValueError
        For a name that is no identifier of C.
    """
    if len(image.parts) != 1:
        raise DesignError(
            f"the model runs as {len(image.parts)} programs, the C driver starts one: drive it "
            "from Python, sf.open"
        )
    if image.design.checked:
        raise DesignError(
            "checked = True: the C driver makes no parity for frames; drive it from Python, sf.open"
        )
    if not _IDENTIFIER.fullmatch(name):
        raise ValueError(f"name {name!r}: give an identifier of C, such as {NAME}")
    guard = f"{name.upper()}_H"
    lines = [
        "/* A model for the C driver of Sparseflow; written by sparseflow c-header. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        '#include "sparseflow_input.h"',
        "",
        *_counts(image, name.upper()),
        "",
        *_image(image, name),
        "",
        *_input(image, name),
        *_labels(image, name),
        "",
        f"#endif /* {guard} */",
        "",
    ]
    return "\n".join(lines)


def _counts(image: Image, name: str) -> Iterable[str]:
    model, (part,) = image.model, image.parts
    packing = state_packing(image.design, BUS_BITS)
    out = frame_words(image.design, part, BUS_BITS)
    hidden, cell = packing.elements[0], packing.elements[-1]
    counts = {
        "FEATURES": model.layers[0].input_size,
        "FRAME_WORDS": places(image)[2],
        "OUT_WORDS": out,  # of a frame
        "BEAT_WORDS": packing.beats,  # of a beat of states: h of UNITS units, then c
        "UNITS": image.design.units,
        "HIDDEN_BITS": hidden.container,
        "CELL_BITS": cell.container,
        "LABELS": len(model.label_names),
    }
    if image.design.screen:  # the last beats of a frame, each an output and its logit
        pair = state_packing(image.design, BUS_BITS, results=True).elements
        counts["LARGEST"] = image.design.screen.top
        counts["INDEX_BITS"], counts["LOGIT_BITS"] = pair[0].container, pair[1].container
    return [f"#define {name}_{key} {value}u" for key, value in counts.items()]


def _image(image: Image, name: str) -> Iterable[str]:
    words = list(image.load_words())
    yield from _array("uint32_t", f"{name}_load", [f"0x{word:X}u" for word in words])
    yield f"static const struct sparseflow_image {name}_image = {{"
    yield f"    0x{design_hash(image.design):X}u, {image.parts[0].frame_beats}u,"
    yield f"    {name}_load, {len(words)}u}};"


def _input(image: Image, name: str) -> Iterable[str]:
    model, fixed = image.model, image.model.layers[0].input
    scale = model.input_scale
    at, bits, words = places(image)
    if scale is not None:
        # hexadecimal: every bit, whatever the compiler makes of decimals
        for key in ("mean", "factor"):
            numbers = [float(one).hex() for one in getattr(scale, key)]
            yield from _array("double", f"{name}_{key}", numbers)
    yield from _array("uint32_t", f"{name}_places", [f"{one}u" for one in at])
    both = ("NULL", "NULL") if scale is None else (f"{name}_mean", f"{name}_factor")
    yield f"static const struct sparseflow_input {name}_input = {{"
    yield f"    {model.layers[0].input_size}u, {', '.join(both)}, {(1 / fixed.lsb).hex()},"
    yield f"    {fixed.min}, {fixed.max}, {model.directions}u, {name}_places, {bits}u, {words}u}};"


def _labels(image: Image, name: str) -> Iterable[str]:
    if names := image.model.label_names:
        yield "/* Of the head's outputs, in UTF-8. */"
        yield from _array("char *const", f"{name}_labels", [_text(one) for one in names])


def _array(kind: str, name: str, values: Sequence[str]) -> Iterable[str]:
    yield f"static const {kind} {name}[] = {{"
    line = ""
    for value in values:
        if line and len(line) + len(value) > 90:
            yield f"    {line.rstrip()}"
            line = ""
        line += f"{value}, "
    yield f"    {line.removesuffix(', ')}}};"


def _text(name: str) -> str:
    """A string of C; what is not plain stands in octal, which no trigraph and no escape meets."""
    parts = (
        chr(byte) if _PLAIN.fullmatch(chr(byte)) else f"\\{byte:03o}" for byte in name.encode()
    )
    return f'"{"".join(parts)}"'
