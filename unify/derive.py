"""A version from another: the rows of its shards through a pure function. No raw file is needed.

What a row's raw files were is carried over, so that lineage leads from any version to them. The parent's
shards are checked against its manifest before they are read.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from unify import storage
from unify.artifact import Artifact
from unify.commit import Job
from unify.describe import Origin, Outline, Part
from unify.errors import error
from unify.features import optional_columns
from unify.imagefile import Data
from unify.instances import COUNT
from unify.manifest import File
from unify.plan import ENCODING, FORMAT, SHARD_BYTES, Shard, digest_of
from unify.rows import Cell, Encoded, Input, Receipt, Row, Target, finished, write_shard
from unify.sources import SOURCES, Source
from unify.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of a version without its images: where it lies and what is known of it."""

    sample_id: str
    source: str
    split: str
    shard: str  # path of the Parquet file
    index: int  # row in it
    size_hw: tuple[int, int]
    pixel_count: tuple[int, ...]
    image: Input
    label: Input
    instance: Input | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A row with its images, all encoded; `optional` holds the optional columns."""

    sample_id: str
    size_hw: tuple[int, int]
    image_name: str
    image: Data
    label: bytes
    optional: Mapping[str, Cell]
    pixel_count: tuple[int, ...]


RowFunction: TypeAlias = Callable[[str, Record], Record]  #: (source, row of the parent) -> new row; crosses processes


@dataclass(frozen=True, slots=True)
class Step:
    """How the new version is made from its parent.

    `operation` names it and all its parameters in plain types: with the parent's digest, it decides every byte.
    `shard_bytes(sample)` estimates a new row's size where it is not the parent's; None keeps the parent's shards.
    """

    name: str
    operation: dict[str, Any]
    taxonomy: Taxonomy
    options: tuple[str, ...]
    row: RowFunction
    shard_bytes: Callable[[Sample], int] | None = None
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    column_texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Task:
    """All a worker needs to make one shard from one of the parent's."""

    target: Target
    samples: tuple[Sample, ...]  # in row order, of one shard
    parent_file: Path
    parent_digest: File
    parent_options: tuple[str, ...]
    row: RowFunction
    input_bytes: int


def samples_of(parent: Artifact) -> list[Sample]:
    """All rows of a version, shard by shard; no image is read."""
    facts = {fact["sample_id"]: fact for fact in parent.inputs().to_pylist()}
    found = []
    for shard in dict.fromkeys(fact["shard"] for fact in facts.values()):
        table = pq.read_table(
            parent.path / shard, columns=["sample_id", "height", "width", "pixel_count"], partitioning=None
        )
        columns = [table[name].to_pylist() for name in ("sample_id", "height", "width")]
        rows = zip(*columns, _counts(table["pixel_count"].combine_chunks()), strict=True)
        for index, (sample_id, height, width, counts) in enumerate(rows):
            fact = facts[sample_id]
            image, label = _input(fact, "image"), _input(fact, "label")
            assert image and label, "every row has both"
            place = (fact["source"], fact["split"], shard, index)
            found.append(Sample(sample_id, *place, (height, width), counts, image, label, _input(fact, "instance")))
    return found


def _input(fact: Mapping[str, Any], kind: str) -> Input | None:
    """A raw file of a row of `inputs.parquet`, None if there was none."""
    if fact.get(kind) is None:
        return None
    return Input(fact[kind], fact[f"{kind}_bytes"], fact[f"{kind}_blake3"], mtime_ns=0)


def derivation(
    parent: Artifact, step: Step, samples: Iterable[Sample], sources: Mapping[str, Source] = SOURCES
) -> Job[Task]:
    """The job that makes the new version of those rows of `parent`, for `commit`.

    `sources`: what can be said of them in the card.
    """
    before = parent.manifest
    recipe = {
        "taxonomy": step.taxonomy.digest(),
        "adapters": before.recipe["adapters"],
        "options": list(step.options),
        "steps": [*before.recipe.get("steps", ()), step.operation],
        "parent": parent.digest,
    }
    parts = _deal(samples, step.shard_bytes)
    keys = [_key(recipe, part, run) for part, run in parts]
    outline = Outline(
        name=step.name,
        digest=digest_of({"name": step.name, **recipe, "shards": keys}),
        recipe=recipe,
        taxonomy=step.taxonomy,
        options=step.options,
        origins={
            name: _origin(name, sources.get(name), facts["release"], facts["generated"])
            for name, facts in before.sources.items()
        },
        parts=tuple(part for part, _ in parts),
        parents=(parent.digest,),
        tables=step.tables,
        notes=(f"Made from {before.name} {before.version} (`{parent.digest[:12]}`).", *step.notes),
        column_texts=step.column_texts,
    )

    def tasks(tree: Path, scratch: Path) -> list[Task]:
        return [
            Task(
                target=Target(
                    key=key,
                    path=part.path,
                    source=part.source,
                    options=step.options,
                    sources=tuple(before.sources),
                    classes=step.taxonomy.space.names,
                    tree=tree,
                    scratch=scratch,
                ),
                samples=run,
                parent_file=parent.path / run[0].shard,
                parent_digest=before.files[run[0].shard],
                parent_options=tuple(before.recipe["options"]),
                row=step.row,
                input_bytes=sum(map(step.shard_bytes or _input_bytes, run)),
            )
            for key, (part, run) in zip(keys, parts, strict=True)
        ]

    return Job(outline, tasks, make_shard)


def _origin(name: str, source: Source | None, release: str, generated: bool) -> Origin:
    if source:
        return Origin.of(source, release, generated)
    return Origin(release, generated, name[0].upper(), name, "", "not known here", "not known here.")


def _key(recipe: Mapping[str, Any], part: Part, run: Sequence[Sample]) -> str:
    """BLAKE3 of all that decides the bytes of a shard."""
    rows = [sample.sample_id for sample in run]
    return digest_of({"format": FORMAT, "encoding": ENCODING, **recipe, "shard": part.path, "samples": rows})


def _input_bytes(sample: Sample) -> int:
    return sample.image.size + sample.label.size


def _deal(
    samples: Iterable[Sample], row_bytes: Callable[[Sample], int] | None
) -> list[tuple[Part, tuple[Sample, ...]]]:
    """Each of the parent's shards as one new shard, or, where its rows grow beyond `SHARD_BYTES`, as several."""
    runs: dict[tuple[str, str], list[tuple[Sample, ...]]] = {}
    for (source, split, _), group in itertools.groupby(samples, key=lambda s: (s.source, s.split, s.shard)):
        runs.setdefault((source, split), []).extend(_split(tuple(group), row_bytes))
    parts = []
    for (source, split), found in runs.items():
        for i, run in enumerate(found):
            parts.append((Part(source, split, Shard(source, split, i, len(found), ()).path), run))
    return parts


def _split(run: tuple[Sample, ...], row_bytes: Callable[[Sample], int] | None) -> Iterator[tuple[Sample, ...]]:
    if row_bytes is None:
        yield run
        return
    start = size = 0
    for i, sample in enumerate(run):
        new = row_bytes(sample)
        if size and size + new > SHARD_BYTES:
            yield run[start:i]
            start, size = i, 0
        size += new
    yield run[start:]


def make_shard(task: Task) -> Receipt:
    """Write the shard, or take the one that an earlier run finished.

    Raises `UnifyError`: not-verified if the parent's file is not what was published; whatever `Task.row` raises.
    """
    if receipt := finished(task.target):
        return receipt
    _check(task)
    samples = {sample.sample_id: sample for sample in task.samples}

    def encode(record: Record) -> Encoded:
        new, sample = task.row(task.target.source, record), samples[record.sample_id]
        row = Row(sample.sample_id, sample.image, sample.label, new.pixel_count)
        if "instances" in task.target.options:
            count = new.optional[COUNT]
            row = dataclasses.replace(
                row, instance=sample.instance, instance_count=None if count is None else tuple(count)
            )
        return Encoded(new.image, new.image_name, new.size_hw, new.label, new.optional, row)

    records = (record for record in read_records(task) if record.sample_id in samples)
    return write_shard(task.target, map(encode, records), [])


def _check(task: Task) -> None:
    expected = (task.parent_digest.size, task.parent_digest.blake3)
    if storage.hash_file(task.parent_file) != expected:
        what = "holds other bytes than were published"
        raise error("not-verified", task.parent_file, what, "run `unify verify`, then build it again")


def read_records(task: Task) -> Iterator[Record]:
    """Rows of the row groups of the parent's file in which the task has samples."""
    first, last = task.samples[0].index, task.samples[-1].index
    optional = optional_columns(task.parent_options)
    with pq.ParquetFile(task.parent_file, memory_map=True) as file:
        start = 0
        for number in range(file.num_row_groups):
            stop = start + file.metadata.row_group(number).num_rows
            if start <= last and first < stop:
                for batch in file.read_row_group(number, use_threads=False).to_batches():
                    yield from _rows(batch, optional)
            start = stop


def _rows(batch: pa.RecordBatch, optional: Mapping[str, str]) -> Iterator[Record]:
    image, label = (batch[name].field("bytes") for name in ("image", "label"))
    more = {name: batch[name].field("bytes") if kind == "image" else batch[name] for name, kind in optional.items()}
    facts = (batch["sample_id"], batch["height"], batch["width"], batch["image"].field("path"))
    rows = zip(*(column.to_pylist() for column in facts), _counts(batch["pixel_count"]), strict=True)
    for i, (sample_id, height, width, name, counts) in enumerate(rows):
        yield Record(
            sample_id=sample_id,
            size_hw=(height, width),
            image_name=name,
            image=memoryview(image[i].as_buffer()).cast("B"),
            label=label[i].as_py(),
            optional={name: column[i].as_py() for name, column in more.items()},
            pixel_count=counts,
        )


def _counts(column: pa.ListArray) -> list[tuple[int, ...]]:
    """`pixel_count`, whose lists are of one length."""
    return [tuple(row) for row in column.flatten().to_numpy().reshape(len(column), -1).tolist()]
