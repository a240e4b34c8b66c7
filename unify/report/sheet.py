"""The contact sheet: image, the source's own label, the unified label, what became of which, and what colours mean."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.dataset as ds
from numpy.typing import NDArray

from unify.artifact import Artifact
from unify.codecs import read_label
from unify.report.draw import BLACK, FAINT, PAPER, SET, Color, Pixels, colors_of, labels, swatch, text_width, write
from unify.spaces import VOID

if TYPE_CHECKING:
    from PIL.Image import Image

    from unify.taxonomy import Taxonomy

TILE_WIDTH = 420
_GAP, _MARGIN, _LINE, _LINES = 10, 28, 21, 2
_ARROW = 26
_PALE = 0.66  #: share of paper in what is pale


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of a version, decoded: (H, W, 3) uint8 RGB, and ids (H, W) uint8."""

    source: str
    sample_id: str
    image_hwc: NDArray[np.uint8]
    label_hw: NDArray[np.uint8]
    native_hw: NDArray[np.uint8] | None


def pick(artifact: Artifact, per_source: int = 2, split: str | None = None) -> Iterator[Sample]:
    """For each source the `per_source` samples that show the most classes.

    Reads columns only to choose, and decodes only what it yields. `split` None means any.
    """
    columns = ["image", "label", *(["label_source"] if "label_source" in artifact.manifest.columns else [])]
    for source, facts in artifact.manifest.sources.items():
        splits = [split] if split else list(facts["splits"])
        files = [
            artifact.path / name
            for s in splits
            for name in artifact.manifest.files
            if name.startswith(f"data/{source}/{s}-")
        ]
        if not files:
            continue
        rows = ds.dataset(files, format="parquet")
        index = rows.to_table(columns=["classes", "sample_id"])
        richness = [len(c) for c in index["classes"].to_pylist()]
        order = sorted(range(len(richness)), key=lambda i: (-richness[i], i))[:per_source]
        for row in rows.take(sorted(order), columns=["sample_id", *columns]).to_pylist():
            native = row.get("label_source")
            yield Sample(
                source,
                row["sample_id"],
                _rgb(row["image"]["bytes"]),
                _ids(row["label"]["bytes"]),
                _ids(native["bytes"]) if native else None,
            )


def _ids(png: bytes) -> NDArray[np.uint8]:
    return read_label(png).astype(np.uint8, copy=False)


def _rgb(data: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@dataclass(frozen=True, slots=True)
class Change:
    """A class of a source that has another name in the version's label space: both, with their colours."""

    name: str
    color: Color
    becomes: str
    new_color: Color


@dataclass(frozen=True, slots=True)
class Native:
    """How a source's own labels are drawn, by raw id: `palette` (256, 3), `is_void` and `keeps` (256,) bool.

    `is_void`: what is black (or nothing) in its own colours and void here; `keeps`: a name that both spaces have.
    """

    palette: Pixels
    is_void: NDArray[np.bool_]
    keeps: NDArray[np.bool_]
    changed: Mapping[int, Change]

    @classmethod
    def of(cls, taxonomy: Taxonomy, source: str) -> Native:
        raw, table, colors = taxonomy.mappings[source].source, taxonomy.table(source), colors_of(taxonomy.space)
        names = {**dict(enumerate(_code_names(taxonomy))), VOID: "void"}
        palette = raw.palette()
        is_void = (table == VOID) & ~palette.any(axis=1)
        keeps, changed = np.zeros(256, np.bool_), {}
        for c in raw.classes:
            raw_id, code = c.id % 256, int(table[c.id % 256])
            if names[code] == c.name:
                keeps[raw_id] = True
            elif not is_void[raw_id]:
                changed[raw_id] = Change(c.name, c.color, names[code], _color(colors[code]))
        return cls(palette, is_void, keeps, changed)

    @property
    def shown(self) -> Pixels:
        """(256, 3): its own colours, pale where the name is kept."""
        pale = _PALE * np.array(PAPER) + (1 - _PALE) * self.palette
        return np.where(self.keeps[:, None], pale, self.palette).round().astype(np.uint8)

    def changes(self, native_hw: NDArray[np.uint8]) -> list[Change]:
        """Those in a label, the largest first."""
        count = np.bincount(native_hw.ravel(), minlength=256)
        return [self.changed[i] for i in np.argsort(-count, kind="stable").tolist() if count[i] and i in self.changed]


def contact_sheet(artifact: Artifact, samples: Sequence[Sample], tile_width: int = TILE_WIDTH) -> Image:
    """One row a sample, one column a view, a legend of the classes that appear.

    Of a source's own label, what keeps its name is pale; below stands what becomes of the rest, the largest first.
    """
    from PIL import Image, ImageDraw

    taxonomy = artifact.taxonomy
    palette = colors_of(taxonomy.space)
    natives = {s.source: Native.of(taxonomy, s.source) for s in samples if s.native_hw is not None}
    own = ["label of the source, pale where the name is kept"] if natives else []
    heads = ["image", *own, f"label in {taxonomy.space.name}"]
    width = 2 * _MARGIN + len(heads) * (tile_width + _GAP) - _GAP
    tiles = [_tiles(sample, natives.get(sample.source), palette, tile_width, len(heads)) for sample in samples]
    told = [_told(sample, natives.get(sample.source), width - 2 * _MARGIN) for sample in samples]
    legend = _legend(taxonomy, palette, samples)
    per_row = max(1, (width - 2 * _MARGIN) // 210)
    top = _MARGIN + 3 * _LINE
    steps = [row[0].height + _LINE * (1 + len(lines)) + _GAP for row, lines in zip(tiles, told, strict=True)]
    legend_rows = -(-len(legend) // per_row)
    sheet = Image.new("RGB", (width, top + sum(steps) + (2 + legend_rows) * _LINE + _MARGIN), PAPER)
    draw = ImageDraw.Draw(sheet)
    manifest = artifact.manifest
    write(draw, (_MARGIN, _MARGIN - 6), f"{manifest.name} {manifest.version}", 22)
    sources = "1 source" if len(manifest.sources) == 1 else f"{len(manifest.sources)} sources"
    facts = f"{manifest.images:,} images, {manifest.classes} classes, {sources}"
    write(draw, (width - _MARGIN, _MARGIN - 2), facts, 15, FAINT, anchor="ra")
    for column, head in enumerate(heads):
        write(draw, (_MARGIN + column * (tile_width + _GAP), top - _LINE - 2), head, 14, FAINT)
    y = top
    for sample, row, lines, step in zip(samples, tiles, told, steps, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (_MARGIN + column * (tile_width + _GAP), y))
        below = y + row[0].height + 2
        write(draw, (_MARGIN, below), sample.sample_id, 12, FAINT)
        for k, line in enumerate(lines, 1):
            _write_changes(sheet, line, below + k * _LINE)
        y += step
    y += _LINE
    for k, (name, color) in enumerate(legend):
        x = _MARGIN + (k % per_row) * ((width - 2 * _MARGIN) // per_row)
        at = y + (k // per_row) * _LINE
        swatch(sheet, (x, at + 2), color, is_void=name == "void")
        write(draw, (x + 30, at), name, 13)
    return sheet


def _tiles(sample: Sample, native: Native | None, palette: Pixels, width: int, count: int) -> list[Image]:
    """Image, own label (a blank one, if only others have theirs), label."""
    from PIL import Image as PILImage

    size = (width, round(width * sample.image_hwc.shape[0] / sample.image_hwc.shape[1]))
    found = [PILImage.fromarray(sample.image_hwc).resize(size, PILImage.Resampling.LANCZOS)]
    if native is not None and sample.native_hw is not None:
        found.append(labels(sample.native_hw, native.shown, size, native.is_void))
    elif count == 3:
        found.append(PILImage.new("RGB", size, PAPER))
    return [*found, labels(sample.label_hw, palette, size)]


def _told(sample: Sample, native: Native | None, width: int) -> list[list[Change | str]]:
    """Lines of what becomes of which, as many as there is room for in `_LINES`; none without a label of its own."""
    if native is None or sample.native_hw is None:
        return []
    changes = native.changes(sample.native_hw)
    lines: list[list[Change | str]] = [[]]
    left = width
    for k, change in enumerate(changes):
        room = _width(change)
        last = len(lines) == _LINES
        if room > left - (90 if last else 0) and lines[-1]:
            if last:
                lines[-1].append(f"and {len(changes) - k} more")
                return lines
            lines.append([])
            left = width
        lines[-1].append(change)
        left -= room
    return lines if changes else [["every class keeps its name"]]


def _width(change: Change) -> int:
    return 2 * 28 + text_width(change.name, 12) + _ARROW + text_width(change.becomes, 12) + 18


def _write_changes(sheet: Image, line: Sequence[Change | str], y: int) -> None:
    from PIL import ImageDraw

    draw, x = ImageDraw.Draw(sheet), _MARGIN
    for part in line:
        if isinstance(part, str):
            write(draw, (x, y), part, 12, FAINT)
            continue
        swatch(sheet, (x, y + 1), part.color)
        write(draw, (x + 28, y), part.name, 12)
        middle = x + 28 + text_width(part.name, 12) + _ARROW
        draw.line((middle - 20, y + 8, middle - 8, y + 8), fill=FAINT)
        draw.polygon([(middle - 11, y + 5), (middle - 11, y + 11), (middle - 6, y + 8)], fill=FAINT)
        swatch(sheet, (middle, y + 1), part.new_color, is_void=part.becomes == "void")
        write(draw, (middle + 28, y), part.becomes, 12)
        x += _width(part)


def _legend(taxonomy: Taxonomy, palette: Pixels, samples: Sequence[Sample]) -> list[tuple[str, Color]]:
    """The classes that appear, the largest first; sets of them, if any; void."""
    present = np.zeros(256, np.int64)
    for sample in samples:
        present += np.bincount(sample.label_hw.ravel(), minlength=256)
    size = len(taxonomy.space)
    shown = [i for i in np.argsort(-present[:size], kind="stable").tolist() if present[i]]
    several = [("one of several", SET)] if present[size:VOID].any() else []
    return [*((taxonomy.space.names[i], _color(palette[i])) for i in shown), *several, ("void", BLACK)]


def _code_names(taxonomy: Taxonomy) -> list[str]:
    return [*taxonomy.space.names, *(" or ".join(names) for names in taxonomy.sets)]


def _color(rgb: Pixels) -> Color:
    return int(rgb[0]), int(rgb[1]), int(rgb[2])
