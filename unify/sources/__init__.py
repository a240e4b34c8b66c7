"""The datasets that can be read: one adapter a file, chosen from one dictionary.

An adapter knows where a dataset keeps its files and what its labels mean; it opens no image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from unify.errors import error
from unify.sources.acdc import ACDC
from unify.sources.base import GENERATED_MARK, Detection, InstanceFiles, LabelFormat, Listing, Pair, Release, Source
from unify.sources.bdd100k import BDD100K
from unify.sources.camvid import CAMVID
from unify.sources.cityscapes import CITYSCAPES
from unify.sources.context import CONTEXT
from unify.sources.decode import check_label_mode, decode_label, label_header
from unify.sources.idd import IDD
from unify.sources.kitti import KITTI
from unify.sources.mapillary import MAPILLARY
from unify.sources.nyu import NYU
from unify.sources.voc import VOC
from unify.sources.wilddash import WILDDASH
from unify.spaces import did_you_mean

__all__ = [
    "SOURCES",
    "Detection",
    "InstanceFiles",
    "LabelFormat",
    "Listing",
    "Pair",
    "Release",
    "Source",
    "check_label_mode",
    "decode_label",
    "detect",
    "detect_any",
    "label_header",
    "source_named",
]

#: In the order in which a version lists them.
SOURCES: dict[str, Source] = {
    "cityscapes": CITYSCAPES,
    "idd": IDD,
    "bdd100k": BDD100K,
    "mapillary": MAPILLARY,
    "camvid": CAMVID,
    "kitti": KITTI,
    "acdc": ACDC,
    "wilddash": WILDDASH,
    "voc": VOC,
    "context": CONTEXT,
    "nyu": NYU,
}


def source_named(text: str, sources: Mapping[str, Source] = SOURCES) -> Source:
    """The one of `sources` with this letter or name, in any case. Raises `UnifyError` (unknown-dataset)."""
    wanted = text.strip().casefold()
    for source in sources.values():
        if wanted in (source.letter.casefold(), source.name):
            return source
    known = ", ".join(f"{s.letter} {s.name}" for s in sources.values())
    letters = [s.letter.casefold() for s in sources.values()]
    if len(wanted) > 1 and set(wanted) <= set(letters):
        guess = f" (did you mean {','.join(wanted.upper())}?)"
    else:
        guess = did_you_mean(wanted, sources)
    raise error("unknown-dataset", "", f"no dataset '{text}'{guess}", f"known: {known}")


def detect(source: Source, path: Path) -> Detection | None:
    """What `path` is as a root of `source`, or None. Its root in the answer is absolute.

    Raises `UnifyError` (no-permission) for a folder that may not be looked into.
    """
    try:
        found = source.detect(path.absolute())
        if found is None:
            return None
        generated = any((folder / GENERATED_MARK).is_file() for folder in (found.root, *found.root.parents[:2]))
    except PermissionError as e:
        raise error("no-permission", path, f"cannot be looked into: {e.strerror}", "check its permissions") from e
    return dataclasses.replace(found, generated=generated)


def detect_any(path: Path, sources: Mapping[str, Source] = SOURCES) -> list[Detection]:
    """Every one of `sources` that the folder `path` itself looks like, in their order."""
    return [found for source in sources.values() if (found := detect(source, path))]
