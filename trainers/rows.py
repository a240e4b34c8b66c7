"""Single rows out of Parquet files, in any order: encoded images and labels, or whatever bytes a column holds.

Parquet is read by row groups (some 32 MB), an image is 2 MB or less. But in versions values are stored as they are:
plain, not compressed. So the first time that a row of a group is asked for, the group is read, checksums checked, and
the place of each value in the file looked up; after that a row is one read of its bytes. Where values are not found in
the file (another writer, compression) the row groups used last are kept in memory instead.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unify.errors import error

CACHE_BYTES = 256 << 20  #: of row groups whose values cannot be read one by one
_OPEN_FILES = 64
COLUMNS = ("image.bytes", "label.bytes")
_KEY_BYTES = 64  #: of a value that is searched for before all of it is compared

Row = tuple[bytes, ...]  # encoded image and label
Spans = list[tuple[int, int]]  # position in the file and length, for each row


class _Bytes:
    """The bytes of a file, read at any place; closed when nobody refers to it any more."""

    def __init__(self, file: Path) -> None:
        self.descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)

    def read(self, at: int, length: int) -> bytes:
        data = os.pread(self.descriptor, length, at)
        if len(data) != length:
            raise OSError("the file became shorter")
        return data


class _Open(NamedTuple):
    parquet: Any
    bytes: _Bytes
    ends: NDArray[np.int64]  # rows up to the end of each row group


class Rows:
    """Encoded rows of Parquet files that do not change. Opens files in each process anew, when they are needed.

    Threads may share it.

    `cache_bytes`: of row groups to keep where values cannot be read one by one; the last one used is always kept.
    `columns`: the bytes that make up a row.
    """

    def __init__(self, cache_bytes: int = CACHE_BYTES, columns: tuple[str, ...] = COLUMNS) -> None:
        self.cache_bytes = cache_bytes
        self.columns = columns
        self._begin()

    def _begin(self) -> None:
        self.process = os.getpid()
        self.lock = threading.Lock()
        self.files: OrderedDict[Path, _Open] = OrderedDict()
        self.spans: dict[tuple[Path, int], list[Spans] | None] = {}
        self.groups: OrderedDict[tuple[Path, int], list[Row]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"cache_bytes": self.cache_bytes, "columns": self.columns}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.cache_bytes, self.columns = state["cache_bytes"], state["columns"]
        self._begin()

    def read(self, file: Path, row: int) -> Row:
        """Image and label of a row of `file`, or what `columns` are.

        Raises:
            UnifyError: bad-artifact (65) for a file that is missing, damaged, or without these columns.
        """
        import pyarrow as pa

        if self.process != os.getpid():  # a forked worker shares no open file with its parent
            self._begin()
        try:
            with self.lock:
                found = self._opened(file)
                group = int(np.searchsorted(found.ends, row, side="right"))
                place = row - (int(found.ends[group - 1]) if group else 0)
                spans = self.spans.get((file, group))
                if spans is None:
                    return self._group(found, file, group)[place]
            return tuple(found.bytes.read(*column[place]) for column in spans)
        except (OSError, KeyError, IndexError, pa.ArrowException) as e:
            raise error("bad-artifact", file, f"cannot be read: {e}", "run `unify verify`, then build it again") from e

    def _opened(self, file: Path) -> _Open:
        import pyarrow.parquet as pq

        if file not in self.files:
            parquet = pq.ParquetFile(file, page_checksum_verification=True)
            sizes = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
            self.files[file] = _Open(parquet, _Bytes(file), np.cumsum(sizes))
            if len(self.files) > _OPEN_FILES:
                self.files.popitem(last=False)[1].parquet.close()
        self.files.move_to_end(file)
        return self.files[file]

    def _group(self, found: _Open, file: Path, group: int) -> list[Row]:
        key = (file, group)
        if key not in self.groups:
            table = found.parquet.read_row_group(group, columns=list(self.columns), use_threads=False)
            columns = [table[name.split(".")[0]].combine_chunks().field("bytes").to_pylist() for name in self.columns]
            rows: list[Row] = list(zip(*columns, strict=True))
            if key not in self.spans:
                spans = (_locate(found, group, name, cells) for name, cells in zip(self.columns, columns, strict=True))
                whole = [places for places in spans if places is not None]
                self.spans[key] = whole if len(whole) == len(self.columns) else None
            if self.spans[key] is not None:
                return rows
            self.groups[key] = rows
            while len(self.groups) > 1 and sum(map(_size, self.groups.values())) > self.cache_bytes:
                self.groups.popitem(last=False)
        self.groups.move_to_end(key)
        return self.groups[key]


def _size(rows: list[Row]) -> int:
    return sum(len(value) for row in rows for value in row)


def _locate(found: _Open, group: int, name: str, values: list[bytes]) -> Spans | None:
    """Where each value of a column lies in the file; None if one is not there in full.

    A plain value is its length, 4 bytes, and its bytes; between values there are at most page headers.
    """
    facts = found.parquet.metadata.row_group(group)
    chunk = next(c for i in range(facts.num_columns) if (c := facts.column(i)).path_in_schema == name)
    if chunk.compression != "UNCOMPRESSED":
        return None
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data = found.bytes.read(start, chunk.total_compressed_size)
    spans, at = [], 0
    for value in values:
        if value is None:
            return None
        at = data.find(len(value).to_bytes(4, "little") + value[:_KEY_BYTES], at) + 4
        if at < 4 or data[at : at + len(value)] != value:
            return None
        spans.append((start + at, len(value)))
        at += len(value)
    return spans
