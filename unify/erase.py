"""Unbiased test sets: a version whose images lack every pixel of some classes.

After DropClass (its I*): what a model still knows of one class where another, on which it leans, is not there.
A pixel is erased if its label is one of the classes; of sets ("one of these") none is, since it may be another.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
from blake3 import blake3
from numpy.typing import NDArray

from unify import codecs, cpp
from unify.artifact import Artifact
from unify.centroids import COLUMNS as CENTROIDS
from unify.codecs_rgb import encode_rgb, read_rgb
from unify.commit import Job
from unify.derive import Record, Sample, Step, Task, derivation, samples_of
from unify.errors import Problem, UnifyError, error
from unify.rows import Cell
from unify.sources import SOURCES, Source
from unify.spaces import VOID, LabelSpace, attempt, did_you_mean, quoted

Labels: TypeAlias = Literal["keep", "void"]
Pixels: TypeAlias = NDArray[np.uint8]
#: (image (H, W, 3), mask (H, W) with `ERASED` where it applies, sample id) → a colour (3,) or an image to fill with
Fill: TypeAlias = Callable[[Pixels, Pixels, str], Pixels]
Influence: TypeAlias = dict[str, dict[str, float]]  #: class → other class → how much the first leans on it

ERASED = 255  #: in the column `erased`; 0 elsewhere
MEAN = (124, 116, 104)  #: RGB, ImageNet's: what is 0 after the usual normalisation
PNG_SHARE = 0.55  #: of the bytes of its pixels that an erased photograph takes, about
_INPAINT_RADIUS_PX = 3


def _fill_mean(image_hwc: Pixels, mask_hw: Pixels, sample_id: str) -> Pixels:
    return np.array(MEAN, np.uint8)


def _fill_black(image_hwc: Pixels, mask_hw: Pixels, sample_id: str) -> Pixels:
    return np.zeros(3, np.uint8)


def _fill_noise(image_hwc: Pixels, mask_hw: Pixels, sample_id: str) -> Pixels:
    """Uniform, from the sample's id alone: a pixel has the same noise whatever else is erased."""
    noise = bytearray(blake3(sample_id.encode()).digest(length=image_hwc.size))
    return np.frombuffer(noise, np.uint8).reshape(image_hwc.shape)


def _fill_inpaint(image_hwc: Pixels, mask_hw: Pixels, sample_id: str) -> Pixels:
    """Telea's fast marching, from the edge inwards; a second or more for a large area."""
    import cv2

    without_hwc = image_hwc.copy()
    without_hwc[mask_hw == ERASED] = MEAN  # nothing of what was there may be left where there is no edge
    return cv2.inpaint(without_hwc, mask_hw, _INPAINT_RADIUS_PX, cv2.INPAINT_TELEA).astype(np.uint8, copy=False)


FILLS: dict[str, Fill] = {"mean": _fill_mean, "black": _fill_black, "noise": _fill_noise, "inpaint": _fill_inpaint}


@dataclass(frozen=True, slots=True)
class Erase:
    """The row function: pixels of `ids` filled, the image as PNG, and the mask of what was filled.

    An image without such a pixel keeps its bytes.
    """

    ids: tuple[int, ...]
    fill: str
    labels: Labels

    def __call__(self, source: str, record: Record) -> Record:
        from unify.kernels.rgb import paste

        height, width = record.size_hw
        is_erased = np.zeros(256, np.uint8)
        is_erased[list(self.ids)] = ERASED
        mask_png, _ = codecs.relabel_png(record.label, is_erased, max_pixels=height * width)
        record = dataclasses.replace(record, optional={**record.optional, "erased": mask_png})
        if not any(record.pixel_count[i] for i in self.ids):
            return record
        mask_hw = codecs.read_label(mask_png, max_pixels=height * width).astype(np.uint8, copy=False)
        image_hwc = read_rgb(record.image, max_pixels=height * width)
        assert image_hwc.shape[:2] == mask_hw.shape, "the build compared their sizes"
        filling = FILLS[self.fill](image_hwc, mask_hw, record.sample_id)
        paste(image_hwc.reshape(-1), mask_hw.reshape(-1), filling.reshape(-1))
        name = str(Path(record.image_name).with_suffix(".png"))
        record = dataclasses.replace(record, image=encode_rgb(image_hwc), image_name=name)
        return record if self.labels == "keep" else self._voided(record)

    def _voided(self, record: Record) -> Record:
        height, width = record.size_hw
        table = np.arange(256, dtype=np.uint8)
        table[list(self.ids)] = VOID
        png, _ = codecs.relabel_png(record.label, table, max_pixels=height * width)
        counts = [0 if i in self.ids else n for i, n in enumerate(record.pixel_count)]
        counts[-1] += sum(record.pixel_count[i] for i in self.ids)
        optional = {**record.optional, **self._other_centroids(record)}
        if scales := cpp.scales_in(optional):
            ids_hw = codecs.read_label(record.label, max_pixels=height * width).astype(np.uint8, copy=False)
            optional |= cpp.stacked(ids_hw, table, counts, scales)
        return dataclasses.replace(record, label=png, pixel_count=tuple(counts), optional=optional)

    def _other_centroids(self, record: Record) -> dict[str, Cell]:
        """The columns of centroids, if there are any, without those of the erased classes."""
        if CENTROIDS[0] not in record.optional:
            return {}
        rows = zip(*(record.optional[name] or () for name in CENTROIDS), strict=True)
        kept = [row for row in rows if row[0] not in self.ids]
        return {name: [row[i] for row in kept] for i, name in enumerate(CENTROIDS)}


@dataclass(frozen=True, slots=True)
class Options:
    """`fill`: a key of `FILLS`. `labels`: "keep" them, or make them "void" where the image was filled in: these
    pixels then do not count. `splits`: only these; all if empty. `only_touched`: leave out the images that show
    none of the classes.
    """

    fill: str = "mean"
    labels: Labels = "keep"
    splits: tuple[str, ...] = ()
    only_touched: bool = False


_DEFAULTS = Options()


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erased set to be made by `commit(job, out)`: of `images`, so many `touched`; `table` counts by class."""

    classes: tuple[str, ...]
    images: int
    touched: int
    table: pa.Table
    job: Job[Task]


def erasure(
    parent: Artifact,
    classes: Sequence[str],
    options: Options = _DEFAULTS,
    *,
    name: str | None = None,
    sources: Mapping[str, Source] = SOURCES,
) -> Erasure:
    """The images of `parent` without the pixels of `classes`.

    Args:
        name: of the new version; by default `<parent>-erase-<classes>`, then what is not the default.
        sources: what can be said of the sources in the card.

    Raises:
        UnifyError: usage, with every name that is unknown, or if no image shows any of the classes.
    """
    _check(parent, options)
    name = name or _name(f"{parent.manifest.name}-erase", classes, options)
    return _erasure(parent, samples_of(parent), classes, options, name, sources)


def erasures(
    parent: Artifact,
    influence: Influence,
    top: int,
    options: Options = _DEFAULTS,
    *,
    name: str | None = None,
    sources: Mapping[str, Source] = SOURCES,
) -> dict[str, Erasure]:
    """Class → the set in which the `top` classes of the largest influence on it are erased.

    Each is a version of its own, `<parent>-erase-for-<class>` (`name` stands for what is before "-for"): it
    opens, verifies and is counted like any other, and can be made or thrown away by itself.

    Raises `UnifyError` with the problems of all classes.
    """
    _check(parent, options)
    samples, prefix = samples_of(parent), name or f"{parent.manifest.name}-erase"
    problems: list[Problem] = []
    found = {}
    for target in influence:
        classes, full = most_influential(influence, target, top), _name(prefix, ["for", target], options)
        one = attempt(problems, partial(_erasure, parent, samples, classes, options, full, sources))
        if one:
            found[target] = one
    if problems:
        raise UnifyError(*dict.fromkeys(problems))
    return found


def _erasure(
    parent: Artifact,
    samples: Iterable[Sample],
    classes: Iterable[str],
    options: Options,
    name: str,
    sources: Mapping[str, Source],
) -> Erasure:
    space, before = parent.taxonomy.space, parent.manifest.recipe["options"]
    ids = _ids(space, classes)
    names = tuple(space.names[i] for i in ids)
    chosen = [s for s in samples if not options.splits or s.split in options.splits]
    touched = [s for s in chosen if _touches(s, ids)]
    if not touched:
        what = f"no image of {parent.manifest.name} {parent.manifest.version} shows {quoted(names)}"
        raise error("usage", "", what, "choose other classes or splits; `unify stats` counts them")
    kept = touched if options.only_touched else chosen
    lost = {"native", "instances"} if options.labels == "void" else set()  # these tell the erased classes
    step = Step(
        name=name,
        operation={
            "operation": "erase",
            "classes": list(names),
            "fill": options.fill,
            "labels": options.labels,
            "splits": sorted(options.splits),
            "only_touched": options.only_touched,
        },
        taxonomy=parent.taxonomy,
        options=tuple(sorted({*before, "erased"} - lost)),
        row=Erase(ids, options.fill, options.labels),
        shard_bytes=lambda sample: _bytes_of(sample, ids),
        tables={"erased": (table := _erased_table(space, kept, ids))},
        notes=(_note(names, options, len(touched), len(kept)),),
        column_texts={"image": "lossless RGB PNG where something was erased, else the source's own file"},
    )
    return Erasure(names, len(kept), len(touched), table, derivation(parent, step, kept, sources))


def _check(parent: Artifact, options: Options) -> None:
    problems = []
    for what, value, known in (("fill", options.fill, list(FILLS)), ("labels", options.labels, list(get_args(Labels)))):
        if value not in known:
            found = f"no {what} '{value}'{did_you_mean(value, known)}"
            problems.append(Problem("usage", "", found, f"known: {', '.join(known)}"))
    known = sorted({split for facts in parent.manifest.sources.values() for split in facts["splits"]})
    unknown = [f"{parent.manifest.name} has no split '{split}'" for split in options.splits if split not in known]
    problems += [Problem("usage", "", what, f"known: {', '.join(known)}") for what in unknown]
    if "erased" in parent.manifest.columns:
        what = f"{parent.manifest.name} is an erased set itself"
        problems.append(Problem("usage", "", what, "start from its parent, with all classes in --classes"))
    if problems:
        raise UnifyError(*problems)


def _ids(space: LabelSpace, classes: Iterable[str]) -> tuple[int, ...]:
    problems: list[Problem] = []
    found = {attempt(problems, partial(space.index, name)) for name in classes}
    if problems:
        raise UnifyError(*problems)
    return tuple(sorted(i for i in found if i is not None))


def _name(prefix: str, words: Iterable[str], options: Options) -> str:
    """`cibm-union70-erase-road`, and whatever changes pixels and is not the default: `-black-void`."""
    extra = [value for key in ("fill", "labels") if (value := getattr(options, key)) != getattr(_DEFAULTS, key)]
    return "-".join([prefix, *(re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in [*words, *extra])])


def _touches(sample: Sample, ids: Iterable[int]) -> bool:
    return any(sample.pixel_count[i] for i in ids)


def _bytes_of(sample: Sample, ids: Iterable[int]) -> int:
    height, width = sample.size_hw
    pixels = int(3 * PNG_SHARE * height * width)
    return sample.label.size + (pixels if _touches(sample, ids) else sample.image.size)


def _note(names: Sequence[str], options: Options, touched: int, images: int) -> str:
    become = "their labels are kept" if options.labels == "keep" else "their labels are void"
    return (
        f"Every pixel of {quoted(names)} was erased (fill: {options.fill}) and {become}: {touched:,} of {images:,} "
        "images. The column `erased` is the mask; the config `erased` counts the pixels by class."
    )


def _erased_table(space: LabelSpace, samples: Iterable[Sample], ids: Sequence[int]) -> pa.Table:
    """Rows of source, split, class_id, class, pixels, images, share (of all pixels of that source and split)."""
    groups: dict[tuple[str, str], list[tuple[int, ...]]] = {}
    for sample in samples:
        groups.setdefault((sample.source, sample.split), []).append(sample.pixel_count)
    rows: list[dict[str, Any]] = []
    for (source, split), found in groups.items():
        counts = np.array(found, np.int64)
        for i in ids:
            pixels = int(counts[:, i].sum())
            place = {"source": source, "split": split, "class_id": i, "class": space.names[i]}
            images = int((counts[:, i] > 0).sum())
            rows.append({**place, "pixels": pixels, "images": images, "share": pixels / int(counts.sum())})
    return pa.Table.from_pylist(rows)


# --- By influence ---------------------------------------------------------------------------------------------


def read_influence(path: Path, space: LabelSpace) -> Influence:
    """The JSON file `{"class": {"other class": influence, ...}, ...}`.

    Raises `UnifyError`: not-found; bad-config with all that is wrong.
    """
    try:
        data = json.loads(path.read_bytes())
    except OSError as e:
        raise error("not-found", path, f"cannot be read: {e.strerror}", "give a file of influences") from e
    except ValueError as e:
        raise error("bad-config", path, f"is not JSON: {e}", "see `unify erase --help`") from e
    rows = data.items() if isinstance(data, dict) else ()
    faults = [] if rows else ["it holds no classes"]
    for name, others in rows:
        if name not in space.names:
            faults.append(f"no class '{name}' in {space.name}{did_you_mean(name, space.names)}")
        if not isinstance(others, dict) or not others:
            faults.append(f"'{name}' has to have other classes with their influences")
            continue
        faults += [
            f"no class '{other}' in {space.name}{did_you_mean(other, space.names)}"
            for other in others
            if other not in space.names
        ]
        faults += [
            f"the influence of '{other}' on '{name}' is {value!r}, no number"
            for other, value in others.items()
            if type(value) not in (int, float) or not math.isfinite(value)
        ]
    if faults:
        layout = 'write {"class": {"other class": influence, ...}, ...}'
        raise UnifyError(*(Problem("bad-config", str(path), fault, layout) for fault in dict.fromkeys(faults)))
    return data  # type: ignore[no-any-return]


def most_influential(influence: Influence, name: str, top: int) -> tuple[str, ...]:
    """The `top` other classes of the largest influence on the class `name`; of equal ones those named first."""
    others = [other for other in influence[name] if other != name]
    return tuple(sorted(others, key=lambda other: -influence[name][other])[:top])
