"""What is different between two versions: in words and numbers, from what they say of themselves.

Nothing is decoded unless asked for: pixels and instances per class stand in columns. They tell how many pixels of
a class came and went in a sample, not which; `changed_pixels` compares the labels themselves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from unify import codecs
from unify.artifact import Artifact
from unify.derive import Sample, samples_of
from unify.describe import code_names
from unify.errors import error
from unify.instances import COUNT
from unify.mapping import Rule
from unify.rows import Input
from unify.taxonomy import Taxonomy

_BATCH = 64  # labels that are held at once
_ANY_SIZE = 1 << 62  # pixels: they were checked when the versions were built


@dataclass(frozen=True, slots=True)
class Names:
    """What only the second of two lists has, what only the first, and what changed its name."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.renamed)


@dataclass(frozen=True, slots=True)
class RuleChange:
    """A raw class that means something else. None for a rule that one side does not have."""

    source: str
    raw: str
    before: Rule | None
    after: Rule | None


@dataclass(frozen=True, slots=True)
class Field:
    """A single fact, before and after: the space, a source's release, a column, an option, a step, ..."""

    name: str
    before: object
    after: object


@dataclass(frozen=True, slots=True)
class Instances:
    """What became of things told apart, in the samples of both versions; pairs are of a and of b.

    `samples`: how many of them have instances, and `total` how many instances these have. `classes`: class → its
    instances where both versions tell them apart, and the numbers differ. `files`: ids of samples that have
    instances in both, from another file.
    """

    samples: tuple[int, int] = (0, 0)
    total: tuple[int, int] = (0, 0)
    classes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def is_none(self) -> bool:
        return self.samples[0] == self.samples[1] and not (self.classes or self.files)


@dataclass(frozen=True, slots=True)
class Difference:
    """From version a to version b.

    `fields`: facts that differ. `classes`: those of the label space; `ids`: class of both → its id in a and in b,
    where these differ. `samples`: ids that only one has. `images`, `labels`: ids of samples of both whose raw
    image or label is another file. `common`, `common_pixels`: how many samples are in both, and their pixels.
    `pixels`: class → its pixels in a and in b, over the samples of both, where these differ. `moved`: how many
    of their pixels must at least have changed class. `instances`: what became of things told apart. `exact`:
    (class in a, class in b) → how many pixels went from one to the other; None if labels were not compared.
    Classes that were renamed count as the same.
    """

    fields: tuple[Field, ...]
    sources: Names
    columns: Names
    classes: Names
    ids: Mapping[str, tuple[int, int]]
    rules: tuple[RuleChange, ...]
    samples: Names
    images: tuple[str, ...]
    labels: tuple[str, ...]
    common: int
    common_pixels: int
    pixels: Mapping[str, tuple[int, int]]
    moved: int
    instances: Instances
    exact: Mapping[tuple[str, str], int] | None

    @property
    def is_none(self) -> bool:
        parts = (self.fields, self.sources, self.columns, self.classes, self.ids, self.rules, self.samples, self.images)
        return self.instances.is_none and not any((*parts, self.labels, self.pixels, self.moved, self.exact))


def difference(a: Artifact, b: Artifact, *, pixels: bool = False) -> Difference:
    """What is different in `b`; with `pixels`, labels whose bytes differ are decoded and compared."""
    one, other = a.taxonomy, b.taxonomy
    classes = _classes(one, other)
    then, now = ({s.sample_id: s for s in samples_of(artifact)} for artifact in (a, b))
    common = [sample_id for sample_id in then if sample_id in now]
    counts_a, counts_b = (_rows(found[i].pixel_count for i in common) for found in (then, now))
    names, counts_a, counts_b = _by_name(one, other, classes, counts_a, counts_b)
    sums = zip(names, counts_a.sum(axis=0).tolist(), counts_b.sum(axis=0).tolist(), strict=True)
    return Difference(
        fields=tuple(_fields(a, b)),
        sources=_names(a.manifest.sources, b.manifest.sources),
        columns=_names(a.manifest.columns, b.manifest.columns),
        classes=classes,
        ids=_ids(one, other, classes),
        rules=tuple(_rules(one, other, classes)),
        samples=_names(then, now),
        images=tuple(i for i in common if then[i].image.blake3 != now[i].image.blake3),
        labels=tuple(i for i in common if then[i].label.blake3 != now[i].label.blake3),
        common=len(common),
        common_pixels=int(counts_a.sum()),
        pixels={name: (before, after) for name, before, after in sums if before != after},
        moved=int(np.maximum(counts_b - counts_a, 0).sum()),
        instances=_instances(a, b, classes, then, now),
        exact=changed_pixels(a, b) if pixels else None,
    )


def _instances(
    a: Artifact, b: Artifact, classes: Names, then: Mapping[str, Sample], now: Mapping[str, Sample]
) -> Instances:
    counts = [_instance_counts(artifact) for artifact in (a, b)]
    told_a, told_b = ([i for i in then if i in now and i in found] for found in counts)
    both = [i for i in told_a if i in counts[1]]
    matrices = (_rows(found[i] for i in both) for found in counts)
    names, *spread = _by_name(a.taxonomy, b.taxonomy, classes, *matrices)
    sums = zip(names, *(matrix.sum(axis=0).tolist() for matrix in spread), strict=True)
    return Instances(
        samples=(len(told_a), len(told_b)),
        total=(sum(sum(counts[0][i]) for i in told_a), sum(sum(counts[1][i]) for i in told_b)),
        classes={name: (before, after) for name, before, after in sums if before != after},
        files=tuple(i for i in both if _digest(then[i].instance) != _digest(now[i].instance)),
    )


def _instance_counts(artifact: Artifact) -> dict[str, list[int]]:
    """Sample id → instances of each code and of void, of the samples whose source tells them apart."""
    found: dict[str, list[int]] = {}
    if COUNT in artifact.manifest.columns:
        for path in (name for name in artifact.manifest.files if name.startswith("data/")):
            table = pq.read_table(artifact.path / path, columns=["sample_id", COUNT], partitioning=None)
            rows = zip(table["sample_id"].to_pylist(), table[COUNT].to_pylist(), strict=True)
            found |= {sample_id: counts for sample_id, counts in rows if counts is not None}
    return found


def _rows(counts: Iterable[Sequence[int]]) -> NDArray[np.int64]:
    """(N, codes); (0, 0) of nothing."""
    found = list(counts)
    return np.array(found, np.int64) if found else np.zeros((0, 0), np.int64)


def _digest(file: Input | None) -> str:
    return file.blake3 if file else ""


def _names(before: Iterable[str], after: Iterable[str]) -> Names:
    old, new = dict.fromkeys(before), dict.fromkeys(after)
    return Names(tuple(n for n in new if n not in old), tuple(n for n in old if n not in new))


def _classes(one: Taxonomy, other: Taxonomy) -> Names:
    """A class of another name that has the very same raw classes, of all sources, was renamed."""
    plain = _names(one.space.names, other.space.names)
    raw = [_raw_classes(taxonomy) for taxonomy in (one, other)]
    renamed = []
    for old in plain.removed:
        same = [new for new in plain.added if raw[0].get(old) and raw[0].get(old) == raw[1].get(new)]
        if len(same) == 1:
            renamed.append((old, same[0]))
    gone, come = {old for old, _ in renamed}, {new for _, new in renamed}
    added = tuple(n for n in plain.added if n not in come)
    return Names(added, tuple(n for n in plain.removed if n not in gone), tuple(renamed))


def _ids(one: Taxonomy, other: Taxonomy, classes: Names) -> dict[str, tuple[int, int]]:
    rename, now = dict(classes.renamed), {c.name: c.id for c in other.space.classes}
    then = {rename.get(c.name, c.name): c.id for c in one.space.classes}
    return {name: (i, now[name]) for name, i in then.items() if name in now and now[name] != i}


def _raw_classes(taxonomy: Taxonomy) -> dict[str, frozenset[tuple[str, str]]]:
    """Class → (source, raw class) of all that become it alone."""
    found: dict[str, set[tuple[str, str]]] = {}
    for source, mapping in taxonomy.mappings.items():
        for raw, rule in mapping.rules.items():
            if len(rule) == 1:
                found.setdefault(rule[0], set()).add((source, raw))
    return {name: frozenset(raws) for name, raws in found.items()}


def _rules(one: Taxonomy, other: Taxonomy, classes: Names) -> Iterator[RuleChange]:
    """Of sources that both have; a class that was only renamed is no change."""
    new_name = dict(classes.renamed)
    for source, mapping in one.mappings.items():
        if source not in other.mappings:
            continue
        then = {raw: tuple(new_name.get(n, n) for n in rule) for raw, rule in mapping.rules.items()}
        now = other.mappings[source].rules
        for raw in dict.fromkeys([*then, *now]):
            before, after = then.get(raw), now.get(raw)
            if before is None or after is None or set(before) != set(after):
                yield RuleChange(source, raw, mapping.rules.get(raw), after)


def _fields(a: Artifact, b: Artifact) -> Iterator[Field]:
    one, other = a.manifest, b.manifest
    pairs: list[tuple[str, object, object]] = [
        ("space", one.space, other.space),
        ("options", one.recipe.get("options", []), other.recipe.get("options", [])),
        ("steps", one.recipe.get("steps", []), other.recipe.get("steps", [])),
        ("rejects", one.rejects, other.rejects),
    ]
    adapters, others = one.recipe.get("adapters", {}), other.recipe.get("adapters", {})
    for source in one.sources:
        if source in other.sources:
            pairs.append((f"{source}: release", one.sources[source]["release"], other.sources[source]["release"]))
            pairs.append((f"{source}: generated", one.sources[source]["generated"], other.sources[source]["generated"]))
            versions = (found.get(source, {}).get("version") for found in (adapters, others))
            pairs.append((f"{source}: adapter", *versions))
    yield from (Field(name, before, after) for name, before, after in pairs if before != after)


def _by_name(
    one: Taxonomy, other: Taxonomy, classes: Names, counts_a: NDArray[np.int64], counts_b: NDArray[np.int64]
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """Names of all codes of both, and (N, names) counts of each; what was renamed goes by its new name."""
    rename = dict(classes.renamed)
    in_a, in_b = [rename.get(name, name) for name in code_names(one)], code_names(other)
    names = list(dict.fromkeys([*in_a, *in_b]))

    def spread(found: Sequence[str], counts: NDArray[np.int64]) -> NDArray[np.int64]:
        wide = np.zeros((len(counts), len(names)), np.int64)
        if len(counts):
            wide[:, [names.index(name) for name in found]] = counts
        return wide

    return names, spread(in_a, counts_a), spread(in_b, counts_b)


# --- Pixel by pixel -------------------------------------------------------------------------------------------


def changed_pixels(a: Artifact, b: Artifact) -> dict[tuple[str, str], int]:
    """(class in a, class in b) → pixels, of samples in both, that changed; most first. Renamed is no change.

    Labels of the same bytes in spaces of the same codes are not decoded.

    Raises `UnifyError` (size-mismatch) for a sample whose labels have two sizes.
    """
    one, other = a.taxonomy, b.taxonomy
    rename = dict(_classes(one, other).renamed)
    names = [_code_to_name(taxonomy) for taxonomy in (one, other)]
    equal = {(i, j) for i, old in names[0].items() for j, new in names[1].items() if rename.get(old, old) == new}
    same_codes = names[0] == names[1]
    total = np.zeros((256, 256), np.int64)
    with ThreadPoolExecutor() as pool:
        pairs = (pair for pair in _pairs(a, b) if not (same_codes and pair[1] == pair[2]))
        while batch := list(itertools.islice(pairs, _BATCH)):
            for counts in pool.map(_confusion, batch):
                total += counts
    found = {
        (names[0][int(i)], names[1][int(j)]): int(total[i, j])
        for i, j in zip(*np.nonzero(total), strict=True)
        if (int(i), int(j)) not in equal
    }
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _code_to_name(taxonomy: Taxonomy) -> dict[int, str]:
    names = code_names(taxonomy)
    return {**dict(enumerate(names[:-1])), taxonomy.space.void: names[-1]}


def _pairs(a: Artifact, b: Artifact) -> Iterator[tuple[str, bytes, bytes]]:
    """(sample id, label PNG in a, label PNG in b) of the samples in both.

    Versions list their samples in much the same order, so that few labels wait for their partner.
    """
    ids = [set(artifact.inputs()["sample_id"].to_pylist()) for artifact in (a, b)]
    common = ids[0] & ids[1]
    waiting: tuple[dict[str, bytes], dict[str, bytes]] = ({}, {})
    for rows in itertools.zip_longest(_labels(a, common), _labels(b, common)):
        for here, row in zip(waiting, rows, strict=True):
            if row:
                here[row[0]] = row[1]
        for sample_id in {row[0] for row in rows if row}:
            if sample_id in waiting[0] and sample_id in waiting[1]:
                yield sample_id, waiting[0].pop(sample_id), waiting[1].pop(sample_id)


def _labels(artifact: Artifact, keep: set[str]) -> Iterator[tuple[str, bytes]]:
    for path in (name for name in artifact.manifest.files if name.startswith("data/")):
        with pq.ParquetFile(artifact.path / path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(batch_size=_BATCH, columns=["sample_id", "label"], use_threads=False):
                labels = batch["label"].field("bytes")
                for i, sample_id in enumerate(batch["sample_id"].to_pylist()):
                    if sample_id in keep:
                        yield sample_id, labels[i].as_py()


def _confusion(pair: tuple[str, bytes, bytes]) -> NDArray[np.int64]:
    """(256, 256): pixels by their codes before and after."""
    sample_id, *labels = pair
    old_hw, new_hw = (codecs.read_label(png, max_pixels=_ANY_SIZE) for png in labels)
    if old_hw.shape != new_hw.shape:
        what = f"its labels have {old_hw.shape[1]}x{old_hw.shape[0]} and {new_hw.shape[1]}x{new_hw.shape[0]} pixels"
        raise error("size-mismatch", sample_id, what, "compare without --pixels")
    pairs = old_hw.astype(np.uint16) << 8 | new_hw
    return np.bincount(pairs.reshape(-1), minlength=1 << 16).reshape(256, 256)
