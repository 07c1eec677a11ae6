"""Memory images: the words of one memory as .mem, .coe, .mif and Intel HEX files.

Words are unsigned, ``width`` bits each, given as whole numbers or as a uint8 matrix
(depth, ceil(width / 8)) with the least significant byte first. Word ``n`` is address
``n``. Hexadecimal digits are lower case, ``ceil(width / 4)`` a word.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from intelhex import HexReaderError, IntelHex

from .replace import replace_file

__all__ = [
    "ImageError",
    "Words",
    "read_coe",
    "read_ihex",
    "read_mem",
    "read_mif",
    "write_coe",
    "write_ihex",
    "write_image",
    "write_mem",
    "write_mif",
]

Words = Iterable[int] | npt.NDArray[Any]
PathLike = str | os.PathLike[str]


class ImageError(ValueError):
    """Words that do not fit an image, or an image that cannot be read."""


def write_mem(path: PathLike, words: Words, width: int) -> None:
    """Write a ``$readmemh`` image: one word a line.

    Parameters
    ----------
    path : path
    words : iterable of int, or uint8 array (depth, ceil(width / 8))
        At least one word, each 0..2**width - 1.
    width : int
        Bits of a word, at least 1.

    Raises
    ------
    ImageError
        For no words, or one that does not fit; the message gives its address.
    """
    _write(path, _hex_words(words, width))


def write_coe(path: PathLike, words: Words, width: int) -> None:
    """Write a Xilinx coefficient file, radix 16; parameters as :func:`write_mem`."""
    body = ",\n".join(_hex_words(words, width)) + ";"
    _write(path, ["memory_initialization_radix=16;", "memory_initialization_vector=", body])


def write_mif(path: PathLike, words: Words, width: int) -> None:
    """Write an Intel memory initialisation file; parameters as :func:`write_mem`."""
    lines = _hex_words(words, width)
    head = [f"DEPTH = {len(lines)};", f"WIDTH = {width};"]
    head += ["ADDRESS_RADIX = HEX;", "DATA_RADIX = HEX;", "CONTENT", "BEGIN"]
    _write(path, [*head, *(f"{n:x} : {line};" for n, line in enumerate(lines)), "END;"])


def write_ihex(path: PathLike, words: Words, width: int) -> None:
    """Write Intel HEX: ``ceil(width / 8)`` bytes a word, least significant first.

    Parameters as :func:`write_mem`; at most 2**32 bytes in all, byte addressed.
    """
    image = IntelHex()
    image.frombytes(_byte_words(words, width).tobytes())
    text = io.StringIO()
    image.write_hex_file(text, eolstyle="native")
    replace_file(path, text.getvalue().encode())


def write_image(path: PathLike, words: Words, width: int) -> None:
    """Write the image that the suffix names: .mem, .coe, .mif or .hex.

    Parameters as :func:`write_mem`.

    Raises
    ------
    ImageError
        For another suffix, or as :func:`write_mem`.
    """
    writer = _WRITERS.get(Path(path).suffix)
    if writer is None:
        raise ImageError(
            f"{os.fspath(path)}: no image format has the suffix {Path(path).suffix!r}; "
            f"use one of {', '.join(_WRITERS)}"
        )
    writer(path, words, width)


_WRITERS: dict[str, Callable[[PathLike, Words, int], None]] = {
    ".mem": write_mem,
    ".coe": write_coe,
    ".mif": write_mif,
    ".hex": write_ihex,
}


def read_mem(path: PathLike) -> list[int]:
    """Words of a ``$readmemh`` image without addresses; comments are skipped.

    Raises
    ------
    ImageError
        For anything but hexadecimal words; the message gives it.
    """
    text = re.sub(r"//[^\n]*|/\*.*?\*/", " ", _read(path), flags=re.DOTALL)
    return [_number(path, word) for word in text.split()]


def read_coe(path: PathLike) -> list[int]:
    """Words of a Xilinx coefficient file of radix 16; errors as :func:`read_mem`."""
    pattern = r"\s*memory_initialization_radix\s*=\s*16\s*;\s*memory_initialization_vector\s*=(.*);"
    match = re.fullmatch(pattern + r"\s*", _read(path), flags=re.DOTALL)
    if match is None:
        raise ImageError(f"{os.fspath(path)}: not a .coe file of radix 16; write it again")
    return [_number(path, word.strip()) for word in match[1].split(",")]


def read_mif(path: PathLike) -> list[int]:
    """Words of an Intel .mif as :func:`write_mif` writes it; errors as :func:`read_mem`."""
    text = _read(path)
    depth = re.search(r"DEPTH\s*=\s*(\d{1,9})\s*;", text)
    content = re.search(r"CONTENT\s+BEGIN(.*)END;", text, flags=re.DOTALL)
    if depth is None or content is None:
        raise ImageError(f"{os.fspath(path)}: not a .mif file with DEPTH and CONTENT")
    pairs = [line.partition(":")[::2] for line in content[1].split(";") if line.strip()]
    words = [_number(path, word.strip()) for _, word in pairs]
    places = [_number(path, place.strip()) for place, _ in pairs]
    if len(places) != int(depth[1]) or places != list(range(len(places))):
        raise ImageError(
            f"{os.fspath(path)}: {len(places)} addresses do not run from 0 to "
            f"{int(depth[1]) - 1}; write it again"
        )
    return words


def read_ihex(path: PathLike, width: int) -> list[int]:
    """Words of an Intel HEX file as :func:`write_ihex` writes it.

    Parameters
    ----------
    path : path
    width : int
        Bits of a word; the file does not carry it.

    Raises
    ------
    ImageError
        For a damaged record, gaps, or bytes that are no whole words of this width.
    """
    image, size = IntelHex(), _bytes_a_word(width)
    try:
        image.loadhex(io.StringIO(_read(path)))
    except HexReaderError as error:
        raise ImageError(f"{os.fspath(path)}: {error}; write it again") from error
    if not len(image) or image.addresses() != list(range(len(image))) or len(image) % size:
        raise ImageError(
            f"{os.fspath(path)}: {len(image)} bytes are not {size}-byte words from address 0; "
            f"check the width {width}"
        )
    data = image.tobinstr()
    words = [int.from_bytes(data[n : n + size], "little") for n in range(0, len(data), size)]
    _check_words(words, width)
    return words


def _write(path: PathLike, lines: list[str]) -> None:
    replace_file(path, ("\n".join(lines) + "\n").encode())


def _read(path: PathLike) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except UnicodeDecodeError as error:
        raise ImageError(f"{os.fspath(path)}: not a text image ({error.reason})") from error


def _number(path: PathLike, word: str) -> int:
    if not re.fullmatch(r"[0-9a-fA-F]+", word):
        raise ImageError(f"{os.fspath(path)}: {word!r} is no hexadecimal word; write it again")
    return int(word, 16)


def _bytes_a_word(width: int) -> int:
    if width < 1:
        raise ImageError(f"width {width}: a word has at least 1 bit")
    return -(-width // 8)


def _hex_words(words: Words, width: int) -> list[str]:
    digits = -(-width // 4)
    return [row[::-1].tobytes().hex()[-digits:] for row in _byte_words(words, width)]


def _byte_words(words: Words, width: int) -> npt.NDArray[np.uint8]:
    """Words as a uint8 matrix, least significant byte first, checked."""
    size = _bytes_a_word(width)
    if isinstance(words, np.ndarray) and words.ndim == 2:
        matrix = _checked_matrix(words, width)
    else:
        numbers = [int(word) for word in words]
        _check_words(numbers, width)
        data = b"".join(word.to_bytes(size, "little") for word in numbers)
        matrix = np.frombuffer(data, np.uint8).reshape(-1, size)
    if not len(matrix):
        raise ImageError("image of 0 words: a memory has at least one")
    return matrix


def _checked_matrix(words: npt.NDArray[Any], width: int) -> npt.NDArray[np.uint8]:
    size = _bytes_a_word(width)
    if words.dtype != np.uint8 or words.shape[1] != size:
        raise ImageError(
            f"words of dtype {words.dtype} and shape {words.shape}: {width} bits need uint8 "
            f"of shape (depth, {size})"
        )
    over = np.flatnonzero(words[:, -1].astype(np.int64) >> (width - 8 * (size - 1)))
    if over.size:
        raise ImageError(
            f"word at address {over[0]} is wider than {width} bits: clear its upper bits"
        )
    return np.ascontiguousarray(words)


def _check_words(words: list[int], width: int) -> None:
    for address, word in enumerate(words):
        if not 0 <= word < 1 << width:
            raise ImageError(
                f"word {word} at address {address}: {width} bits hold 0 to 2**{width} - 1; "
                "encode negative numbers in two's complement first"
            )
