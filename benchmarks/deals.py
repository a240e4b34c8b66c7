"""CamVid dealt to pseudo-sources that name its classes differently: real images whose class relations are known.

The training images are dealt at random, each to one source; a source keeps CamVid's 11 classes or calls several by
one name. What is written is a raw root per source with mapping tables and a unify.toml, as of any dataset of one's
own (docs/own_dataset.md), and truth.json as `unify relations score` reads it. The label files stay CamVid's: what a
source calls its classes is said by its mapping table alone. One more source, "judge", has the validation images with
all 11 classes; it is a version of its own, which no training sees.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unify.spaces import load_space

SPACE = "camvid-segnet"  #: the raw label space
CLASSES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
)  # fmt: skip
UNLABELLED = len(CLASSES)
JUDGE = "judge"
_SPLITS = {"train": ("train", "trainannot"), "val": ("val", "valannot")}


@dataclass(frozen=True, slots=True)
class Deal:
    """`says`: source -> {class: what it calls it}; other classes keep their names."""

    name: str
    about: str
    says: Mapping[str, Mapping[str, str]]

    def name_of(self, source: str, raw: str) -> str:
        return self.says.get(source, {}).get(raw, raw)

    def names_of(self, source: str) -> tuple[str, ...]:
        """The classes of a source."""
        return tuple(dict.fromkeys(self.name_of(source, raw) for raw in CLASSES))


def _as(name: str, *classes: str) -> dict[str, str]:
    return dict.fromkeys(classes, name)


DEALS: dict[str, Deal] = {
    deal.name: deal
    for deal in (
        Deal(
            "b",
            "one source keeps the 11 classes, one says ground and human, one says object",
            {
                "fine": {},
                "broad": {**_as("ground", "Road", "Pavement"), **_as("human", "Pedestrian", "Bicyclist")},
                "mixed": _as("object", "Pole", "SignSymbol", "Fence"),
            },
        ),
        Deal(
            "hard",
            "no source keeps the 11 classes, and merges overlap: Fence is object, barrier or itself",
            {
                "first": {**_as("ground", "Road", "Pavement"), **_as("human", "Pedestrian", "Bicyclist")},
                "second": {**_as("object", "Pole", "SignSymbol", "Fence"), **_as("backdrop", "Sky", "Tree")},
                "third": {**_as("barrier", "Building", "Fence"), **_as("traffic", "Car", "Bicyclist")},
            },
        ),
        # For tuning alone; no figure of these is reported as a result.
        Deal(
            "a",
            "for tuning: two sources, the 11 classes against surface, post and vehicle",
            {
                "fine": {},
                "broad": {
                    **_as("surface", "Road", "Pavement"),
                    **_as("post", "Pole", "SignSymbol"),
                    **_as("vehicle", "Car", "Bicyclist"),
                },
            },
        ),
        Deal(
            "c",
            "for tuning: three sources; structure and person, and upright and plain",
            {
                "fine": {},
                "broad": {**_as("structure", "Building", "Fence"), **_as("person", "Pedestrian", "Bicyclist")},
                "mixed": {**_as("upright", "Pole", "Tree", "SignSymbol"), **_as("plain", "Pavement", "Road")},
            },
        ),
    )
}


def write_deal(deal: Deal, camvid: Path, folder: Path, *, seed: int, height: int = 360) -> Path:
    """Raw roots, tables, unify.toml and truth.json below `folder`, from CamVid (SegNet release) at `camvid`.

    `height`: of the images, which are made smaller from 360 x 480; labels take the nearest pixel. Returns the path of
    unify.toml. What is there already is kept.
    """
    import cv2

    config = folder / "unify.toml"
    if config.exists():
        return config
    names = sorted(path.name for path in (camvid / "train").glob("*.png"))
    order = np.random.default_rng((seed, 11)).permutation(len(names))
    sources = list(deal.says)
    dealt = [(sources[i % len(sources)], "train", names[k]) for i, k in enumerate(order)]
    dealt += [(JUDGE, "val", path.name) for path in sorted((camvid / "val").glob("*.png"))]
    counts = {source: np.zeros(len(CLASSES), np.int64) for source in (*sources, JUDGE)}
    for source, split, name in dealt:
        images, labels = _SPLITS[split]
        image = cv2.imread(str(camvid / images / name), cv2.IMREAD_COLOR)
        label = cv2.imread(str(camvid / labels / name), cv2.IMREAD_GRAYSCALE)
        size = (round(image.shape[1] * height / image.shape[0]), height)
        if height != image.shape[0]:
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
        for kind, pixels in (("images", image), ("labels", label)):
            path = folder / "raw" / source / kind / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)
        counts[source] += np.bincount(label.ravel(), minlength=UNLABELLED + 1)[: len(CLASSES)]
    tables = {**dict.fromkeys(sources, "train"), JUDGE: "val"}
    for source in tables:
        _write_tables(deal, source, folder / "tables")
    (folder / "truth.json").write_text(json.dumps(truth(deal, {s: counts[s] for s in sources}), indent=1))
    lettered = zip(tables.items(), "DEFGJ", strict=False)  # letters that no source has
    config.write_text("\n".join(_table(deal, source, letter, split) for (source, split), letter in lettered))
    return config


def space_of(deal: Deal, source: str) -> str:
    """The name of the label space of a source's classes."""
    return f"deal-{deal.name}-{source}"


def _write_tables(deal: Deal, source: str, folder: Path) -> None:
    """The space of a source's classes, and the mapping to it."""
    space = space_of(deal, source)
    color_of = {c.name: c.color for c in load_space(SPACE).classes}
    color = {deal.name_of(source, raw): list(color_of[raw]) for raw in reversed(CLASSES)}  # that of its first class
    rows = [f"- {{id: {i}, name: {name}, color: {color[name]}}}" for i, name in enumerate(deal.names_of(source))]
    files = {folder / "spaces" / f"{space}.yaml": [f"name: {space}", "classes:", *rows]}
    rules = [f"  {raw}: {deal.name_of(source, raw)}" for raw in CLASSES]
    about = [f"from: {SPACE}", f"to: {space}", "reference: benchmarks/deals.py", "rules:"]
    files[folder / f"to_{space}" / f"{SPACE}.yaml"] = [*about, *rules, "  Unlabelled: []"]
    for path, lines in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")


def truth(deal: Deal, counts: Mapping[str, np.ndarray]) -> dict[str, object]:
    """What `unify relations score` reads. `counts`: source -> pixels per class of CamVid."""

    def table(first: str, second: str) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for raw, pixels in zip(CLASSES, counts[first].tolist(), strict=True):
            row = found.setdefault(deal.name_of(first, raw), {})
            name = deal.name_of(second, raw)
            row[name] = row.get(name, 0) + pixels
        return found

    return {"cooccurrence": {a: {b: table(a, b) for b in deal.says if b != a} for a in deal.says}}


def _table(deal: Deal, source: str, letter: str, split: str) -> str:
    rows = [
        f"[datasets.{source}]",
        f'letter = "{letter}"',
        f'root = "raw/{source}"',
        f'space = "{SPACE}"',
        f'train_space = "{space_of(deal, source)}"',
        'images = "images/{split}/*.png"',
        'labels = "labels/{split}/*.png"',
        'encoding = "gray"',
        f'splits = {{ {split} = "{split}" }}',
    ]
    return "\n".join(rows) + "\n"
