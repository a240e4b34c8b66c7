"""What tests of raw data share: one root of every layout, and short ways to ask about it."""

from __future__ import annotations

from pathlib import Path

from unify.sources import SOURCES, Detection, Listing, Release, detect_any

from . import layouts

CAMVID = Path(__file__).parents[2] / "shared/data/camvid"  #: real data, not part of this repository


def only(path: Path) -> Detection:
    """The one thing that a folder looks like."""
    (found,) = detect_any(path)
    return found


def find(path: Path, split: str = "train", **options) -> Listing:
    found = only(path)
    return SOURCES[found.source].releases[found.release].find(found.root, split, **options)


def told(listing: Listing) -> list[tuple[str, str, str]]:
    return [(p.kind, p.path, p.what) for p in listing.problems]


def release(source: str, name: str) -> Release:
    return SOURCES[source].releases[name]


def write_all(root: Path) -> Path:
    """A folder of roots: all sources, all layouts."""
    layouts.write_cityscapes(root / "cityscapes", train=4)
    layouts.write_idd(root / "idd", train=4, val=2)
    layouts.write_idd(root / "part one", parts=("I",))
    layouts.write_idd(root / "part two", parts=("II",))
    layouts.write_bdd100k(root / "bdd100k")
    layouts.write_bdd100k(root / "old", release="seg")
    layouts.write_mapillary(root / "vistas", train=5)
    layouts.write_mapillary(root / "vistas 1", layout="v1.x")
    layouts.write_camvid(root / "camvid", test=3)
    layouts.write_camvid(root / "camvid 701", release="original")
    return root
