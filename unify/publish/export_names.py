"""File names for samples in exported folders: one a sample, the same each time, safe on any file system.

What a sample's id says behind its source and split becomes the name. "/" becomes "_" and all that is not an ASCII
letter, digit, "_" or "-" becomes "-", dots too: mmsegmentation finds a label by replacing the image suffix wherever
it stands in the name. Where that makes two names of one split and source equal, also on file systems that ignore
case, or a name is empty, reserved by Windows or too long, eight hex digits of the id's BLAKE3 tell them apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from blake3 import blake3

from unify.derive import Sample

MAX_CHARS = 180  #: names are ASCII; with suffixes and digest they stay below the 255 bytes of common file systems
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)
_CITYSCAPES = re.compile(r"[A-Za-z0-9-]+_\d{6}_\d{6}")


def mmseg_names(samples: Sequence[Sample]) -> dict[str, str]:
    """sample_id → name."""
    return _unique((s, _flat(s)) for s in samples)


def cityscapes_names(samples: Sequence[Sample]) -> dict[str, str]:
    """sample_id → {city}_{sequence}_{frame}, the form that cityscapesScripts takes names apart by.

    Cityscapes' own names stay. Of others the name stands for the city, with "-" for "_", and the frame is the row
    in the sample's shard; the sequence is the shard's place among those of its split and source.
    """
    return _unique((s, _three_parts(s)) for s in samples)


def _flat(sample: Sample) -> str:
    text = sample.sample_id.removeprefix(f"{sample.source}/{sample.split}/")
    return _UNSAFE.sub("-", text.replace("/", "_"))


def _three_parts(sample: Sample) -> str:
    flat = _flat(sample)
    if _CITYSCAPES.fullmatch(flat):
        return flat
    shard = re.search(r"-(\d+)-of-", sample.shard)
    sequence = int(shard[1]) if shard else 0
    return f"{flat.replace('_', '-')[:MAX_CHARS]}_{sequence:06d}_{sample.index:06d}"


def _unique(named: Iterable[tuple[Sample, str]]) -> dict[str, str]:
    pairs = list(named)
    count = Counter((s.split, s.source, name.casefold()) for s, name in pairs)
    names: dict[str, str] = {}
    for sample, name in pairs:
        unsafe = not name or len(name) > MAX_CHARS + 14 or _RESERVED.fullmatch(name)
        if unsafe or count[sample.split, sample.source, name.casefold()] > 1:
            name = _with_digest(name, sample.sample_id)
        names[sample.sample_id] = name
    folded = Counter((s.split, s.source, names[s.sample_id].casefold()) for s, _ in pairs)
    for sample, _ in pairs:  # a name that looks like another's with its digest
        if folded[sample.split, sample.source, names[sample.sample_id].casefold()] > 1:
            names[sample.sample_id] = _with_digest(names[sample.sample_id], sample.sample_id)
    distinct = {(s.split, s.source, names[s.sample_id].casefold()) for s, _ in pairs}
    assert len(distinct) == len(pairs), "two samples with one name"
    return names


def _with_digest(name: str, sample_id: str) -> str:
    """With the digest in the first part of a name of three parts, so that it keeps its form."""
    digest = blake3(sample_id.encode()).hexdigest()[:8]
    if _CITYSCAPES.fullmatch(name):
        city, sequence, frame = name.split("_")
        return f"{city[:MAX_CHARS]}-{digest}_{sequence}_{frame}"
    return f"{name[:MAX_CHARS]}-{digest}"


#: layout → how its files are named.
LAYOUT_NAMES: dict[str, Callable[[Sequence[Sample]], dict[str, str]]] = {
    "cityscapes": cityscapes_names,
    "mmseg": mmseg_names,
}
