"""What a version holds: how often each class occurs, together with which others, and beside which.

Counts come first and add up over images; ratios are taken of their sums, last. Everything but `adjacency`
is counted from the one column `pixel_count`, and no pixel is decoded. Arrays are over codes (the K classes,
then the S sets of classes, then void) or over the K classes alone, as each function says.

"The DropClass supplement" is that of Chu, Kim and Han, Learning Debiased and Disentangled Representations
for Semantic Segmentation, NeurIPS 2021.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unify.errors import Problem, UnifyError, error
from unify.statsfiles import counts as read_counts
from unify.statsfiles import decoded, encoded_labels, row_groups

if TYPE_CHECKING:
    from unify.artifact import Artifact
    from unify.manifest import Manifest
    from unify.taxonomy import Taxonomy

ALL = "all"  #: in place of a source or a split: every one that was chosen

Part = tuple[str, str]  #: source and split

_COLUMNS = ("pixel_count", "instance_count")  # what is read, where a version has it


# --- Counting -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted over some images. The counts of disjoint sets of images add up.

    pixels: (K + S + 1,) int64, pixels of each code.
    images: (K + S + 1,) int64, images with at least one pixel of it.
    surroundings: (K,) int64, all pixels, void among them, of the images that show the class.
    together: (K, K) int64, images that show both a and b; on the diagonal those that show the class.
    judged: (K, K) int64, images that show a, and whose source annotates b, shown or not.
    comparable: (K, K) int64, images whose source annotates both a and b.
    variety: (K + 1,) int64, images by the number of classes that they show.
    instances: (K + S + 1,) int64, instances of each code in the images whose source tells things apart; None if
        there is no such image.
    """

    pixels: NDArray[np.int64]
    images: NDArray[np.int64]
    surroundings: NDArray[np.int64]
    together: NDArray[np.int64]
    judged: NDArray[np.int64]
    comparable: NDArray[np.int64]
    variety: NDArray[np.int64]
    instances: NDArray[np.int64] | None = None

    @property
    def num_classes(self) -> int:
        return len(self.surroundings)

    @property
    def num_images(self) -> int:
        return int(self.variety.sum())

    @property
    def annotated(self) -> NDArray[np.bool_]:
        """(K,) bool: the classes that a source of any of the images annotates at all."""
        return self.comparable.diagonal() > 0

    def of_classes(self, by: str) -> NDArray[np.int64]:
        """(K,) int64: the "images" or "pixels" of each class, without sets and void."""
        return {"images": self.images, "pixels": self.pixels}[by][: self.num_classes]

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.pixels + other.pixels,
            self.images + other.images,
            self.surroundings + other.surroundings,
            self.together + other.together,
            self.judged + other.judged,
            self.comparable + other.comparable,
            self.variety + other.variety,
            _sum_of_known(self.instances, other.instances),
        )


def _sum_of_known(one: NDArray[np.int64] | None, other: NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    if one is None or other is None:
        return other if one is None else one
    return one + other


def count(
    pixel_count: NDArray[np.int64], annotated: NDArray[np.bool_], instance_count: NDArray[np.int64] | None = None
) -> Counts:
    """Counts over N images of one source.

    Args:
        pixel_count: (N, K + S + 1) int64, the pixels of each code in each image.
        annotated: (K,) bool, the classes that the source annotates: its row of the null mask.
        instance_count: (N, K + S + 1) int64, the instances; None if they are not known.
    """
    present = pixel_count > 0
    classes = present[:, : len(annotated)]
    images = present.sum(axis=0, dtype=np.int64)
    # BLAS multiplies floats only; float64 is exact for up to 2**53 images.
    shown = classes.astype(np.float64)
    return Counts(
        pixels=pixel_count.sum(axis=0),
        images=images,
        surroundings=pixel_count.sum(axis=1) @ classes,
        together=(shown.T @ shown).astype(np.int64),
        judged=np.outer(images[: len(annotated)], annotated),
        comparable=np.outer(annotated, annotated) * len(pixel_count),
        variety=np.bincount(classes.sum(axis=1), minlength=len(annotated) + 1),
        instances=None if instance_count is None else instance_count.sum(axis=0),
    )


def count_borders(label_hw: NDArray[np.uint8], borders: NDArray[np.int64]) -> None:
    """Count the borders between pixels of two classes: sides that a pixel shares with its right or lower neighbour.

    Adds to `borders` (K, K) int64, at [left or upper class, right or lower class]. `label_hw` is (H, W) uint8;
    borders of anything but classes 0..K-1 (sets, void) are left out, and [k, k] stays as it is. A plain loop:
    what `adjacency` runs is this function compiled.
    """
    num_classes = borders.shape[0]
    height, width = label_hw.shape
    for y in range(height):
        for x in range(width):
            here = label_hw[y, x]
            if here >= num_classes:
                continue
            if x + 1 < width:
                right = label_hw[y, x + 1]
                if right != here and right < num_classes:
                    borders[here, right] += 1
            if y + 1 < height:
                below = label_hw[y + 1, x]
                if below != here and below < num_classes:
                    borders[here, below] += 1


@cache
def _compiled_count_borders() -> Callable[[NDArray[np.uint8], NDArray[np.int64]], None]:
    from unify.kernels.compiled import kernel  # numba, which nothing else here needs

    return kernel("void(u1[:,::1], i8[:,::1])")(count_borders)


def adjacency(labels: Iterable[NDArray[np.uint8]], num_classes: int) -> NDArray[np.int64]:
    """(K, K) int64, symmetric: how many pixel sides classes a and b share in the (H, W) uint8 `labels`.

    Neighbours are 4-connected. The diagonal is 0; sets and void are left out.
    """
    one_way = np.zeros((num_classes, num_classes), np.int64)
    count_in = _compiled_count_borders()
    for label_hw in labels:
        count_in(np.ascontiguousarray(label_hw), one_way)
    return one_way + one_way.T


# --- Ratios ---------------------------------------------------------------------------------------------


def _ratio(part: NDArray[Any], whole: NDArray[Any] | float) -> NDArray[np.float64]:
    """part / whole, and 0 where `whole` is 0."""
    whole = np.broadcast_to(np.asarray(whole, np.float64), part.shape)
    ratio: NDArray[np.float64] = np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)
    return ratio


def pixel_share(counts: Counts) -> NDArray[np.float64]:
    """(K + S + 1,) in 0..1: pixels of each code among all pixels; adds up to 1."""
    return _ratio(counts.pixels, counts.pixels.sum())


def image_share(counts: Counts) -> NDArray[np.float64]:
    """(K + S + 1,) in 0..1: images with each code among all images."""
    return _ratio(counts.images, counts.num_images)


#: What a frequency may count -> the share of each code.
SHARES: dict[str, Callable[[Counts], NDArray[np.float64]]] = {"images": image_share, "pixels": pixel_share}


def pixel_frequency(counts: Counts) -> NDArray[np.float64]:
    """(K,) in 0..1: pixels of each class among those of all classes, without sets and void; adds up to 1.

    The DropClass supplement, section C: "count the number of pixels that appear in the training set for
    each class, and normalize the counts" (its choice for Cityscapes).
    """
    pixels = counts.of_classes("pixels")
    return _ratio(pixels, pixels.sum())


def image_frequency(counts: Counts) -> NDArray[np.float64]:
    """(K,) in 0..1: images that show each class, divided by the sum of that over the classes; adds up to 1.

    The "normalized instance frequency" of the DropClass supplement, section C (its choice for Pascal VOC).
    The frequencies printed in its Table C-2 add up to 82.3 %, so it divides by something more, which it
    does not name; neither the order of the classes nor their ratios depend on it.
    """
    images = counts.of_classes("images")
    return _ratio(images, images.sum())


def rising(values: NDArray[Any]) -> NDArray[np.int64]:
    """(K,) class ids by rising value of (K,) `values`, equal values by id.

    Of images, that is the column order of Table C-2 of the DropClass supplement. The columns of its Table B-1
    are in no order of frequency: they fall by bias vulnerability, the IoU lost on images without the most
    influential classes.
    """
    return np.argsort(values, kind="stable")


def least_frequent_half(values: NDArray[Any]) -> NDArray[np.bool_]:
    """(K,) bool: the rarer half, by (K,) `values` (images, pixels), of the classes that occur, rounded down.

    By images it is the set of mIoU† in the DropClass supplement (Table C-2: the 10 of 20 classes in the fewest
    images). Classes with the same value count as rarer by their id; classes with 0 are in neither half.
    """
    occurring = [k for k in rising(values) if values[k] > 0]
    half = np.zeros(len(values), np.bool_)
    half[occurring[: len(occurring) // 2]] = True
    return half


@dataclass(frozen=True, slots=True)
class Variety:
    """Classes per image. About 12 for Cityscapes, 1.5 for Pascal VOC (the DropClass supplement, section C)."""

    mean: float
    median: float
    min: int
    max: int


def variety(counts: Counts) -> Variety:
    """Of at least one image; sets and void are not classes."""
    per_image = np.repeat(np.arange(len(counts.variety)), counts.variety)
    return Variety(float(per_image.mean()), float(np.median(per_image)), int(per_image.min()), int(per_image.max()))


def company(counts: Counts) -> NDArray[np.float64]:
    """(K, K) in 0..1: [a, b] is the share of the images with class a that show class b too.

    Only images whose source annotates b have a say: in the others b may be there under another name.
    """
    return _ratio(counts.together, counts.judged)


def expected_company(counts: Counts) -> NDArray[np.float64]:
    """(K, K) in 0..1: what `company` would be if a said nothing about b.

    [a, b] is the share of images with class b, among all images whose source annotates both.
    """
    return _ratio(counts.judged.T, counts.comparable)


def neighborhood(borders: NDArray[np.int64]) -> NDArray[np.float64]:
    """(K, K) in 0..1: [a, b] is the share of the borders of class a, from `adjacency`, that are with class b."""
    return _ratio(borders, borders.sum(axis=1)[:, None])


# --- Class weights --------------------------------------------------------------------------------------


def inverse_frequency(counts: Counts) -> NDArray[np.float64]:
    """(K,) weights 1 / f, with f the `pixel_frequency`, scaled so that their mean is 1.

    Classes that do not occur weigh 0, here and below, and take no part in means and medians.
    """
    weights = _ratio(np.ones(counts.num_classes), pixel_frequency(counts))
    occurs = weights > 0
    return weights / weights[occurs].mean() if occurs.any() else weights


def median_frequency(counts: Counts) -> NDArray[np.float64]:
    """(K,) weights median(f) / f, with f the pixels of a class over all pixels of the images that show it.

    Median frequency balancing: Eigen and Fergus, Predicting Depth, Surface Normals and Semantic Labels with a
    Common Multi-Scale Convolutional Architecture, ICCV 2015. "All pixels" has void among them.
    """
    frequency = _ratio(counts.of_classes("pixels"), counts.surroundings)
    occurs = frequency > 0
    return _ratio(np.full(len(frequency), np.median(frequency[occurs]) if occurs.any() else 0.0), frequency)


def bounded_inverse_frequency(counts: Counts) -> NDArray[np.float64]:
    """(K,) weights 1 / ln(1.02 + f), with f the `pixel_frequency`: between 1.4 and 50.5.

    Paszke et al., ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation, 2016
    (arXiv 1606.02147).
    """
    frequency = pixel_frequency(counts)
    return np.where(frequency > 0, 1 / np.log(1.02 + frequency), 0.0)


#: The three usual inverse-frequency weights, by short name.
WEIGHTS: dict[str, Callable[[Counts], NDArray[np.float64]]] = {
    "inverse": inverse_frequency,
    "median": median_frequency,
    "enet": bounded_inverse_frequency,
}


# --- Of a version ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """The counts of a source or `ALL`, in a split or `ALL`; `borders` from `adjacency`, if asked for."""

    source: str
    split: str
    counts: Counts
    borders: NDArray[np.int64] | None = None


def chosen_parts(manifest: Manifest, sources: Sequence[str] = (), splits: Sequence[str] = ()) -> list[Part]:
    """The parts of a version that lie in one of `sources` and one of `splits`; () means any.

    Raises:
        UnifyError: usage (2), for each source and split that the version does not have, and if nothing is left.
    """
    parts = [(source, split) for source, facts in manifest.sources.items() for split in facts["splits"]]
    known = {"source": list(manifest.sources), "split": list(dict.fromkeys(split for _, split in parts))}
    where = f"{manifest.name} {manifest.version}"
    problems = [
        Problem("usage", where, f"has no {noun} {wanted!r}", f"choose one of {', '.join(known[noun])}")
        for noun, names in (("source", sources), ("split", splits))
        for wanted in names
        if wanted not in known[noun]
    ]
    if problems:
        raise UnifyError(*problems)
    chosen = [(s, t) for s, t in parts if (not sources or s in sources) and (not splits or t in splits)]
    if not chosen:
        of, within = (
            f" {word} {', '.join(names)}" if names else "" for word, names in (("of", sources), ("in", splits))
        )
        there = ", ".join(f"{s} {t}" for s, t in parts if not sources or s in sources) or "nothing"
        raise error("usage", where, f"has no images{of}{within}", f"there is: {there}")
    return chosen


def part_files(artifact: Artifact, part: Part) -> list[Path]:
    """The Parquet files of a source and split, in order."""
    stem = f"data/{part[0]}/{part[1]}-"
    # "train-" also begins the files of a split "train-extra".
    names = [name for name in artifact.manifest.files if name.startswith(stem) and name[len(stem) :][:5].isdecimal()]
    return [artifact.path / name for name in sorted(names)]


def statistics(
    artifact: Artifact,
    parts: Sequence[Part],
    *,
    with_adjacency: bool = False,
    advance: Callable[[int, int], None] = lambda images, n_bytes: None,
) -> list[Group]:
    """Groups of the given parts: of all sources and of each, in all splits and in each. The first holds everything.

    Reads one column, and that of instances if there is one. `with_adjacency` decodes all labels too, with a
    thread a core, and calls `advance` with the number of images and bytes decoded since the last call.

    Raises:
        UnifyError: bad-artifact (65) for a file that cannot be read.
    """
    taxonomy = artifact.taxonomy
    files = [(part, file) for part in parts for file in part_files(artifact, part)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        counts = _counts(taxonomy, parts, files, threads, [c for c in _COLUMNS if c in artifact.manifest.columns])
        borders = _borders(taxonomy, parts, files, threads, advance) if with_adjacency else None
    return [
        _group(source, split, counts, borders)
        for source in (ALL, *dict.fromkeys(s for s, _ in parts))
        for split in (ALL, *dict.fromkeys(t for s, t in parts if source in (ALL, s)))
    ]


def _counts(
    taxonomy: Taxonomy,
    parts: Sequence[Part],
    files: list[tuple[Part, Path]],
    threads: Executor,
    columns: Sequence[str],
) -> dict[Part, Counts]:
    num_codes = len(taxonomy.space) + len(taxonomy.sets) + 1
    annotated = dict(zip(taxonomy.sources, taxonomy.null_mask, strict=True))
    none = np.zeros((0, num_codes), np.int64)
    totals = {(source, split): count(none, annotated[source]) for source, split in parts}

    def count_file(item: tuple[Part, Path]) -> Counts:
        (source, _), file = item
        pixels, *instances = read_counts(file, num_codes, columns)
        assert pixels is not None, "only instances may be unknown"
        return count(pixels, annotated[source], *instances)

    for (part, _), more in zip(files, threads.map(count_file, files), strict=True):
        totals[part] += more
    return totals


def _borders(
    taxonomy: Taxonomy,
    parts: Sequence[Part],
    files: list[tuple[Part, Path]],
    threads: Executor,
    advance: Callable[[int, int], None],
) -> dict[Part, NDArray[np.int64]]:
    num_classes = len(taxonomy.space)
    totals = {part: np.zeros((num_classes, num_classes), np.int64) for part in parts}
    pieces = [(part, file, i) for part, file in files for i in row_groups(file)]
    _compiled_count_borders()  # once, before several threads ask for it

    def count_piece(piece: tuple[Part, Path, int]) -> tuple[NDArray[np.int64], int, int]:
        _, file, row_group = piece
        encoded = encoded_labels(file, row_group)
        borders = adjacency((decoded(data, file) for data in encoded), num_classes)
        return borders, len(encoded), sum(map(len, encoded))

    for (part, _, _), (more, n_images, n_bytes) in zip(pieces, threads.map(count_piece, pieces), strict=True):
        totals[part] += more
        advance(n_images, n_bytes)
    return totals


def _group(
    source: str,
    split: str,
    counts: dict[Part, Counts],
    borders: dict[Part, NDArray[np.int64]] | None,
) -> Group:
    inside = [(s, t) for s, t in counts if source in (ALL, s) and split in (ALL, t)]
    return Group(
        source,
        split,
        reduce(add, (counts[part] for part in inside)),
        None if borders is None else reduce(add, (borders[part] for part in inside)),
    )
