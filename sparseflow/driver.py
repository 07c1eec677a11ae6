"""The driver of boards, by a name that no file of a user's is likely to have.

The same objects as in :mod:`boards.host`: a host needs numpy and pyserial for them, and neither
PyTorch nor Amaranth. Where a file beside the script hides a package that they need, importing this
says which file, and what to do.
"""

from __future__ import annotations

from sparseflow_rooms import check

check("csb_format", "compiler", "engine", "boards")

from boards.host.bus import Bus  # noqa: E402  what is hidden is told first
from boards.host.driver import Accelerator  # noqa: E402
from boards.host.pynq import PlacedModels, PynqBus  # noqa: E402
from boards.host.states import States  # noqa: E402

__all__ = ["Accelerator", "Bus", "PlacedModels", "PynqBus", "States"]
