"""Registers of equal numbers as types of numba: read, write, and for int64 the arithmetic.

What is written of int64 scalars with ``+ - * << >> & ^``, ``least``, ``most`` and
``entry`` compiles for ``LONGS`` too: a formula stands once, and is worked on by lane.
LLVM makes of a register what the CPU has: one of AVX-512, two of AVX2.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from csb_format.extras import needs

with needs("cpu"):
    from llvmlite import ir
    from numba import extending, types

__all__ = [
    "BYTE",
    "INT",
    "LONG",
    "LONGS",
    "SHORT",
    "WIDTH",
    "Lanes",
    "call",
    "entry",
    "every",
    "least",
    "most",
    "overload",
    "pointer",
    "read",
    "read_longs",
    "reader",
    "write_longs",
]

WIDTH = 8  # lanes of int64: a register of 512 bits

# Numba's own annotations do not say what the decorator makes of a function.
intrinsic: Any = extending.intrinsic


def overload(of: Any) -> Any:
    """What numba makes of a function; it would compare annotations too, not names alone."""
    return extending.overload(of, strict=False)


class Lanes(types.Type):
    """A register of equal numbers, as a type of numba."""

    def __init__(self, element: ir.Type, count: int):
        self.vector = ir.VectorType(element, count)
        super().__init__(name=f"Lanes({self.vector})")


@extending.register_model(Lanes)
class _LanesModel(extending.models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes):
        super().__init__(manager, lanes, lanes.vector)


BYTE, SHORT, INT, LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
LONGS = Lanes(LONG, WIDTH)


def every(vector: ir.VectorType, value: float) -> ir.Constant:
    """The same constant in every lane."""
    return ir.Constant(vector, [value] * vector.count)


def pointer(context: Any, builder: Any, array: Any, value: Any, at: Any, vector: Any) -> Any:
    """Pointer to the lanes that begin at an element of an array."""
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


def read(context: Any, builder: Any, array: Any, value: Any, at: Any, vector: Any) -> Any:
    """The lanes that begin at an element of an array, at any address."""
    found = pointer(context, builder, array, value, at, vector)
    return builder.load(found, align=array.dtype.bitwidth // 8)


def call(builder: Any, name: str, result: Any, *given: Any) -> Any:
    """Call a function of LLVM or of the CPU."""
    kind = ir.FunctionType(result, [g.type for g in given])
    return builder.call(builder.module.declare_intrinsic(name, (), kind), given)


def reader(lanes: Lanes) -> Any:
    """Read lanes from an array; narrower integers are widened, whole floats made integers."""

    @intrinsic
    def read_lanes(typing: Any, array: Any, at: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            element = context.get_data_type(array.dtype)
            vector = ir.VectorType(element, lanes.vector.count)
            got = read(context, builder, array, given[0], given[1], vector)
            if element == lanes.vector.element:
                return got
            if isinstance(array.dtype, types.Float):
                return builder.fptosi(got, lanes.vector)
            widen = builder.sext if array.dtype.signed else builder.zext
            return widen(got, lanes.vector)

        return lanes(array, types.intp), code

    return read_lanes


read_longs = reader(LONGS)


@intrinsic
def write_longs(typing: Any, array: Any, at: Any, lanes: Any) -> Any:
    """Write lanes that the numbers of an array can hold."""

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        element = context.get_data_type(array.dtype)
        vector, value = ir.VectorType(element, WIDTH), given[2]
        if isinstance(array.dtype, types.Float):
            value = builder.sitofp(value, vector)
        elif element != LONG:
            value = builder.trunc(value, vector)
        found = pointer(context, builder, array, given[0], given[1], vector)
        builder.store(value, found, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, LONGS), code


def _lift(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Lanes as they are; a scalar in each of them."""
    if isinstance(kind, Lanes):
        return value
    scalar = context.cast(builder, value, kind, types.int64)
    one = builder.insert_element(ir.Constant(LONGS.vector, ir.Undefined), scalar, INT(0))
    order = ir.Constant(ir.VectorType(INT, WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(one, one, order)


def _binary(of: Any, emit: Callable[[Any, Any, Any], Any]) -> None:
    """Let ``of`` take lanes, with lanes or with a scalar."""

    @intrinsic
    def lowered(typing: Any, a: Any, b: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            both = (_lift(context, builder, k, v) for k, v in zip((a, b), given, strict=True))
            return emit(builder, *both)

        return LONGS(a, b), code

    @overload(of)
    def overloaded(a: Any, b: Any) -> Any:
        return (lambda a, b: lowered(a, b)) if LONGS in (a, b) else None


def least(a: Any, b: Any) -> Any:
    """The smaller of two."""
    return min(a, b)


def most(a: Any, b: Any) -> Any:
    """The larger of two."""
    return max(a, b)


@overload(least)
def _least(a: Any, b: Any) -> Any:
    return None if LONGS in (a, b) else lambda a, b: min(a, b)


@overload(most)
def _most(a: Any, b: Any) -> Any:
    return None if LONGS in (a, b) else lambda a, b: max(a, b)


def _function(name: str) -> Callable[[Any, Any, Any], Any]:
    return lambda builder, a, b: call(builder, f"llvm.{name}.v{WIDTH}i64", LONGS.vector, a, b)


_binary(operator.add, lambda builder, a, b: builder.add(a, b))
_binary(operator.sub, lambda builder, a, b: builder.sub(a, b))
_binary(operator.mul, lambda builder, a, b: builder.mul(a, b))
_binary(operator.lshift, lambda builder, a, b: builder.shl(a, b))
_binary(operator.rshift, lambda builder, a, b: builder.ashr(a, b))
_binary(operator.and_, lambda builder, a, b: builder.and_(a, b))
_binary(operator.xor, lambda builder, a, b: builder.xor(a, b))
_binary(least, _function("smin"))
_binary(most, _function("smax"))


@intrinsic
def _gathered(typing: Any, table: Any, at: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        data = context.make_array(table)(context, builder, given[0]).data
        found = ir.Constant(LONGS.vector, ir.Undefined)
        for n in range(WIDTH):
            one = builder.load(builder.gep(data, [builder.extract_element(given[1], INT(n))]))
            found = builder.insert_element(found, one, INT(n))
        return found

    return LONGS(table, LONGS), code


def entry(table: Any, at: Any) -> Any:
    """Element of a table of int64 at a place, or at that of every lane; not negative."""
    return table[at]


@overload(entry)
def _entry(table: Any, at: Any) -> Any:
    if at == LONGS:
        return lambda table, at: _gathered(table, at)
    return lambda table, at: table[at]
