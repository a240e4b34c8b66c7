"""Small raw worlds for tests, plans over them, and independent ways to read them."""

from __future__ import annotations

from pathlib import Path

from unify.artifact import Artifact
from unify.build import build
from unify.plan import Plan, plan_build
from unify.roots import resolve_roots
from unify.sample import write_streets
from unify.sources import SOURCES
from unify.taxonomy import taxonomy_for

from . import layouts

WRITERS = {
    "C": ("cityscapes", layouts.write_cityscapes),
    "I": ("idd", layouts.write_idd),
    "B": ("bdd100k", layouts.write_bdd100k),
    "M": ("mapillary", layouts.write_mapillary),
    "V": ("camvid", layouts.write_camvid),
}


def small_world(folder: Path, letters: str) -> Path:
    """Raw roots of the given sources in `folder`, a few tiny pairs each."""
    for letter in letters:
        name, write = WRITERS[letter]
        write(folder / name)
    return folder


def plan_of(roots: Path, datasets: str, space: str | None = None, splits=("train", "val"), **options) -> Plan:
    found = resolve_roots(datasets, [str(roots)], environ={})
    releases = {name: SOURCES[name].releases[d.release] for name, d in found.items()}
    taxonomy = taxonomy_for(
        {n: r.space for n, r in releases.items()}, {n: r.train_space for n, r in releases.items()}, space
    )
    return plan_build(found, taxonomy, splits, **options)


def tiny_streets(folder: Path, images: int) -> Artifact:
    """A version of generated streets, two sources, small images: what nets are trained on in tests."""
    write_streets(folder / "raw", ["C", "I"], images=images, seed=1, size=0.06)
    return build(plan_of(folder / "raw", "C,I"), folder / "out").artifact


def tree_bytes(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`: POSIX path → bytes. Empty folders count as "name/"."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file():
            found[name] = path.read_bytes()
        elif not any(path.iterdir()):
            found[name + "/"] = b""
    return found
