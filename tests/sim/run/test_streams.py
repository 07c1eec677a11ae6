"""Stream ends: what is offered stays, nothing is lost, pauses follow from their seed."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from sim.run.streams import Pauses, Sink, Source


class FakePorts:
    """Ports of a design that answers each cycle from a function."""

    def __init__(self, answers: Callable[[int], dict[str, int]]):
        self.answers, self.cycle = answers, 0
        self.driven: dict[str, int] = {}

    def get(self, name: str) -> int:
        return self.answers(self.cycle)[name]

    def set(self, name: str, value: int) -> None:
        self.driven[name] = value

    async def settle(self) -> None:
        pass

    async def tick(self) -> None:
        self.cycle += 1


def offers(source: Source, ready: list[int]) -> list[tuple[int, int | None, int]]:
    """(valid, payload, ready) of every cycle."""
    ports = FakePorts(lambda cycle: {"s__ready": ready[cycle]})
    seen = []
    for cycle in range(len(ready)):
        ports.cycle = cycle
        source.step(ports, cycle)
        seen.append((ports.driven.get("s__valid", 0), ports.driven.get("s__payload"), ready[cycle]))
    return seen


def random_bits(seed: int, count: int, share: float = 0.5) -> list[int]:
    rng = random.Random(seed)
    return [int(rng.random() < share) for _ in range(count)]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_an_offered_payload_stays_until_it_is_taken(share: float, seed: int) -> None:
    source = Source("s", list(range(100, 150)), Pauses(share, seed))
    seen = offers(source, random_bits(seed, 1500))
    assert source.done
    for (valid, payload, ready), following in pairwise(seen):
        if valid and not ready:
            assert following[:2] == (1, payload)
    assert [payload for valid, payload, ready in seen if valid and ready] == source.payloads
    assert seen[-1][0] == 0


def test_a_source_that_does_not_pause_offers_in_every_cycle() -> None:
    source = Source("s", [7, 8, 9])
    assert offers(source, [0, 1, 1, 1, 1]) == [
        (1, 7, 0),
        (1, 7, 1),
        (1, 8, 1),
        (1, 9, 1),
        (0, 9, 1),
    ]
    assert source.first_sent_at == 1


def test_a_source_pauses_between_payloads_only() -> None:
    source = Source("s", list(range(200)), Pauses(0.5, seed=4))
    seen = offers(source, [1] * 600)
    idle = [valid for valid, _, _ in seen[: 600 - 1 - seen[::-1].index((1, 199, 1))]].count(0)
    assert source.done
    assert 140 < idle < 260  # a pause is as likely as a payload


def test_no_payloads_means_done_and_silence() -> None:
    source = Source("s", [])
    assert source.done
    assert offers(source, [1, 1]) == [(0, None, 1)] * 2
    assert source.first_sent_at is None


def test_an_unknown_ready_takes_nothing() -> None:
    source = Source("s", [5])
    assert offers(source, [-1, -1]) == [(1, 5, -1)] * 2
    assert source.sent == 0


def drain(sink: Sink, beats: list[int], cycles: int, valid: list[int]) -> list[int]:
    """Offer beats to a sink as a design does; ``ready`` of every cycle."""
    ready = []
    ports = FakePorts(lambda cycle: {"s__valid": 0, "s__payload": 0})
    for cycle in range(cycles):
        at = len(sink.payloads)
        offered = {"s__valid": valid[cycle] if at < len(beats) else 0}
        offered["s__payload"] = beats[at] if at < len(beats) else 0
        ports.answers = lambda _, offered=offered: offered  # type: ignore[misc]
        sink.step(ports, cycle)
        ready.append(ports.driven.get("s__ready", 0))
    return ready


@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_a_sink_keeps_order_and_notes_cycles(share: float) -> None:
    sink, valid = Sink("s", Pauses(share, 3)), random_bits(5, 2000)
    ready = drain(sink, list(range(60)), 2000, valid)
    assert sink.payloads == list(range(60))
    taken = [c for c in range(2000) if ready[c] and valid[c]]
    assert sink.cycles == taken[:60]
    assert abs(ready.count(0) / 2000 - share) < 0.05


def test_an_unknown_valid_is_not_taken() -> None:
    sink = Sink("s")
    drain(sink, [1], 3, [-1, -1, -1])
    assert sink.payloads == []


def test_the_same_seed_gives_the_same_pauses() -> None:
    def pauses(seed: int) -> list[bool]:
        generator = Pauses(0.5, seed).generator()
        return [generator.now() for _ in range(64)]

    assert pauses(1) == pauses(1)
    assert pauses(1) != pauses(2)


def test_no_share_never_pauses() -> None:
    generator = Pauses().generator()
    assert not any(generator.now() for _ in range(1000))


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan")])
def test_share_limits(share: float) -> None:
    with pytest.raises(ValueError, match=rf"share of pauses {share}: must be at least 0 and below"):
        Pauses(share)
