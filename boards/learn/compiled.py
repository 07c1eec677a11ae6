"""The driver's way to an accelerator whose Verilog is a program: no line, a cycle a word."""

from __future__ import annotations

from collections.abc import Sequence

from sim.bus.compiled import CompiledBuses

from ..host.bus import Received, RefusedError

__all__ = ["CompiledBus"]


class CompiledBus:
    """What :class:`boards.host.driver.Accelerator` needs; see :class:`boards.host.bus.Bus`.

    Parameters
    ----------
    buses : CompiledBuses
        Closed with it.
    """

    def __init__(self, buses: CompiledBuses):
        self._buses = buses

    def read(self, address: int, count: int = 1) -> list[int]:
        """Words of registers at addresses that follow each other.

        Raises
        ------
        RefusedError
            If an address cannot be read.
        """
        found = self._buses.read(address, count)
        self._check([code for code, _ in found], address, writing=False)
        return [word for _, word in found]

    def write(self, address: int, words: Sequence[int]) -> None:
        """Write words one after the other to the same address.

        Raises
        ------
        RefusedError
            If one of them is refused.
        """
        self._check(self._buses.write(address, words), address, writing=True)

    def _check(self, codes: list[int], address: int, *, writing: bool) -> None:
        if any(codes):
            first = next(n for n, code in enumerate(codes) if code)
            raise RefusedError.at(address, first, len(codes), writing=writing)

    def send(self, words: Sequence[int], last: bool) -> int:
        """Give words to ``s_axis``; how many were taken."""
        return self._buses.send(words, last)

    def receive(self, count: int) -> Received:
        """Words that ``m_axis`` has now, at most ``count``."""
        words, last = self._buses.receive(count)
        return Received(tuple(words), last)

    def close(self) -> None:
        """End the program."""
        self._buses.close()
