"""Which images there are, over one or several versions: what samplers choose from. Columns only, no pixel is decoded.

Rows stand in one order whatever order the versions are given in, since what is drawn depends on it.
100,000 rows of 70 classes take some 15 MB, and 12 bytes more for each centroid.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unify.centroids import COLUMNS as CENTROID_COLUMNS
from unify.errors import Problem, UnifyError, error

if TYPE_CHECKING:
    import pyarrow as pa

    from unify.artifact import Artifact
    from unify.spaces import LabelSpace
    from unify.taxonomy import Taxonomy

_NAMED = 3  #: of a list of names that goes into a message


@dataclass(frozen=True, slots=True)
class Version:
    """A version that an index is over. `has_centroids`: built with --centroids."""

    path: Path
    name: str
    version: str
    digest: str
    has_centroids: bool


@dataclass(frozen=True, slots=True)
class Shard:
    """A Parquet file of a version (`Index.versions[version]`); all its rows are of one source, release and split."""

    version: int
    path: str  # POSIX, in the version
    source: str
    release: str
    split: str


@dataclass(frozen=True, slots=True, eq=False)
class Centroids:
    """M places that show a class: `of(k)` are those of class k, by row, then by tile.

    start: (K + 1,) int64, where each class begins. row: (M,) int32 into the index. y, x: (M,) int32, pixels.
    """

    start: NDArray[np.int64]
    row: NDArray[np.int32]
    y: NDArray[np.int32]
    x: NDArray[np.int32]

    def of(self, class_id: int) -> slice:
        return slice(int(self.start[class_id]), int(self.start[class_id + 1]))

    def count(self) -> NDArray[np.int64]:
        """(K,) int64: places of each class."""
        return np.diff(self.start)


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """N rows, each an image of a version.

    space: name of the label space. classes: its K names. shard: (N,) int32 into `shards`. row_in_shard: (N,)
    int32. sample_id: N strings.
    present: (N, K) bool, whether the image has a pixel of the class.
    """

    space: str
    classes: tuple[str, ...]
    versions: tuple[Version, ...]
    shards: tuple[Shard, ...]
    shard: NDArray[np.int32]
    row_in_shard: NDArray[np.int32]
    sample_id: pa.Array
    present: NDArray[np.bool_]
    centroids: Centroids

    def __len__(self) -> int:
        return len(self.shard)

    def of_shards(self, chosen: Iterable[bool]) -> NDArray[np.int64]:
        """The rows of those shards, rising: (n,) int64. `chosen`: a bool for each of `shards`."""
        return np.flatnonzero(np.fromiter(chosen, np.bool_, len(self.shards))[self.shard])

    def sources(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Names of the sources that have rows, sorted, and (N,) int64: each row's place in them."""
        return self.grouped([shard.source for shard in self.shards])

    def grouped(self, names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """The same for any grouping: `names` has one for each of `shards`."""
        there = np.bincount(self.shard, minlength=len(self.shards)) > 0
        known = sorted({name for name, has_rows in zip(names, there, strict=True) if has_rows})
        place = np.array([known.index(name) if name in known else -1 for name in names], np.int64)
        return tuple(known), place[self.shard]

    def file_of(self, row: int) -> tuple[Path, int]:
        """The Parquet file that holds a row, and its place there."""
        shard = self.shards[self.shard[row]]
        return self.versions[shard.version].path / shard.path, int(self.row_in_shard[row])

    def take(self, rows: NDArray[np.int64]) -> Index:
        """An index of these `rows` (n,) alone, which must rise."""
        import pyarrow as pa

        new_row = np.full(len(self), -1, np.int32)
        new_row[rows] = np.arange(len(rows), dtype=np.int32)
        kept = new_row[self.centroids.row] >= 0
        before = np.concatenate([[0], np.cumsum(kept)])
        return Index(
            self.space,
            self.classes,
            self.versions,
            self.shards,
            self.shard[rows],
            self.row_in_shard[rows],
            self.sample_id.take(pa.array(rows)),
            self.present[rows],
            Centroids(
                before[self.centroids.start],
                new_row[self.centroids.row[kept]],
                self.centroids.y[kept],
                self.centroids.x[kept],
            ),
        )


def build_index(artifacts: Sequence[Artifact]) -> Index:
    """The rows of all `artifacts`, at least one, in an order of its own.

    Raises:
        UnifyError: usage (2) if two versions have different label spaces, or the same sample; bad-artifact
            (65) for a file that cannot be read.
    """
    artifacts = sorted(artifacts, key=lambda a: (a.manifest.name, a.manifest.version, a.digest))
    _refuse_twice(artifacts)
    _refuse_other_spaces(artifacts)
    num_classes = artifacts[0].manifest.classes
    versions = tuple(
        Version(a.path, a.manifest.name, a.manifest.version, a.digest, set(CENTROID_COLUMNS) <= set(a.manifest.columns))
        for a in artifacts
    )
    shards = tuple(shard for number, artifact in enumerate(artifacts) for shard in _shards(number, artifact))

    def read(shard: Shard) -> _Rows:
        version = versions[shard.version]
        return _read(version.path / shard.path, num_classes, version.has_centroids)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = list(threads.map(read, shards))
    index = _joined(artifacts[0].taxonomy.space, versions, shards, found)
    if len(versions) > 1:
        _refuse_same_samples(index)
    return index


def _shards(number: int, artifact: Artifact) -> Iterator[Shard]:
    from unify.stats import part_files

    for source, facts in artifact.manifest.sources.items():
        for split in facts["splits"]:
            for file in part_files(artifact, (source, split)):
                path = file.relative_to(artifact.path).as_posix()
                yield Shard(number, path, source, facts["release"], split)


# --- Reading ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Of one shard: its n images, and m centroids, each with its row in the shard."""

    sample_id: Any  # a string array
    present: NDArray[np.bool_]
    row: NDArray[np.int32]
    class_id: NDArray[np.int16]
    y: NDArray[np.int32]
    x: NDArray[np.int32]


def _read(file: Path, num_classes: int, with_centroids: bool) -> _Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["sample_id", "pixel_count", *(CENTROID_COLUMNS if with_centroids else ())]
    try:
        with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
            table = parquet.read(columns=columns, use_threads=False).combine_chunks()
        sample_id, pixel_count, *centroids = (table[name].combine_chunks() for name in columns)
    except KeyError as e:
        raise _unreadable(file, "a column is missing") from e
    except (OSError, pa.ArrowException) as e:
        raise _unreadable(file, e) from e
    counts = pixel_count.flatten().to_numpy(zero_copy_only=False)
    codes, rest = divmod(len(counts), max(1, len(sample_id)))
    if rest or (codes <= num_classes and len(sample_id)):
        raise _unreadable(file, f"its pixel_count does not have an entry for each of {num_classes} classes and void")
    present = counts.reshape(len(sample_id), -1)[:, :num_classes] > 0
    return _Rows(sample_id, present, *_read_centroids(file, centroids, num_classes))


def _read_centroids(
    file: Path, columns: Sequence[pa.ListArray], num_classes: int
) -> tuple[NDArray[np.int32], NDArray[np.int16], NDArray[np.int32], NDArray[np.int32]]:
    """Row, class, y and x, (m,) each, from the three columns of lists; of none, m = 0."""
    if not columns:
        none = np.zeros(0, np.int32)
        return none, none.astype(np.int16), none, none
    lengths = [column.value_lengths().to_numpy(zero_copy_only=False) for column in columns]
    if any(not np.array_equal(lengths[0], others) for others in lengths[1:]):
        raise _unreadable(file, "its centroids have lists of different lengths")
    classes, y, x = (column.flatten().to_numpy(zero_copy_only=False) for column in columns)
    if len(classes) and not (classes.min() >= 0 and classes.max() < num_classes):
        raise _unreadable(file, f"it has a centroid of a class beyond the {num_classes} there are")
    row = np.repeat(np.arange(len(lengths[0]), dtype=np.int32), lengths[0])
    # Copies: a view would keep the whole of Arrow's buffers.
    return row, classes.astype(np.int16), y.astype(np.int32), x.astype(np.int32)


def _unreadable(file: Path, why: object) -> UnifyError:
    return error("bad-artifact", file, f"cannot be read: {why}", "run `unify verify`, then build it again")


def _joined(
    space: LabelSpace, versions: tuple[Version, ...], shards: tuple[Shard, ...], found: Sequence[_Rows]
) -> Index:
    import pyarrow as pa

    sizes = [len(rows.present) for rows in found]
    first = np.cumsum([0, *sizes])
    class_id = np.concatenate([np.zeros(0, np.int16), *(rows.class_id for rows in found)])
    by_class = np.argsort(class_id, kind="stable")

    def sorted_by_class(columns: Iterable[NDArray[np.int32]]) -> NDArray[np.int32]:
        return np.concatenate([np.zeros(0, np.int32), *columns])[by_class]

    places = (
        sorted_by_class(rows.row + np.int32(start) for start, rows in zip(first, found, strict=False)),
        sorted_by_class(rows.y for rows in found),
        sorted_by_class(rows.x for rows in found),
    )
    starts = np.concatenate([[0], np.cumsum(np.bincount(class_id, minlength=len(space)))])
    return Index(
        space.name,
        space.names,
        versions,
        shards,
        np.repeat(np.arange(len(shards), dtype=np.int32), sizes),
        np.concatenate([np.zeros(0, np.int32), *(np.arange(size, dtype=np.int32) for size in sizes)]),
        pa.concat_arrays([pa.array([], pa.string()), *(rows.sample_id for rows in found)]),
        np.concatenate([np.zeros((0, len(space)), np.bool_), *(rows.present for rows in found)]),
        Centroids(starts, *places),
    )


# --- What does not go together ------------------------------------------------------------------------------


def _label(artifact: Artifact) -> str:
    return f"{artifact.manifest.name} {artifact.manifest.version}"


def _refuse_twice(artifacts: Sequence[Artifact]) -> None:
    times = Counter(a.digest for a in artifacts)
    twice = dict.fromkeys(_label(a) for a in artifacts if times[a.digest] > 1)
    if twice:
        raise UnifyError(*(Problem("usage", name, "is given twice", "give each version once") for name in twice))


def _refuse_other_spaces(artifacts: Sequence[Artifact]) -> None:
    """One label has to mean one thing: the same classes in the same order, and no set code of two meanings."""
    first, *others = artifacts
    one = first.taxonomy
    problems = []
    for artifact in others:
        other = artifact.taxonomy
        if what := _clash(one, other):
            fix = f"bring both to one space: unify convert {_label(artifact)} --space {one.space.name}"
            problems.append(Problem("usage", _label(artifact), f"does not go with {_label(first)}: {what}", fix))
    if problems:
        raise UnifyError(*problems)


def _clash(one: Taxonomy, other: Taxonomy) -> str:
    """What two taxonomies mean by one label, if it is not the same; or ""."""
    names, other_names = one.space.names, other.space.names
    if set(names) != set(other_names):
        apart = [n for n in other_names if n not in names], [n for n in names if n not in other_names]
        more, less = (", ".join(n[:_NAMED]) + (", ..." if len(n) > _NAMED else "") for n in apart)
        told = (f"it has {more}" if more else "", f"it lacks {less}" if less else "")
        return f"of {other.space.name} and {one.space.name}, " + " and ".join(filter(None, told))
    if names != other_names:
        return "they have the same classes in another order"
    if one.space.void != other.space.void:
        return f"void is {other.space.void} here and {one.space.void} there"
    for i, (a, b) in enumerate(zip_longest(one.sets, other.sets)):
        if a and b and a != b:
            return f"label {len(names) + i} is {' | '.join(b)} here and {' | '.join(a)} there"
    return ""


def _refuse_same_samples(index: Index) -> None:
    """A sample in two versions would be drawn twice as often as the others."""
    import pyarrow as pa

    pairs = sorted({(s.version, s.release) for s in index.shards})
    ids: dict[tuple[int, str], set[str]] = {}
    for number, release in pairs:
        rows = index.of_shards(s.version == number and s.release == release for s in index.shards)
        ids[number, release] = set(index.sample_id.take(pa.array(rows)).to_pylist())
    problems = []
    for number, release in pairs:
        for other, same_release in pairs:
            if other <= number or same_release != release:
                continue
            if both := ids[number, release] & ids[other, release]:
                a, b = (f"{index.versions[i].name} {index.versions[i].version}" for i in (number, other))
                what = f"{len(both):,} of its samples are in {a} too, as {min(both)}"
                problems.append(Problem("usage", b, what, "give versions that share no sample"))
    if problems:
        raise UnifyError(*problems)
