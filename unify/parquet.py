"""Shards as Parquet files: what a version's columns look like in bytes.

Parquet is written by our own hand because most of a shard is images, which have only to be passed on. Here an
image goes to the file straight from where it was read, once it is known to be good, as a page of its own with its
checksum; the other columns follow when the row group is full. A library's writer wants the whole row group in
memory and copies it, and checksums at a tenth of the speed. Nor do the bytes of a shard change with the release
of a library, but for the Arrow schema that is stored in it.

The format is that of https://parquet.apache.org/docs/file-format, the plain part of it: every column optional as
in the Arrow schema, version 1 data pages, values PLAIN, levels RLE, not compressed (PNG and JPEG do not shrink), a
CRC-32 on every page, statistics on the columns that are filtered by, and a page index. Field numbers are those of
parquet.thrift.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from deflate import crc32
from numpy.typing import NDArray

from unify.imagefile import Data
from unify.thrift import Value, binary, boolean, i32, i64, many, struct, text, varint

MAGIC = b"PAR1"
#: Who wrote the file, for readers that know the faults of writers. Not the release, which would change the bytes.
WRITER = "unify version 1.0.0"
#: Columns whose least and largest value are told, for each row group and page.
FILTERED = ("source", "sample_id", "height", "width")
#: pyarrow's own writer to the same form, for files of other columns.
ARROW_OPTIONS: dict[str, Any] = {
    "compression": "none",
    "use_dictionary": False,
    "write_statistics": list(FILTERED),
    "write_page_checksum": True,
    "write_page_index": True,
    "write_batch_size": 1,
    "store_schema": True,
}

Image: TypeAlias = tuple[Data, str] | None  #: encoded, and its name
#: What a column has in a row. None is null.
Cell: TypeAlias = Image | int | str | Sequence[int] | NDArray[np.integer[Any]]

_INT32, _INT64, _BYTE_ARRAY = 1, 2, 6  # Type
_OPTIONAL, _REPEATED = 1, 2  # FieldRepetitionType
_PLAIN, _RLE = 0, 3  # Encoding
_UTF8, _LIST = 0, 3  # ConvertedType
_STRING_TYPE, _LIST_TYPE = struct({1: struct({})}), struct({3: struct({})})  # LogicalType
_DATA_PAGE = 0  # PageType
_IMAGE_DEPTH = 2  # definition level of bytes that are there, in a struct that is there


class Sink(Protocol):
    """What a file is written to, from its beginning to its end."""

    def write(self, data: Data, /) -> int: ...
    def tell(self) -> int: ...


@dataclass(frozen=True, slots=True)
class _Page:
    """What a page holds: levels (L,) uint8, repetition None where nothing is repeated, and values, PLAIN."""

    definition: NDArray[np.uint8]
    repetition: NDArray[np.uint8] | None
    values: Sequence[Data]


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A column as Parquet sees it: the members of structs and lists are columns of their own."""

    path: tuple[str, ...]
    type: int
    encode: Callable[[Sequence[Any]], _Page]  # the cells of a row group


@dataclass(slots=True)
class _Chunk:
    """A leaf's part of a row group, as written."""

    pages: list[tuple[int, int, int]] = field(default_factory=list)  # position, size with its header, first row
    values: int = 0  # nulls too
    range: tuple[bytes, bytes] | None = None  # least and largest value


class Writer:
    """A Parquet file of `schema`, on `sink`. Its first column has to be an image, and no cell of it null.

    For each row group: `image` for each of its rows, then `row_group`. At last `close`, without which it is no file.
    """

    def __init__(self, sink: Sink, schema: pa.Schema) -> None:
        self._sink, self._schema = sink, schema
        self._leaves = [leaf for column in schema for leaf in _leaves(column)]
        self._groups: list[tuple[int, list[_Chunk]]] = []  # rows, and a chunk for each leaf
        self._images = _Chunk()
        sink.write(MAGIC)

    def image(self, data: Data) -> None:
        """The encoded image of the next row, written at once."""
        head = _levels(np.full(1, _IMAGE_DEPTH, np.uint8)) + len(data).to_bytes(4, "little")
        self._page(self._images, 1, [head, data])

    def row_group(self, rows: Sequence[Mapping[str, Cell]]) -> None:
        """The other cells of the rows whose images came since the last call, by column; of the image its name."""
        assert len(rows) == self._images.values, f"{len(rows)} rows, but {self._images.values} images"
        chunks = [self._images]
        for leaf in self._leaves[1:]:
            cells = [row[leaf.path[0]] for row in rows]
            page = leaf.encode(cells)
            levels = b"" if page.repetition is None else _levels(page.repetition)
            chunk = _Chunk(range=_range(cells, leaf.type) if leaf.path[0] in FILTERED else None)
            self._page(chunk, len(page.definition), [b"".join([levels, _levels(page.definition), *page.values])])
            chunks.append(chunk)
        self._groups.append((len(rows), chunks))
        self._images = _Chunk()

    def _page(self, chunk: _Chunk, values: int, body: Sequence[Data]) -> None:
        """Write a data page: of an image, the values so far are its row; any other is the only one of its chunk."""
        size, checksum = 0, 0
        for part in body:
            size += len(part)
            checksum = crc32(part, checksum)
        signed = checksum - (checksum >> 31 << 32)
        about = struct({1: i32(values), 2: i32(_PLAIN), 3: i32(_RLE), 4: i32(_RLE)})
        _, header = struct({1: i32(_DATA_PAGE), 2: i32(size), 3: i32(size), 4: i32(signed), 5: about})
        chunk.pages.append((self._sink.tell(), len(header) + size, chunk.values))
        chunk.values += values
        for part in (header, *body):
            self._sink.write(part)

    def close(self) -> None:
        """Write the page index and the footer."""
        chunks = [chunk for _, found in self._groups for chunk in found]
        indexes = [self._append(_column_index(chunk)) if chunk.range else None for chunk in chunks]
        offsets = [self._append(_offset_index(chunk)) for chunk in chunks]
        places = iter(zip(indexes, offsets, strict=True))
        groups = []
        for rows, found in self._groups:
            columns = [_column_chunk(*column, *next(places)) for column in zip(self._leaves, found, strict=True)]
            size = i64(sum(_size(chunk) for chunk in found))
            start = i64(found[0].pages[0][0])
            groups.append(struct({1: many(columns), 2: size, 3: i64(rows), 5: start, 6: size}))
        _, footer = _footer(self._schema, len(self._leaves), sum(rows for rows, _ in self._groups), groups)
        self._sink.write(footer + len(footer).to_bytes(4, "little") + MAGIC)

    def _append(self, value: Value) -> tuple[int, int]:
        """Write a struct; its position and size."""
        at = self._sink.tell()
        self._sink.write(value[1])
        return at, len(value[1])


# --- Columns to pages -------------------------------------------------------------------------------------


def _leaves(column: pa.Field) -> list[_Leaf]:
    """The columns of Parquet that an Arrow column becomes. Raises `TypeError` for a type that versions do not have."""
    name, kind = column.name, column.type
    if pa.types.is_struct(kind):
        return [_Leaf((name, "bytes"), _BYTE_ARRAY, _image_bytes), _Leaf((name, "path"), _BYTE_ARRAY, _image_names)]
    if pa.types.is_string(kind):
        return [_Leaf((name,), _BYTE_ARRAY, _texts)]
    if pa.types.is_list(kind):
        dtype, of = _integers(kind.value_type)
        return [_Leaf((name, "list", "element"), of, partial(_lists, dtype=dtype))]
    dtype, of = _integers(kind)
    return [_Leaf((name,), of, partial(_numbers, dtype=dtype))]


def _integers(kind: pa.DataType) -> tuple[str, int]:
    """The bytes of an integer, as numpy calls them, and its type in Parquet."""
    if kind == pa.int32():
        return "<i4", _INT32
    if kind == pa.int64():
        return "<i8", _INT64
    raise TypeError(f"no column of a version is of type {kind}")


def _image_bytes(cells: Sequence[Image]) -> _Page:
    return _byte_arrays([None if cell is None else cell[0] for cell in cells], depth=_IMAGE_DEPTH)


def _image_names(cells: Sequence[Image | str]) -> _Page:
    """Of images, or names of images that were written before."""
    names = (cell if cell is None or isinstance(cell, str) else cell[1] for cell in cells)
    return _byte_arrays([None if name is None else name.encode() for name in names], depth=_IMAGE_DEPTH)


def _texts(cells: Sequence[str]) -> _Page:
    return _byte_arrays([cell.encode() for cell in cells], depth=1)


def _byte_arrays(cells: Sequence[Data | None], depth: int) -> _Page:
    """Each its length and itself. What is null is so with the whole struct that it is in."""
    values: list[Data] = []
    for cell in cells:
        if cell is not None:
            values += (len(cell).to_bytes(4, "little"), cell)
    return _Page(np.array([0 if cell is None else depth for cell in cells], np.uint8), None, values)


def _numbers(cells: Sequence[int], dtype: str) -> _Page:
    return _Page(np.ones(len(cells), np.uint8), None, [np.array(cells, dtype).tobytes()])


def _lists(cells: Sequence[Sequence[int] | None], dtype: str) -> _Page:
    """Levels: 0 for a null list, 1 for an empty one, 3 for each value."""
    lengths = np.array([-1 if cell is None else len(cell) for cell in cells])
    entries = np.maximum(lengths, 1)
    definition = np.repeat(np.where(lengths > 0, 3, lengths + 1).astype(np.uint8), entries)
    repetition = np.ones(len(definition), np.uint8)
    repetition[np.cumsum(entries) - entries] = 0  # here a list begins
    return _Page(definition, repetition, [np.asarray(cell, dtype).tobytes() for cell in cells if cell is not None])


def _levels(levels: NDArray[np.uint8]) -> bytes:
    """Levels (L,) as runs: twice the length as a varint, and the level in a byte; all after their size in bytes."""
    starts = np.flatnonzero(np.diff(levels, prepend=np.uint8(255)))
    lengths = np.diff(starts, append=len(levels))
    runs = zip(lengths.tolist(), levels[starts].tolist(), strict=True)
    data = b"".join(varint(2 * length) + bytes([level]) for length, level in runs)
    return len(data).to_bytes(4, "little") + data


def _range(cells: Sequence[Any], kind: int) -> tuple[bytes, bytes]:
    """The least and the largest, PLAIN; of texts, which UTF-8 keeps in order, without their length."""
    ends = min(cells), max(cells)
    if kind == _BYTE_ARRAY:
        return ends[0].encode(), ends[1].encode()
    size = {_INT32: 4, _INT64: 8}[kind]
    return ends[0].to_bytes(size, "little", signed=True), ends[1].to_bytes(size, "little", signed=True)


# --- Metadata ---------------------------------------------------------------------------------------------


def _footer(schema: pa.Schema, leaves: int, rows: int, groups: Sequence[Value]) -> Value:
    metadata = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    metadata["ARROW:schema"] = base64.b64encode(schema.serialize().to_pybytes()).decode()
    return struct(
        {
            1: i32(2),
            2: many(_schema_elements(schema)),
            3: i64(rows),
            4: many(groups),
            5: many([struct({1: text(key), 2: text(value)}) for key, value in metadata.items()]),
            6: text(WRITER),
            7: many([struct({1: struct({})})] * leaves),  # values are in the order of their type
        }
    )


def _schema_elements(schema: pa.Schema) -> list[Value]:
    """The tree of columns, each node before its children."""
    elements = [struct({4: text("schema"), 5: i32(len(schema))})]
    for column in schema:
        name = text(column.name)
        if pa.types.is_struct(column.type):
            elements.append(struct({3: i32(_OPTIONAL), 4: name, 5: i32(2)}))
            elements.append(_leaf_element("bytes", _BYTE_ARRAY))
            elements.append(_leaf_element("path", _BYTE_ARRAY, is_text=True))
        elif pa.types.is_list(column.type):
            elements.append(struct({3: i32(_OPTIONAL), 4: name, 5: i32(1), 6: i32(_LIST), 10: _LIST_TYPE}))
            elements.append(struct({3: i32(_REPEATED), 4: text("list"), 5: i32(1)}))
            elements.append(_leaf_element("element", _integers(column.type.value_type)[1]))
        else:
            is_text = pa.types.is_string(column.type)
            elements.append(_leaf_element(column.name, _BYTE_ARRAY if is_text else _integers(column.type)[1], is_text))
    return elements


def _leaf_element(name: str, kind: int, is_text: bool = False) -> Value:
    more = {6: i32(_UTF8), 10: _STRING_TYPE} if is_text else {}
    return struct({1: i32(kind), 3: i32(_OPTIONAL), 4: text(name), **more})


def _size(chunk: _Chunk) -> int:
    return sum(size for _, size, _ in chunk.pages)


def _column_chunk(leaf: _Leaf, chunk: _Chunk, index: tuple[int, int] | None, offset: tuple[int, int]) -> Value:
    size = i64(_size(chunk))
    facts = struct(
        {
            1: i32(leaf.type),
            2: many([i32(_PLAIN), i32(_RLE)]),
            3: many([text(part) for part in leaf.path]),
            4: i32(0),  # not compressed
            5: i64(chunk.values),
            6: size,
            7: size,
            9: i64(chunk.pages[0][0]),
            12: _statistics(*chunk.range) if chunk.range else None,
        }
    )
    place = {4: i64(offset[0]), 5: i32(offset[1])}
    if index:
        place |= {6: i64(index[0]), 7: i32(index[1])}
    return struct({2: i64(0), 3: facts, **place})


def _statistics(least: bytes, largest: bytes) -> Value:
    exact = boolean(True)
    return struct({3: i64(0), 5: binary(largest), 6: binary(least), 7: exact, 8: exact})


def _column_index(chunk: _Chunk) -> Value:
    """Of the one page of a chunk that has statistics."""
    assert chunk.range and len(chunk.pages) == 1
    least, largest = map(binary, chunk.range)
    ascending = i32(1)
    return struct({1: many([boolean(False)]), 2: many([least]), 3: many([largest]), 4: ascending, 5: many([i64(0)])})


def _offset_index(chunk: _Chunk) -> Value:
    return struct({1: many([struct({1: i64(at), 2: i32(size), 3: i64(row)}) for at, size, row in chunk.pages])})
