"""Writing samples: raw roots in their true layouts, and the truth about them."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unify import storage
from unify.errors import Problem, UnifyError, error
from unify.sample import layouts as street_layouts
from unify.sample import shapes
from unify.sample.concepts import load_concepts
from unify.sample.layout.colocation import described
from unify.sample.layouts import NOTES, val_images, write_files
from unify.sample.layouts_eval import CONDITIONS
from unify.sample.looks import LOOKS
from unify.sample.truth import describe
from unify.sample.world import Card, deal, render_card
from unify.sources import SOURCES, source_named
from unify.sources.base import GENERATED_MARK
from unify.spaces import attempt

Size = Literal["small", "full"] | float

#: Raised when the same seed gives other pictures than before.
WORLD_VERSION = 1
#: Source and layout of all that can be written; the first layout of a source is the usual one.
LAYOUTS = (*street_layouts.LAYOUTS, *shapes.LAYOUTS)


@dataclass(frozen=True, slots=True)
class _Job:
    """One picture to make and where its files go."""

    card: Card
    layout: str
    root: Path


@dataclass(frozen=True, slots=True)
class _Made:
    """One picture as written: pixels per concept (or per raw id, of shapes), bytes, and what the dataset's
    common files need to know of it."""

    count: dict[int, int]
    n_bytes: int
    note: Any = field(default=None, repr=False)


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
    colocation: float | None = None,
    alike: bool = False,
    workers: int = 1,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write raw roots of generated pictures below `directory`, and truth.json beside them.

    datasets: letters or names of sources ("C", "idd", ...), each in a folder of its own name.
    images: training images per source; what comes with them is in `split_sizes`.
    size: "small" (a quick look), "full" (the datasets' own sizes), or a factor on those.
    layouts: source name -> one of its layouts (`LAYOUTS`), where it has several: cityscapes fine, coarse or
    fine+coarse, bdd100k sem_seg or seg, mapillary v2.0 or v1, camvid segnet or original, wilddash public_02
    or v2p0, voc trainaug or voc2012, nyu folders or mat.
    colocation: 0..1, plants pairs of classes that stand together in training and apart elsewhere, so strongly
    (`layout.colocation`); None for streets as they are.
    alike: all datasets show the same kinds of streets, regions and weathers, each those of all of them in equal
    shares, and differ in camera, colours and labels alone; otherwise each shows its own.
    force: replace an earlier, different sample. progress: called with (images, bytes) as they are done.

    truth.json is there from the beginning, with "unfinished" in it until all is written: the same call
    takes over what an interrupted one has left. The bytes depend on the arguments only, not on `workers` or
    the machine. Raises `UnifyError`: unknown-dataset, usage, cannot-create, io, worker-died.
    """
    names = source_names(datasets)
    chosen = chosen_layouts(layouts or {})
    recipe = {
        "generated_by": "unify sample",
        "world": WORLD_VERSION,
        "seed": seed,
        "images": images,
        "size": size,
        "layouts": {name: chosen[name] for name in names},
    }
    if colocation is not None:
        _check_colocation(colocation, names)
        recipe["colocation"] = described(colocation)
    if alike:
        _check_streets("streets that are alike", names)
        recipe["alike"] = True
    among = names if alike else ()
    shapes.check_packages({name: chosen[name] for name in names})
    _clear_way(directory, recipe, force)
    _mark(directory, {**recipe, "unfinished": True})
    jobs = [
        _Job(card, chosen[name], directory / name)
        for name in names
        for split, count in split_sizes(name, images, chosen[name]).items()
        for card in _deal(name, split, count, seed, _sizes(name, size), colocation, among)
    ]
    counts: dict[str, dict[str, Counter[int]]] = {name: {} for name in names}
    notes: dict[str, list[Any]] = {name: [] for name in names}
    for job, made in zip(jobs, _run(jobs, workers), strict=True):
        counts[job.card.source].setdefault(job.card.official, Counter()).update(made.count)
        notes[job.card.source].append(made.note)
        if progress is not None:
            progress(1, made.n_bytes)
    for name in names:
        cards = tuple(job.card for job in jobs if job.card.source == name)
        module = shapes if name in shapes.SIZES else street_layouts
        write_files(directory / name, module.common_files(name, chosen[name], cards, notes[name]))
    _mark(directory, {**recipe, **describe(counts, chosen, load_concepts())})


def split_sizes(source: str, images: int, layout: str | None = None) -> dict[str, int]:
    """Split -> pictures of a source that are written for `images` to train on."""
    layout = layout or usual_layouts()[source]
    if source in shapes.SIZES:
        return shapes.splits_of(source, layout, images, val_images(images))
    return street_layouts.splits_of(source, layout, images)


def _deal(
    source: str,
    split: str,
    count: int,
    seed: int,
    sizes: tuple[tuple[int, int], ...],
    colocation: float | None,
    among: Sequence[str],
) -> tuple[Card, ...]:
    if source in shapes.SIZES:
        return shapes.deal(source, split, count, seed, sizes)
    dealt = deal(source, split, count, seed, sizes, among=among)
    cards = tuple(dataclasses.replace(card, colocation=colocation) for card in dealt)
    if source == "acdc":
        return tuple(dataclasses.replace(card, weather=CONDITIONS[split.partition("/")[0]]) for card in cards)
    return cards


def _check_colocation(strength: float, names: Sequence[str]) -> None:
    """Raises `UnifyError` (usage)."""
    problems: list[Problem] = []
    if not 0 <= strength <= 1:
        problems.append(Problem("usage", "", f"a strength of co-location of {strength:g}, not 0..1", "correct it"))
    attempt(problems, lambda: _check_streets("co-location", names))
    if problems:
        raise UnifyError(*problems)


def _check_streets(what: str, names: Sequence[str]) -> None:
    """Raises `UnifyError` (usage) where there are none."""
    if others := [name for name in names if name in shapes.SIZES]:
        raise error("usage", "", f"{what} where there are no streets ({', '.join(others)})", "leave them out")


def source_names(datasets: Sequence[str]) -> tuple[str, ...]:
    """Names of sources that can be written, each once. Raises `UnifyError` (unknown-dataset) with all faults."""
    ours = {name: SOURCES[name] for name, _ in LAYOUTS}
    problems: list[Problem] = []
    wanted = {found.name for text in datasets if (found := attempt(problems, partial(source_named, text, ours)))}
    if problems:
        raise UnifyError(*problems)
    return tuple(name for name in ours if name in wanted)


def chosen_layouts(asked: Mapping[str, str]) -> dict[str, str]:
    """Source -> its layout: the one asked for, or the usual one. Raises `UnifyError` (usage)."""
    chosen = usual_layouts()
    for source, layout in asked.items():
        if (source, layout) not in LAYOUTS:
            known = ", ".join(f"{s} {name}" for s, name in LAYOUTS)
            raise error("usage", "", f"no layout '{layout}' of {source}", f"known: {known}")
        chosen[source] = layout
    return chosen


def _sizes(source: str, size: Size) -> tuple[tuple[int, int], ...]:
    """(width, height) in pixels, both even; a factor is raised where it would leave less than 64 pixels."""
    if source in shapes.SIZES:
        sizes, small = shapes.SIZES[source]
    else:
        sizes, small = LOOKS[source].sizes, LOOKS[source].small
    if size in ("small", "full"):
        return small if size == "small" else sizes
    scale = max(float(size), *(64 / min(true) for true in sizes))
    return tuple((round(w * scale / 2) * 2, round(h * scale / 2) * 2) for w, h in sizes)


def _clear_way(directory: Path, recipe: dict[str, Any], force: bool) -> None:
    """Refuse a folder that holds something else than the same sample, finished or not; with `force`, remove an
    earlier one."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise error("cannot-create", directory, f"cannot be made: {e.strerror}", "choose another folder") from e
    try:
        found = [path for path in directory.iterdir() if path.is_dir() or not _is_leftover(path)]
    except OSError as e:
        raise storage.refused("list", directory, e) from e
    if not found:
        return
    earlier = _read_truth(directory / GENERATED_MARK)
    if earlier is None:
        raise error("cannot-create", directory, "is not empty", "choose an empty folder")
    if all(earlier.get(key) == recipe.get(key) for key in (*recipe, "colocation", "alike")):
        return
    if not force:
        what = "holds another sample" + (", which was interrupted" if "unfinished" in earlier else "")
        raise error("cannot-create", directory, what, "choose another folder, or replace it with --force")
    _mark(directory, {**earlier, "unfinished": True})
    for source in earlier["layouts"]:
        if source in SOURCES:
            storage.remove_tree(directory / source)


def _mark(directory: Path, truth: dict[str, Any]) -> None:
    """Write truth.json, whole or not at all."""
    storage.write_file(directory / GENERATED_MARK, json.dumps(truth, indent=1).encode() + b"\n")
    for path in directory.glob(f".{GENERATED_MARK}.*.tmp"):  # of a run that was killed while it wrote one
        storage.remove_file(path)


def _is_leftover(path: Path) -> bool:
    return path.name.startswith(f".{GENERATED_MARK}.") and path.suffix == ".tmp"


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


def _run(jobs: Sequence[_Job], workers: int) -> Iterator[_Made]:
    """Make every picture, in the order of `jobs`, in this process or in `workers` of them."""
    if workers <= 1:
        yield from map(make, jobs)
        return
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
            yield from pool.map(make, jobs)
    except BrokenProcessPool as e:
        raise error("worker-died", "", "a worker process ended abruptly", "run it again with --workers 1") from e


def make(job: _Job) -> _Made:
    """One picture and its files."""
    card, note = job.card, None
    if card.source in shapes.SIZES:
        picture = shapes.draw(card)
        files, shown_hw = shapes.files_of(card, picture, job.layout), picture.label_hw
        note = picture if job.layout == "mat" else None
    else:
        rendering = render_card(card)
        files, shown_hw = street_layouts.files_of(card, rendering, job.layout), rendering.concept_hw()
        if (card.source, job.layout) in NOTES:
            note = NOTES[card.source, job.layout](card, rendering)
    write_files(job.root, files)
    values, pixels = np.unique(shown_hw, return_counts=True)
    count = dict(zip(values.tolist(), pixels.tolist(), strict=True))
    return _Made(count, sum(map(len, files.values())), note)
