"""Rows to one Parquet file and one receipt: what every shard is written with, whatever its rows come from.

The images of a row group lie end to end in a buffer that is used again for the next group, and are copied
once, into the Parquet page.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unify import storage
from unify.errors import Problem, UnifyError
from unify.features import arrow_schema, optional_columns

T = TypeVar("T")
Cell: TypeAlias = bytes | Sequence[int] | None  #: of an optional column: an encoded image, or a list of numbers

#: A row group is closed once it holds this many encoded bytes: what a random read has to fetch.
ROW_GROUP_BYTES = 32 << 20

#: Uncompressed and without dictionaries, since PNG and JPEG do not shrink; a checksum on every page;
#: statistics on the columns that are filtered by; a page ends at the image that fills it.
PARQUET: dict[str, Any] = {
    "compression": "none",
    "use_dictionary": False,
    "write_statistics": ["source", "sample_id", "height", "width"],
    "write_page_checksum": True,
    "write_page_index": True,
    "write_batch_size": 1,
    "store_schema": True,
}


@dataclass(frozen=True, slots=True)
class Target:
    """Where a shard goes, and what all its rows have in common."""

    key: str  # digest of what decides the shard's bytes: a receipt with another is of another shard
    path: str  # POSIX, in the version
    source: str
    options: tuple[str, ...]
    sources: tuple[str, ...]
    classes: tuple[str, ...]
    tree: Path  # where the finished file goes, under `path`
    scratch: Path  # temporary files and receipts

    @property
    def _file_name(self) -> str:
        return self.path.replace("/", "-")

    @property
    def file(self) -> Path:
        return self.tree / self.path

    @property
    def temporary(self) -> Path:
        return self.scratch / "tmp" / f"{self._file_name}.{os.getpid()}"

    @property
    def receipt(self) -> Path:
        return self.scratch / "receipts" / f"{self._file_name}.json"


@dataclass(frozen=True, slots=True)
class Input:
    """A raw file as it was read. The time stamp only serves to notice changes; it enters no output."""

    path: str
    size: int
    blake3: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one sample: the raw files it is from, its pixels and instances per code, void last.

    `instance`: None where there is no file of instances; `instance_count`: where they were not asked for, or the
    source does not tell things apart.
    """

    sample_id: str
    image: Input
    label: Input
    pixel_count: tuple[int, ...]
    instance: Input | None = None
    instance_count: tuple[int, ...] | None = None

    @property
    def files(self) -> tuple[Input, ...]:
        """The raw files: image, label, and instances if there are any."""
        return (self.image, self.label) if self.instance is None else (self.image, self.label, self.instance)


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of a finished shard; from it the build is resumed and the version described."""

    key: str
    path: str
    size: int
    blake3: str
    rows: tuple[Row, ...]
    problems: tuple[Problem, ...]

    def to_json(self) -> bytes:
        return json.dumps(self, default=_fields).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Receipt:
        found = json.loads(data)
        rows = tuple(
            Row(
                r["sample_id"],
                Input(**r["image"]),
                Input(**r["label"]),
                tuple(r["pixel_count"]),
                None if r["instance"] is None else Input(**r["instance"]),
                None if r["instance_count"] is None else tuple(r["instance_count"]),
            )
            for r in found["rows"]
        )
        problems = tuple(Problem(**p) for p in found["problems"])
        return cls(found["key"], found["path"], found["size"], found["blake3"], rows, problems)


def _fields(value: Any) -> dict[str, Any]:
    """A dataclass for `json.dumps`, without the copies of `dataclasses.asdict`."""
    return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}


@dataclass(frozen=True, slots=True)
class Sheet:
    """The encoded side of a row, but for its image: PNG bytes of the label, and the optional columns."""

    image_name: str
    size_hw: tuple[int, int]
    label: bytes
    optional: Mapping[str, Cell]


@dataclass(slots=True)
class Group:
    """The rows of a row group while it fills; images lie end to end in `buffer`."""

    buffer: NDArray[np.uint8]
    offsets: list[int] = field(default_factory=lambda: [0])
    sheets: list[Sheet] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    encoded_bytes: int = 0

    def room(self, size: int) -> memoryview:
        """Where an image of `size` bytes goes: fill it, then `add` its row."""
        start = self.offsets[-1]
        if start + size > len(self.buffer):
            larger = np.empty(max(start + size, 2 * len(self.buffer)), np.uint8)
            larger[:start] = self.buffer[:start]
            self.buffer = larger
        return self.buffer.data[start : start + size]

    def add(self, image_bytes: int, sheet: Sheet, row: Row) -> None:
        """Take in a row whose image is in `room(image_bytes)`."""
        self.offsets.append(self.offsets[-1] + image_bytes)
        self.sheets.append(sheet)
        self.rows.append(row)
        self.encoded_bytes += image_bytes + len(sheet.label)
        self.encoded_bytes += sum(len(cell) for cell in sheet.optional.values() if isinstance(cell, bytes))

    def table(self, schema: pa.Schema, target: Target) -> pa.Table:
        """(R rows) as a table of `schema`; the image column shares memory with `buffer`."""
        offsets = np.array(self.offsets, np.int32)
        images = pa.Array.from_buffers(
            pa.binary(), len(self.rows), [None, pa.py_buffer(offsets), pa.py_buffer(self.buffer)]
        )
        names = [sheet.image_name for sheet in self.sheets]
        label_names = [str(PurePosixPath(name).with_suffix(".png")) for name in names]
        counts = np.array([row.pixel_count for row in self.rows], np.int64)
        of_row, present = np.nonzero(counts[:, : len(target.classes)])
        columns = {
            "image": _encoded(images, names),
            "label": _encoded(pa.array([sheet.label for sheet in self.sheets], pa.binary()), label_names),
            "source": pa.array([target.sources.index(target.source)] * len(self.rows), pa.int64()),
            "sample_id": pa.array([row.sample_id for row in self.rows]),
            "height": pa.array([sheet.size_hw[0] for sheet in self.sheets], pa.int32()),
            "width": pa.array([sheet.size_hw[1] for sheet in self.sheets], pa.int32()),
            "classes": _lists(present, np.bincount(of_row, minlength=len(counts))),
            "pixel_count": _lists(counts.reshape(-1), np.full(len(counts), counts.shape[1])),
        }
        for name, kind in optional_columns(target.options).items():
            cells = [sheet.optional[name] for sheet in self.sheets]
            if kind == "image":
                columns[name] = _encoded(pa.array(cells, pa.binary()), label_names)
            else:
                columns[name] = pa.array(cells, schema.field(name).type)
        return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _lists(values: NDArray[np.int64], lengths: NDArray[np.int64]) -> pa.ListArray:
    """`values` cut into lists of these lengths."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, pa.int64()))


def _encoded(data: pa.Array, names: list[str]) -> pa.StructArray:
    """Encoded images with their names; null where there is none."""
    mask = data.is_null() if data.null_count else None
    return pa.StructArray.from_arrays([data, pa.array(names)], ["bytes", "path"], mask=mask)


_spare: list[NDArray[np.uint8]] = []  # the buffer that the last shard of this process filled: a fresh one costs faults


def row_groups(buffer_bytes: int, items: Iterable[T], add: Callable[[T, Group], None]) -> Iterator[Group]:
    """`add` each item to a group; groups as they fill. One buffer serves all, so write each before the next."""
    buffer = _spare.pop() if _spare else np.empty(0, np.uint8)
    group = Group(buffer if len(buffer) >= buffer_bytes else np.empty(buffer_bytes, np.uint8))
    try:
        for item in items:
            add(item, group)
            if group.encoded_bytes >= ROW_GROUP_BYTES:
                yield group
                group = Group(group.buffer)
        if group.rows:
            yield group
    finally:
        _spare[:] = [group.buffer]


def room_for(image_bytes: Iterable[int]) -> int:
    """Bytes of images in any row group of a shard with images of these sizes: one may start just under the limit."""
    sizes = list(image_bytes)
    return min(sum(sizes), ROW_GROUP_BYTES + max(sizes))


def finished(target: Target) -> Receipt | None:
    """The receipt of the shard that an earlier run finished, if it is that shard, flawless, and still whole."""
    try:
        receipt = Receipt.from_json(target.receipt.read_bytes())
        if receipt.key != target.key or receipt.problems:
            return None
        if storage.hash_file(target.tree / receipt.path) != (receipt.size, receipt.blake3):
            return None
    except (OSError, ValueError, KeyError, TypeError, UnifyError):
        return None  # not there, or not whole: make it again
    return receipt


def write_shard(target: Target, groups: Iterable[Group], problems: list[Problem]) -> Receipt:
    """Write the groups as the shard's Parquet file, then its receipt. Without a row there is no file (size 0).

    `problems` may grow while `groups` is iterated.
    """
    rows: list[Row] = []
    schema = arrow_schema(target.options, target.sources, target.classes)
    with storage.new_file(target.file, target.temporary) as file:
        with pq.ParquetWriter(pa.PythonFile(file, mode="w"), schema, **PARQUET) as writer:
            for group in groups:
                writer.write_table(group.table(schema, target), row_group_size=len(group.rows))
                rows += group.rows
        size, digest = file.commit() if rows else (0, "")
    receipt = Receipt(target.key, target.path, size, digest, tuple(rows), tuple(problems))
    storage.write_file(target.receipt, receipt.to_json())
    return receipt


def count_codes(counts: NDArray[np.int64], table: NDArray[np.uint8], codes: int) -> tuple[int, ...]:
    """Counts of ids (256,), mapped by `table`, to pixels per code and, last, void: (codes + 1,)."""
    mapped = np.zeros(256, np.int64)
    np.add.at(mapped, table, counts)
    return (*mapped[:codes].tolist(), int(mapped[codes:].sum()))
