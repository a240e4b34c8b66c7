"""One shard of raw files in, one Parquet file and one receipt out. Runs in a worker; shares nothing with the others.

An image is read once and passed on from there. Labels are decoded, counted, mapped and
encoded in one pass (`codecs`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from unify import codecs, cpp
from unify.centroids import centroids
from unify.errors import Problem, UnifyError, error
from unify.instances import (
    COLUMN,
    COUNT,
    Instances,
    check_values,
    count_instances,
    draw_instances,
    join_objects,
    read_instances,
)
from unify.plan import Plan, Sample, Shard, under
from unify.rows import Cell, Encoded, Input, Receipt, Row, Target, count_codes, finished, write_shard
from unify.sources import Release, decode_label, label_header
from unify.spaces import LabelSpace


@dataclass(frozen=True, slots=True)
class Task:
    """All a worker needs to make one shard. Small: it crosses process and machine borders."""

    target: Target
    shard: Shard
    root: Path
    release: Release
    raw_space: LabelSpace
    table: NDArray[np.uint8]  # (256,) raw id -> code, void 255
    codes: int  # classes and sets; `pixel_count` has one entry more, for void
    follow_links: bool
    max_pixels: int

    @property
    def input_bytes(self) -> int:
        return self.shard.input_bytes

    @property
    def draws_instances(self) -> bool:
        """Whether instances are asked for and are in the labels themselves, as polygons."""
        files = self.release.instances
        return "instances" in self.target.options and files is not None and files.beside is None


def tasks_of(
    plan: Plan, tree: Path, scratch: Path, *, follow_links: bool = False, max_pixels: int = codecs.MAX_PIXELS
) -> list[Task]:
    """A task for each shard of `plan`, in its order; finished files go to `tree`, the rest to `scratch`."""
    sources = tuple(plan.roots)
    classes = plan.taxonomy.space.names
    tasks = []
    for shard in plan.shards:
        found = plan.roots[shard.source]
        release = plan.sources[shard.source].releases[found.release]
        tasks.append(
            Task(
                target=Target(
                    key=plan.key(shard),
                    path=shard.path,
                    source=shard.source,
                    options=plan.options,
                    sources=sources,
                    classes=classes,
                    tree=tree,
                    scratch=scratch,
                ),
                shard=shard,
                root=found.root,
                release=release,
                raw_space=plan.taxonomy.mappings[shard.source].source,
                table=plan.taxonomy.table(shard.source),
                codes=len(classes) + len(plan.taxonomy.sets),
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
    receipt = finished(task.target)
    if receipt and not any(changed(task.root, file) for row in receipt.rows for file in row.files):
        return receipt
    problems: list[Problem] = []
    return write_shard(task.target, _good_rows(task, problems), problems)


def _good_rows(task: Task, problems: list[Problem]) -> Iterator[Encoded]:
    """The samples without a fault; the faults of the others are added to `problems`. One buffer serves all images."""
    with _buffer(max((sample.image_bytes for sample in task.shard.samples), default=0)) as buffer:
        for sample in task.shard.samples:
            try:
                encoded = _encode(task, sample, buffer[: sample.image_bytes])
            except UnifyError as e:
                problems += under(task.root, e.problems)
            else:
                yield encoded


_spare: list[bytearray] = []  # the buffer of this process's last shard: fresh memory costs page faults


@contextlib.contextmanager
def _buffer(size: int) -> Iterator[memoryview]:
    """At least `size` bytes that nobody else has meanwhile: those of the last time where they are enough."""
    try:
        buffer = _spare.pop()
    except IndexError:  # the first time, or another thread has it
        buffer = bytearray()
    if len(buffer) < size:
        buffer = bytearray(size)
    try:
        yield memoryview(buffer)
    finally:
        _spare[:] = [buffer]


def changed(root: Path, file: Input) -> bool:
    """Whether a raw file's size or time stamp is no longer what it was when it was read."""
    try:
        now = (root / file.path).stat()
    except OSError:
        return True
    return (now.st_size, now.st_mtime_ns) != (file.size, file.mtime_ns)


def _encode(task: Task, sample: Sample, view: memoryview) -> Encoded:
    """Read, check and convert one sample; its image goes into `view`, which is as large."""
    faults: list[Problem] = []
    label_data = bytearray(sample.label_bytes)
    image = label = ids = image_header = instance = instances = None
    with _collect(faults, sample.image):
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
    if sample.instance:
        with _collect(faults, sample.instance):
            instance_data = bytearray(sample.instance_bytes)
            instance = read_input(task, sample.instance, memoryview(instance_data))
            instances = _read_instances(task, instance_data, bytes(label_data) if ids else None)
    elif ids is not None and task.draws_instances:
        with _collect(faults, sample.label):
            drawn = draw_instances(task.release, bytes(label_data), max_pixels=task.max_pixels)
            instances = _check_instances(task, drawn)
    if image_header is not None:
        size_hw = (image_header.height, image_header.width)
        faults += _size_faults(size_hw, [("label", sample.label, ids), ("instance image", sample.instance, instances)])
    if faults:
        raise UnifyError(*faults)
    assert image is not None and label is not None and ids is not None
    optional = dict(ids.optional)
    counts = _count_instances(task, instances) if instances else None
    if "instances" in task.target.options:
        optional[COLUMN] = instances.png if instances else None
        optional[COUNT] = counts
    row = Row(sample.sample_id, image, label, ids.pixel_count, instance, counts)
    return Encoded(view, PurePosixPath(sample.image).name, ids.size_hw, ids.png, optional, row)


def _size_faults(
    size_hw: tuple[int, int], parts: Iterable[tuple[str, str, _Label | Instances | None]]
) -> Iterator[Problem]:
    """A problem for each part, (what it is, path, itself or None), that is not of the image's size."""
    height, width = size_hw
    for what, path, part in parts:
        if part is not None and part.size_hw != size_hw:
            found = f"the image has {width}x{height} pixels, the {what} {part.size_hw[1]}x{part.size_hw[0]}"
            yield Problem("size-mismatch", path, found, "replace the wrong one")


def _read_instances(task: Task, data: bytearray, label: bytes | None) -> Instances | None:
    """What a file of instances holds; None where it takes a label to tell, and that is at fault."""
    files = task.release.instances
    assert files
    if not files.joined:
        return _check_instances(task, read_instances(data, max_pixels=task.max_pixels))
    if label is None:
        return None
    label_hw = decode_label(task.release, label, max_pixels=task.max_pixels)
    return join_objects(data, label_hw, files, task.raw_space, max_pixels=task.max_pixels)


def _check_instances(task: Task, instances: Instances) -> Instances:
    assert task.release.instances
    check_values(instances.values, task.release.instances, task.raw_space)
    return instances


def _count_instances(task: Task, instances: Instances) -> tuple[int, ...]:
    assert task.release.instances
    return count_instances(instances.values, task.release.instances, task.table, task.codes)


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
    size_hw: tuple[int, int]
    pixel_count: tuple[int, ...]
    optional: Mapping[str, Cell]  # the columns that are made from ids


def _convert(task: Task, data: bytes) -> _Label:
    """A label file's bytes to the target space; counts in the same pass."""
    options, optional = task.target.options, dict[str, Cell]()
    scales = cpp.scales_of(options)
    needs_ids = bool(scales) or bool({"native", "centroids"}.intersection(options))
    if task.release.label in ("gray", "palette") and not needs_ids:
        header = label_header(task.release, data, max_pixels=task.max_pixels)
        png, counts = codecs.relabel_png(data, task.table, max_pixels=task.max_pixels)
        size_hw = (header.height, header.width)
    else:
        ids_hw = decode_label(task.release, data, max_pixels=task.max_pixels)
        png, counts = codecs.encode_label(ids_hw, task.table)
        size_hw = (ids_hw.shape[0], ids_hw.shape[1])
        if "native" in options:
            optional["label_source"] = codecs.encode_label(ids_hw)[0]
        if "centroids" in options:
            optional |= centroids(ids_hw, task.table, len(task.target.classes)).columns()
    _check_ids(counts, task.raw_space)
    pixel_count = count_codes(counts, task.table, task.codes)
    if scales:
        optional |= cpp.stacked(ids_hw, task.table, pixel_count, scales)
    return _Label(png, size_hw, pixel_count, optional)


def _check_ids(counts: NDArray[np.int64], space: LabelSpace) -> None:
    known = space.ids
    unknown = {int(i): int(counts[i]) for i in np.flatnonzero(counts) if int(i) not in known}
    if unknown:
        listed = ", ".join(f"{i} ({n} pixels)" for i, n in list(unknown.items())[:5])
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        what = f"ids that {space.name} does not have: {listed}{more}"
        raise error("unknown-id", "", what, "is this the right label file, of the right release?")


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
    file = task.root / path
    if task.follow_links:
        return os.open(file, flags)
    try:
        return os.open(file, flags | os.O_NOFOLLOW)
    except OSError as e:
        if e.errno != errno.ELOOP:  # it is no link
            raise
    where = file.resolve(strict=True)
    if not where.is_relative_to(task.root.resolve()):
        raise error("unsafe-path", path, "leads out of the root", "copy the file there, or pass --follow-links")
    return os.open(where, flags | os.O_NOFOLLOW)


def convert_first(task: Task) -> None:
    """Convert the shard's first sample and throw it away: what a time estimate is measured on."""
    sample = task.shard.samples[0]
    with contextlib.suppress(UnifyError), _buffer(sample.image_bytes) as buffer:
        _encode(task, sample, buffer[: sample.image_bytes])
