"""Which images an epoch shows, and where in them: samplers by name, each a pure function of index, seed and epoch.

Every choice is a permutation of whole numbers that are asked of one generator: NumPy's PCG64, seeded with
the BLAKE3 digest of (seed, what is chosen, epoch or round). Only its raw 64-bit words are used: NumPy guarantees
them for a seed, and guarantees less of what `Generator` makes of them (its compatibility policy). So the same
epoch comes out on any machine and under any version.

Where a sampler takes its turn with several things (images, classes, places of a class), it deals them like cards:
an endless sequence of permutations, one epoch going on where the last one stopped. Of two images that are due
equally often, none is ever more than one draw ahead. An image is drawn twice in an epoch where more draws than
images are asked for, or where a new round begins within the epoch. Papers draw anew each epoch; the expectation is
the same, the spread smaller, and nothing is left out for long.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from unify.draws.index import Index
from unify.errors import UnifyError, error
from unify.spaces import did_you_mean

Rows: TypeAlias = NDArray[np.int64]
Value: TypeAlias = float | bool
Key: TypeAlias = tuple[str | int, ...]  #: what a random choice is for


# --- Chance -------------------------------------------------------------------------------------------------


def random_words(count: int, *key: str | int) -> NDArray[np.uint64]:
    """(count,) uint64, uniform; the same for the same key everywhere."""
    text = json.dumps([part if isinstance(part, str) else int(part) for part in key])
    seed = int.from_bytes(blake3(text.encode()).digest(), "big")
    words: NDArray[np.uint64] = np.random.PCG64(seed).random_raw(count)
    return words


def permutation(size: int, *key: str | int) -> Rows:
    """(size,) int64: 0..size-1 in an order that the key decides."""
    return random_words(size, *key).argsort(kind="stable")


@lru_cache(maxsize=256)
def _kept_round(size: int, key: Key) -> NDArray[np.uint32]:
    """A permutation, kept for the epochs to come: it may be a thousand times as long as what each takes of it."""
    return permutation(size, *key).astype(np.uint32)


def deal(size: int, start: int, count: int, *key: str | int) -> Rows:
    """(count,) int64: draws start, start + 1, ... of an endless sequence of permutations of 0..size-1."""
    first, last = start // size, (start + count - 1) // size
    kept = size >= 4 * count
    rounds = [
        _kept_round(size, (*key, number)) if kept else permutation(size, *key, number)
        for number in range(first, last + 1)
    ]
    if not rounds:
        return np.zeros(0, np.int64)
    return np.concatenate(rounds)[start - first * size :][:count].astype(np.int64)


def dealt(size: int, stop: int, *key: str | int) -> Rows:
    """(size,) int64: how often each of 0..size-1 is among the first `stop` draws of `deal`."""
    whole, rest = divmod(stop, size)
    return whole + np.bincount(deal(size, whole * size, rest, *key), minlength=size)


def apportion(count: int, weights: Sequence[float | Fraction]) -> list[int]:
    """`count` split by weights ≥ 0 with a sum > 0: exact to rounding, by largest remainder (Hamilton).

    The parts add up to `count`, and each is less than 1 away from count · weight / sum. Of equal remainders the
    first come first. A float counts as the decimal number that it prints as: 0.1 is one tenth.
    """
    exact = [w if isinstance(w, Fraction) else Fraction(repr(float(w))) for w in weights]
    quotas = [count * w / sum(exact) for w in exact]
    parts = [int(q) for q in quotas]
    by_remainder = sorted(range(len(parts)), key=lambda i: parts[i] - quotas[i])
    for i in by_remainder[: count - sum(parts)]:
        parts[i] += 1
    return parts


def systematic(weights: NDArray[np.float64], count: int, *key: str | int) -> Rows:
    """(count,) int64 draws from 0..n-1, by (n,) weights ≥ 0 with a sum > 0, with the least possible spread.

    Each is drawn its expected number of times, count · weight / sum, rounded up or down, at random and without
    bias: one comb of `count` teeth over the cumulated weights, in random order (systematic sampling).
    """
    order = permutation(len(weights), *key, "order")
    offset = float(random_words(1, *key, "offset")[0] >> np.uint64(11)) * 2.0**-53
    reach = np.cumsum(weights[order])  # one by one, so that all machines round alike
    teeth = np.ceil(reach * (count / reach[-1]) - offset).astype(np.int64)
    # The last row with a weight reaches the end, whatever rounding made of it.
    teeth[np.flatnonzero(weights[order])[-1] :] = count
    return np.repeat(order, np.diff(np.concatenate([[0], np.clip(teeth, 0, count)])))


# --- An epoch -----------------------------------------------------------------------------------------------


class Draw(NamedTuple):
    """One crop to be made: an image, and the class and place for whose sake it was drawn, or -1 each."""

    row: int
    target_class: int
    centre_y: int
    centre_x: int


@dataclass(frozen=True, slots=True, eq=False)
class Epoch:
    """N draws in order.

    row: (N,) int64 into the index. target_class: (N,) int16, -1 = drawn for no class. centre_yx: (N, 2) int32,
    pixels of the whole image, -1 = anywhere. part: (N,) int16, which part of a mixture drew it.
    """

    row: Rows
    target_class: NDArray[np.int16]
    centre_yx: NDArray[np.int32]
    part: NDArray[np.int16]

    def __post_init__(self) -> None:
        for array in (self.row, self.target_class, self.centre_yx, self.part):
            array.flags.writeable = False

    @classmethod
    def of_rows(cls, row: Rows) -> Epoch:
        """Draws for no class."""
        n = len(row)
        return cls(row, np.full(n, -1, np.int16), np.full((n, 2), -1, np.int32), np.zeros(n, np.int16))

    @classmethod
    def joined(cls, epochs: Sequence[Epoch]) -> Epoch:
        """One after the other; at least one."""
        fields = ("row", "target_class", "centre_yx", "part")
        return cls(*(np.concatenate([getattr(epoch, name) for epoch in epochs]) for name in fields))

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, chosen: slice | Rows) -> Epoch:
        return Epoch(self.row[chosen], self.target_class[chosen], self.centre_yx[chosen], self.part[chosen])

    def __iter__(self) -> Iterator[Draw]:
        lists = (self.row.tolist(), self.target_class.tolist(), *self.centre_yx.T.tolist())
        yield from map(Draw._make, zip(*lists, strict=True))


def shard(epoch: Epoch, rank: int, world_size: int, start: int = 0) -> Epoch:
    """What process `rank` of `world_size` takes of an epoch that all have drawn alike: every world_size-th draw.

    All take the same number, since a process with a step more would wait for the others for ever: the last
    `len(epoch) % world_size` draws fall to none (`stream` loses none). `start`: draws of its own that this process
    has done already.
    """
    assert 0 <= rank < world_size and start >= 0
    return epoch[rank : len(epoch) - len(epoch) % world_size : world_size][start:]


def stream(draw_epoch: Callable[[int], Epoch], rank: int = 0, world_size: int = 1, start: int = 0) -> Iterator[Draw]:
    """Draws without end: those at start + rank, start + rank + world_size, ... of all epochs laid end to end.

    `draw_epoch`: epoch number → epoch, all of one length > 0. `start`: how many draws all processes together have
    made before, which is all there is to remember of a stream: it goes on exactly, with another number of
    processes too.
    """
    assert 0 <= rank < world_size and start >= 0
    length = len(draw_epoch(0))
    assert length > 0, "an epoch without a draw has no end of them"
    number, place = divmod(start + rank, length)
    while True:
        mine = draw_epoch(number)[place::world_size]
        yield from mine
        ahead, place = divmod(place + len(mine) * world_size, length)
        number += ahead


# --- Samplers -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Option:
    """A number, or yes or no: its default, and the least and greatest that it may be."""

    default: Value
    about: str
    least: float = 0.0
    greatest: float = 1.0

    def fault(self, value: object) -> str:
        """What is wrong with `value`, or ""."""
        if isinstance(self.default, bool):
            return "" if isinstance(value, bool) else "is true or false"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "is a number"
        return "" if self.least <= value <= self.greatest else f"is from {self.least:g} to {self.greatest:g}"


@dataclass(frozen=True, slots=True)
class Request:
    """`count` draws for `epoch`, under names that keep them apart from those of other parts."""

    count: int
    epoch: int
    key: Key
    options: Mapping[str, Value]

    @property
    def start(self) -> int:
        """How many draws earlier epochs made: all ask for as many."""
        return self.epoch * self.count


@dataclass(frozen=True, slots=True)
class Sampler:
    """A way to draw. `draw` gives `count` draws in no particular order.

    `images(index, options)`: how many draws show every image as often as it should be seen in an epoch.
    """

    about: str
    draw: Callable[[Index, Request], Epoch]
    options: Mapping[str, Option] = field(default_factory=dict)
    images: Callable[[Index, Mapping[str, Value]], int] = lambda index, options: len(index)


def _uniform(index: Index, ask: Request) -> Epoch:
    return Epoch.of_rows(deal(len(index), ask.start, ask.count, *ask.key, "images"))


def _class_uniform(index: Index, ask: Request) -> Epoch:
    """The targeted draws are dealt to the classes that the index shows, then each class deals its places."""
    share = Fraction(repr(float(ask.options["class_share"])))
    targeted, rest = apportion(ask.count, [share, 1 - share])
    with_centres = bool(ask.options["centres"])
    places = index.centroids.count() if with_centres else index.present.sum(axis=0)
    classes = np.flatnonzero(places)
    if not len(classes):
        raise _nothing_to_draw("shows a class")
    before, after = (dealt(len(classes), (ask.epoch + i) * targeted, *ask.key, "classes") for i in (0, 1))
    found = [Epoch.of_rows(deal(len(index), ask.epoch * rest, rest, *ask.key, "images"))]
    for k, start, stop in zip(classes.tolist(), before.tolist(), after.tolist(), strict=True):
        drawn = deal(int(places[k]), start, stop - start, *ask.key, "places", index.classes[k])
        row, centre_yx = _places(index, k, drawn) if with_centres else _images(index, k, drawn)
        found.append(Epoch(row, np.full(len(row), k, np.int16), centre_yx, np.zeros(len(row), np.int16)))
    return Epoch.joined(found)


def _places(index: Index, class_id: int, drawn: Rows) -> tuple[Rows, NDArray[np.int32]]:
    """Rows and centres of these places of a class."""
    found, there = index.centroids, index.centroids.of(class_id)
    return found.row[there][drawn].astype(np.int64), np.stack([found.y[there][drawn], found.x[there][drawn]], axis=1)


def _images(index: Index, class_id: int, drawn: Rows) -> tuple[Rows, NDArray[np.int32]]:
    """Rows of these images with a class, without centres."""
    return np.flatnonzero(index.present[:, class_id])[drawn], np.full((len(drawn), 2), -1, np.int32)


def _proportional(index: Index, ask: Request) -> Epoch:
    return _by_source(index, ask, lambda images: images)


def _temperature(index: Index, ask: Request) -> Epoch:
    exponent = 1 / float(ask.options["temperature"])
    # Rounded, since machines differ in the last digit of a power.
    return _by_source(index, ask, lambda images: [round(n**exponent, 9) for n in images])


def _by_source(index: Index, ask: Request, weigh: Callable[[list[int]], Sequence[float]]) -> Epoch:
    """As many draws of each source every epoch; `weigh`: images of each → its weight."""
    names, source = index.sources()
    counts = apportion(ask.count, weigh(np.bincount(source, minlength=len(names)).tolist()))
    starts = [ask.epoch * count for count in counts]
    return _of_sources(names, source, starts, counts, ask)


def _balanced(index: Index, ask: Request) -> Epoch:
    names, source = index.sources()
    before, after = (dealt(len(names), ask.start + i * ask.count, *ask.key, "sources") for i in (0, 1))
    return _of_sources(names, source, before.tolist(), (after - before).tolist(), ask)


def _of_sources(names: Sequence[str], source: Rows, starts: list[int], counts: list[int], ask: Request) -> Epoch:
    found = []
    for i, (name, start, count) in enumerate(zip(names, starts, counts, strict=True)):
        rows = np.flatnonzero(source == i)
        found.append(rows[deal(len(rows), start, count, *ask.key, "images of", name)])
    return Epoch.of_rows(np.concatenate(found))


def repeat_factors(index: Index, threshold: float) -> NDArray[np.float64]:
    """(N,) float64 ≥ 1: how often each image is repeated; 1 for images without a class.

    r(c) = max(1, sqrt(threshold / f(c))), f(c) the share of images that show class c; an image takes the greatest
    of its classes. Gupta, Dollár and Girshick, LVIS, CVPR 2019.
    """
    share = index.present.sum(axis=0) / max(1, len(index))
    factor = np.sqrt(threshold / np.where(share > 0, share, 1.0))
    repeats = np.ones(len(index))
    for k in range(len(factor)):
        np.maximum(repeats, factor[k], out=repeats, where=index.present[:, k])
    return repeats


def _repeat_factor(index: Index, ask: Request) -> Epoch:
    weights = repeat_factors(index, float(ask.options["threshold"]))
    return Epoch.of_rows(systematic(weights, ask.count, *ask.key, ask.epoch))


def inverse_frequency_weights(index: Index) -> NDArray[np.float64]:
    """(N,) float64 ≥ 0: for each image the sum, over the classes that it shows, of 1 / images that show the class.

    Drawn by these weights, an image comes as often as if one drew a class, all alike, and then any image with it.
    """
    weights = np.zeros(len(index))
    for k, images in enumerate(index.present.sum(axis=0).tolist()):
        if images:
            weights += index.present[:, k] * (1.0 / images)
    return weights


def _inverse_frequency(index: Index, ask: Request) -> Epoch:
    weights = inverse_frequency_weights(index)
    if not weights.any():
        raise _nothing_to_draw("shows a class")
    return Epoch.of_rows(systematic(weights, ask.count, *ask.key, ask.epoch))


def _nothing_to_draw(what: str) -> UnifyError:
    return error("usage", "", f"none of the images {what}", "choose other images, or the sampler uniform")


#: By name. What is said of each is for `unify mix --list`.
SAMPLERS: dict[str, Sampler] = {
    "uniform": Sampler("every image equally often: a permutation", _uniform),
    "class-uniform": Sampler(
        "every class equally often, at a place that shows it; the rest uniform",
        _class_uniform,
        {
            # Half, as in the published code of Zhu et al. (CVPR 2019) and Tao et al. (arXiv 2005.10821).
            "class_share": Option(0.5, "share of the draws that aim at a class; the rest is uniform"),
            "centres": Option(True, "aim at centroids (build --centroids), not just at images with the class"),
        },
    ),
    "proportional": Sampler("every source by its number of images, exactly in each epoch", _proportional),
    "balanced": Sampler("every source equally often", _balanced),
    "temperature": Sampler(
        "sources by (number of images)^(1/T): between proportional (T = 1) and balanced",
        _temperature,
        {"temperature": Option(2.0, "T; 2, our choice, goes by square roots", 1.0, 1e6)},
    ),
    "repeat-factor": Sampler(
        "images with rare classes more often: r = max(1, sqrt(t / f)) (LVIS, Gupta et al. 2019)",
        _repeat_factor,
        {"threshold": Option(0.001, "t: classes in a smaller share of the images are repeated (theirs)")},
        lambda index, options: round(float(repeat_factors(index, float(options["threshold"])).cumsum()[-1])),
    ),
    "inverse-frequency": Sampler("images by the sum of 1 / images of each class that they show", _inverse_frequency),
}


def draw(
    sampler: str,
    index: Index,
    seed: int,
    epoch: int,
    count: int | None = None,
    options: Mapping[str, Value] | None = None,
) -> Epoch:
    """An epoch of `count` draws from `index` (N ≥ 1 images), or as many as the sampler sees fit (mostly N).

    A pure function. `count` has to be the same for all epochs of a run, since each goes on where the last stopped.

    Raises:
        UnifyError: usage (2) for an unknown sampler or option, centres that the versions lack, no image with a class.
    """
    if faults := option_faults(sampler, options or {}):
        raise error("usage", "", "; ".join(faults), "see `unify mix --list`")
    chosen = SAMPLERS[sampler]
    values = with_defaults(sampler, options or {})
    if needs_centres(sampler, values):
        refuse_without_centres(index)
    count = chosen.images(index, values) if count is None else count
    return shuffled(chosen.draw(index, Request(count, epoch, (seed, "sampler"), values)), seed, epoch)


def shuffled(epoch: Epoch, seed: int, number: int) -> Epoch:
    """The draws of an epoch in the order in which they are shown."""
    return epoch[permutation(len(epoch), seed, "order", number)]


def option_faults(sampler: str, options: Mapping[str, object]) -> list[str]:
    """Everything wrong with the name of a sampler and its options."""
    if sampler not in SAMPLERS:
        return [f"there is no sampler {sampler!r}{did_you_mean(sampler, SAMPLERS)}; known: {', '.join(SAMPLERS)}"]
    known = SAMPLERS[sampler].options
    faults = []
    for name, value in options.items():
        if name not in known:
            faults.append(f"sampler {sampler} has no option {name!r}; it has {', '.join(known) or 'none'}")
        elif what := known[name].fault(value):
            faults.append(f"option {name} of sampler {sampler} {what}, not {value!r}")
    return faults


def with_defaults(sampler: str, options: Mapping[str, Value]) -> dict[str, Value]:
    return {name: options.get(name, option.default) for name, option in SAMPLERS[sampler].options.items()}


def needs_centres(sampler: str, options: Mapping[str, Value]) -> bool:
    return bool(with_defaults(sampler, options).get("centres", False))


def refuse_without_centres(index: Index) -> None:
    """Raises `UnifyError` (usage), with each version that has rows here and was built without --centroids.

    To fall back on whole images would be a quiet lie: a random crop of an image with a small object mostly misses it.
    """
    there = sorted({index.shards[i].version for i in np.unique(index.shard).tolist()})
    lacking = [v for v in (index.versions[i] for i in there) if not v.has_centroids]
    if lacking:
        raise error(
            "usage",
            ", ".join(f"{v.name} {v.version}" for v in lacking),
            "has no centroids, which class-uniform draws aim at",
            "build it with --centroids, or draw whole images with --set centres=false",
        )
