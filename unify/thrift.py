"""Thrift's compact protocol, as far as Parquet's metadata goes: values to bytes. Nothing is read.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md. A value is its type in the
protocol and its bytes; a struct is made of values by their field numbers, where None leaves a field out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = tuple[int, bytes]

_TRUE, _FALSE, _I32, _I64, _BINARY, _LIST, _STRUCT = 1, 2, 5, 6, 8, 9, 12


def varint(number: int) -> bytes:
    """A number >= 0 in groups of 7 bits, the lowest first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def i32(number: int) -> Value:
    return _I32, _zigzag(number, 32)


def i64(number: int) -> Value:
    return _I64, _zigzag(number, 64)


def _zigzag(number: int, bits: int) -> bytes:
    assert -(1 << bits - 1) <= number < 1 << bits - 1, f"{number} does not fit into {bits} bits"
    return varint(number << 1 if number >= 0 else ~(number << 1))


def binary(data: bytes) -> Value:
    return _BINARY, varint(len(data)) + data


def text(string: str) -> Value:
    return binary(string.encode())


def boolean(is_true: bool) -> Value:
    """A member of a list, one byte; as a field of a struct it is its type alone (`struct`)."""
    return _TRUE, b"\1" if is_true else b"\2"


def many(values: Sequence[Value]) -> Value:
    """A list of values of one type, at least one."""
    kind, count = values[0][0], len(values)
    assert all(value[0] == kind for value in values), "a list has one type"
    head = bytes([count << 4 | kind]) if count < 15 else bytes([0xF0 | kind]) + varint(count)
    return _LIST, head + b"".join(data for _, data in values)


def struct(fields: Mapping[int, Value | None]) -> Value:
    """Fields by number, in rising order."""
    found, last = bytearray(), 0
    for number, value in fields.items():
        if value is None:
            continue
        kind, data = value
        if kind == _TRUE:
            kind, data = (_TRUE if data == b"\1" else _FALSE), b""
        step, last = number - last, number
        assert 0 < step < 16, "rising numbers, less than 16 apart"
        found += bytes([step << 4 | kind]) + data
    return _STRUCT, bytes(found) + b"\0"
