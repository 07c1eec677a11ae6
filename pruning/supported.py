"""The error for layers that torch can train and a later step cannot take."""

from __future__ import annotations

__all__ = ["UnsupportedLayerError"]


class UnsupportedLayerError(ValueError):
    """A layer, or an option of one, that is not supported; the message names it and the mend."""
