"""What statistics read of a version's Parquet files: single columns, page checksums checked.

All faults are a bad-artifact that names the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unify.errors import UnifyError, error

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def _reading(file: Path) -> Iterator[Any]:
    """A `pyarrow.parquet.ParquetFile`; what goes wrong with it is a bad-artifact."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            yield parquet
    except KeyError as e:
        raise _unreadable(file, "a column is missing") from e
    except (OSError, pa.ArrowException) as e:
        raise _unreadable(file, e) from e


def _unreadable(file: Path, why: object) -> UnifyError:
    return error("bad-artifact", file, f"cannot be read: {why}", "run `unify verify`, then build it again")


def counts(file: Path, num_codes: int, columns: Sequence[str]) -> list[NDArray[np.int64] | None]:
    """(N, num_codes) int64 for each of `columns`, lists of counts per code, of a file of N images.

    None for `instance_count` if it is null: the source does not tell things apart.
    """
    with _reading(file) as parquet:
        table = parquet.read(columns=list(columns))
        found = [table[name].combine_chunks() for name in columns]
    return [_matrix(file, name, column, num_codes) for name, column in zip(columns, found, strict=True)]


def _matrix(file: Path, name: str, column: pa.ListArray, num_codes: int) -> NDArray[np.int64] | None:
    if name == "instance_count" and len(column) and column.null_count == len(column):
        return None
    values: NDArray[np.int64] = column.flatten().to_numpy(zero_copy_only=False)
    if len(values) != len(column) * num_codes:
        raise _unreadable(file, f"its {name} does not have {num_codes} entries an image")
    return values.reshape(-1, num_codes)


def row_groups(file: Path) -> range:
    with _reading(file) as parquet:
        return range(parquet.num_row_groups)


def encoded_labels(file: Path, row_group: int) -> list[bytes]:
    """The encoded labels of a row group."""
    with _reading(file) as parquet:
        column = parquet.read_row_group(row_group, columns=["label.bytes"])["label"].combine_chunks()
    encoded: list[bytes] = column.field("bytes").to_pylist()
    return encoded


def decoded(data: bytes, file: Path) -> NDArray[np.uint8]:
    """(H, W) uint8."""
    from unify.codecs import read_label

    try:
        label_hw = read_label(data)
    except UnifyError as e:
        raise _unreadable(file, f"a label: {'; '.join(p.what for p in e.problems)}") from e
    if label_hw.dtype != np.uint8:
        raise _unreadable(file, "it has a 16-bit label")
    return label_hw.astype(np.uint8, copy=False)
