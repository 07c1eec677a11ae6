"""What parameters of an array must hold to, each with the message of one that does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from csb_format.arguments import flag, shown, whole
from csb_format.cells import CELLS, LSTM, cell_named
from csb_format.cells.cell import reaches
from csb_format.scales import MAX_ALIGN, DesignError

from ..batch import LEAST_OUTPUT, MOST_STREAMS
from ..screen.bus import PlaneLayout
from .parameters import Parameters

__all__ = ["DICE_BITS", "check_array", "check_counts", "check_flags", "check_pes", "plain"]

FLAGS = (
    *("streamed", "deep", "compact", "by_gate", "checked", "walk", "backward"),
    *("parts", "unguarded", "block_banks", "rectified", "batched", "shallow"),
)
# numbers that may be 0
OPTIONAL = (
    *("projectors", "linear", "max_align", "train", "indexed", "row_bits", "row_shift"),
    *("spread", "forward", "slot_units", "slot_results"),
)
MOST_MULTIPLIERS = 65_536  # several times those of the largest devices
MOST_ALIGN = 31  # of sums that a design learns from
MOST_ACC = 62  # bits of them, as models have 64
DICE_BITS = 24  # below the last bit of a master that an update is rounded from
MOST_ROW_SHIFT = 14  # of a sum whose weights have 18 bits then


def plain(array: Parameters) -> dict[str, Any]:
    """Its numbers and flags as Python's own: numpy's count, but go into JSON and hashes otherwise.

    Raises
    ------
    DesignError
        Naming the first that is neither.
    """
    fields = asdict(array)
    del fields["screen"]
    _check_cell(fields.pop("cell"))
    wider = {"wider": _check_numbers("wider", fields.pop("wider"))}
    flags = {name: fields.pop(name) for name in FLAGS}
    optional = {name: fields.pop(name) for name in OPTIONAL}
    return wider | check_counts(fields) | check_counts(optional, least=0) | check_flags(flags)


def check_array(array: Parameters) -> None:
    """Raise a :class:`.DesignError` that names the first parameter that cannot be."""
    _check_projectors(array)
    _check_narrow(array)
    _check_by_gate(array)
    _check_train(array)
    _check_indexed(array)
    _check_rows(array)
    _check_screen(array)
    _check_banks(array)
    _check_spread(array)
    _check_batched(array)
    _check_shallow(array)
    check_pes(array.pes, array.cell, array.lanes)
    _check_units(array)
    _check_widths(array)


def _check_units(array: Parameters) -> None:
    share = f"pes / {array.abreast}" if array.abreast > 1 else "pes"
    most = array.pes // array.abreast
    _check_beat(array, "units", array.units, share, most)
    _check_slot(array, "slot_units", "units", most)
    _check_slot(array, "slot_results", "projectors", array.pes)


def _check_slot(array: Parameters, name: str, lanes: str, most: int) -> None:
    """What lanes take at the end of a slot comes from PEs that are there."""
    count, each = getattr(array, name), getattr(array, lanes)
    if not count:
        return
    if not each or count * each > most:
        raise DesignError(
            f"{name} = {count}: with {lanes} = {each} that are {count * each} results a slot, and "
            f"PEs have room for {most if each else 0}; take fewer, or 0 for as many as that"
        )
    for kind in ("train", "compact"):
        if value := getattr(array, kind):
            raise DesignError(f"{name} = {count}: not with {kind} = {value}; take 0")


def _check_widths(array: Parameters) -> None:
    if not 4 <= array.value_bits <= 18:
        raise DesignError(f"value_bits = {array.value_bits}: must be 4 to 18")
    if not 6 <= array.act_bits <= 18:
        raise DesignError(f"act_bits = {array.act_bits}: must be 6 to 18")
    _check_reaches(array)
    if array.index_bits > 16:
        raise DesignError(f"index_bits = {array.index_bits}: must be 1 to 16")


def _check_cell(name: object) -> None:
    if not isinstance(name, str) or name not in CELLS:
        raise DesignError(f"cell = {shown(name)}: must be one of {', '.join(CELLS)}")


def _check_reaches(array: Parameters) -> None:
    there = reaches(array.act_bits)
    for name, reach in [("reach", array.reach), *(("wider", reach) for reach in array.wider)]:
        if reach not in there:
            raise DesignError(
                f"{name} = {reach}: must be one of {', '.join(map(str, there))} at act_bits = "
                f"{array.act_bits}"
            )
    if list(array.reaches) != sorted(set(array.reaches)):
        raise DesignError(
            f"wider = {', '.join(map(str, array.wider))}: must ascend from above reach = "
            f"{array.reach}"
        )


def _check_narrow(array: Parameters) -> None:
    most = MOST_ALIGN if array.backward else MAX_ALIGN
    if array.max_align > most:
        raise DesignError(f"max_align = {array.max_align}: must be 0 to {most}")
    if array.pieces > 1 and array.streamed:
        raise DesignError(
            f"pieces = {array.pieces}: a streamed design has no matrix memories to be "
            "narrow; take pieces = 1"
        )
    if array.pieces > 1 and array.deep and not array.compact:
        raise DesignError(
            f"pieces = {array.pieces}: a deep design is not proven to gather words; "
            "take pieces = 1 or leave deep out"
        )
    if array.checked and (array.streamed or array.compact):
        kind = "streamed" if array.streamed else "compact"
        raise DesignError(
            f"checked = True: a {kind} design keeps no parity; leave one of the two out"
        )
    if array.walk and not array.checked:
        raise DesignError("walk = True: the walk is of a checked design; take checked = True")
    if not array.compact:
        return
    if not array.arithmetic.compact:
        raise DesignError(
            f"compact = True: a compact design has no lane for {array.arithmetic.title}; "
            "leave it out, or take an LSTM"
        )
    for name in ("deep", "streamed", "projectors", "parts", "unguarded", "block_banks"):
        if value := getattr(array, name):
            raise DesignError(f"{name} = {value}: a compact design has none; leave it out")
    if array.pes != array.abreast * array.units or array.lanes % array.units:
        raise DesignError(
            f"units = {array.units}: a compact design has a lane for every {array.abreast} of "
            f"its pes = {array.pes}, and these divide its lanes = {array.lanes}"
        )


def _check_by_gate(array: Parameters) -> None:
    if array.by_gate and array.compact:
        raise DesignError("by_gate = True: a compact design has none; leave it out")
    if array.by_gate and array.passes > 1:
        raise DesignError(
            f"by_gate = True: in a design for {array.arithmetic.title} each gate has passes of "
            "its own already; leave it out"
        )


def _check_train(array: Parameters) -> None:
    if not array.train:
        if array.backward:
            raise DesignError("backward = True: of a design that trains; take train above 0")
        if array.forward:
            raise DesignError(
                f"forward = {array.forward}: of a design that trains; take 0, or train above 0"
            )
        return
    if array.backward:
        _check_backward(array)
    if array.forward > array.acc_bits:
        raise DesignError(
            f"forward = {array.forward}: sums have {array.acc_bits} bits; take at most as many"
        )
    kinds = ("streamed", "deep", "compact", "by_gate", "checked")
    if kind := next((name for name in kinds if getattr(array, name)), None):
        raise DesignError(f"train = {array.train}: not with {kind} = True yet; leave one out")
    if array.pieces > 1:
        raise DesignError(f"train = {array.train}: not with pieces = {array.pieces}; take 1")
    if array.word_bits < DICE_BITS:
        raise DesignError(
            f"train = {array.train}: a row's dice have {DICE_BITS} bits, a word of the matrix "
            f"memories {array.word_bits}; take more lanes"
        )


def _check_backward(array: Parameters) -> None:
    if array.arithmetic.resets:
        raise DesignError(
            f"backward = True: arrays train the recurrent layers of {array.arithmetic.title} "
            "not yet; train its head alone"
        )
    if array.act_bits < array.value_bits:
        raise DesignError(
            f"act_bits = {array.act_bits}: weights of {array.value_bits} bits take the place of "
            "activations on the way back, which must be as wide; pack it with more"
        )
    if not array.linear:
        raise DesignError("backward = True: sums leave where a linear output layer's do")
    if array.acc_bits > MOST_ACC:
        raise DesignError(
            f"acc_bits = {array.acc_bits}: sums to learn from have at most {MOST_ACC}; give "
            "smaller batches, or narrower weights"
        )


def _check_indexed(array: Parameters) -> None:
    if not array.indexed:
        return
    if array.indexed >= array.matrix_depth:
        raise DesignError(
            f"indexed = {array.indexed}: must be below matrix_depth = {array.matrix_depth}, so "
            "that there are places without indices, or 0"
        )
    kinds = ("compact", "checked", "train")
    if kind := next((name for name in kinds if getattr(array, name)), None):
        raise DesignError(
            f"indexed = {array.indexed}: not with {kind} = {getattr(array, kind)} yet; leave "
            "one out"
        )
    if array.pieces > 1:
        raise DesignError(f"indexed = {array.indexed}: not with pieces = {array.pieces}; take 1")


def _check_rows(array: Parameters) -> None:
    if not array.row_bits and not array.row_shift:
        return
    if not (array.indexed and array.linear):
        raise DesignError(
            f"row_bits = {array.row_bits}: they are those of a linear output layer without "
            "indices; take indexed and linear above 0, or row_bits = row_shift = 0"
        )
    if not 4 <= array.row_bits <= array.value_bits:
        raise DesignError(
            f"row_bits = {array.row_bits}: must be 0, or 4 to value_bits = {array.value_bits}"
        )
    if array.row_shift > MOST_ROW_SHIFT:
        raise DesignError(f"row_shift = {array.row_shift}: must be 0 to {MOST_ROW_SHIFT}")


def _check_screen(array: Parameters) -> None:
    if array.screen is None:
        return
    for name in ("checked", "projectors", "train"):
        if value := getattr(array, name):
            raise DesignError(
                f"{name} = {value}: not beside a screen unit yet; leave one of the two out "
                "(largest = 0 leaves a screened head to the host)"
            )
    if array.screen.bus_bits:
        PlaneLayout(array.screen, array.screen.bus_bits)  # refuses rows that no burst holds
    if array.screen.elements != array.units:
        raise DesignError(
            f"elements = {array.screen.elements} of a screen unit: the array gives its units = "
            f"{array.units} at once"
        )


def _check_banks(array: Parameters) -> None:
    if array.parts and array.block_banks:
        raise DesignError(
            "block_banks = True: parts are read within a cycle, as blocks are not; leave one of "
            "the two out"
        )


def _check_spread(array: Parameters) -> None:
    if array.spread > array.pes:
        raise DesignError(f"spread = {array.spread}: must be at most pes = {array.pes}")
    if array.spread and (array.compact or array.streamed):
        kind = "compact" if array.compact else "streamed"
        raise DesignError(
            f"spread = {array.spread}: a {kind} design has no such memories; leave one out"
        )


def _check_batched(array: Parameters) -> None:
    if not array.batched:
        return
    if not array.streamed:
        raise DesignError(
            "batched = True: memories on chip give a word a cycle, which several streams would "
            "not use better; take streamed = True, or leave batched out"
        )
    if not 2 <= array.contexts <= MOST_STREAMS:
        raise DesignError(
            f"contexts = {array.contexts}: a batched design has 2 to {MOST_STREAMS} streams; take "
            "so many contexts, or leave batched out"
        )
    if array.output_depth < LEAST_OUTPUT:
        raise DesignError(
            f"output_depth = {array.output_depth}: of a batched design at least {LEAST_OUTPUT}"
        )
    kinds = ("by_gate", "indexed", "rectified")
    if kind := next((name for name in kinds if getattr(array, name)), None):
        raise DesignError(
            f"batched = True: not with {kind} = {getattr(array, kind)} yet; leave one out"
        )
    if array.screen:
        raise DesignError(
            "batched = True: not with a screen unit yet; leave one of the two out "
            "(largest = 0 leaves a screened head to the host)"
        )
    if array.passes > 1 or array.arithmetic.apart:
        raise DesignError(
            f"batched = True: not for {array.arithmetic.title} yet; leave it out, or take an LSTM"
        )


def _check_shallow(array: Parameters) -> None:
    if not array.shallow:
        return
    kinds = ("deep", "compact", "batched", "train")
    if kind := next((name for name in kinds if getattr(array, name)), None):
        raise DesignError(
            f"shallow = True: not with {kind} = {getattr(array, kind)}; leave one of the two out"
        )
    if array.screen:
        raise DesignError(
            "shallow = True: not with a screen unit yet; leave one of the two out "
            "(largest = 0 leaves a screened head to the host)"
        )


def _check_projectors(array: Parameters) -> None:
    q = array.projectors
    if q:
        _check_beat(array, "projectors", q, "pes", array.pes)
    if array.linear and not q:
        raise DesignError(f"linear = {array.linear}: linear layers need projectors")
    if array.rectified and not array.linear:
        raise DesignError("rectified = True: it is linear layers that a ReLU is between")
    for name in ("train", "row_bits"):
        if array.rectified and (value := getattr(array, name)):
            raise DesignError(
                f"{name} = {value}: not with rectified = True yet; leave one of the two out"
            )
    if array.fan_in < 2:
        raise DesignError(f"fan_in = {array.fan_in}: a tree adds at least 2 operands")


def _check_beat(array: Parameters, name: str, count: int, share: str, most: int) -> None:
    """Results of a beat lie in banks side by side, or in places side by side of all banks."""
    n, ports = array.lanes, count // array.lanes
    if count > most or not (n % count == 0 or (count % n == 0 and ports.bit_count() == 1)):
        raise DesignError(
            f"{name} = {count}: must be at most {share} = {most}, and divide lanes = {n} "
            "or be a power-of-two multiple of them"
        )


def check_pes(pes: int, cell: str = LSTM, lanes: int = 1) -> None:
    """Raise a :class:`.DesignError` unless the gates of a unit fit side by side, and a device."""
    abreast = cell_named(cell).abreast
    if pes * lanes > MOST_MULTIPLIERS:
        raise DesignError(
            f"pes = {pes}: these have at least {pes * lanes:,} multipliers, and no device has more "
            f"than {MOST_MULTIPLIERS:,}; take fewer"
        )
    if pes < 1 or pes % abreast:
        wanted = f"a multiple of {abreast}, one PE a gate" if abreast > 1 else "at least 1"
        raise DesignError(f"pes = {pes}: must be {wanted}")


def _check_numbers(name: str, given: object) -> tuple[int, ...]:
    """Whole numbers of at least 1, as a list has them.

    Raises
    ------
    DesignError
        Naming the first that is none.
    """
    if not isinstance(given, list | tuple):
        raise DesignError(f"{name} = {shown(given)}: must be a list of whole numbers")
    return tuple(check_counts({name: number})[name] for number in given)


def check_counts(counts: Mapping[str, object], least: int = 1) -> dict[str, int]:
    """Whole numbers of at least ``least``.

    Raises
    ------
    DesignError
        Naming the first that is none.
    """
    found = {}
    for name, value in counts.items():
        try:
            found[name] = whole(name, value, least)
        except (TypeError, ValueError):
            raise DesignError(
                f"{name} = {shown(value)}: must be a whole number of at least {least}"
            ) from None
    return found


def check_flags(flags: Mapping[str, object]) -> dict[str, bool]:
    """True or false each.

    Raises
    ------
    DesignError
        Naming the first that is neither.
    """
    try:
        return {name: flag(name, value) for name, value in flags.items()}
    except TypeError as error:
        raise DesignError(str(error)) from None
