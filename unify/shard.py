"""One shard in, one Parquet file and one receipt out. Runs in a worker; shares nothing with the others.

Image bytes are read once, into a buffer that is used again for every row group, and are copied once
more, into the Parquet page. Labels are decoded, counted, mapped and encoded in one pass (`codecs`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from blake3 import blake3
from numpy.typing import NDArray

from unify import codecs, storage
from unify.errors import Problem, UnifyError, error
from unify.features import arrow_schema
from unify.plan import Plan, Sample, Shard, under
from unify.sources import SOURCES, Release, decode_label, label_header
from unify.spaces import LabelSpace

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
class Task:
    """All a worker needs to make one shard. Small: it crosses process and machine borders."""

    shard: Shard
    key: str  # `Plan.key`: a receipt with another is of another shard
    root: Path
    release: Release
    raw_space: LabelSpace
    table: NDArray[np.uint8]  # (256,) raw id -> code, void 255
    codes: int  # classes and sets; `pixel_count` has one entry more, for void
    sources: tuple[str, ...]
    classes: tuple[str, ...]
    options: tuple[str, ...]
    tree: Path  # where the finished file goes, under `shard.path`
    scratch: Path  # temporary files and receipts
    follow_links: bool
    max_pixels: int

    @property
    def receipt_path(self) -> Path:
        return self.scratch / "receipts" / f"{self.shard.path.replace('/', '-')}.json"


@dataclass(frozen=True, slots=True)
class Input:
    """A raw file as it was read. The time stamp only serves to notice changes; it enters no output."""

    path: str
    size: int
    blake3: str
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one sample: its two files and its pixels per code, void last."""

    sample_id: str
    image: Input
    label: Input
    pixel_count: tuple[int, ...]


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
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Receipt:
        found = json.loads(data)
        rows = tuple(
            Row(r["sample_id"], Input(**r["image"]), Input(**r["label"]), tuple(r["pixel_count"]))
            for r in found["rows"]
        )
        problems = tuple(Problem(**p) for p in found["problems"])
        return cls(found["key"], found["path"], found["size"], found["blake3"], rows, problems)


def tasks_of(
    plan: Plan, tree: Path, scratch: Path, *, follow_links: bool = False, max_pixels: int = codecs.MAX_PIXELS
) -> list[Task]:
    """A task for each shard of `plan`, in its order; finished files go to `tree`, the rest to `scratch`."""
    sources = tuple(plan.roots)
    classes = plan.taxonomy.space.names
    tasks = []
    for shard in plan.shards:
        found = plan.roots[shard.source]
        release = SOURCES[shard.source].releases[found.release]
        tasks.append(
            Task(
                shard=shard,
                key=plan.key(shard),
                root=found.root,
                release=release,
                raw_space=plan.taxonomy.mappings[shard.source].source,
                table=plan.taxonomy.table(shard.source),
                codes=len(classes) + len(plan.taxonomy.sets),
                sources=sources,
                classes=classes,
                options=plan.options,
                tree=tree,
                scratch=scratch,
                follow_links=follow_links,
                max_pixels=max_pixels,
            )
        )
    return tasks


def make_shard(task: Task) -> Receipt:
    """Write the shard, or take the one that an earlier run finished from the same unchanged files.

    Samples with a fault are left out, their problems listed in the receipt. A shard without a good
    sample writes no file (size 0).
    """
    return _finished(task) or _write(task)


def _finished(task: Task) -> Receipt | None:
    try:
        receipt = Receipt.from_json(task.receipt_path.read_bytes())
        if receipt.key != task.key or receipt.problems:
            return None
        if any(changed(task.root, file) for row in receipt.rows for file in (row.image, row.label)):
            return None
        if storage.hash_file(task.tree / receipt.path) != (receipt.size, receipt.blake3):
            return None
    except (OSError, ValueError, KeyError, TypeError, UnifyError):
        return None  # not there, or not whole: make it again
    return receipt


def changed(root: Path, file: Input) -> bool:
    """Whether a raw file's size or time stamp is no longer what it was when it was read."""
    try:
        now = (root / file.path).stat()
    except OSError:
        return True
    return (now.st_size, now.st_mtime_ns) != (file.size, file.mtime_ns)


def _write(task: Task) -> Receipt:
    shard, rows, problems = task.shard, list[Row](), list[Problem]()
    schema = arrow_schema(task.options, task.sources, task.classes)
    target = task.tree / shard.path
    temporary = task.scratch / "tmp" / f"{shard.path.replace('/', '-')}.{os.getpid()}"
    buffer = np.empty(_buffer_bytes(shard), np.uint8)
    with storage.new_file(target, temporary) as file:
        with pq.ParquetWriter(pa.PythonFile(file, mode="w"), schema, **PARQUET) as writer:
            for group in _row_groups(task, buffer, problems):
                writer.write_table(group.table(schema, task), row_group_size=len(group.rows))
                rows += group.rows
        size, digest = file.commit() if rows else (0, "")
    receipt = Receipt(task.key, shard.path, size, digest, tuple(rows), tuple(problems))
    storage.write_file(task.receipt_path, receipt.to_json())
    return receipt


def _buffer_bytes(shard: Shard) -> int:
    """Room for the images of any row group of this shard: one may start just under the limit."""
    sizes = [s.image_bytes for s in shard.samples]
    return min(sum(sizes), ROW_GROUP_BYTES + max(sizes))


@dataclass(slots=True)
class _Group:
    """The rows of a row group while it fills; images lie end to end in `buffer`."""

    buffer: NDArray[np.uint8]
    offsets: list[int] = field(default_factory=lambda: [0])
    labels: list[bytes] = field(default_factory=list)
    natives: list[bytes] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    encoded_bytes: int = 0

    def table(self, schema: pa.Schema, task: Task) -> pa.Table:
        """(R rows) as a table of `schema`; the image column shares memory with `buffer`."""
        offsets = np.array(self.offsets, np.int32)
        images = pa.Array.from_buffers(
            pa.binary(), len(self.rows), [None, pa.py_buffer(offsets), pa.py_buffer(self.buffer)]
        )
        label_names = [str(PurePosixPath(name).with_suffix(".png")) for name in self.names]
        counts = np.array([row.pixel_count for row in self.rows], np.int64)
        present = [np.flatnonzero(c[: len(task.classes)]).tolist() for c in counts]
        columns = {
            "image": _encoded(images, self.names),
            "label": _encoded(pa.array(self.labels, pa.binary()), label_names),
            "label_source": _encoded(pa.array(self.natives, pa.binary()), label_names) if self.natives else None,
            "source": pa.array([task.sources.index(task.shard.source)] * len(self.rows), pa.int64()),
            "sample_id": pa.array([row.sample_id for row in self.rows]),
            "height": pa.array([h for h, _ in self.sizes], pa.int32()),
            "width": pa.array([w for _, w in self.sizes], pa.int32()),
            "classes": pa.array(present, pa.list_(pa.int64())),
            "pixel_count": pa.array(counts.tolist(), pa.list_(pa.int64())),
        }
        return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _encoded(data: pa.Array, names: list[str]) -> pa.StructArray:
    return pa.StructArray.from_arrays([data, pa.array(names)], ["bytes", "path"])


def _row_groups(task: Task, buffer: NDArray[np.uint8], problems: list[Problem]) -> Iterator[_Group]:
    group = _Group(buffer)
    for sample in task.shard.samples:
        try:
            _add(task, sample, group)
        except UnifyError as e:
            problems += under(task.root, e.problems)
            continue
        if group.encoded_bytes >= ROW_GROUP_BYTES:
            yield group
            group = _Group(buffer)
    if group.rows:
        yield group


def _add(task: Task, sample: Sample, group: _Group) -> None:
    """Read, check and convert one sample; `group` grows only if all is well."""
    start = group.offsets[-1]
    faults: list[Problem] = []
    label_data = bytearray(sample.label_bytes)
    image = label = ids = image_header = None
    with _collect(faults, sample.image):
        view = group.buffer.data[start : start + sample.image_bytes]
        image = read_input(task, sample.image, view)
        image_header = codecs.check_image(view, max_pixels=task.max_pixels)
        if image_header.orientation != 1:
            raise error(
                "exif-orientation",
                "",
                f"EXIF orientation {image_header.orientation} would turn the image but not its label",
                "remove the tag from the file, or turn both",
            )
    with _collect(faults, sample.label):
        label = read_input(task, sample.label, memoryview(label_data))
        ids = _convert(task, bytes(label_data))
    if not faults and image_header is not None and ids is not None:
        size, label_size = (image_header.height, image_header.width), ids.size_hw
        if size != label_size:
            what = f"the image has {size[1]}x{size[0]} pixels, the label {label_size[1]}x{label_size[0]}"
            faults.append(Problem("size-mismatch", sample.label, what, "replace the wrong one"))
    if faults:
        raise UnifyError(*faults)
    assert image is not None and label is not None and ids is not None
    group.offsets.append(start + sample.image_bytes)
    group.labels.append(ids.png)
    if ids.native:
        group.natives.append(ids.native)
    group.sizes.append(ids.size_hw)
    group.names.append(PurePosixPath(sample.image).name)
    group.rows.append(Row(sample.sample_id, image, label, ids.pixel_count))
    group.encoded_bytes += sample.image_bytes + len(ids.png) + len(ids.native)


@contextlib.contextmanager
def _collect(faults: list[Problem], path: str) -> Iterator[None]:
    """Gather a block's `UnifyError` into `faults`, naming the file it is about."""
    try:
        yield
    except UnifyError as e:
        faults += [dataclasses.replace(p, path=p.path or path) for p in e.problems]


@dataclass(frozen=True, slots=True)
class _Label:
    png: bytes
    native: bytes
    size_hw: tuple[int, int]
    pixel_count: tuple[int, ...]


def _convert(task: Task, data: bytes) -> _Label:
    """A label file's bytes to the target space; counts in the same pass."""
    native = b""
    if task.release.label in ("gray", "palette") and "native" not in task.options:
        header = label_header(task.release, data, max_pixels=task.max_pixels)
        png, counts = codecs.relabel_png(data, task.table, max_pixels=task.max_pixels)
        size_hw = (header.height, header.width)
    else:
        ids_hw = decode_label(task.release, data, max_pixels=task.max_pixels)
        png, counts = codecs.encode_label(ids_hw, task.table)
        size_hw = (ids_hw.shape[0], ids_hw.shape[1])
        if "native" in task.options:
            native = codecs.encode_label(ids_hw)[0]
    _check_ids(counts, task.raw_space)
    return _Label(png, native, size_hw, count_codes(counts, task.table, task.codes))


def _check_ids(counts: NDArray[np.int64], space: LabelSpace) -> None:
    unknown = {int(i): int(counts[i]) for i in np.flatnonzero(counts) if int(i) not in space.ids}
    if unknown:
        listed = ", ".join(f"{i} ({n} pixels)" for i, n in list(unknown.items())[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        what = f"ids that {space.name} does not have: {listed}{more}"
        raise error("unknown-id", "", what, "is this the right label file, of the right release?")


def count_codes(counts: NDArray[np.int64], table: NDArray[np.uint8], codes: int) -> tuple[int, ...]:
    """Raw id counts (256,) to pixels per code and, last, void: (codes + 1,)."""
    mapped = np.zeros(256, np.int64)
    np.add.at(mapped, table, counts)
    return (*mapped[:codes].tolist(), int(mapped[codes:].sum()))


def read_input(task: Task, path: str, into: memoryview) -> Input:
    """Fill `into` with a regular file of just that size."""
    try:
        fd = _open(task, path)
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                raise error("unsafe-path", path, "is not a regular file", "remove it")
            done = 0
            while info.st_size == len(into) and (count := os.readv(fd, [into[done:]])):
                done += count
        finally:
            os.close(fd)
    except OSError as e:
        kind = "no-permission" if isinstance(e, PermissionError) else "changed-while-reading"
        raise error(kind, path, f"cannot be read: {e.strerror}", "check the file") from e
    if done != len(into):
        what = f"has {info.st_size} bytes, not the {len(into)} it had when the build was planned"
        raise error("changed-while-reading", path, what, "let nothing write to the raw data, and build again")
    return Input(path, len(into), blake3(into).hexdigest(), info.st_mtime_ns)


def _open(task: Task, path: str) -> int:
    """A descriptor to read from. Links lead where planning saw them lead: within the root, unless asked for."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    if task.follow_links:
        return os.open(task.root / path, flags)
    where = (task.root / path).resolve(strict=True)
    if not where.is_relative_to(task.root.resolve()):
        raise error("unsafe-path", path, "leads out of the root", "copy the file there, or pass --follow-links")
    return os.open(where, flags | os.O_NOFOLLOW)


def convert_first(task: Task, buffer: NDArray[np.uint8]) -> None:
    """Convert the shard's first sample and throw it away: what a time estimate is measured on."""
    with contextlib.suppress(UnifyError):
        _add(task, task.shard.samples[0], _Group(buffer))
