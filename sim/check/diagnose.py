"""Finds the first wrong value behind a mismatch: layer, step, gate, row, bank and cycle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from compiler.abi.frames import Stimulus
from compiler.abi.states import Outcome
from compiler.array.program import Sink
from compiler.timing.issued import Issued
from csb_format import Csb, IntArray
from csb_format.scales import GATES
from engine.reference import Trace
from hdl.core.hierarchy import Ram
from hdl.core.lanes.lstm import ElementwiseLane
from hdl.core.pe import ProcessingElement

from .checks import Bench, Check, ElementCheck, ProgramCheck, Replay, first_wrong
from .compare import Mismatch

__all__ = ["diagnose", "diagnose_program"]

GATE_NAMES = "ifgo"
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
    checks = list(_Making(replay, wrong).checks())
    words = [check.word for check in checks if check.word is not None]
    outcome = bench.probe(given, [*checks, *words])
    first = first_wrong(outcome, checks)
    if not isinstance(first, _Origin):
        lane = wrong.signal.partition(".")[0]
        where = f"all that it is made of is right; look at {lane}"
        return replace(found, where=where)
    return replace(
        found,
        gate=None if first.gate is None else GATE_NAMES[first.gate],
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


class _Making:
    """What one element of a vector is made of."""

    def __init__(self, replay: Replay, wrong: ElementCheck):
        self._replay, self._wrong, self._run = replay, wrong, wrong.run
        self._design = replay.image.design
        self._gates = GATES if wrong.run.given.sink == Sink.UNITS else 1
        placement = wrong.run.given.placement
        place = int(np.flatnonzero(placement.order == wrong.element)[0])
        self._slot, column = divmod(place, self._design.pes // self._gates)
        self._pes = range(self._gates * column, self._gates * (column + 1))
        self._rows = [gate * placement.size + wrong.element for gate in range(self._gates)]
        self._matrix = self._run.given.matrix
        self._bias = replay.image.bias(replay.part, self._run.given)

    def _csb(self, run: Issued) -> Csb:
        return self._replay.image.matrix(self._replay.part, run.given)

    def checks(self) -> Iterator[_Origin]:
        """Products, sums, biases, pre-activations."""
        feeding = list(self._feeding())
        sums = np.zeros(self._gates, np.int64)
        for run in feeding:
            vector = self._replay.vector(run)
            if vector is None:
                continue
            total = self._csb(run).matvec(vector)[self._rows]
            sums += total << np.array(run.instruction.align[: self._gates])
            yield from self._products(run, vector)
        yield from self._sums(sums)
        if self._gates == GATES:
            yield from self._lane(sums)
        elif not self._run.instruction.write:
            yield from self._linear()

    def _feeding(self) -> Iterator[Issued]:
        """The passes whose products are in the element's sums."""
        if self._gates == 1:
            yield self._run
            return
        base = self._run.given.instruction.slot  # of the layer's parked sums, so its own
        for run in self._replay.runs:
            same = run.given.instruction.slot == base and run.given.sink != Sink.PROJECT
            if same and run.frame == self._run.frame and self._slot in run.slots:
                yield run

    def _products(self, run: Issued, vector: IntArray) -> Iterator[_Origin]:
        design, image = self._design, self._replay.image
        matrix, width = self._csb(run), design.value_bits + design.act_bits
        padded = np.zeros(matrix.geometry.padded_columns, np.int64)
        padded[: len(vector)] = vector
        banks = padded.reshape(design.lanes, -1)
        for pe, row, gate in zip(self._pes, self._rows, range(self._gates), strict=True):
            operands = banks[np.arange(design.lanes), matrix.indices[row].astype(np.int64)]
            for group, products in enumerate((matrix.values[row] * operands).tolist()):
                place = run.word(self._slot, group)
                issue = run.cycle(self._slot, group) + self._replay.latencies.issue
                stored = int(image.matrix_words[place, pe])
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
                        gate=gate if self._gates > 1 else None,
                        bank=lane,
                        word=word,
                        memory=memory,
                    )

    def _origin(self, check: Check, gate: int, memory: str = "") -> _Origin:
        """A check of something that a row has one of."""
        return _Origin(
            **asdict(check),
            matrix=self._matrix,
            row=self._rows[gate],
            gate=gate if self._gates > 1 else None,
            memory=memory,
        )

    def _sums(self, sums: IntArray) -> Iterator[_Origin]:
        last = self._run.cycle(self._slot, self._run.instruction.groups - 1)
        cycle = last + self._replay.latencies.row
        for gate, (pe, total) in enumerate(zip(self._pes, sums.tolist(), strict=True)):
            width = self._design.acc_bits
            yield self._origin(Check(f"pe{pe}.result", cycle, total, width, True), gate)

    @property
    def _deal(self) -> int:
        return int(self._run.deals(self._replay.latencies)[self._wrong.beat])

    def _lane(self, sums: IntArray) -> Iterator[_Origin]:
        """Biases and pre-activations of the four gates."""
        wrong, state = self._wrong, self._design.state
        assert self._bias is not None
        biases = self._bias[self._rows].tolist()
        shifts, arithmetic = self._run.given.instruction.shift, self._design.arithmetic
        bias_at = self._deal + ElementwiseLane.bias_delay
        pre_at = self._deal + ElementwiseLane.pre_delay(self._design)
        memory = f"look at word {self._run.instruction.bias + wrong.beat} of bias_{wrong.lane:03d}"
        for gate, (name, bias) in enumerate(zip(GATE_NAMES, biases, strict=True)):
            bits = state.width
            found = Check(f"lane{wrong.lane}.bias", bias_at, bias, bits, True, gate * bits)
            yield self._origin(found, gate, memory)
            pre = int(arithmetic.preactivation(sums[gate], np.array(bias), shifts[gate]))
            signal = f"lane{wrong.lane}.pre_{name}"
            yield self._origin(Check(signal, pre_at, pre, bits, True), gate)

    def _linear(self) -> Iterator[_Origin]:
        """The bias of an output of a linear layer."""
        wrong = self._wrong
        assert self._bias is not None
        bias, cycle = int(self._bias[wrong.element]), self._deal + Ram.latency
        place = f"word {self._run.instruction.bias + wrong.beat} of linear_{wrong.lane:03d}"
        signal, width = f"projector{wrong.lane}.bias", self._design.acc_bits
        yield self._origin(Check(signal, cycle, bias, width, True), 0, f"look at {place}")
