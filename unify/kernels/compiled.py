"""What compiled loops are made with: two decorators, and a few words that numba lacks.

The loops themselves are in the files `kernels_*`. They check no arguments, their callers do. All release
the GIL. Numba compiles them when their file is first imported (seconds) and keeps the result on disk for
the next process; it looks at the time of that file only, so after a change here those files need a touch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])
Pointer: TypeAlias = Any  # what `pointer` gives: indexed like an array
Word: TypeAlias = Any  # uint64

BLOCK = 64  # bytes that are compared at once: a bit of a word each
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
ONE = np.uint64(1)


def inner(function: Function) -> Function:
    """Compile a function that only kernels call."""
    return cast(Function, njit(nogil=True, error_model="numpy")(function))


def kernel(signature: str) -> Callable[[Function], Function]:
    """Compile for `signature`, and keep the result for the next process if there is a folder for it."""

    def compile_now(function: Function) -> Function:
        try:
            return cast(Function, njit(signature, nogil=True, error_model="numpy", cache=True)(function))
        except RuntimeError:  # neither the folder of the file nor the user's cache folder can be written
            return cast(Function, njit(signature, nogil=True, error_model="numpy")(function))

    return compile_now


def word(generator: Callable[..., Any]) -> Any:
    """Make a word of LLVM's callable in compiled functions."""
    return intrinsic(generator)


_BYTES = ir.VectorType(ir.IntType(8), BLOCK)
_WORD = ir.IntType(64)


def _address(builder: Any, data: Any, index: Any, kind: Any) -> Any:
    """Where data[index] is, to read or write a `kind` there."""
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


@word
def pointer(_: Any, array: Any) -> Any:
    """Where the elements of `array` are: indexed without reference counts and negative indices.

    Only of arrays that a kernel was given: numba frees one of its own after the last mention of its name.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_array(signature.args[0])(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), generate  # type: ignore[no-untyped-call]


@word
def differ_64(_: Any, data: Any, i: Any, j: Any) -> Any:
    """Bit k: data[i + k] != data[j + k]. Reads 64 bytes at each."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one, other = (builder.load(_address(builder, args[0], index, _BYTES), align=1) for index in args[1:])
        return builder.bitcast(builder.icmp_unsigned("!=", one, other), _WORD)

    return types.uint64(data, types.int64, types.int64), generate


@word
def fill_zeros_64(_: Any, data: Any, i: Any, j: Any) -> Any:
    """data[i + k] = data[j + k] where data[i + k] is 0, for 64 bytes; bit k: it was not 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        target = _address(builder, args[0], args[1], _BYTES)
        here = builder.load(target, align=1)
        there = builder.load(_address(builder, args[0], args[2], _BYTES), align=1)
        kept = builder.icmp_unsigned("!=", here, ir.Constant(_BYTES, [0] * BLOCK))
        builder.store(builder.select(kept, here, there), target, align=1)
        return builder.bitcast(kept, _WORD)

    return types.uint64(data, types.int64, types.int64), generate


@word
def store_word(_: Any, data: Any, i: Any, word: Any) -> Any:
    """Write a uint64 to data[i : i + 8], the lowest byte first."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _address(builder, args[0], args[1], _WORD), align=1)
        return context.get_dummy_value()

    return types.void(data, types.int64, types.uint64), generate


@word
def lowest_bit(_: Any, word: Any) -> Any:
    """Index of the lowest bit of a uint64 that is set, 64 if none is; int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], cgutils.false_bit)

    return types.int64(types.uint64), generate


@inner
def signed(value: Any) -> Any:
    """An unsigned number as int64, so that differences may be negative."""
    return np.int64(value)
