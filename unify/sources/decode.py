"""From a label file's bytes to raw ids, each release by its own format. Nothing is converted in silence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache

import numpy as np
import numpy.typing as npt

from unify.errors import UnifyError, error
from unify.imagefile import MAX_PIXELS, ImageHeader, image_header
from unify.sources.base import LabelFormat, Release
from unify.sources.custom import RELEASE as CUSTOM
from unify.spaces import load_space

#: label format → modes of its PNGs
_MODES: dict[LabelFormat, tuple[str, ...]] = {"gray": ("gray",), "palette": ("palette", "gray"), "colors": ("rgb",)}
_DUE = {"gray": "gray ids", "palette": "ids", "colors": "RGB colours"}
_NAMES = {"gray": "gray values", "palette": "a palette", "rgb": "RGB colours", "rgba": "RGBA colours"}


def decode_label(release: Release, data: bytes, *, max_pixels: int = MAX_PIXELS) -> npt.NDArray[np.uint8]:
    """(H, W) ids in `release.space`, as the dataset's own tools give them.

    Raises `UnifyError` (bad-label, bad-polygons, image-too-large), its path empty.
    """
    if release.label == "polygons":
        from unify import polygons

        ids = ids_by_name(release.space)
        return polygons.draw(polygons.parse(data, max_pixels=max_pixels), ids, ids["unlabeled"])
    label_header(release, data, max_pixels=max_pixels)
    if release.label == "colors":
        from unify.sources.colors import colors_to_ids, read_rgb

        return colors_to_ids(read_rgb(data, max_pixels=max_pixels), release.space)
    from unify import codecs

    ids_hw = codecs.read_label(data, max_pixels=max_pixels)
    assert ids_hw.dtype == np.uint8, "the header said 8 bits"
    return ids_hw.view(np.uint8)


@cache
def ids_by_name(space: str) -> Mapping[str, int]:
    """Class name → id in the label space `space`."""
    return {c.name: c.id for c in load_space(space).classes}


def label_header(release: Release, data: bytes, *, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """The header of a label image of `release`; `data` may end behind it.

    Raises `UnifyError` (bad-label, image-too-large), path empty.
    """
    try:
        header = image_header(data, max_pixels=max_pixels)
    except UnifyError as e:
        kinds = {"bad-image": "bad-label"}
        raise UnifyError(*(dataclasses.replace(p, kind=kinds.get(p.kind, p.kind)) for p in e.problems)) from e
    check_label_mode(release, header)
    return header


def check_label_mode(release: Release, header: ImageHeader) -> None:
    """Refuse an image that cannot be a label of `release`. Raises `UnifyError` (bad-label), path empty.

    Gray has to have 8 bits: what fewer or more stand for depends on the program that wrote them.
    """
    fix = f"use {release.label_file}"
    if release.name == CUSTOM:
        fix = "save the masks as PNG with 8 bits; ids above 255 have to be renumbered"
    if header.format != "png":
        raise error("bad-label", "", f"a {header.format.upper()} file, which keeps no exact ids", fix)
    if header.mode not in _MODES[release.label]:
        found = _NAMES.get(header.mode, f"{header.mode} pixels")
        raise error("bad-label", "", f"{found} where {_DUE[release.label]} are due", fix)
    if header.mode != "palette" and header.bits != 8:
        hint = ", as instance maps have" if header.bits == 16 else ""
        raise error("bad-label", "", f"{header.bits} bits a value, not 8{hint}", fix)
