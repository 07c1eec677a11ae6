"""Compiled products of :mod:`engine.products`; they check nothing and trust their caller.

A bank is short enough for a few 512-bit registers, so what a row reads of the vector is
picked by permutations of registers (AVX-512 ``vpermi2ps``, ``vpermw``) instead of gathered
from memory. 16 rows are worked on side by side: balance makes their entries line up.
Elsewhere entries are gathered row by row.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from csb_format.extras import needs

with needs("cpu"):
    from llvmlite import ir
    from numba import types
    from numba.core.registry import cpu_target

from .compiled import compiled, compiled_sums
from .lanes import INT, LONG, SHORT, Lanes, call, every, intrinsic, overload, pointer, read, reader

__all__ = [
    "BLOCK",
    "FLOATS",
    "MANY",
    "SHORTS",
    "Rows",
    "Tiles",
    "add_bytes",
    "add_floats",
    "add_integers",
    "add_many_bytes",
    "add_many_integers",
    "add_many_shorts",
    "add_rows",
    "add_shorts",
    "permutes",
]

ROWS = 16  # side by side: one register of float32 or int32 sums
BLOCK = 2 * ROWS  # rows of a block: two registers, so that sums do not wait for each other
FLOATS, SHORTS = 16, 32  # columns in a register
MANY = 4  # vectors of one pass over a matrix: their sums and banks fill the registers
MOST_PAIRS = 128  # 256 * 255 * 2**15 < 2**31: int32 sums of low bytes cannot overflow


class Rows(NamedTuple):
    """A sparse matrix with equally many entries in every row; 0 rows where there is none."""

    values: npt.NDArray[Any]  # (rows, entries): float32 or int32
    columns: npt.NDArray[Any]  # (rows, entries): uint16 or int32


class Tiles(NamedTuple):
    """A bank-balanced matrix, ordered block, bank, entry, row of the block.

    Integers go in pairs of entries: block, bank, pair, row, entry of the pair.
    """

    values: npt.NDArray[Any]  # flat: float32, int16, or int8
    places: npt.NDArray[np.uint8]  # flat, in the bank
    banks: int
    entries: int  # in a bank of a row; even where integers go in pairs
    width: int  # columns of a bank
    stride: int  # width as it is laid out: whole registers
    registers: int  # of a bank
    columns: int
    rows: int  # whole blocks


def permutes() -> bool:
    """Whether numba compiles for a CPU with the permutations (AVX-512 F and BW)."""
    features = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    return {"+avx512f", "+avx512bw"} <= set(features)


_F16 = Lanes(ir.FloatType(), FLOATS)
_I16 = Lanes(INT, ROWS)
_H32 = Lanes(SHORT, SHORTS)
_read_f16, _read_i16, _read_h32 = (reader(lanes) for lanes in (_F16, _I16, _H32))


@intrinsic
def _no_sums(typing: Any) -> Any:
    return _I16(), lambda context, builder, signature, given: every(_I16.vector, 0)


@intrinsic
def _write(typing: Any, array: Any, at: Any, lanes: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        found = pointer(context, builder, array, given[0], given[1], lanes.vector)
        builder.store(given[2], found, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), code


@intrinsic
def _fused(typing: Any, a: Any, b: Any, c: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return call(builder, "llvm.fma.v16f32", _F16.vector, *given)

    return _F16(_F16, _F16, _F16), code


def _pair_sum(builder: Any, total: Any, values: Any, picked: Any) -> Any:
    return builder.add(
        total, call(builder, "llvm.x86.avx512.pmaddw.d.512", _I16.vector, values, picked)
    )


@intrinsic
def _add_pairs(typing: Any, total: Any, values: Any, picked: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return _pair_sum(builder, *given)

    return _I16(_I16, _H32, _H32), code


@intrinsic
def _high(typing: Any, values: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.ashr(given[0], every(_H32.vector, 8))

    return _H32(_H32), code


@intrinsic
def _low(typing: Any, values: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.and_(given[0], every(_H32.vector, 255))

    return _H32(_H32), code


@intrinsic
def _flush(typing: Any, array: Any, at: Any, high: Any, low: Any) -> Any:
    """Add ``256 * high + low`` to 16 elements of an int64 array."""

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        vector = ir.VectorType(LONG, ROWS)
        total = read(context, builder, array, given[0], given[1], vector)
        high, low = (builder.sext(g, vector) for g in given[2:])
        total = builder.add(total, builder.add(builder.shl(high, every(vector, 8)), low))
        builder.store(total, pointer(context, builder, array, given[0], given[1], vector), align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, _I16, _I16), code


def _picker(lanes: Lanes, index: Lanes, one: str, two: str, registers: int) -> Any:
    """Read ``registers`` registers of a bank and pick an entry for every lane."""
    count = lanes.vector.count

    @intrinsic
    def pick(typing: Any, bank: Any, at: Any, place: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            array, at, place = given
            starts = [builder.add(at, at.type(n * count)) for n in range(registers)]
            parts = [read(context, builder, bank, array, n, lanes.vector) for n in starts]
            if registers == 1:
                return call(builder, one, lanes.vector, parts[0], place)
            found = [
                call(builder, two, lanes.vector, parts[n], place, parts[n + 1])
                for n in range(0, registers, 2)
            ]
            return _select(builder, found, place, 2 * count)

        return lanes(bank, types.intp, index), code

    return pick


def _select(builder: Any, found: list[Any], place: Any, bit: int) -> Any:
    while len(found) > 1:
        masked = builder.and_(place, every(place.type, bit))
        upper = builder.icmp_unsigned("!=", masked, every(place.type, 0))
        pairs = zip(found[::2], found[1::2], strict=True)
        found, bit = [builder.select(upper, b, a) for a, b in pairs], 2 * bit
    return found[0]


def _float_picker(registers: int) -> Any:
    names = ("llvm.x86.avx512.permvar.sf.512", "llvm.x86.avx512.vpermi2var.ps.512")
    return _picker(_F16, _I16, *names, registers)


def _short_picker(registers: int) -> Any:
    names = ("llvm.x86.avx512.permvar.hi.512", "llvm.x86.avx512.vpermi2var.hi.512")
    return _picker(_H32, _H32, *names, registers)


@compiled
def _spread(m: Tiles, x: Any, bank: Any) -> None:
    for b in range(m.banks):
        first = b * m.width
        for n in range(min(m.width, m.columns - first)):
            bank[b * m.stride + n] = x[first + n]


def _float_loop(registers: int) -> Any:
    pick = _float_picker(registers)

    @compiled
    def loop(m: Any, bank: Any, y: Any) -> None:
        at = 0
        for row in range(0, len(y), BLOCK):
            one, two = _read_f16(y, row), _read_f16(y, row + ROWS)
            for b in range(m.banks):
                first = b * registers * FLOATS
                for _ in range(m.entries):
                    got = pick(bank, first, _read_i16(m.places, at))
                    one = _fused(_read_f16(m.values, at), got, one)
                    got = pick(bank, first, _read_i16(m.places, at + ROWS))
                    two = _fused(_read_f16(m.values, at + ROWS), got, two)
                    at += BLOCK
            _write(y, row, one)
            _write(y, row + ROWS, two)

    return loop


def _short_loop(registers: int, split: bool) -> Any:
    """Sums of int16 values in two halves, of high and low bytes, or of int8 values in one."""
    pick = _short_picker(registers)

    @compiled
    def add_pair(m: Any, bank: Any, first: int, at: int, high: Any, low: Any) -> Any:
        got, value = pick(bank, first, _read_h32(m.places, at)), _read_h32(m.values, at)
        if split:
            return _add_pairs(high, _high(value), got), _add_pairs(low, _low(value), got)
        return high, _add_pairs(low, value, got)

    @compiled
    def loop(m: Any, bank: Any, y: Any) -> None:
        pairs, at = m.entries // 2, 0
        step = MOST_PAIRS // max(1, pairs)
        for row in range(0, len(y), BLOCK):
            for start in range(0, m.banks, step):
                high1, low1, high2, low2 = _no_sums(), _no_sums(), _no_sums(), _no_sums()
                for b in range(start, min(start + step, m.banks)):
                    first = b * registers * SHORTS
                    for _ in range(pairs):
                        high1, low1 = add_pair(m, bank, first, at, high1, low1)
                        high2, low2 = add_pair(m, bank, first, at + SHORTS, high2, low2)
                        at += 2 * SHORTS
                _flush(y, row, high1, low1)
                _flush(y, row + ROWS, high2, low2)

    return loop


def _short_loop_of_many(registers: int, split: bool) -> Any:
    """As :func:`_short_loop`, for ``MANY`` vectors: values and places are widened once for all."""
    pick = _short_picker(registers)

    @compiled
    def add(bank: Any, at: int, place: Any, value: Any, high: Any, low: Any) -> Any:
        got = pick(bank, at, place)
        if split:
            return _add_pairs(high, _high(value), got), _add_pairs(low, _low(value), got)
        return high, _add_pairs(low, value, got)

    @compiled
    def add_half(m: Any, banks: Any, first: int, at: int, sums: Any) -> Any:
        place, value, size = _read_h32(m.places, at), _read_h32(m.values, at), m.banks * m.stride
        a, b, c, d = sums
        return (
            add(banks, first, place, value, *a),
            add(banks, first + size, place, value, *b),
            add(banks, first + 2 * size, place, value, *c),
            add(banks, first + 3 * size, place, value, *d),
        )

    @compiled
    def flush(y: Any, rows: int, row: int, sums: Any) -> None:
        a, b, c, d = sums
        _flush(y, row, *a)
        _flush(y, row + rows, *b)
        _flush(y, row + 2 * rows, *c)
        _flush(y, row + 3 * rows, *d)

    @compiled
    def loop(m: Any, banks: Any, y: Any) -> None:
        pairs, at, rows = m.entries // 2, 0, len(y) // MANY
        step = MOST_PAIRS // max(1, pairs)
        for row in range(0, rows, BLOCK):
            for start in range(0, m.banks, step):
                none = (_no_sums(), _no_sums())
                one, two = (none, none, none, none), (none, none, none, none)
                for b in range(start, min(start + step, m.banks)):
                    first = b * registers * SHORTS
                    for _ in range(pairs):
                        one = add_half(m, banks, first, at, one)
                        two = add_half(m, banks, first, at + SHORTS, two)
                        at += 2 * SHORTS
                flush(y, rows, row, one)
                flush(y, rows, row + ROWS, two)

    return loop


_float1, _float2, _float4, _float8 = (_float_loop(n) for n in (1, 2, 4, 8))
_byte1, _byte2, _byte4 = (_short_loop(n, False) for n in (1, 2, 4))
_short1, _short2, _short4 = (_short_loop(n, True) for n in (1, 2, 4))
_bytes1, _bytes2, _bytes4 = (_short_loop_of_many(n, False) for n in (1, 2, 4))
_shorts1, _shorts2, _shorts4 = (_short_loop_of_many(n, True) for n in (1, 2, 4))


@compiled
def add_floats(m: Tiles, x: Any, y: Any) -> None:
    """Add the product with ``x`` (columns,) to float32 ``y`` (rows, whole blocks)."""
    bank = np.zeros(m.banks * m.stride, np.float32)
    _spread(m, x, bank)
    if m.registers == 1:
        _float1(m, bank, y)
    elif m.registers == 2:
        _float2(m, bank, y)
    elif m.registers == 4:
        _float4(m, bank, y)
    else:
        _float8(m, bank, y)


@compiled
def add_bytes(m: Tiles, x: Any, y: Any) -> None:
    """Add the product of int8 values with ``x`` (columns,) of 16 bits to int64 ``y``."""
    bank = np.zeros(m.banks * m.stride, np.int16)
    _spread(m, x, bank)
    if m.registers == 1:
        _byte1(m, bank, y)
    elif m.registers == 2:
        _byte2(m, bank, y)
    else:
        _byte4(m, bank, y)


@compiled
def add_shorts(m: Tiles, x: Any, y: Any) -> None:
    """Add the product of int16 values with ``x`` (columns,) of 16 bits to int64 ``y``."""
    bank = np.zeros(m.banks * m.stride, np.int16)
    _spread(m, x, bank)
    if m.registers == 1:
        _short1(m, bank, y)
    elif m.registers == 2:
        _short2(m, bank, y)
    else:
        _short4(m, bank, y)


@compiled
def _spread_many(m: Tiles, x: Any) -> Any:
    banks = np.zeros((MANY, m.banks * m.stride), np.int16)
    for n in range(MANY):
        _spread(m, x[n], banks[n])
    return banks.ravel()


@compiled
def add_many_bytes(m: Tiles, x: Any, y: Any) -> None:
    """Add ``MANY`` products: x (MANY, columns), int64 y (MANY, rows, whole blocks)."""
    banks, sums = _spread_many(m, x), y.ravel()
    if m.registers == 1:
        _bytes1(m, banks, sums)
    elif m.registers == 2:
        _bytes2(m, banks, sums)
    else:
        _bytes4(m, banks, sums)


@compiled
def add_many_shorts(m: Tiles, x: Any, y: Any) -> None:
    """As :func:`add_many_bytes`, of int16 values."""
    banks, sums = _spread_many(m, x), y.ravel()
    if m.registers == 1:
        _shorts1(m, banks, sums)
    elif m.registers == 2:
        _shorts2(m, banks, sums)
    else:
        _shorts4(m, banks, sums)


def add_integers(m: Any, x: Any, y: Any) -> None:
    """:func:`add_bytes` or :func:`add_shorts`, for compiled code."""
    (add_bytes if m.values.dtype == np.int8 else add_shorts)(m, x, y)


def add_many_integers(m: Any, x: Any, y: Any) -> None:
    """:func:`add_many_bytes` or :func:`add_many_shorts`, for compiled code."""
    (add_many_bytes if m.values.dtype == np.int8 else add_many_shorts)(m, x, y)


@overload(add_integers)
def _add_integers(m: Any, x: Any, y: Any) -> Any:
    if m.types[0].dtype == types.int8:
        return lambda m, x, y: add_bytes(m, x, y)
    return lambda m, x, y: add_shorts(m, x, y)


@overload(add_many_integers)
def _add_many_integers(m: Any, x: Any, y: Any) -> Any:
    if m.types[0].dtype == types.int8:
        return lambda m, x, y: add_many_bytes(m, x, y)
    return lambda m, x, y: add_many_shorts(m, x, y)


@compiled_sums
def add_rows(m: Rows, x: Any, y: Any) -> None:
    """Add the product with ``x`` (columns,), read by address, to ``y`` (rows,); on any CPU."""
    for row in range(len(m.values)):
        values, columns = m.values[row], m.columns[row]
        total = y[row]
        for n in range(len(values)):
            total += values[n] * x[columns[n]]
        y[row] = total
