"""What can be read, as facts for people: a row for each dataset, and docs/datasets.md.

All of it follows from the adapters in `sources`, the tables in `mappings/` and `licences`; what was tried on real data
is all that is written here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from unify.errors import UnifyError
from unify.mapping import mapped_spaces
from unify.publish.licences import VERDICTS, Sharing, licence_of
from unify.sources import SOURCES, InstanceFiles, Release, Source
from unify.spaces import load_space, space_names
from unify.taxonomy import taxonomy_for

#: Source → what of the real data was read. Of all others the layout is known from public tables and loaders only.
TRIED = {"camvid": "the 468 pairs of `train` and `val` in SegNet's form, built and recounted"}

_LABELS = {
    "gray": "gray PNG, pixel = id",
    "palette": "palette PNG, index = id",
    "polygons": "JSON polygons, drawn",
    "colors": "RGB PNG, colour = class",
}


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """One release. `raw_classes` counts every id its files may hold, `classes` those of its training space."""

    name: str
    space: str
    raw_classes: int
    train_space: str
    classes: int
    splits: dict[str, int]  # official number of pairs
    withheld: dict[str, str]  # split → why it cannot be built
    label: str
    label_file: str
    instances: str  # where things of one class are told apart, and by which values; "" if they are not
    goes_to: tuple[str, ...]  # spaces that `unify build --space` takes it to


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """One dataset."""

    name: str
    letter: str
    title: str
    homepage: str
    layout: str
    licence: str
    sharing: Sharing  # of its images
    citation: str
    tried: str  # on real data; "" if not
    releases: tuple[ReleaseFacts, ...]


def catalogue(sources: Mapping[str, Source] = SOURCES, search: Sequence[Path] = ()) -> tuple[DatasetFacts, ...]:
    """Facts of all `sources`, in their order. `search`: further folders of spaces and mappings."""
    goes_to: dict[tuple[str, str], tuple[str, ...]] = {}

    def facts(release: Release) -> ReleaseFacts:
        key = (release.space, release.train_space)
        if key not in goes_to:
            goes_to[key] = tuple(_targets(*key, search))
        return ReleaseFacts(
            name=release.name,
            space=release.space,
            raw_classes=len(load_space(release.space, search)),
            train_space=release.train_space,
            classes=len(load_space(release.train_space, search)),
            splits=dict(release.splits),
            withheld=dict(release.withheld),
            label=_LABELS[release.label],
            label_file=release.label_file,
            instances=_instances(release.instances) if release.instances else "",
            goes_to=goes_to[key],
        )

    return tuple(
        DatasetFacts(
            name=source.name,
            letter=source.letter,
            title=source.title,
            homepage=source.homepage,
            layout=source.layout,
            licence=licence_of(source.name).name if source.name in SOURCES else source.license,
            sharing=licence_of(source.name).images,
            citation=source.citation,
            tried=TRIED.get(source.name, ""),
            releases=tuple(map(facts, source.releases.values())),
        )
        for source in sources.values()
    )


def _targets(raw: str, train_space: str, search: Sequence[Path]) -> Iterable[str]:
    """Every space that labels of `raw` can be mapped into, by rules or, through the training space, by name."""
    trained = set(load_space(train_space, search).names)
    for name in space_names(search):
        if name == raw:
            continue
        if raw not in mapped_spaces(name, search) and not trained <= set(load_space(name, search).names):
            continue  # it would only take long to find out
        try:
            found = taxonomy_for({"": raw}, {"": train_space}, name, search)
        except UnifyError:
            continue
        if found.null_mask.any():
            yield name


def _instances(files: InstanceFiles) -> str:
    """The files that `--instances` reads, and the values of the images that a version keeps."""
    value = f"id * {files.divisor} + number"
    if files.beside is None:
        return f"drawn from the polygons: {value}"
    path = files.beside[1].removeprefix("/")
    where = f"{path}*.png" if path.endswith("/") else f"*{path}"
    if files.made_by:
        return f"{where}, made by `{files.made_by}`: {value}"
    return f"{where}{', joined with the label' if files.joined else ''}: {value}"


def page(found: Sequence[DatasetFacts]) -> str:
    """docs/datasets.md."""
    rows = [
        [
            d.letter,
            f"[{d.title}]({d.homepage})" if d.homepage else d.title,
            _each(d.releases, lambda r: r.name),
            _each(d.releases, lambda r: f"{r.raw_classes} → {r.classes}"),
            _each(d.releases, lambda r: ", ".join(f"{split} {n:,}" for split, n in r.splits.items())),
            _each(d.releases, lambda r: r.label),
            _each(d.releases, lambda r: ", ".join(f"`{name}`" for name in r.goes_to)),
            f"{d.licence}: {VERDICTS[d.sharing]}",
            d.tried or "no",
        ]
        for d in found
    ]
    head = ["", "dataset", "releases", "classes", "images", "labels", "can go to", "licence", "tried on real data"]
    layouts = [
        [
            d.letter,
            d.title,
            d.layout,
            _each(d.releases, lambda r: r.label_file),
            _each(d.releases, lambda r: r.instances or "no"),
        ]
        for d in found
    ]
    withheld = [
        [d.letter, d.title, split, "<br>".join(dict.fromkeys(r.withheld[split] for r in d.releases))]
        for d in found
        for split in d.releases[0].withheld
    ]
    parts = [
        "# Datasets",
        "What `unify build` reads. Written by `unify datasets --markdown`; `--json` has the same for scripts.",
        _markdown(head, rows),
        "**classes**: ids its files may hold → classes of its training space. **images**: pairs of image and label in "
        "each official split, as published; `unify doctor` says where a root differs. **can go to**: what "
        "`--space` takes (`unify spaces NAME` shows the rules); any combination also has its naive union. "
        "**licence**: what the dataset's page said about passing on its images, when it was written down; no legal "
        "advice, look again. Streets, the generated world, has no terms.",
        "## What lies where",
        _markdown(["", "dataset", "its root holds", "labels read", "things told apart (`--instances`)"], layouts),
        "**things told apart**: the files, and the 16-bit values that a version keeps, of the source's own id of the "
        "class and a number. Where nothing is told apart, Cityscapes and IDD have plain ids; KITTI, WildDash and VOC "
        "have the number 0; and of Mapillary's classes its config says which are.",
        "## Splits that cannot be built",
        _markdown(["", "dataset", "split", "why"], withheld),
        "## Citations",
        "\n".join(f"- {d.title}: {d.citation}" for d in found),
    ]
    return "\n\n".join(parts) + "\n"


def _each(releases: Sequence[ReleaseFacts], text: Callable[[ReleaseFacts], str]) -> str:
    """A line for each release, in their order, or one if all lines are equal."""
    lines = [text(release) for release in releases]
    return lines[0] if len(set(lines)) == 1 else "<br>".join(lines)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(re.sub(r"[|*]", r"\\\g<0>", cell) for cell in row) + " |" for row in cells)
