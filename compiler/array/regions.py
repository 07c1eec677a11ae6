"""Where vectors lie in the banks: input frames, states of layers, and what lies between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["LayerWidths", "Regions", "region", "span_of"]


def region(width: int) -> int:
    """Places that a vector of ``width`` elements a bank takes: the next power of two."""
    return 1 << (width - 1).bit_length()


def span_of(size: int) -> int:
    """Binary logarithm of the places of a region."""
    return (size - 1).bit_length()


@dataclass(frozen=True)
class LayerWidths:
    """Places in a bank that the vectors of a layer take.

    Parameters
    ----------
    output : int
        Of the state that is fed back: h, or what the projection makes of it.
    hidden : int
        Of h before a projection; 0 without one.
    reset : int
        Of ``r * h``, where the cell's rows wait for it; 0 elsewhere.
    """

    output: int
    hidden: int = 0
    reset: int = 0


@dataclass(frozen=True)
class Regions:
    """First places of all vectors; each starts at a multiple of its own size.

    So an address is ``base | index`` and no lane needs an adder. A layer's state has two
    regions for each context, one that is read while the other is written, side by side:
    region ``2 * context + phase`` lies ``region(width)`` places after the one before.

    Parameters
    ----------
    frames : tuple of 2 int
        The two input buffers.
    states : tuple of int
        For each layer its first state region.
    hidden : tuple of int
        For each layer h before its projection; 0 where it has none.
    depth : int
        Places in all.
    part : int
        Places from one part of a frame to the next (two directions: two parts).
    sizes : tuple of int
        For each layer the places of one state region.
    reset : tuple of int
        For each layer ``r * h``; 0 where nothing waits for it. One region for all contexts, as
        no step reads what another wrote.
    linear : tuple of int
        For each hidden linear layer what it gives to the next; one region for all contexts too.
    frame : int
        Places of one input frame. Where streams run together, each has a frame in a buffer, one
        so many places behind the other; each has an h of its own likewise.
    spaces : tuple of int
        For each layer the places of one such h; 0 where it has none.
    """

    frames: tuple[int, int]
    states: tuple[int, ...]
    hidden: tuple[int, ...]
    depth: int
    part: int
    sizes: tuple[int, ...]
    reset: tuple[int, ...] = ()
    linear: tuple[int, ...] = ()
    frame: int = 0
    spaces: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        frame: int,
        parts: int,
        layers: Sequence[LayerWidths],
        contexts: int = 1,
        smallest: int = 1,
        linear: Sequence[int] = (),
        together: int = 1,
    ) -> Regions:
        """Lay out the vectors, larger ones first.

        Parameters
        ----------
        frame, parts : int
            Places in a bank of one part of an input frame, and its parts.
        layers : sequence of LayerWidths
        contexts : int
            Independent streams whose state is kept.
        smallest : int
            Least places of a region, a power of two: what one write covers.
        linear : sequence of int
            Places in a bank of what hidden linear layers give.
        together : int
            Streams whose frames are worked on side by side.
        """
        part = max(region(frame), smallest)
        sizes = [max(region(layer.output), smallest) for layer in layers]
        spaces = [max(region(layer.hidden), smallest) * bool(layer.hidden) for layer in layers]
        each = region(together)
        buffer = each * region(part * parts)
        blocks = {("frames", 0): 2 * buffer}
        blocks |= {("state", n): 2 * region(contexts) * size for n, size in enumerate(sizes)}
        for n, layer in enumerate(layers):
            if layer.hidden:
                blocks["hidden", n] = each * spaces[n]
            if layer.reset:
                blocks["reset", n] = max(region(layer.reset), smallest)
        blocks |= {("linear", n): max(region(size), smallest) for n, size in enumerate(linear)}
        start: dict[tuple[str, int], int] = {}
        depth = 0
        for name, size in sorted(blocks.items(), key=lambda block: -block[1]):
            start[name] = depth
            depth += size
        frames = start["frames", 0]
        return cls(
            (frames, frames + buffer),
            tuple(start["state", n] for n in range(len(layers))),
            tuple(start.get(("hidden", n), 0) for n in range(len(layers))),
            depth,
            part,
            tuple(sizes),
            tuple(start.get(("reset", n), 0) for n in range(len(layers))),
            tuple(start["linear", n] for n in range(len(linear))),
            region(part * parts),
            tuple(spaces),
        )

    def span(self, layer: int) -> int:
        """Binary logarithm of the size of a layer's state regions."""
        return span_of(self.sizes[layer])
