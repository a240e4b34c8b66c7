"""The picture of a sweep: mIoU over the values of a setting, with what repeated runs were spread over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unify.report.draw import FAINT, INK, PAPER, write

if TYPE_CHECKING:
    from PIL.Image import Image

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 28, 66, 52
_LINE, _PALE = (38, 98, 180), (198, 212, 232)
_STEPS = 4  #: of the axis
_LABELS = 12  #: values that are written below it, at most


def plot(setting: str, rows: Sequence[dict[str, Any]]) -> Image:
    """rows: {"value": text, "miou": the fields of `trainers.repeat.Spread`}, in the order of the axis.

    A dot is a mean, the bar about it a standard deviation either way, the thin line from the least to the greatest.
    """
    from PIL import Image as Pictures
    from PIL import ImageDraw

    picture = Pictures.new("RGB", (_WIDTH, _HEIGHT), PAPER)
    draw = ImageDraw.Draw(picture)
    runs = max(row["miou"]["n"] for row in rows)
    write(draw, (_LEFT, 14), f"mIoU by {setting}", 16)
    how = f"mean of {runs} runs each, ± standard deviation, least and greatest" if runs > 1 else "one run each"
    write(draw, (_LEFT, 40), how, 12, FAINT)
    low, high = _axis(
        min(min(row["miou"]["min"], row["miou"]["mean"] - row["miou"]["std"]) for row in rows),
        max(max(row["miou"]["max"], row["miou"]["mean"] + row["miou"]["std"]) for row in rows),
    )

    def y_of(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    for i in range(_STEPS + 1):
        value = low + (high - low) * i / _STEPS
        draw.line((_LEFT, y_of(value), _WIDTH - _RIGHT, y_of(value)), fill=(226, 226, 224))
        write(draw, (_LEFT - 8, y_of(value)), f"{100 * value:.2f} %", 12, FAINT, "rm")
    values = [row["value"] for row in rows]
    numbers = _rising(values)
    places = _places(numbers or list(range(len(values))))
    every = math.ceil(len(rows) / _LABELS)
    for i, (x, row) in enumerate(zip(places, rows, strict=True)):
        found = row["miou"]
        if found["n"] > 1:
            draw.rectangle(
                (x - 4, y_of(found["mean"] + found["std"]), x + 4, y_of(found["mean"] - found["std"])), fill=_PALE
            )
            draw.line((x, y_of(found["min"]), x, y_of(found["max"])), fill=_LINE)
        if i % every == 0:
            write(draw, (x, _HEIGHT - _BOTTOM + 8), row["value"], 12, FAINT, "ma")
    means = [(x, y_of(row["miou"]["mean"])) for x, row in zip(places, rows, strict=True)]
    if numbers and len(means) > 1:
        draw.line(means, fill=_LINE, width=2)
    best = max(range(len(rows)), key=lambda i: rows[i]["miou"]["mean"])
    for i, (x, y) in enumerate(means):
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=INK if i == best else _LINE)
    write(draw, (_WIDTH - _RIGHT, 14), f"best: {rows[best]['value']}", 13, INK, "ra")
    return picture


def _rising(values: Sequence[str]) -> list[float]:
    """The values, where all are numbers that rise, else none."""
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        return []
    return numbers if all(a < b for a, b in itertools.pairwise(numbers)) else []


def _places(at: Sequence[float]) -> list[float]:
    """x of each value, pixels."""
    left, right, extent = _LEFT + 24, _WIDTH - _RIGHT - 24, at[-1] - at[0]
    return [left + (right - left) * ((value - at[0]) / extent if extent else 0.5) for value in at]


def _axis(low: float, high: float) -> tuple[float, float]:
    """Round ends that hold both, at least 0.1 % apart."""
    extent = max(high - low, 1e-3)
    step = 10.0 ** math.floor(math.log10(extent))
    return math.floor(low / step) * step, math.floor(high / step + 1) * step
