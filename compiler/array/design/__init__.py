"""The array: everything that is fixed when hardware is generated."""

from ..addresses import bits_for
from .checks import DICE_BITS, check_counts, check_flags, check_pes
from .design import Array, Design
from .parameters import MOST_BACK, PART_PLACES

__all__ = [
    "DICE_BITS",
    "MOST_BACK",
    "PART_PLACES",
    "Array",
    "Design",
    "bits_for",
    "check_counts",
    "check_flags",
    "check_pes",
]
