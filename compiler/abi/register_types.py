"""Words of 32 bits with named fields, and registers: words with an address."""

from __future__ import annotations

import enum
from collections.abc import Collection
from dataclasses import dataclass, replace

__all__ = ["BITS", "Access", "BitField", "Register", "RegisterError", "Word"]

BITS = 32


class RegisterError(ValueError):
    """A field that does not exist, or a value that does not fit into one."""


class Access(enum.Enum):
    """What a bus may do with a register; anything else is answered with ``SLVERR``."""

    READ = "ro"
    WRITE = "wo"
    BOTH = "rw"
    CLEAR = "w1c"


@dataclass(frozen=True)
class BitField:
    """Some bits of a word.

    Parameters
    ----------
    name : str
        Lower case.
    offset, width : int
        Lowest bit, bits.
    text : str
        What it means, in one sentence.
    reset : int
        Value after reset.
    feature : str
        What an accelerator must have for it to be there; "" for nothing.
    """

    name: str
    offset: int
    width: int
    text: str
    reset: int = 0
    feature: str = ""

    @property
    def mask(self) -> int:
        """Its bits in the word."""
        return ((1 << self.width) - 1) << self.offset


@dataclass(frozen=True)
class Word:
    """32 bits with named fields.

    Parameters
    ----------
    name : str
        Lower case.
    text : str
    fields : tuple of BitField
        In the order of their offsets, without overlap.
    """

    name: str
    text: str
    fields: tuple[BitField, ...]

    def __post_init__(self) -> None:
        free = 0
        for field in self.fields:
            if field.offset < free or field.offset + field.width > BITS:
                raise RegisterError(f"{self.name}.{field.name}: bits overlap or exceed {BITS}")
            free = field.offset + field.width

    def field(self, name: str) -> BitField:
        """A field by name.

        Raises
        ------
        RegisterError
            If there is none; the message lists those that exist.
        """
        for field in self.fields:
            if field.name == name:
                return field
        known = ", ".join(field.name for field in self.fields)
        raise RegisterError(f"{self.name} has no field {name!r}: it has {known}")

    def encode(self, **values: int) -> int:
        """The word with these fields, all others 0.

        Raises
        ------
        RegisterError
            If a field does not exist or its value does not fit.
        """
        word = 0
        for name, value in values.items():
            field = self.field(name)
            if not 0 <= value < 1 << field.width:
                raise RegisterError(
                    f"{self.name}.{name} = {value}: must be 0 to {(1 << field.width) - 1}"
                )
            word |= value << field.offset
        return word

    def decode(self, word: int) -> dict[str, int]:
        """All fields of a word."""
        return {field.name: (word & field.mask) >> field.offset for field in self.fields}

    @property
    def reset(self) -> int:
        """The word after reset."""
        return self.encode(**{field.name: field.reset for field in self.fields})


@dataclass(frozen=True)
class Register(Word):
    """A word with an address.

    Parameters
    ----------
    address : int
        In bytes, a multiple of 4.
    access : Access
    idle : bool
        A write while the accelerator is busy is refused.
    whole : bool
        A write must bring all four bytes.
    feature : str
        As of a field.
    """

    address: int = 0
    access: Access = Access.READ
    idle: bool = False
    whole: bool = False
    feature: str = ""

    def with_features(self, features: Collection[str]) -> Register:
        """The register as an accelerator with these features has it."""
        there = ("", *features)
        return replace(self, fields=tuple(f for f in self.fields if f.feature in there))

    @property
    def readable(self) -> bool:
        """Whether a read is answered with ``OKAY``."""
        return self.access is not Access.WRITE

    @property
    def writable(self) -> bool:
        """Whether a write can be answered with ``OKAY``."""
        return self.access is not Access.READ
