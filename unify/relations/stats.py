"""Stored statistics of a trained net as evidence: a JSON file of mean cosines.

{"classes": [name, ...],                          K of them
 "datasets": {name: {"pixels": [n, ...],          K long; 0 for classes that the dataset does not label
                     "mean_cosine": [row, ...],   K long; a row is null, or K numbers in -1..1: the label's mean
                                                  cosine with every class
                     ...}}}                       anything else is passed over

A class counts as annotated by a dataset where it has pixels. There are no answers in such a file, no folds, and
no images.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from blake3 import blake3

from unify.errors import Problem, UnifyError, error
from unify.relations.evidence import UNIT, Evidence
from unify.spaces import odd_name

_MAX_BYTES = 1 << 28
_MOST_PIXELS = 1 << 38
_FIX = 'see `unify relations --help` for the form: {"classes", "datasets": {name: {"pixels", "mean_cosine"}}}'


def read_stats(path: Path) -> Evidence:
    """The evidence in a file of statistics.

    Raises `UnifyError`: not-found, or bad-artifact with everything that is wrong with it.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise error("bad-artifact", path, f"is larger than {_MAX_BYTES:,} bytes", _FIX)
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as e:
        raise error("not-found", path, "no such file", "give a JSON file of statistics") from e
    except OSError as e:
        raise error("bad-artifact", path, f"cannot be read: {e.strerror}", "check the file") from e
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as e:
        raise error("bad-artifact", path, f"is not JSON ({e})", _FIX) from e
    if faults := list(_faults(data)):
        raise UnifyError(*(Problem("bad-artifact", str(path), what, _FIX) for what in faults))
    return evidence_of(data, {"stats": blake3(text).hexdigest()})


def evidence_of(data: Mapping[str, Any], made_from: Mapping[str, str]) -> Evidence:
    """The evidence in statistics that have no faults."""
    classes, datasets = data["classes"], data["datasets"]
    pixels = np.array([rows["pixels"] for rows in datasets.values()], np.int64)
    scores = np.zeros((1, len(datasets), len(classes), len(classes)), np.int64)
    for s, rows in enumerate(datasets.values()):
        for c, row in enumerate(rows["mean_cosine"]):
            if pixels[s, c]:
                scores[0, s, c] = np.rint(np.array(row, np.float64) * float(pixels[s, c]) * UNIT)
    images = np.zeros_like(pixels)[None]
    return Evidence(tuple(classes), tuple(datasets), pixels > 0, pixels[None], images, scores, None, dict(made_from))


def _faults(data: object) -> Iterator[str]:
    if not isinstance(data, dict):
        yield f"is a {type(data).__name__}, not an object"
        return
    classes, datasets = data.get("classes"), data.get("datasets")
    if not isinstance(classes, list) or not classes or not all(isinstance(c, str) and c for c in classes):
        yield "`classes` has to be a list of names"
    elif odd := [c for c in classes if odd_name(c)]:
        yield f"odd names of classes: {', '.join(map(ascii, odd))}"
    elif len(set(classes)) < len(classes):
        yield "`classes` names a class twice"
    if not isinstance(datasets, dict) or not datasets:
        yield "`datasets` has to have the statistics of each dataset by its name"
    elif isinstance(classes, list):
        for name, rows in datasets.items():
            yield from (f"{name}: {what}" for what in _dataset_faults(rows, classes))


def _dataset_faults(rows: object, classes: list[str]) -> Iterator[str]:
    pixels, means = (rows.get(key) for key in ("pixels", "mean_cosine")) if isinstance(rows, dict) else (None, None)
    for key, values in (("pixels", pixels), ("mean_cosine", means)):
        if not isinstance(values, list) or len(values) != len(classes):
            yield f"`{key}` has to be a list of {len(classes)}, one a class"
    if not isinstance(pixels, list) or not isinstance(means, list) or not len(pixels) == len(means) == len(classes):
        return
    for name, count, row in zip(classes, pixels, means, strict=True):
        if type(count) is not int or not 0 <= count <= _MOST_PIXELS:
            yield f"{count!r} pixels of '{name}'"
        elif count and not (isinstance(row, list) and len(row) == len(classes) and all(map(_is_cosine, row))):
            yield f"'{name}' has pixels, so its mean cosines have to be {len(classes)} numbers in -1..1"


def _is_cosine(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and abs(value) <= 1 + 1e-6  # type: ignore[arg-type]
