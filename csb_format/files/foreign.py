"""What a file of another kind is, by its first bytes; errors that come with a mend in Python."""

from __future__ import annotations

import textwrap
import zipfile
from pathlib import Path

__all__ = ["MisreadError", "kind_of_file"]

_HEAD = 4096
# What files begin with, or hold at a place near their beginning.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x93NUMPY", "a single NumPy array (.npy)"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras .h5, MATLAB 7.3)"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (8, b"WAVE", "a WAV sound"),
    (0, b"PAR1", "a Parquet table"),
    (0, b"ARROW1", "an Arrow table"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (0, b"GGUF", "a GGUF model"),
    (0, b"fLaC", "a FLAC sound"),
    (0, b"\x89PNG", "a PNG picture"),
    (0, b"\x7fELF", "a program"),
    (0, b"\x80\x02", "a pickle"),
    (0, b"\x80\x03", "a pickle"),
    (0, b"\x80\x04", "a pickle"),
    (0, b"\x80\x05", "a pickle"),
)


class MisreadError(ValueError):
    """A file of another kind than is wanted.

    Parameters
    ----------
    text : str
        What it is, and what is wanted.
    snippet : str
        Python that makes the one of the other, or nothing.
    """

    def __init__(self, text: str, snippet: str = "") -> None:
        self.text, self.snippet = text, textwrap.dedent(snippet).strip("\n")
        super().__init__(f"{text}\n{textwrap.indent(self.snippet, '    ')}" if snippet else text)


def kind_of_file(path: Path) -> str:
    """What a file is, in words, as far as its first bytes and the names in an archive tell.

    Parameters
    ----------
    path : Path
        Of a file that exists.

    Returns
    -------
    str
        Empty where nothing tells.
    """
    if path.is_dir():
        return "a folder"
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    if not head:
        return "an empty file"
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_archive(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size:
        return "a safetensors file"
    found = (name for at, magic, name in _MAGIC if head[at:].startswith(magic))
    return next(found, "") or _kind_of_text(head)


def _kind_of_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return "a damaged zip archive"
    ends = {name.partition("/")[2] for name in names} | set(names)
    if names and all(name.endswith(".npy") for name in names):
        return "NumPy arrays (.npz)"
    if {"config.json", "model.weights.h5"} <= ends:
        return "a Keras model (.keras)"
    if ends & {"archive_format", "serialized_exported_program.json"}:
        return "an exported program of torch.export (.pt2)"
    if "constants.pkl" in ends and any(end.startswith("code/") for end in ends):
        return "a TorchScript program"
    if "data.pkl" in ends:
        return "a file of torch.save"
    if "[Content_Types].xml" in ends:
        return "an Office document"
    return "a zip archive"


def _kind_of_text(head: bytes) -> str:
    try:
        # The last character may be cut.
        text = head.decode("utf-8", "strict" if len(head) < _HEAD else "ignore")
    except UnicodeDecodeError:
        return ""
    if not text.isprintable() and any(not (c.isprintable() or c in "\r\n\t\f") for c in text):
        return ""
    first = text.lstrip()[:1]
    if first in ("{", "["):
        return "a JSON or other text file"
    lines = text.splitlines()[:1]
    marks = next((m for m in (",", ";", "\t") if lines and m in lines[0]), "")
    return "a table of text (.csv)" if marks else "a text file"
