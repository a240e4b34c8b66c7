"""The frequency chart: a row per class, a bar in its colour for how often it occurs, on a logarithmic axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unify.report.draw import BLACK, FAINT, INK, PAPER, Color, hatch, text_width, write
from unify.stats import ALL, SHARES, Counts, Group, least_frequent_half, variety

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    from unify.taxonomy import Taxonomy

Shares = tuple[float | None, ...]

_MARGIN, _GAP, _ROW, _BAR = 28, 26, 19, 11
_PANELS_WIDTH, _NARROWEST, _VALUE_WIDTH = 860, 200, 62  # all panels together; one of many; room for "0.0012 %"
_RULE, _BAND, _MIXED = (226, 226, 222), (242, 236, 222), (168, 168, 172)


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the chart. `is_banded` shades it; `is_apart` puts it below the classes."""

    name: str
    color: Color
    is_banded: bool = False
    is_apart: bool = False
    is_void: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A column of bars: for each row a share in 0..1, or None. Its axis spans `decades`, up to 100 %."""

    title: str
    shares: Shares
    decades: int


def frequency_chart(
    title: str, groups: Sequence[Group], taxonomy: Taxonomy, *, ids: Sequence[int], by: str, per_source: bool = False
) -> Image:
    """The classes `ids` in that order, then sets and void; the less frequent half by `by` is shaded.

    Args:
        groups: as `stats.statistics` gives them; the first is that of everything.
        by: "images" or "pixels".
        per_source: a panel per source, of `by`, instead of one of images and one of pixels.
    """
    whole, n = groups[0], len(taxonomy.space)
    rarer = least_frequent_half(whole.counts.of_classes(by))
    classes = taxonomy.space.classes
    rows = [Row(classes[i].name, classes[i].color, is_banded=bool(rarer[i])) for i in ids]
    rows += [Row(" | ".join(names), _MIXED, is_apart=True) for names in taxonomy.sets]
    rows.append(Row("void", BLACK, is_apart=True, is_void=True))
    codes = [*ids, *range(n, n + len(taxonomy.sets) + 1)]
    if per_source:
        shown = [group for group in groups if group.split == ALL and group.source != ALL]
        shares = [_shares(group, codes, by) for group in shown]
        decades = max(map(_decades, shares))  # one axis, so that panels compare
        panels = [Panel(f"{g.source}, % of {by}", s, decades) for g, s in zip(shown, shares, strict=True)]
    else:
        both = {kind: _shares(whole, codes, kind) for kind in SHARES}
        panels = [Panel(f"% of {kind}", s, _decades(s)) for kind, s in both.items()]
    note = f"Shaded: the less frequent half of the classes, by {by}. Logarithmic axes."
    if any(share is None for panel in panels for share in panel.shares):
        note += " A dash: not annotated."
    return bar_chart(title, _facts(whole.counts), rows, panels, note)


def _shares(group: Group, codes: Sequence[int], by: str) -> Shares:
    share = SHARES[by](group.counts)
    n = group.counts.num_classes
    return tuple(float(share[i]) if i >= n or group.counts.annotated[i] else None for i in codes)


def _decades(shares: Shares) -> int:
    """From the power of ten below the smallest share, so that each has a bar, to 1."""
    return 1 + math.floor(-math.log10(min((share for share in shares if share), default=1.0)))


def _facts(counts: Counts) -> str:
    spread = variety(counts)
    return f"{counts.num_images:,} images, {spread.mean:.1f} classes an image ({spread.min} to {spread.max})"


def bar_chart(title: str, facts: str, rows: Sequence[Row], panels: Sequence[Panel], note: str) -> Image:
    """A picture with a line for each of `rows`, and each panel's bars on its logarithmic axis."""
    from PIL import Image as PILImage
    from PIL import ImageDraw

    names_width = max(text_width(row.name, 13) for row in rows) + 14
    panel_width = max(_NARROWEST, (_PANELS_WIDTH - (len(panels) - 1) * _GAP) // len(panels))
    lefts = [_MARGIN + names_width + k * (panel_width + _GAP) for k in range(len(panels))]
    width = lefts[-1] + panel_width + _MARGIN
    top = _MARGIN + 84
    apart_gap = _ROW // 2
    tops = [top + k * _ROW + (apart_gap if row.is_apart else 0) for k, row in enumerate(rows)]
    bottom = tops[-1] + _ROW
    picture = PILImage.new("RGB", (width, bottom + 2 * _ROW + _MARGIN), PAPER)
    draw = ImageDraw.Draw(picture)

    write(draw, (_MARGIN, _MARGIN - 6), title, 22)
    write(draw, (width - _MARGIN, _MARGIN - 2), facts, 15, FAINT, anchor="ra")
    for y, row in zip(tops, rows, strict=True):
        if row.is_banded:
            draw.rectangle((_MARGIN - 8, y, width - _MARGIN + 8, y + _ROW - 1), fill=_BAND)
    for left, panel in zip(lefts, panels, strict=True):
        scale = (panel_width - _VALUE_WIDTH) / panel.decades
        write(draw, (left, top - 44), panel.title, 14)
        _axis(draw, left, scale, panel.decades, top, bottom)
        for y, row, share in zip(tops, rows, panel.shares, strict=True):
            box = _bar(draw, left, y, row.color, share, scale, panel.decades)
            if box and row.is_void:
                hatch(picture, box)
    for y, row in zip(tops, rows, strict=True):
        color = FAINT if row.is_apart else INK
        write(draw, (lefts[0] - 14, y + _ROW // 2), row.name, 13, color, anchor="rm")
    write(draw, (_MARGIN, bottom + 2 * _ROW - 6), note, 12, FAINT)
    return picture


def _axis(draw: ImageDraw, left: int, scale: float, decades: int, top: int, bottom: int) -> None:
    """A rule a decade, and as many labels as there is room for, 100 always."""
    step = max(1, math.ceil(46 / scale))
    for decade in range(decades + 1):
        x = round(left + scale * decade)
        draw.line((x, top, x, bottom), fill=_RULE)
        if (decades - decade) % step == 0:
            label = f"{10.0 ** (decade - decades) * 100:.10f}".rstrip("0").rstrip(".")
            for y, anchor in ((top - 6, "mb"), (bottom + 6, "mt")):
                write(draw, (x, y), label, 11, FAINT, anchor)


def _bar(
    draw: ImageDraw, left: int, y: int, color: Color, share: float | None, scale: float, decades: int
) -> tuple[int, int, int, int] | None:
    """Its box, the last two outside; None where there is nothing to draw."""
    middle = y + _ROW // 2
    if not share:
        write(draw, (left + 4, middle), "-" if share is None else "none", 11, FAINT, anchor="lm")
        return None
    end = left + max(2, round(scale * (decades + math.log10(share))))
    edge = (color[0] * 3 // 4, color[1] * 3 // 4, color[2] * 3 // 4)  # keeps white and pale bars visible
    draw.rectangle((left, middle - _BAR // 2, end, middle + _BAR // 2), fill=color, outline=edge)
    write(draw, (end + 5, middle), _percent(share), 11, FAINT, anchor="lm")
    return left, middle - _BAR // 2, end + 1, middle + _BAR // 2 + 1


def _percent(share: float) -> str:
    """Two significant digits, and one decimal at most above 10: 0.123 → "12.3", 0.000456 → "0.046"."""
    percent = 100 * share
    digits = 1 if percent >= 10 else 1 - math.floor(math.log10(percent))
    return f"{percent:.{digits}f}"
