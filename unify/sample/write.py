"""Writing Streets: raw roots in their true layouts, and the truth about them."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unify.errors import Problem, UnifyError, error
from unify.sample.concepts import Concepts, load_concepts
from unify.sample.layouts import LAYOUTS, SPACES, common_files, files_of, write_files
from unify.sample.looks import LOOKS
from unify.sample.world import Card, deal, render_card
from unify.sources import SOURCES, source_named
from unify.sources.base import GENERATED_MARK
from unify.spaces import attempt
from unify.storage import refused

Size = Literal["small", "full"] | float

#: Raised when the same seed gives other pictures than before.
WORLD_VERSION = 1
SPLITS = ("train", "val")


def val_images(images: int) -> int:
    """How many validation images go with so many for training."""
    return max(1, images // 4)


@dataclass(frozen=True, slots=True)
class _Job:
    """One picture to make and where its files go."""

    card: Card
    layout: str
    root: Path


def usual_layouts() -> dict[str, str]:
    """Per source, the layout that is written unless another is asked for."""
    return dict(reversed(LAYOUTS))


def write_streets(
    directory: Path,
    datasets: Sequence[str],
    images: int,
    seed: int,
    *,
    size: Size = "small",
    layouts: Mapping[str, str] | None = None,
    workers: int = 1,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write raw roots of generated street scenes below `directory`, and truth.json beside them.

    datasets: letters or names of sources ("C", "idd", ...), each in a folder of its own name.
    images: training images per source; `val_images` of them for validation.
    size: "small" (a quick look), "full" (the datasets' own sizes), or a factor on those.
    layouts: source name -> one of its layouts, where it has several: bdd100k sem_seg or seg, mapillary
    v2.0 or v1, camvid segnet or original.
    force: replace an earlier, different sample. progress: called with (images, bytes) as they are done.

    The bytes depend on the arguments only, not on `workers` or the machine. Raises `UnifyError`:
    unknown-dataset, usage, cannot-create, io.
    """
    names = source_names(datasets)
    chosen = _layouts(layouts or {})
    recipe = {
        "generated_by": "unify sample",
        "world": WORLD_VERSION,
        "seed": seed,
        "images": images,
        "size": size,
        "layouts": {name: chosen[name] for name in names},
    }
    _clear_way(directory, recipe, force)
    jobs = [
        _Job(card, chosen[name], directory / name)
        for name in names
        for split in SPLITS
        for card in deal(name, split, images if split == "train" else val_images(images), seed, _sizes(name, size))
    ]
    for name in names:
        cards = tuple(job.card for job in jobs if job.card.source == name)
        write_files(directory / name, common_files(name, chosen[name], cards))
    counts: dict[str, dict[str, Counter[int]]] = {name: {split: Counter() for split in SPLITS} for name in names}
    for job, (count, n_bytes) in zip(jobs, _run(jobs, workers), strict=True):
        counts[job.card.source][job.card.split].update(count)
        if progress is not None:
            progress(1, n_bytes)
    truth = {**recipe, **describe(counts, chosen, load_concepts())}
    write_files(directory, {GENERATED_MARK: json.dumps(truth, indent=1).encode() + b"\n"})


def source_names(datasets: Sequence[str]) -> tuple[str, ...]:
    """Names of sources that can be written, each once. Raises `UnifyError` (unknown-dataset) with all faults."""
    ours = {name: SOURCES[name] for name, _ in LAYOUTS}
    problems: list[Problem] = []
    wanted = {found.name for text in datasets if (found := attempt(problems, partial(source_named, text, ours)))}
    if problems:
        raise UnifyError(*problems)
    return tuple(name for name in ours if name in wanted)


def _layouts(asked: Mapping[str, str]) -> dict[str, str]:
    chosen = usual_layouts()
    for source, layout in asked.items():
        if (source, layout) not in LAYOUTS:
            known = ", ".join(f"{s} {name}" for s, name in LAYOUTS)
            raise error("usage", "", f"no layout '{layout}' of {source}", f"known: {known}")
        chosen[source] = layout
    return chosen


def _sizes(source: str, size: Size) -> tuple[tuple[int, int], ...]:
    """(width, height) in pixels, both even; a factor is raised where it would leave less than 64 pixels."""
    look = LOOKS[source]
    if size == "small":
        return look.small
    scale = 1.0 if size == "full" else max(float(size), *(64 / min(true) for true in look.sizes))
    return tuple((round(w * scale / 2) * 2, round(h * scale / 2) * 2) for w, h in look.sizes)


def _clear_way(directory: Path, recipe: dict[str, Any], force: bool) -> None:
    """Refuse a folder that holds something else than the same sample; with `force`, remove an earlier one."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise error("cannot-create", directory, f"cannot be made: {e.strerror}", "choose another folder") from e
    try:
        if not any(directory.iterdir()):
            return
        earlier = _read_truth(directory / GENERATED_MARK)
        if earlier is not None and all(earlier.get(key) == value for key, value in recipe.items()):
            return
        if earlier is None:
            raise error("cannot-create", directory, "is not empty", "choose an empty folder")
        if not force:
            raise error(
                "cannot-create", directory, "holds another sample", "choose another folder, or replace it with --force"
            )
        for source in earlier["layouts"]:
            if source in SOURCES and (directory / source).is_dir():
                shutil.rmtree(directory / source)
        (directory / GENERATED_MARK).unlink()
    except OSError as e:
        raise refused("write to", directory, e) from e


def _read_truth(path: Path) -> dict[str, Any] | None:
    """An earlier truth.json of ours; None where there is none."""
    try:
        truth = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    ours = (
        isinstance(truth, dict)
        and truth.get("generated_by") == "unify sample"
        and isinstance(truth.get("layouts"), dict)
    )
    return truth if ours else None


def _run(jobs: Sequence[_Job], workers: int) -> Iterator[tuple[dict[int, int], int]]:
    """Make every picture, in the order of `jobs`, in this process or in `workers` of them."""
    if workers <= 1:
        yield from map(make, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        yield from pool.map(make, jobs)


def make(job: _Job) -> tuple[dict[int, int], int]:
    """One picture and its files: pixels per concept, and bytes written."""
    rendering = render_card(job.card)
    files = files_of(job.card, rendering, job.layout)
    write_files(job.root, files)
    values, pixels = np.unique(rendering.concept_hw(), return_counts=True)
    return dict(zip(values.tolist(), pixels.tolist(), strict=True)), sum(map(len, files.values()))


def describe(
    counts: Mapping[str, Mapping[str, Counter[int]]], layouts: Mapping[str, str], concepts: Concepts
) -> dict[str, Any]:
    """The truth: each concept's raw class per label space, its pixels per source and split, and for every
    ordered pair of label spaces how many pixels of the first one's images are class a there and would be
    class b in the second."""
    names = [concept.name for concept in concepts.concepts]
    spaces = {space: source for source in counts for space in SPACES[source, layouts[source]]}
    return {
        "concepts": {concept.name: {space: concept.raw[space] for space in spaces} for concept in concepts.concepts},
        "spaces": spaces,
        "pixels": {
            source: {split: {names[i]: n for i, n in sorted(count.items())} for split, count in splits.items()}
            for source, splits in counts.items()
        },
        "cooccurrence": {
            first: {
                second: _table(_total(counts[source].values()), concepts.raw_names(first), concepts.raw_names(second))
                for second in spaces
                if second != first
            }
            for first, source in spaces.items()
        },
    }


def _total(counts: Iterable[Counter[int]]) -> Counter[int]:
    total: Counter[int] = Counter()
    for count in counts:
        total.update(count)
    return total


def _table(count: Counter[int], first: Sequence[str], second: Sequence[str]) -> dict[str, dict[str, int]]:
    """class a -> class b -> pixels, without zeros, in the order of the concepts."""
    table: dict[str, dict[str, int]] = {}
    for index, pixels in sorted(count.items()):
        row = table.setdefault(first[index], {})
        row[second[index]] = row.get(second[index], 0) + pixels
    return table
