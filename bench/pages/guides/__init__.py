"""What the guides of ``docs`` on the array, boards and formats say of measurements."""

from .boards import BOARDS
from .budget import BUDGET
from .integration import INTEGRATION
from .quantisation import QUANTISATION
from .schedule import ARCHITECTURE, SCHEDULE
from .streaming import STREAMING

__all__ = ["GUIDES"]

GUIDES = (SCHEDULE, STREAMING, INTEGRATION, BOARDS, QUANTISATION, ARCHITECTURE, BUDGET)
