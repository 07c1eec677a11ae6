"""Finds the first wrong value behind a mismatch: layer, step, gate, row, bank and cycle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.abi.states import Outcome
from compiler.array.latency import RAM, pre_delay
from compiler.array.program import Sink
from compiler.lower.passes import HEAD
from compiler.timing.issued import Issued
from csb_format import Csb, IntArray
from csb_format.words import join_fields
from engine.reference import Trace
from hdl.core.hierarchy import Ram
from hdl.core.lanes import LANES
from hdl.core.pe import ProcessingElement

from .checks import Bench, Check, ElementCheck, ProgramCheck, Replay, first_wrong
from .compare import Mismatch

__all__ = ["diagnose", "diagnose_program"]

NOT_AGAIN = "right in replays without pauses, of its sequence alone and of all frames up to it"


@dataclass(frozen=True, kw_only=True)
class _Origin(Check):
    """Something that an element is made of.

    Parameters
    ----------
    matrix : str
    row : int
    gate : int or None
        Of the row; a projection and a linear layer have none.
    bank : int or None
        Of a product.
    word : Check or None
        Of a product: the word of the matrix memory that it comes from.
    memory : str
        Of a product or bias: that word's place.
    """

    matrix: str
    row: int
    gate: int | None
    bank: int | None = None
    word: Check | None = None
    memory: str = ""


def diagnose(
    stimulus: Stimulus,
    traces: Sequence[Sequence[Trace]],
    mismatch: Mismatch,
    bench: Bench,
) -> Mismatch:
    """Replay frames up to a mismatch, and look inside for the first wrong value.

    A first replay looks at every element that lanes and projectors put out and at what
    the controller does, a second one at all that the first wrong element is made of.

    Parameters
    ----------
    stimulus : Stimulus
        All frames of the run.
    traces : sequence of sequences of Trace
        What the model makes of them, of each level all sequences.
    mismatch : Mismatch
    bench : Bench
        The hardware.

    Returns
    -------
    Mismatch
        The first wrong element of all layers with gate, row, bank and cycle of the first
        wrong product, sum, bias or pre-activation behind it; without them where all of
        these are right, so that its lane is to blame. The given one, with what runs
        otherwise, where the program is not the image's, and where no replay is wrong.
    """
    frames = (stimulus.sequence == mismatch.sequence) & (stimulus.step == mismatch.step)
    last = int(np.flatnonzero(frames)[0])
    # with one frame more, as its passes run in the waits of the one before
    alone = stimulus.alone(mismatch.sequence, mismatch.step + 2)
    whole = stimulus.only(np.arange(len(stimulus.frames)) < last + 2)
    for given in [alone, *[whole] * (len(whole.frames) > len(alone.frames))]:
        replay = Replay(given, traces)
        checks = [*replay.program(), *replay.elements()]
        outcome = bench.probe(given, checks)
        wrong = first_wrong(outcome, checks)
        if isinstance(wrong, ProgramCheck):
            return replace(mismatch, cycle=wrong.cycle, where=replay.explain(wrong, outcome))
        if isinstance(wrong, ElementCheck):
            return _origin(replay, wrong, wrong.got(outcome), bench)
    return replace(mismatch, where=NOT_AGAIN)


def diagnose_program(stimulus: Stimulus, bench: Bench) -> str:
    """Where the controller first leaves its schedule; empty if it does not.

    Parameters
    ----------
    stimulus : Stimulus
    bench : Bench
    """
    replay = Replay(stimulus, [])
    checks = list(replay.program())
    outcome = bench.probe(stimulus, checks)
    wrong = first_wrong(outcome, checks)
    if not isinstance(wrong, ProgramCheck):
        return ""
    return f"cycle {wrong.cycle}: {replay.explain(wrong, outcome)}"


def _origin(replay: Replay, wrong: ElementCheck, got: int | str, bench: Bench) -> Mismatch:
    """The first wrong value among those that a wrong element is made of."""
    frame, given = wrong.run.frame, replay.stimulus
    found = Mismatch(
        replay.layer(wrong.run),
        int(given.sequence[frame]),
        int(given.step[frame]),
        wrong.element,
        wrong.state,
        wrong.value,
        got,
        wrong.cycle,
    )
    checks = [
        check for run in _makers(replay, wrong) for check in _Making(replay, wrong, run).checks()
    ]
    words = [check.word for check in checks if check.word is not None]
    outcome = bench.probe(given, [*checks, *words])
    first = first_wrong(outcome, checks)
    if not isinstance(first, _Origin):
        lane = wrong.signal.partition(".")[0]
        where = f"all that it is made of is right; look at {lane}"
        return replace(found, where=where)
    return replace(
        found,
        gate=None if first.gate is None else replay.image.design.arithmetic.gate_names[first.gate],
        row=first.row,
        bank=first.bank,
        matrix=first.matrix,
        cycle=first.cycle,
        where=_where(first, outcome),
    )


def _where(wrong: _Origin, outcome: Outcome) -> str:
    text = f"{wrong.signal} is {wrong.got(outcome)}, should be {wrong.value}"
    if wrong.word is None:
        return text + (f"; {wrong.memory}" if wrong.memory else "")
    got = wrong.word.got(outcome)
    if got == wrong.word.value:
        return f"{text}; its weight is right, its operand was read or written wrong"
    shown = got if isinstance(got, str) else f"0x{got:x}"
    return f"{text}; {wrong.memory} is {shown}, should be 0x{wrong.word.value:x}"


def _makers(replay: Replay, wrong: ElementCheck) -> list[Issued]:
    """The pass that gives an element, and those before it whose gates it is made of."""
    now = wrong.run
    if now.given.sink != Sink.UNITS:
        return [now]
    upto = replay.runs[: replay.runs.index(now) + 1]
    same = [run for run in upto if (run.frame, run.given.layer) == (now.frame, now.given.layer)]
    return [run for run in same if run.given.sink == Sink.UNITS]


class _Making:
    """What one pass adds to an element of a vector."""

    def __init__(self, replay: Replay, wrong: ElementCheck, run: Issued):
        self._replay, self._wrong, self._run = replay, wrong, run
        self._design = replay.image.design
        self._units = run.given.sink == Sink.UNITS
        placement = run.given.placement
        self._gates = placement.rows_of
        self._rows = [gate * placement.size + wrong.element for gate in self._gates]
        # slot and PE of each of the rows
        places = [np.argwhere(placement.rows == row)[0].tolist() for row in self._rows]
        self._places = [(int(slot), int(pe)) for slot, pe in places]
        self._matrix = self._run.given.matrix
        self._bias = replay.image.bias(replay.part, self._run.given)

    def _csb(self, run: Issued) -> Csb:
        return self._replay.image.matrix(self._replay.part, run.given)

    def checks(self) -> Iterator[_Origin]:
        """Products, sums, biases, pre-activations."""
        # of each row: what was parked, and what the last pass added
        parked = np.zeros(len(self._rows), np.int64)
        added = np.zeros_like(parked)
        for run, gates in self._feeding():
            vector = self._replay.vector(run)
            if vector is None:
                continue
            total = self._csb(run).matvec(vector)[self._rows]
            sums = parked if run.given.sink == Sink.PARK else added
            if self._units or run is self._run:
                sums[gates] = (total << np.array(run.instruction.align[: len(self._rows)]))[gates]
            yield from self._products(run, vector, gates)
        yield from self._sums(parked, added)
        if self._units:
            yield from self._lane(parked, added)
        elif self._run.given.biased:
            yield from self._linear()

    def _feeding(self) -> Iterator[tuple[Issued, list[int]]]:
        """The passes whose products are in the element's sums, and the gates that they have."""
        if not self._units:
            # a projection may have two, of which the last has the whole sum
            key = self._run.given.key[:3]
            for run in self._replay.runs:
                if run.given.key[:3] == key and run.frame == self._run.frame:
                    yield run, [0]
            return
        base = self._run.given.instruction.slot  # of the layer's parked sums, so its own
        for run in self._replay.runs:
            same = run.given.instruction.slot == base and run.given.sink != Sink.PROJECT
            gates = [n for n, (slot, _) in enumerate(self._places) if slot in run.slots]
            if same and run.frame == self._run.frame and gates:
                yield run, gates

    def _products(self, run: Issued, vector: IntArray, gates: list[int]) -> Iterator[_Origin]:
        design = self._design
        matrix, width = self._csb(run), design.value_bits + design.act_bits
        padded = np.zeros(matrix.geometry.padded_columns, np.int64)
        padded[: len(vector)] = vector
        banks = padded.reshape(design.lanes, -1)
        for gate in gates:
            row, (slot, pe) = self._rows[gate], self._places[gate]
            operands = banks[np.arange(design.lanes), matrix.indices[row].astype(np.int64)]
            issued = (matrix.values[row] * operands)[run.given.skips :][: run.groups(slot)]
            for group, products in enumerate(issued.tolist()):
                place = run.word(slot, group)
                issue = run.cycle(slot, group) + self._replay.latencies.issue
                stored = self._stored(run, row, group, place, pe)
                word = Check(f"pe{pe}.word", issue, stored, design.word_bits, False)
                cycle = (
                    issue + ProcessingElement.product_delay(design) - design.deep
                )  # before its way out
                memory = f"word {place} of matrix_{pe:03d}"
                for lane, value in enumerate(products):
                    yield _Origin(
                        f"pe{pe}.product{lane}",
                        cycle,
                        value,
                        width,
                        True,
                        matrix=run.given.matrix,
                        row=row,
                        gate=self._gates[gate] if self._units else None,
                        bank=lane,
                        word=word,
                        memory=memory,
                    )

    def _stored(self, run: Issued, row: int, group: int, place: int, pe: int) -> int:
        """What a PE's word should hold: that of the memory, or one of several groups in it."""
        image = self._replay.image
        if run.given.matrix != HEAD or not self._design.row_bits:
            return int(image.matrix_words[place, pe])
        values = self._csb(run).values[row, group].astype(np.int64)
        entries = np.stack([values, np.zeros_like(values)], axis=-1).ravel()
        widths = [self._design.value_bits, self._design.index_bits] * self._design.lanes
        return int(join_fields(entries, widths))

    def _origin(self, check: Check, gate: int, memory: str = "") -> _Origin:
        """A check of something that a row has one of."""
        return _Origin(
            **asdict(check),
            matrix=self._matrix,
            row=self._rows[gate],
            gate=self._gates[gate] if self._units else None,
            memory=memory,
        )

    def _sums(self, parked: IntArray, added: IntArray) -> Iterator[_Origin]:
        width, apart = self._design.acc_bits, self._design.arithmetic.apart if self._units else ()
        for n, (slot, pe) in enumerate(self._places):
            gate = self._gates[n]
            cycle = self._last_group(slot) + self._replay.latencies.row
            # sums that are kept are shown with the unit's last, each at a place of its own
            low = 0
            if self._design.collects:
                low = width * (gate if self._units else pe % self._design.abreast)
            if self._design.collects and self._units:
                cycle = self._deal - self._place
            together = int(added[n] if gate in apart else parked[n] + added[n])
            yield self._origin(Check(f"pe{pe}.result", cycle, together, width, True, low), n)
            if gate in apart:
                beside = Check(
                    f"pe{pe}.beside", cycle, int(parked[n]), self._design.forward_bits, True
                )
                yield self._origin(beside, n)

    @property
    def _deal(self) -> int:
        return int(self._run.deals(self._replay.latencies)[self._wrong.beat])

    @property
    def _place(self) -> int:
        """Cycles from the results of a slot to the deal of the element's beat."""
        _, places = self._replay.latencies.ready(self._run.instruction)
        return int(places[self._wrong.beat])

    def _last_group(self, slot: int) -> int:
        return self._run.cycle(slot, self._run.groups(slot) - 1)

    def _lane(self, parked: IntArray, added: IntArray) -> Iterator[_Origin]:
        """Biases and pre-activations of all sums."""
        wrong, design, now = self._wrong, self._design, self._run.given.instruction
        assert self._bias is not None
        arithmetic, bits = design.arithmetic, design.state.width
        lane = LANES[arithmetic.name, design.compact]
        biases = self._bias.reshape(len(arithmetic.sums), -1)[:, wrong.element].tolist()
        memory = f"look at word {now.bias + wrong.beat} of bias_{wrong.lane:03d}"
        last = self._last_group(self._places[-1][0])
        for shift, n in zip(now.shift, arithmetic.sums_of(self._run.given.kind), strict=False):
            given, bias = arithmetic.sums[n], biases[n]
            row = self._gates.index(given.gate)
            # where lanes take rows those before the last are dealt earlier
            earlier = last - self._last_group(self._places[row][0]) if design.takes_rows else 0
            deal = self._deal - earlier
            found = Check(f"lane{wrong.lane}.bias", deal + RAM, bias, bits, True, n * bits)
            yield self._origin(found, row, memory)
            ih, hh = (parked, added) if self._run.given.matrix == "weight_hh" else (added, parked)
            total = np.array(ih[row] * given.input + hh[row] * given.recurrent)
            pre = int(arithmetic.preactivation(total, np.array(bias), shift))
            signal = f"lane{wrong.lane}.{lane.pre_signal(given.name)}"
            check = Check(signal, deal + pre_delay(design), pre, bits, True)
            yield self._origin(check, row)

    def _linear(self) -> Iterator[_Origin]:
        """The bias of an output of a linear layer."""
        wrong = self._wrong
        assert self._bias is not None
        bias, cycle = int(self._bias[wrong.element]), self._deal + Ram.latency
        place = f"word {self._run.instruction.bias + wrong.beat} of linear_{wrong.lane:03d}"
        signal, width = f"projector{wrong.lane}.bias", self._design.forward_bits
        yield self._origin(Check(signal, cycle, bias, width, True), 0, f"look at {place}")
