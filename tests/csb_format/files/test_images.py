"""Memory images: round trips, the text that tools expect, and refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from csb_format.files.images import (
    ImageError,
    read_coe,
    read_ihex,
    read_mem,
    read_mif,
    write_coe,
    write_ihex,
    write_image,
    write_mem,
    write_mif,
)

Reader = Callable[[Path, int], list[int]]

READERS: dict[str, Reader] = {
    ".mem": lambda path, width: read_mem(path),
    ".coe": lambda path, width: read_coe(path),
    ".mif": lambda path, width: read_mif(path),
    ".hex": read_ihex,
}
suffixes = pytest.mark.parametrize("suffix", READERS)


@st.composite
def images(draw: st.DrawFn) -> tuple[list[int], int]:
    width = draw(st.integers(1, 150))
    return draw(st.lists(st.integers(0, (1 << width) - 1), min_size=1, max_size=20)), width


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@suffixes
@given(image=images())
def test_round_trip(folder: Path, suffix: str, image: tuple[list[int], int]) -> None:
    words, width = image
    path = folder / f"image{suffix}"
    write_image(path, words, width)
    assert READERS[suffix](path, width) == words


@suffixes
@given(image=images())
def test_bytes_and_numbers_give_the_same_file(
    folder: Path, suffix: str, image: tuple[list[int], int]
) -> None:
    words, width = image
    size = -(-width // 8)
    matrix = np.array([list(w.to_bytes(size, "little")) for w in words], np.uint8)
    write_image(folder / f"numbers{suffix}", words, width)
    write_image(folder / f"bytes{suffix}", matrix, width)
    numbers = (folder / f"numbers{suffix}").read_bytes()
    assert (folder / f"bytes{suffix}").read_bytes() == numbers


@suffixes
def test_more_than_64_kibibytes(tmp_path: Path, suffix: str) -> None:
    words = [(n * 2654435761) % (1 << 36) for n in range(14_000)]
    path = tmp_path / f"image{suffix}"
    write_image(path, np.array(words), 36)
    assert READERS[suffix](path, 36) == words


def test_mem_text(tmp_path: Path) -> None:
    write_mem(tmp_path / "a.mem", [0, 0xABC, 0x1FF], 13)
    assert (tmp_path / "a.mem").read_text() == "0000\n0abc\n01ff\n"


def test_coe_text(tmp_path: Path) -> None:
    write_coe(tmp_path / "a.coe", [1, 10, 15], 4)
    assert (tmp_path / "a.coe").read_text() == (
        "memory_initialization_radix=16;\nmemory_initialization_vector=\n1,\na,\nf;\n"
    )


def test_mif_text(tmp_path: Path) -> None:
    write_mif(tmp_path / "a.mif", range(11), 6)
    lines = (tmp_path / "a.mif").read_text().splitlines()
    assert lines[:6] == [
        "DEPTH = 11;",
        "WIDTH = 6;",
        "ADDRESS_RADIX = HEX;",
        "DATA_RADIX = HEX;",
        "CONTENT",
        "BEGIN",
    ]
    assert (lines[6], lines[16], lines[17]) == ("0 : 00;", "a : 0a;", "END;")


def test_ihex_text(tmp_path: Path) -> None:
    write_ihex(tmp_path / "a.hex", [0x1234, 0x0ABC], 13)
    # Byte count, address, type, little-endian words, checksum.
    assert (tmp_path / "a.hex").read_text() == ":040000003412BC0AF0\n:00000001FF\n"


def test_mem_reader_skips_comments(tmp_path: Path) -> None:
    path = tmp_path / "a.mem"
    path.write_text("// words\n1 2 /* two\nlines */\nfF // last\n")
    assert read_mem(path) == [1, 2, 255]


@suffixes
@pytest.mark.parametrize("word", [-1, 32])
def test_word_out_of_range(tmp_path: Path, suffix: str, word: int) -> None:
    path = tmp_path / f"image{suffix}"
    with pytest.raises(ImageError, match=rf"word {word} at address 2: 5 bits hold 0 to 2\*\*5"):
        write_image(path, [0, 31, word], 5)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [0, -8])
def test_width_out_of_range(tmp_path: Path, width: int) -> None:
    with pytest.raises(ImageError, match=rf"width {width}: a word has at least 1 bit"):
        write_mem(tmp_path / "a.mem", [0], width)


@pytest.mark.parametrize("words", [[], np.zeros((0, 2), np.uint8)])
def test_no_words(tmp_path: Path, words: list[int]) -> None:
    with pytest.raises(ImageError, match="image of 0 words"):
        write_mem(tmp_path / "a.mem", words, 16)


def test_bytes_of_another_width(tmp_path: Path) -> None:
    with pytest.raises(
        ImageError, match=r"shape \(3, 3\): 16 bits need uint8 of shape \(depth, 2\)"
    ):
        write_mem(tmp_path / "a.mem", np.zeros((3, 3), np.uint8), 16)
    with pytest.raises(ImageError, match="dtype int64"):
        write_mem(tmp_path / "a.mem", np.zeros((3, 2), np.int64), 16)


def test_bytes_with_bits_above_the_width(tmp_path: Path) -> None:
    words = np.array([[255, 15], [0, 16]], np.uint8)
    with pytest.raises(ImageError, match="word at address 1 is wider than 12 bits"):
        write_mem(tmp_path / "a.mem", words, 12)


def test_unknown_suffix(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"suffix '\.bin'; use one of \.mem, \.coe, \.mif, \.hex"):
        write_image(tmp_path / "a.bin", [1], 8)


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        (".mem", "12 xz 3\n", r"'xz' is no hexadecimal word"),
        (".mem", "@10 12\n", r"'@10' is no hexadecimal word"),
        (".mem", "caf\u00e9\n", r"not a text image"),
        (".coe", "memory_initialization_radix=10;", r"not a \.coe file of radix 16"),
        (
            ".coe",
            "memory_initialization_radix=16;\nmemory_initialization_vector=\n1,,2;",
            r"'' is no hexadecimal word",
        ),
        (".mif", "WIDTH = 8;", r"not a \.mif file"),
        (
            ".mif",
            "DEPTH = 3;\nCONTENT\nBEGIN\n0 : 1;\n2 : 2;\nEND;",
            r"2 addresses do not run from",
        ),
        (".hex", ":040000003412BC0AF7\n:00000001FF\n", r"invalid checksum.*write it again"),
        (".hex", ":00000001FF\n", r"0 bytes are not 2-byte words"),
        (".hex", ":020001003412B7\n:00000001FF\n", r"2 bytes are not 2-byte words from address 0"),
        (".hex", ":0100000012ED\n:00000001FF\n", r"1 bytes are not 2-byte words"),
        (".hex", ":020000003432 98\n", r"write it again"),
        (".hex", ":02000000FFFF00\n:00000001FF\n", r"word 65535 at address 0: 13 bits hold"),
    ],
)
def test_damaged_images(tmp_path: Path, suffix: str, text: str, message: str) -> None:
    path = tmp_path / f"image{suffix}"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ImageError, match=message):
        READERS[suffix](path, 13)
