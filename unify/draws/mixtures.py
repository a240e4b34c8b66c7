"""Mixtures: which images make up an epoch, and in which shares. Recipes of data, by name or from a user's file.

A mixture is a list of parts. Each takes some sources, releases and splits, has a share of the draws, and a sampler
that chooses among its images. Bound to the rows of some versions (`schedule`) it gives epochs, each a pure
function of seed and number.

How long an epoch is: what `Mixture.length` says; without, as many draws as show every image as often as its
sampler means to (once, mostly).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from unify.draws.index import Index, Shard
from unify.draws.samplers import (
    SAMPLERS,
    Epoch,
    Request,
    Rows,
    Value,
    apportion,
    needs_centres,
    option_faults,
    refuse_without_centres,
    shuffled,
    with_defaults,
)
from unify.errors import Problem, UnifyError

MAX_LENGTH = 10**8  #: draws in an epoch, which is held in memory
_SUM_TOLERANCE = 1e-6  #: of shares: three thirds may be written 0.333333


@dataclass(frozen=True, slots=True)
class Select:
    """The images of some splits, of one source and release or (None) of any."""

    source: str | None = None
    release: str | None = None
    splits: tuple[str, ...] = ("train",)

    def takes(self, shard: Shard) -> bool:
        return (
            self.source in (None, shard.source) and self.release in (None, shard.release) and shard.split in self.splits
        )

    def __str__(self) -> str:
        return " ".join(filter(None, (self.source or "every source", self.release, "+".join(self.splits))))


@dataclass(frozen=True, slots=True)
class Part:
    """Images, their share of the draws in 0..1 (None: by the number of images), and how they are drawn.

    `name` keeps its random choices apart from those of other parts.
    """

    name: str
    select: Select
    share: float | None = None
    sampler: str = "uniform"
    options: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mixture:
    """A recipe. `length`: draws in an epoch, a number or that of the images selected; None: see the module."""

    name: str
    about: str
    parts: tuple[Part, ...]
    length: int | Select | None = None


_TRAIN = Select()

#: By name.
MIXTURES: dict[str, Mixture] = {
    # Han, Yoo and Oh, CVPR 2022, supplement A.2: 40 % fine + val, 40 % Mapillary train + val, 20 % coarse, the last
    # two "to sample each class equally". We take that by its word, for all of their draws; the code it builds on aims
    # half of its draws at classes: `--set class_share=0.5`. Its example of an epoch has 2,975 draws, the images of
    # Cityscapes fine train. Its coarse labels are the authors' own, made by a model and not published: a root of the
    # same layout with such labels is read as `coarse`; the original coarse ones stand in for them.
    "seethroughnet": Mixture(
        "seethroughnet",
        "40 % Cityscapes fine (val too!), 40 % Mapillary, 20 % coarse, these two class-uniform (Han et al. 2022)",
        (
            Part("fine", Select("cityscapes", "fine", ("train", "val")), 0.4),
            Part("mapillary", Select("mapillary", None, ("train", "val")), 0.4, "class-uniform", {"class_share": 1.0}),
            Part(
                "coarse", Select("cityscapes", "coarse", ("train_extra",)), 0.2, "class-uniform", {"class_share": 1.0}
            ),
        ),
        length=Select("cityscapes", "fine", ("train",)),
    ),
    # Kim et al., ECCV 2022: datasets concatenated and shuffled, nothing balanced.
    "uniseg": Mixture("uniseg", "all training images, once each (Kim et al. 2022)", (Part("all", _TRAIN),)),
    "balanced": Mixture(
        "balanced", "all training images, every source equally often", (Part("all", _TRAIN, None, "balanced"),)
    ),
    "temperature": Mixture(
        "temperature",
        "all training images, sources by the root of their size",
        (Part("all", _TRAIN, None, "temperature"),),
    ),
    "class-uniform": Mixture(
        "class-uniform",
        "all training images, half of the draws aimed at classes (Zhu et al. 2019)",
        (Part("all", _TRAIN, None, "class-uniform"),),
    ),
    "repeat-factor": Mixture(
        "repeat-factor",
        "all training images, those with rare classes repeated (Gupta et al. 2019)",
        (Part("all", _TRAIN, None, "repeat-factor"),),
    ),
}


def faults(mixture: Mixture) -> list[str]:
    """Everything wrong with a mixture, whatever versions it meets."""
    found = []
    if not mixture.parts:
        found.append("it has no parts")
    names = [part.name for part in mixture.parts]
    found += [f"two parts are called {name!r}" for name in dict.fromkeys(names) if names.count(name) > 1]
    for part in mixture.parts:
        found += [f"part {part.name!r}: {what}" for what in option_faults(part.sampler, part.options)]
        if not part.select.splits:
            found.append(f"part {part.name!r}: it has no splits")
        if part.share is not None and not 0 < part.share <= 1:
            found.append(f"part {part.name!r}: its share is {part.share:g}, not above 0 and up to 1")
    shares = [part.share for part in mixture.parts if part.share is not None]
    if shares and len(shares) < len(names):
        without = ", ".join(repr(part.name) for part in mixture.parts if part.share is None)
        found.append(f"give a share to every part or to none; without is {without}")
    elif shares and abs(sum(shares) - 1) > _SUM_TOLERANCE:
        found.append(f"the shares add up to {sum(shares):g}, not to 1")
    if isinstance(mixture.length, int) and not 1 <= mixture.length <= MAX_LENGTH:
        found.append(f"its length is {mixture.length}, not from 1 to {MAX_LENGTH}")
    return found


def with_options(mixture: Mixture, options: Mapping[str, Value]) -> Mixture:
    """The mixture with these options for every part whose sampler has them.

    Raises:
        UnifyError: usage (2), for every option that no part has, and every value that cannot be.
    """
    parts = [
        replace(
            part, options={**part.options, **{k: v for k, v in options.items() if k in SAMPLERS[part.sampler].options}}
        )
        for part in mixture.parts
    ]
    known = dict.fromkeys(name for part in parts for name in SAMPLERS[part.sampler].options)
    problems = [
        Problem("usage", mixture.name, f"has no option {name!r}", f"it has {', '.join(known) or 'none'}")
        for name in options
        if name not in known
    ]
    changed = replace(mixture, parts=tuple(parts))
    problems += [Problem("usage", mixture.name, what, "see `unify mix --list`") for what in faults(changed)]
    if problems:
        raise UnifyError(*problems)
    return changed


# --- Bound to rows ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class BoundPart:
    """A part with its n images. rows: (n,) int64 into the whole index; `index` holds these alone.

    `options` are complete; `draws`: in each epoch.
    """

    part: Part
    rows: Rows
    index: Index
    options: Mapping[str, Value]
    draws: int


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """A mixture over an index. `length`: draws in an epoch, all parts together.

    sources: names of those that the parts take, with the release where there are several of one. source: (N,) int64,
    which of them each row is of, -1 for rows in no part. images: (G,) int64, rows of each.
    """

    mixture: Mixture
    index: Index
    parts: tuple[BoundPart, ...]
    length: int
    sources: tuple[str, ...]
    source: NDArray[np.int64]
    images: NDArray[np.int64]


def schedule(mixture: Mixture, index: Index, length: int | None = None) -> Schedule:
    """Find the images of each part and share out the draws; `length` overrides that of the mixture.

    Raises:
        UnifyError: usage (2), all at once: faults of the mixture, parts without an image here and what to build,
            parts that need centroids.
    """
    problems = [Problem("usage", mixture.name, what, "correct the mixture") for what in faults(mixture)]
    if length is not None and not 1 <= length <= MAX_LENGTH:
        problems.append(Problem("usage", mixture.name, f"an epoch of {length} draws", f"give 1 to {MAX_LENGTH}"))
    if problems:
        raise UnifyError(*problems)
    wanted = [(f"part {part.name!r}", part.select) for part in mixture.parts]
    if length is None and isinstance(mixture.length, Select):
        wanted.append(("its length", mixture.length))
    found = [index.of_shards(map(select.takes, index.shards)) for _, select in wanted]
    for (what, select), rows in zip(wanted, found, strict=True):
        if not len(rows):
            problems.append(_missing(mixture, what, select, index))
    if problems:
        raise UnifyError(*problems)
    parts = [
        BoundPart(part, rows, index.take(rows), with_defaults(part.sampler, part.options), 0)
        for part, rows in zip(mixture.parts, found, strict=False)
    ]
    for bound in parts:
        if needs_centres(bound.part.sampler, bound.options):
            try:
                refuse_without_centres(bound.index)
            except UnifyError as e:
                problems += e.problems
    if problems:
        raise UnifyError(*dict.fromkeys(problems))
    natural = [SAMPLERS[bound.part.sampler].images(bound.index, bound.options) for bound in parts]
    if length is None:
        length = len(found[-1]) if isinstance(mixture.length, Select) else mixture.length or sum(natural)
    shares = [part.share for part in mixture.parts if part.share is not None]
    draws = apportion(length, shares or natural)
    parts = [replace(bound, draws=n) for bound, n in zip(parts, draws, strict=True)]
    return Schedule(mixture, index, tuple(parts), length, *_sources(index, parts))


def _missing(mixture: Mixture, what: str, select: Select, index: Index) -> Problem:
    from unify.sources import SOURCES

    there = dict.fromkeys(f"{shard.source} {shard.release} {shard.split}" for shard in index.shards)
    known = SOURCES.get(select.source or "")
    datasets = known.letter if known else select.source or "C,I,..."
    datasets += f"@{select.release}" if select.release else ""
    aims = any(needs_centres(p.sampler, p.options) for p in mixture.parts if p.select == select)
    splits = "".join(f" --split {split}" for split in select.splits)
    command = f"unify build --datasets {datasets}{splits} --space {index.space}{' --centroids' if aims else ''}"
    return Problem(
        "usage",
        mixture.name,
        f"{what} has no image here: it takes {select}, and there is {', '.join(there) or 'nothing'}",
        f"run `{command}` and give that version too",
    )


def _sources(index: Index, parts: Sequence[BoundPart]) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.int64]]:
    """Names, (N,) place of each row, (G,) rows: of the sources that any part takes."""
    taken = np.zeros(len(index), np.bool_)
    for bound in parts:
        taken[bound.rows] = True
    shards = {index.shards[i] for i in np.unique(index.shard[taken]).tolist()}
    releases: dict[str, set[str]] = {}
    for shard in shards:
        releases.setdefault(shard.source, set()).add(shard.release)
    labels = [
        f"{shard.source} {shard.release}" if len(releases.get(shard.source, ())) > 1 else shard.source
        for shard in index.shards
    ]
    names = tuple(dict.fromkeys(label for label, shard in zip(labels, index.shards, strict=True) if shard in shards))
    of_shard = np.array([names.index(label) if label in names else -1 for label in labels], np.int64)
    source = np.where(taken, of_shard[index.shard], -1)
    return names, source, np.bincount(source[taken], minlength=len(names))


def draw_epoch(plan: Schedule, seed: int, number: int) -> Epoch:
    """Epoch `number`, from 0: `plan.length` draws, rows of `plan.index`, all parts shuffled together."""
    found = []
    for place, bound in enumerate(plan.parts):
        ask = Request(bound.draws, number, (seed, "part", bound.part.name), bound.options)
        drawn = SAMPLERS[bound.part.sampler].draw(bound.index, ask)
        part = np.full(len(drawn), place, np.int16)
        found.append(Epoch(bound.rows[drawn.row], drawn.target_class, drawn.centre_yx, part))
    return shuffled(Epoch.joined(found), seed, number)


# --- What was drawn -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """Counts of some draws; those of disjoint draws add up.

    parts: (P,) int64, draws of each part. sources: (G,) int64, of each of `Schedule.sources`. targeted: (P, K) int64,
    draws for the sake of each class. seen: (P, K) int64, draws of images that show it (a crop may not).
    """

    parts: NDArray[np.int64]
    sources: NDArray[np.int64]
    targeted: NDArray[np.int64]
    seen: NDArray[np.int64]

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.parts + other.parts,
            self.sources + other.sources,
            self.targeted + other.targeted,
            self.seen + other.seen,
        )


def tally(plan: Schedule, epoch: Epoch) -> Tally:
    """Count the draws of an epoch, or of any piece of one."""
    num_parts, num_classes = len(plan.parts), len(plan.index.classes)
    aimed = epoch.target_class >= 0
    places = epoch.part[aimed] * np.int64(num_classes) + epoch.target_class[aimed]
    return Tally(
        np.bincount(epoch.part, minlength=num_parts),
        np.bincount(plan.source[epoch.row], minlength=len(plan.sources)),
        np.bincount(places, minlength=num_parts * num_classes).reshape(num_parts, num_classes),
        np.stack([plan.index.present[epoch.row[epoch.part == p]].sum(axis=0) for p in range(num_parts)]),
    )


def effective_epochs(plan: Schedule, drawn: Tally) -> dict[str, float]:
    """Source → how often each of its images was drawn, on average: what a trainer logs.

    Draws divided by images of the source that any part takes; 1.0 is an epoch of the source's own. A source that
    runs far ahead of the others is being repeated, one that stays far behind drowns.
    """
    ratios = drawn.sources / plan.images
    return dict(zip(plan.sources, ratios.tolist(), strict=True))


def effective_epochs_of_parts(plan: Schedule, drawn: Tally) -> dict[str, float]:
    """The same for each part, over its own images."""
    return {b.part.name: int(n) / len(b.rows) for b, n in zip(plan.parts, drawn.parts, strict=True)}


# --- As a file ----------------------------------------------------------------------------------------------


def draws_file(plan: Schedule, seed: int, epochs: Iterator[Epoch]) -> bytes:
    """A Parquet file with a row a draw, for trainers of any kind.

    Columns: epoch int32, position int64 in it, version (digest) and sample_id as text, shard (path in the version) and
    row int32 in it, part as text, target_class int16, centre_y and centre_x int32; -1 as in `Epoch`. The metadata
    `unify` holds, as JSON, names and seed.
    """
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq

    index, text = plan.index, pa.dictionary(pa.int32(), pa.string())
    types = {
        "epoch": pa.int32(),
        "position": pa.int64(),
        "version": text,
        "sample_id": pa.string(),
        "shard": text,
        "row": pa.int32(),
        "part": text,
        "target_class": pa.int16(),
        "centre_y": pa.int32(),
        "centre_x": pa.int32(),
    }
    facts = {
        "mixture": plan.mixture.name,
        "seed": seed,
        "length": plan.length,
        "space": index.space,
        "classes": list(index.classes),
        "versions": {v.digest: f"{v.name} {v.version}" for v in index.versions},
    }
    schema = pa.schema(list(types.items()), metadata={"unify": json.dumps(facts, ensure_ascii=False)})
    digests = pa.array([v.digest for v in index.versions])
    paths = pa.array([shard.path for shard in index.shards])
    names = pa.array([bound.part.name for bound in plan.parts])
    version_of_shard = np.array([shard.version for shard in index.shards], np.int32)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True) as writer:
        for number, epoch in enumerate(epochs):
            shard = index.shard[epoch.row]
            columns = [
                np.full(len(epoch), number, np.int32),
                np.arange(len(epoch)),
                pa.DictionaryArray.from_arrays(version_of_shard[shard], digests),
                index.sample_id.take(pa.array(epoch.row)),
                pa.DictionaryArray.from_arrays(shard, paths),
                index.row_in_shard[epoch.row],
                pa.DictionaryArray.from_arrays(epoch.part.astype(np.int32), names),
                epoch.target_class,
                *np.ascontiguousarray(epoch.centre_yx.T),
            ]
            writer.write_table(pa.table([pa.array(column) for column in columns], schema=schema))
    return bytes(sink.getvalue())
