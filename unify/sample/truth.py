"""The truth about streets that were written: what each concept is called where, and how much of it is seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from unify.sample import shapes
from unify.sample.concepts import Concepts
from unify.sample.layouts import SPACES
from unify.spaces import load_space

Counts = Mapping[str, Mapping[str, Counter[int]]]  # source -> split -> concept index, or raw id of shapes -> pixels

#: Sources whose label space is another's: truth.json lists them under their own name.
_BORROWERS = frozenset({"kitti", "acdc"})


def describe(counts: Counts, layouts: Mapping[str, str], concepts: Concepts) -> dict[str, Any]:
    """What truth.json says beside the recipe.

    concepts: each concept's raw class per space. spaces: space -> its source; KITTI and ACDC, which are
    labelled in Cityscapes' space, stand there under their own names, and `label_spaces` says so.
    pixels: source -> split -> concept -> pixels in its images. cooccurrence: for every ordered pair of
    spaces, how many pixels of the first one's images are class a there and would be class b in the second.
    shapes: source -> split -> class -> pixels, of the sources that show no streets.

    Coarse labels say less than this: the truth is what their pictures show.
    """
    streets = {source: splits for source, splits in counts.items() if source not in shapes.SIZES}
    views = {  # name -> source and label space
        (source if source in _BORROWERS else space): (source, space)
        for source in streets
        for space in SPACES[source, layouts[source]]
    }
    names = [concept.name for concept in concepts.concepts]
    truth: dict[str, Any] = {
        "concepts": {c.name: {view: c.raw[space] for view, (_, space) in views.items()} for c in concepts.concepts},
        "spaces": {view: source for view, (source, _) in views.items()},
        "pixels": {
            source: {split: {names[i]: n for i, n in sorted(count.items())} for split, count in splits.items()}
            for source, splits in streets.items()
        },
        "cooccurrence": {
            first: {
                second: _table(_total(streets[source].values()), concepts.raw_names(own), concepts.raw_names(other))
                for second, (_, other) in views.items()
                if second != first
            }
            for first, (source, own) in views.items()
        },
    }
    if borrowed := {view: space for view, (_, space) in views.items() if view != space}:
        truth["label_spaces"] = borrowed
    if others := {source: splits for source, splits in counts.items() if source in shapes.SIZES}:
        truth["shapes"] = {
            source: {split: _by_class(count, shapes.SPACES[source]) for split, count in splits.items()}
            for source, splits in others.items()
        }
    return truth


def _by_class(count: Counter[int], space: str) -> dict[str, int]:
    names = {c.id: c.name for c in load_space(space).classes}
    return {names[value]: pixels for value, pixels in sorted(count.items())}


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
