"""What goes wrong between a host and a board: one error for each kind, as the C driver has them.

The table in docs/link.md has the C driver's number beside each.
"""

from __future__ import annotations

__all__ = [
    "AcceleratorError",
    "DamagedFrameError",
    "EndlessOutputError",
    "LinkError",
    "LinkTimeoutError",
    "LinkVersionError",
    "MalformedAnswerError",
    "MisalignedError",
    "NoiseError",
    "OutOfStepError",
    "RefusedError",
    "ShortAnswerError",
    "StaleAnswersError",
    "StuckError",
    "UnsettledError",
    "WrongModelError",
]


class LinkError(RuntimeError):
    """Host and board did not understand each other; the next request may well succeed."""


class LinkTimeoutError(LinkError):
    """No answer came in time."""


class DamagedFrameError(LinkError):
    """A request or its answer was damaged on its way."""


class NoiseError(LinkError):
    """Bytes come on and on, none of them a frame."""


class StaleAnswersError(LinkError):
    """Whole frames come on and on, none answers the request."""


class OutOfStepError(LinkError):
    """The board was reset, or somebody else uses the line."""


class LinkVersionError(LinkError):
    """The board speaks another version of the link."""


class MalformedAnswerError(LinkError):
    """An answer whose counts or code do not fit the request."""


class RefusedError(LinkError):
    """The accelerator refused an access; its register ``errors`` tells why."""

    @classmethod
    def at(cls, address: int, word: int, count: int, *, writing: bool) -> RefusedError:
        """Of one word of an access."""
        what = "a write to" if writing else "a read at"
        return cls(
            f"{what} 0x{address:03X} was refused at word {word} of {count}: read the register "
            "`errors` for the reason"
        )


class ShortAnswerError(LinkError):
    """Fewer words were moved than asked for, and none was refused."""


class AcceleratorError(RuntimeError):
    """The accelerator reports an error, or does not do what it should."""


class WrongModelError(AcceleratorError):
    """A model, or an image of it, that this bitstream cannot run."""


class StuckError(AcceleratorError):
    """The accelerator takes and gives nothing."""


class UnsettledError(AcceleratorError):
    """``status.settling`` does not clear."""


class EndlessOutputError(AcceleratorError):
    """``m_axis`` still gives words after a reset."""


class MisalignedError(AcceleratorError):
    """The frames' ends are not where they should be."""
