"""A version as folders of files, for trainers that read those: mmsegmentation's layout and Cityscapes'.

    mmseg       img_dir/{split}/{source}/{name}.jpg|png    ann_dir/{split}/{source}/{name}.png
    cityscapes  leftImg8bit/{split}/{source}/{name}_leftImg8bit.png|jpg
                gtFine/{split}/{source}/{name}_gtFine_labelTrainIds.png, and _labelIds.png where that has a meaning

Beside them `dataset.py` (a config for mmsegmentation 1.x, for both layouts), classes.csv, id2label.json, samples.csv
(which file is which sample), README.md (licences) and export.json: the parent's digest and every file's BLAKE3.

Images are the sources' own bytes under their true suffix; JPEGs stay JPEGs unless PNG is asked for, since that is
slower and several times larger. Labels are the version's own bytes: ids 0..K-1, 255 void. Only where a label holds
"one of these classes" codes, which no such trainer knows, it is written anew with those pixels void.

What reads which Cityscapes label file: mmsegmentation's CityscapesDataset `*_labelTrainIds.png` (ids 0..K-1 of this
version), torchvision's Cityscapes (target_type="semantic") and cityscapesScripts `*_labelIds.png`. The latter is
written only where all classes of the version's space are Cityscapes classes, with Cityscapes' own ids and void as 0
("unlabeled"): other ids under that name would be taken for Cityscapes' own.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unify import __version__, storage
from unify.artifact import Artifact
from unify.derive import Sample, samples_of
from unify.errors import Problem, UnifyError, error
from unify.imagefile import Data, image_header
from unify.manifest import File
from unify.publish.export_mmseg import Entry, config_text
from unify.publish.export_names import LAYOUT_NAMES
from unify.publish.licences import notice
from unify.spaces import VOID, LabelSpace, load_space

FORMAT = 1  #: of `export.json`
FILE = "export.json"


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A label file that each sample gets: what its name ends in, and what the version's ids become in it.

    `table`: (256,) uint8; None if they stay, and with them the bytes.
    """

    suffix: str
    table: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True)
class Layout:
    """Where files go: {split}/{source}/{name} below `images` and `labels`, and then the suffix."""

    name: str
    images: str
    labels: str
    image_suffix: str  # before .png or .jpg
    label_files: tuple[LabelFile, ...]  # the first is the one of ids 0..K-1
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written: number of files and bytes, images per (split, source, suffix), and what to know."""

    path: Path
    layout: str
    images: int
    files: int
    n_bytes: int
    counts: dict[tuple[str, str, str], int]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Written:
    """The files of one sample: the image's first, then the label's."""

    sample: Sample
    suffix: str
    files: tuple[tuple[str, File], ...]


def export(
    artifact: Artifact,
    layout: str,
    target: Path,
    *,
    splits: Sequence[str] = (),
    sources: Sequence[str] = (),
    png: bool = False,
    workers: int = 4,
    progress: Callable[[int, int], None] = lambda images, n_bytes: None,
) -> Exported:
    """Write `artifact` as the folder `target` in `layout` ("mmseg", "cityscapes").

    The folder appears whole or not at all. Rows pass by row group, so that memory does not grow with the version.

    Args:
        splits, sources: only these; all if empty.
        png: write JPEG images as PNG (what Pillow decodes), for readers that know one suffix only.
        workers: threads that write.
        progress: called with images and bytes written since the last call.

    Raises:
        UnifyError: usage (2) for an unknown layout, split or source, a target inside the version, nothing to write;
            cannot-create (73) if the target is there and not empty; not-verified (76) if a shard is not what was
            published; busy, io, as the disk has it.
    """
    chosen = _chosen(artifact, splits, sources)
    taxonomy = artifact.taxonomy
    plan = layout_of(layout, taxonomy.space, bool(taxonomy.sets))
    _check_target(artifact, target)
    names = LAYOUT_NAMES[layout](chosen)
    scratch = target.absolute().with_name(f".{target.absolute().name}.export")
    storage.make_dirs(scratch)
    with storage.lock(scratch):
        try:
            for child in scratch.iterdir():  # left by a run that was killed
                storage.remove_tree(child) if child.is_dir() else storage.remove_file(child)
            writer = _Writer(scratch, plan, names, len(taxonomy.space), png)
            files: dict[str, File] = {}
            rows: list[_Written] = []
            with contextlib.closing(_write_all(artifact, chosen, writer, workers)) as all_written:
                for written in all_written:
                    files |= dict(written.files)
                    rows.append(written)
                    progress(1, sum(file.size for _, file in written.files))
            counts = Counter((r.sample.split, r.sample.source, r.suffix) for r in rows)
            notes = (*plan.notes, *_set_notes(chosen, len(taxonomy.space)))
            for name, data in _side_files(artifact, plan, rows, counts, notes).items():
                files[name] = File(*storage.write_file(scratch / name, data))
            storage.write_file(scratch / FILE, _manifest(artifact, layout, png, splits, sources, counts, files, notes))
            storage.sync_all(scratch)  # once, not for every image
            storage.publish(scratch, target)
        finally:
            storage.remove_tree(scratch)
    n_bytes = sum(file.size for file in files.values())
    return Exported(target, layout, len(rows), len(files) + 1, n_bytes, dict(sorted(counts.items())), notes)


def layout_of(name: str, space: LabelSpace, has_sets: bool) -> Layout:
    """The layout of this name for labels of `space`. Raises `UnifyError` (usage) if there is none."""
    if name not in LAYOUT_NAMES:
        raise error("usage", "", f"no layout '{name}'", f"known: {', '.join(LAYOUT_NAMES)}")
    without_sets = np.arange(256, dtype=np.uint8)
    without_sets[len(space) :] = VOID
    ids = without_sets if has_sets else None
    if name == "mmseg":
        return Layout(name, "img_dir", "ann_dir", "", (LabelFile(".png", ids),))
    table = cityscapes_ids(space)
    train_ids = LabelFile("_gtFine_labelTrainIds.png", ids)
    if table is None:
        note = (
            f"no *_labelIds.png: not all classes of {space.name} are Cityscapes classes, so that torchvision's "
            "Cityscapes and cityscapesScripts cannot read it; *_labelTrainIds.png has ids 0.."
            f"{len(space) - 1} of {space.name}"
        )
        return Layout(name, "leftImg8bit", "gtFine", "_leftImg8bit", (train_ids,), (note,))
    both = (train_ids, LabelFile("_gtFine_labelIds.png", table))
    return Layout(name, "leftImg8bit", "gtFine", "_leftImg8bit", both)


def cityscapes_ids(space: LabelSpace) -> NDArray[np.uint8] | None:
    """(256,) uint8: id in `space` → Cityscapes' label id, all else 0 (unlabeled).

    None unless every class of `space` has the name of a Cityscapes class.
    """
    known = {c.name: c.id for c in load_space("cityscapes").classes if 0 <= c.id < VOID}
    if not set(space.names) <= known.keys():
        return None
    table = np.zeros(256, np.uint8)
    table[: len(space)] = [known[name] for name in space.names]
    return table


def _chosen(artifact: Artifact, splits: Sequence[str], sources: Sequence[str]) -> list[Sample]:
    per_source = artifact.manifest.sources
    every = {split for facts in per_source.values() for split in facts["splits"]}
    problems = [
        Problem("usage", str(artifact.path), f"has no {what} '{name}'", f"known: {', '.join(known)}")
        for what, wanted, known in (("split", splits, sorted(every)), ("source", sources, list(per_source)))
        for name in dict.fromkeys(wanted)
        if name not in known
    ]
    if problems:
        raise UnifyError(*problems)
    chosen = [
        sample
        for sample in samples_of(artifact)
        if (not splits or sample.split in splits) and (not sources or sample.source in sources)
    ]
    if not chosen:
        raise error("usage", artifact.path, "has no image of these sources and splits", "choose others")
    return chosen


def _check_target(artifact: Artifact, target: Path) -> None:
    if target.resolve().is_relative_to(artifact.path.resolve()):
        raise error("usage", target, "lies inside the version, which is never changed", "choose another folder")
    try:
        taken = any(target.iterdir()) if target.is_dir() else target.exists() or target.is_symlink()
    except OSError as e:
        raise storage.refused("read", target, e) from e
    if taken:
        raise error("cannot-create", target, "is there already and not empty", "choose another folder, or remove it")


def _set_notes(samples: Iterable[Sample], classes: int) -> Iterator[str]:
    n_pixels = [sum(sample.pixel_count[classes:-1]) for sample in samples]
    if total := sum(n_pixels):
        n_images = sum(n > 0 for n in n_pixels)
        yield f"{total:,} pixels of {n_images:,} labels meant one of several classes and became void"


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes a sample's files below `root`."""

    root: Path
    layout: Layout
    names: dict[str, str]  # sample_id → name
    classes: int
    png: bool

    def __call__(self, sample: Sample, image: Data, label: bytes) -> _Written:
        suffix = {"png": ".png", "jpeg": ".jpg"}[image_header(image).format]
        if self.png and suffix != ".png":
            image, suffix = _as_png(image), ".png"
        where, layout = f"{sample.split}/{sample.source}/{self.names[sample.sample_id]}", self.layout
        files: dict[str, Data] = {f"{layout.images}/{where}{layout.image_suffix}{suffix}": image}
        for kind in layout.label_files:
            files[f"{layout.labels}/{where}{kind.suffix}"] = self._label(sample, label, kind)
        return _Written(sample, suffix, tuple(self._write(path, data) for path, data in files.items()))

    def _label(self, sample: Sample, label: bytes, kind: LabelFile) -> bytes:
        has_sets = any(sample.pixel_count[self.classes : -1])
        if kind.table is None or (kind is self.layout.label_files[0] and not has_sets):
            return label
        from unify.codecs import relabel_png

        height, width = sample.size_hw
        return relabel_png(label, kind.table, max_pixels=height * width)[0]

    def _write(self, path: str, data: Data) -> tuple[str, File]:
        return path, File(*storage.write_file(self.root / path, data, durable=False))  # type: ignore[arg-type]  # any buffer will do


def _as_png(image: Data) -> bytes:
    from unify.codecs_rgb import encode_rgb, read_rgb

    return encode_rgb(read_rgb(image))


def _write_all(artifact: Artifact, samples: Sequence[Sample], writer: _Writer, workers: int) -> Generator[_Written]:
    """Shard by shard in the version's order; a row group is written before the next is read."""
    for split, source in dict.fromkeys((s.split, s.source) for s in samples):
        for folder in (writer.layout.images, writer.layout.labels):
            storage.make_dirs(writer.root / folder / split / source)
    with ThreadPoolExecutor(workers) as pool:
        for shard, group in itertools.groupby(samples, key=lambda s: s.shard):
            chosen = {sample.index: sample for sample in group}
            file = artifact.manifest.files[shard]
            if storage.hash_file(artifact.path / shard) != (file.size, file.blake3):
                what = "holds other bytes than were published"
                raise error("not-verified", artifact.path / shard, what, "run `unify verify`, then build it again")
            for rows in _row_groups(artifact.path / shard, chosen):
                yield from pool.map(lambda row: writer(*row), rows)


def _row_groups(path: Path, chosen: dict[int, Sample]) -> Iterator[list[tuple[Sample, Data, bytes]]]:
    """The chosen rows (by index in the file) of each row group that has some: sample, image, label."""
    with pq.ParquetFile(path, memory_map=True) as file:
        start = 0
        for number in range(file.num_row_groups):
            stop = start + file.metadata.row_group(number).num_rows
            wanted = [i for i in range(start, stop) if i in chosen]
            if wanted:
                columns = file.read_row_group(number, columns=["image", "label"], use_threads=False)
                image, label = (columns[n].combine_chunks().field("bytes") for n in ("image", "label"))
                yield [
                    (chosen[i], memoryview(image[i - start].as_buffer()).cast("B"), label[i - start].as_py())
                    for i in wanted
                ]
            start = stop


def _side_files(
    artifact: Artifact,
    layout: Layout,
    rows: Sequence[_Written],
    counts: Counter[tuple[str, str, str]],
    notes: Sequence[str],
) -> dict[str, bytes]:
    """Name → bytes of what stands beside the folders, but for export.json."""
    taxonomy, manifest = artifact.taxonomy, artifact.manifest
    space = taxonomy.space
    entries = [
        Entry(
            split=split,
            source=source,
            images=n,
            img_path=f"{layout.images}/{split}/{source}",
            seg_map_path=f"{layout.labels}/{split}/{source}",
            img_suffix=layout.image_suffix + suffix,
            seg_map_suffix=layout.label_files[0].suffix,
        )
        for (split, source, suffix), n in sorted(counts.items())
    ]
    title = f"{manifest.name} {manifest.version}"
    classes = [(c.id, c.name, *c.color) for c in space.classes]
    samples = [(r.sample.sample_id, r.sample.source, r.sample.split, r.files[0][0], r.files[1][0]) for r in rows]
    return {
        "dataset.py": config_text(title, artifact.digest, space, entries).encode(),
        "classes.csv": _csv(("id", "name", "red", "green", "blue"), classes),
        "samples.csv": _csv(("sample_id", "source", "split", "image", "label"), samples),
        "id2label.json": _json(taxonomy.id2label()),
        "README.md": _readme(artifact, layout, notes, {source for _, source, _ in counts}).encode(),
    }


def _readme(artifact: Artifact, layout: Layout, notes: Sequence[str], sources: set[str]) -> str:
    manifest = artifact.manifest
    kept = [source for source in manifest.sources if source in sources]
    parts = [
        f"# {manifest.name} {manifest.version} in {layout.name} layout",
        f"Written by `unify export` ({__version__}) from the version with digest `{artifact.digest}`. "
        "Labels are 8-bit gray PNGs: ids as in classes.csv, 255 void (`reduce_zero_label=False`). "
        "samples.csv says which file is which sample; export.json has every file's BLAKE3.",
        *(f"Note: {note}." for note in notes),
        "## Licences\n\n" + "\n".join(f"- {line}" for line in notice(manifest.sources, kept)),
    ]
    return "\n\n".join(parts) + "\n"


def _manifest(
    artifact: Artifact,
    layout: str,
    png: bool,
    splits: Sequence[str],
    sources: Sequence[str],
    counts: Counter[tuple[str, str, str]],
    files: dict[str, File],
    notes: Sequence[str],
) -> bytes:
    manifest = artifact.manifest
    images: dict[str, dict[str, int]] = {}
    for (split, source, _), n in sorted(counts.items()):
        images.setdefault(split, {}).setdefault(source, 0)
        images[split][source] += n
    return _json(
        {
            "format": FORMAT,
            "layout": layout,
            "parent": {"name": manifest.name, "version": manifest.version, "digest": artifact.digest},
            "space": manifest.space,
            "classes": manifest.classes,
            "options": {"png": png, "splits": sorted(set(splits)), "sources": sorted(set(sources))},
            "images": images,
            "notes": list(notes),
            "made_with": {"unify": __version__},
            "files": {name: {"size": f.size, "blake3": f.blake3} for name, f in sorted(files.items())},
        }
    )


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return out.getvalue().encode()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
