"""Rows to one Parquet file and one receipt: what every shard is written with, whatever its rows come from."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unify import parquet, storage
from unify.errors import Problem, UnifyError
from unify.features import arrow_schema, optional_columns
from unify.imagefile import Data

Cell: TypeAlias = bytes | Sequence[int] | None  #: of an optional column: an encoded image, or a list of numbers

#: A row group is closed once it holds this many encoded bytes: what a random read has to fetch.
ROW_GROUP_BYTES = 32 << 20


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
class Encoded:
    """A row as it is stored, and what became of its sample. `image` may be overwritten once the next row is made."""

    image: Data
    image_name: str
    size_hw: tuple[int, int]
    label: bytes  # PNG
    optional: Mapping[str, Cell]
    row: Row

    @property
    def size(self) -> int:
        """Encoded bytes."""
        more = sum(len(cell) for cell in self.optional.values() if isinstance(cell, bytes))
        return len(self.image) + len(self.label) + more


def _cells(target: Target, encoded: Encoded) -> dict[str, parquet.Cell]:
    """The row by column; of the image the name alone."""
    label_name = str(PurePosixPath(encoded.image_name).with_suffix(".png"))
    count = encoded.row.pixel_count
    cells: dict[str, parquet.Cell] = {
        "image": encoded.image_name,
        "label": (encoded.label, label_name),
        "source": target.sources.index(target.source),
        "sample_id": encoded.row.sample_id,
        "height": encoded.size_hw[0],
        "width": encoded.size_hw[1],
        "classes": [code for code in range(len(target.classes)) if count[code]],
        "pixel_count": count,
    }
    for name in optional_columns(target.options):
        cell = encoded.optional[name]
        cells[name] = (cell, label_name) if isinstance(cell, bytes) else cell
    return cells


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


def write_shard(target: Target, rows: Iterable[Encoded], problems: list[Problem]) -> Receipt:
    """Write the rows as the shard's Parquet file, then its receipt. Without a row there is no file (size 0).

    `problems` may grow while `rows` is iterated.
    """
    schema = arrow_schema(target.options, target.sources, target.classes)
    done: list[Row] = []
    with storage.new_file(target.file, target.temporary) as file:
        writer = parquet.Writer(file, schema)
        group: list[dict[str, parquet.Cell]] = []
        group_bytes = 0
        for encoded in rows:
            writer.image(encoded.image)
            group.append(_cells(target, encoded))
            group_bytes += encoded.size
            done.append(encoded.row)
            if group_bytes >= ROW_GROUP_BYTES:
                writer.row_group(group)
                group, group_bytes = [], 0
        if group:
            writer.row_group(group)
        if done:
            writer.close()
        size, digest = file.commit() if done else (0, "")
    receipt = Receipt(target.key, target.path, size, digest, tuple(done), tuple(problems))
    storage.write_file(target.receipt, receipt.to_json())
    return receipt


def count_codes(counts: NDArray[np.int64], table: NDArray[np.uint8], codes: int) -> tuple[int, ...]:
    """Counts of ids (256,), mapped by `table`, to pixels per code and, last, void: (codes + 1,)."""
    mapped = np.zeros(256, np.int64)
    np.add.at(mapped, table, counts)
    return (*mapped[:codes].tolist(), int(mapped[codes:].sum()))
