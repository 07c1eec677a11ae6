"""What a step takes on each core of this machine, and at each clock that a core can be given.

Kinds of cores are found by measuring, not by name: cores whose steps take as long to within
``ALIKE`` are of one kind. Clocks are those of Linux' cpufreq; where there is none, or where a core
has no list of them, nothing is chosen and that is said.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["clocks_of", "kinds", "lowest_clock", "step_by_clock", "step_by_core"]

ALIKE = 1.1  # times as long
SLOWER = 1.05  # that a lower clock may make a step
POLICIES = Path("/sys/devices/system/cpu")

Step = Callable[[], float]


def step_by_core(step: Step) -> dict[int, float]:
    """Microseconds of a step on each core that this process may run on.

    Parameters
    ----------
    step : callable
        Measures a step of one thread, in microseconds.

    Returns
    -------
    dict of int to float
        By the number of the core; empty where threads cannot be bound to cores.
    """
    if not hasattr(os, "sched_setaffinity"):
        return {}
    return {core: _on_core(core, step) for core in sorted(os.sched_getaffinity(0))}


def _on_core(core: int, step: Step) -> float:
    with _bound(core):
        return step()


@contextmanager
def _bound(core: int) -> Iterator[None]:
    all_cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {core})
        yield
    finally:
        os.sched_setaffinity(0, all_cores)


def kinds(us: dict[int, float]) -> list[tuple[list[int], float]]:
    """Cores that take as long, the fastest kind first, with their microseconds a step.

    Parameters
    ----------
    us : dict of int to float
        See :func:`step_by_core`.

    Returns
    -------
    list of (cores, us)
        ``us`` is that of the fastest core of the kind.
    """
    found: list[tuple[list[int], float]] = []
    for core, each in sorted(us.items(), key=lambda item: item[1]):
        if found and each <= ALIKE * found[-1][1]:
            found[-1][0].append(core)
        else:
            found.append(([core], each))
    return [(sorted(cores), each) for cores, each in found]


def clocks_of(core: int, root: Path = POLICIES) -> list[int]:
    """Clocks in kHz that a core can be given, the lowest first; none without cpufreq.

    Drivers that choose by themselves (``intel_pstate``, ``amd-pstate``) have no list of clocks.
    """
    path = root / f"cpu{core}/cpufreq/scaling_available_frequencies"
    try:
        return sorted({int(word) for word in path.read_text("ascii").split()})
    except (OSError, ValueError):
        return []


def step_by_clock(
    core: int, step: Step, root: Path = POLICIES, clocks: Sequence[int] | None = None
) -> dict[int, float]:
    """Microseconds of a step at every clock of a core; its limits are as before afterwards.

    A step that waits for memory takes as long at a lower clock, one that computes does not: this
    measures it for the model at hand.

    Parameters
    ----------
    core : int
    step : callable
        See :func:`step_by_core`.
    root : path, optional
        Where the system has its cores.
    clocks : sequence of int, optional
        In kHz; by default all of :func:`clocks_of`.

    Returns
    -------
    dict of int to float
        By the clock in kHz.

    Raises
    ------
    ValueError
        If clocks may not be set: only root can.
    """
    limits = root / f"cpu{core}/cpufreq"
    with _limits_kept(limits):
        found = {}
        for clock in clocks_of(core, root) if clocks is None else clocks:
            _limit(limits, clock)
            found[clock] = _on_core(core, step)
    return found


@contextmanager
def _limits_kept(limits: Path) -> Iterator[None]:
    low, high = limits / "scaling_min_freq", limits / "scaling_max_freq"
    try:
        before = low.read_text("ascii"), high.read_text("ascii")
    except OSError as error:
        raise ValueError(f"{error.filename}: {error.strerror}: no clocks to try") from error
    try:
        yield
    finally:
        _write(high, before[1])  # the upper one first: the lower must not pass it
        _write(low, before[0])


def _limit(limits: Path, clock: int) -> None:
    """Both limits, in the order in which the lower never passes the upper."""
    low, high = limits / "scaling_min_freq", limits / "scaling_max_freq"
    names = (high, low) if clock >= int(low.read_text("ascii")) else (low, high)
    for path in names:
        _write(path, str(clock))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "ascii")
    except OSError as error:
        raise ValueError(
            f"{path}: {error.strerror}: clocks are set by root, `sudo sparseflow cpu plan ...`"
        ) from error


def lowest_clock(us: dict[int, float]) -> int:
    """The lowest clock at which a step takes at most 5 % longer than at the best, in kHz.

    Parameters
    ----------
    us : dict of int to float
        See :func:`step_by_clock`; at least one.
    """
    least = min(us.values())
    return min(clock for clock, each in us.items() if each <= SLOWER * least)
